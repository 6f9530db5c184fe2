"""The former production file goes back into place, and is proven as a deployment is: `-m deploy --rollback`.

It needs no gate: nobody selects anything, and the file may be none of the checkpoints. What it must render is found
out first, from a copy of the same bytes under a temporary name.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from PIL import Image

from plugins.comfyui.choices import choices_of
from plugins.comfyui.own_workflow import base_model_on, classes_for
from plugins.comfyui.server import Server
from plugins.deploy.deployment import put_back_on_error
from plugins.deploy.proof import CLEAR, ProductionRenderer, ProofError, forget_all
from plugins.evidence.deployments import ROLLBACK, Deployment, Rollback, write_record
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.loras import journal
from plugins.loras.copies import evaluation_copies, former_copy, remove_evaluation_copies
from plugins.loras.copying import copy_part, digest_of, put_in_place
from plugins.loras.errors import DeploymentError
from plugins.loras.journal import Installation
from plugins.pictures.checks import effect_of
from plugins.pictures.picture import Picture
from plugins.plan.cells import Cell, column, strengths
from plugins.plan.plan import Plan

_NOTHING_DONE: Final = "Nothing was changed."


@dataclass(frozen=True, kw_only=True)
class PreviousProduction:
    """The production file before the last deployment."""

    sha256: str
    file: Path
    """Where its bytes are now."""
    checkpoint: str | None
    """The checkpoint that it is; None where it is none of the plan's, or nobody knows."""
    taken_out: str
    undone: datetime | None
    """When the deployment that is taken back was made; None where that one was never finished."""
    strength: float | None = None
    """What the one that is taken out was judged at, where the plan has several strengths."""


def find_previous(plan: Plan, deployment: Deployment) -> PreviousProduction:
    """Find the file that the last deployment replaced: its backup, or the training output that it was.

    Raises `DeploymentError` where there was none, its bytes are nowhere, or production was changed since.
    """
    production, former = plan.production_file, deployment.replaced_sha256
    now = digest_of(production) if production.is_file() else None
    if now != deployment.sha256:
        held = f"holds other bytes (SHA-256 {now[:12]})" if now else "is not there"
        raise DeploymentError(
            f"{production} {held}; {deployment.selected} ({deployment.sha256[:12]}) was deployed. Somebody changed it "
            f"since, so there is nothing to roll back. {_NOTHING_DONE}"
        )
    if former is None:
        raise DeploymentError(
            f"There was no production LoRA before {deployment.selected} was deployed, so there is nothing to put back. "
            f"Deploy another checkpoint: {plan.sampling.how_to_deploy}. {_NOTHING_DONE}"
        )
    if former == deployment.sha256:
        raise DeploymentError(
            f"{production} already held the bytes of {deployment.selected} before the deployment, so there is nothing "
            "to put back."
        )
    places = [*filter(None, [deployment.backup]), *(plan.training_file(one) for one in plan.checkpoints)]
    names = (name for name, one in deployment.candidates.items() if one.sha256 == former)
    for place in places:
        if place.is_file() and digest_of(place) == former:
            return PreviousProduction(
                sha256=former,
                file=place,
                checkpoint=next(names, None),
                taken_out=deployment.selected,
                strength=deployment.strength,
                undone=deployment.deployed,
            )
    looked = ", ".join(map(str, places))
    raise DeploymentError(
        f"The bytes that were in production before (SHA-256 {former[:12]}) were not found: looked at {looked}. "
        f"{_NOTHING_DONE}"
    )


def find_taken_back(plan: Plan, begun: Installation) -> PreviousProduction:
    """Find what `recover` put back from a deployment that was stopped; it is in production, and still to be proven.

    Raises `DeploymentError` where there was none, or production was changed meanwhile.
    """
    production, former = plan.production_file, begun.replaced_sha256
    if former is None:
        raise DeploymentError("Nothing is left to roll back.")
    if not production.is_file() or digest_of(production) != former:
        kept = f" {begun.backup} is what was there before." if begun.backup and begun.backup.is_file() else ""
        raise DeploymentError(f"There is nothing to roll back: {production} was changed by somebody else.{kept}")
    training = ((one.id, plan.training_file(one)) for one in plan.checkpoints)
    names = {digest_of(file): name for name, file in training if file.is_file()}
    return PreviousProduction(
        sha256=former,
        file=production,
        checkpoint=names.get(former),
        taken_out=names.get(begun.sha256, "a deployment that was stopped"),
        strength=strengths(plan)[0],
        undone=None,
    )


@dataclass(frozen=True, kw_only=True)
class ProductionRollback:
    """Takes the last deployment back, on servers that all read the plan's loras folder."""

    expected: ExpectedInputs
    servers: Sequence[Server]
    reports: Path
    meanwhile: Callable[[str], None]
    """Shows a line of progress."""

    def roll_back(self, previous: PreviousProduction) -> Rollback:
        """Put the previous file back into production, prove that every server renders from it, and clean up.

        Raises `DeploymentError` where it could not be put back, or production renders something else: then the file
        that was there is in place again, or the message says where it is.
        """
        plan = self.expected.plan
        production = plan.production_file
        with put_back_on_error(production, lambda: forget_all(self.servers)):
            with _under_another_name(previous, plan) as copy:
                wanted = self._render(copy.name, "former", previous.strength)
                installed = journal.begin(previous.file, production, sha256=previous.sha256, is_rollback=True)
                found = self._render(production.name, "rollback", previous.strength)
            rollback = self._recorded(previous, installed, self._compare(found, wanted, previous.taken_out))
            if previous.undone:
                write_record(rollback, self.reports / ROLLBACK)
        with contextlib.suppress(OSError):  # it is proven and on record; what stays is a file more
            training = [plan.training_file(one) for one in plan.checkpoints]
            journal.commit(installed, training)  # first: another reports folder's run would take back what is pending
            journal.backup_of(production, previous.sha256).unlink(missing_ok=True)  # production has these bytes again
            if evaluation_copies(plan):
                remove_evaluation_copies(plan, frozenset(digest_of(one) for one in training if one.is_file()))
        return rollback

    def _recorded(self, previous: PreviousProduction, installed: Installation, proof: dict[str, str]) -> Rollback:
        plan = self.expected.plan
        return Rollback(
            installed=installed.id,
            plan_name=plan.name,
            simulated=self.expected.simulated,
            production=plan.production_file,
            sha256=previous.sha256,
            checkpoint=previous.checkpoint,
            taken_out=previous.taken_out,
            proof=proof,
            undone=previous.undone,
            rolled_back=datetime.now(UTC),
        )

    def _render(self, file: str, folder: str, strength: float | None) -> dict[tuple[str, Cell], Picture]:
        """Render every row on every server; the pictures are kept in `proof/FOLDER`."""
        found = {}
        for server in self.servers:
            choices = server.ask(partial(choices_of, classes=classes_for(self.expected.plan)))
            base_model = base_model_on(self.expected.plan, self.expected.workflow, [choices])
            renderer = ProductionRenderer(expected=self.expected, base_model=base_model, file=file)
            server.forget_weights(again=True)  # another file may be cached under this very name
            for cell in (replace(row, strength=strength) for row in column(self.expected.plan, None)):
                self.meanwhile(f"rollback  {file} x {cell.row}")
                to = self.reports / "proof" / folder / f"{cell.row}.png"
                found[server.client.url, cell] = renderer.render(cell, server, to=to)
        return found

    def _compare(
        self, found: Mapping[tuple[str, Cell], Picture], wanted: Mapping[tuple[str, Cell], Picture], taken_out: str
    ) -> dict[str, str]:
        """Compare what production renders with what a copy of the same bytes rendered; return it row by row.

        Raises `ProofError` where they differ by more than production differs from what was taken out, twice over.
        """
        rendered = {}
        for (url, cell), picture in found.items():
            same = wanted[url, cell]
            if picture.pixels_sha256 == same.pixels_sha256:
                rendered[cell.row] = "pixel for pixel what a copy of this file rendered before it was put back"
                continue
            distance = effect_of(picture.image, same.image)
            other = self._distance_from(taken_out, cell, picture)
            away = "cannot be read, so nothing shows how much is too much" if other is None else f"is {other:.2f} away"
            rendered[cell.row] = (
                f"{distance:.2f} of 255 away from what a copy of this file rendered before it was put back; "
                f"{taken_out}'s picture {away}"
            )
            if other is None or other < CLEAR * distance:
                production = self.expected.plan.production.file
                raise ProofError(
                    f"{production} x {cell.row} on {url} is not what was put back: it is {rendered[cell.row]}."
                )
        return rendered

    def _distance_from(self, column_id: str, cell: Cell, picture: Picture) -> float | None:
        """Measure how far a picture is from a column's one of the same row; None where that cannot be read."""
        path = Store(self.reports).folder / column_id / f"{cell.name}.png"
        try:
            with Image.open(path) as theirs:
                return effect_of(picture.image, theirs)
        except OSError:
            return None


@contextmanager
def _under_another_name(previous: PreviousProduction, plan: Plan) -> Iterator[Path]:
    """Put the previous bytes beside production for as long as it takes to see what they render."""
    copy = former_copy(plan, previous.sha256)
    try:
        if copy.exists() and digest_of(copy) != previous.sha256:
            raise DeploymentError(f"{copy} is in the way. Move it elsewhere. {_NOTHING_DONE}")
        part, digest = copy_part(previous.file, copy)
        try:
            if digest != previous.sha256:
                raise DeploymentError(f"{previous.file} changed while it was copied. {_NOTHING_DONE}")
            put_in_place(part, copy)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DeploymentError(
            f"{copy} could not be written: {error.strerror or error}. {_NOTHING_DONE} Make the folder writable or free "
            "some room, then run this again."
        ) from error
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)
