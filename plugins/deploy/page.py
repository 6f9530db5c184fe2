"""The top of deploy.html: what was deployed, and production's pictures beside the judged ones."""

import contextlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote

from plugins.deploy.verified import Verified
from plugins.evidence.deployments import Deployment, Proven, Rollback
from plugins.evidence.store import PICTURES, EvidenceError, Store
from plugins.plan.cells import Cell, at, cells_at, matrix
from plugins.plan.plan import Plan
from plugins.plan.tested import PRODUCTION
from plugins.review.page import environment, frame_script
from plugins.review.previews import Preview, Source, make_previews
from plugins.review.review import step_name

_TEMPLATES: Final = Path(__file__).parent / "template"
_ROLLBACK: Final = PurePosixPath("proof", "rollback")
"""Where a rollback's pictures lie, seen from the page."""


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """One picture: its address seen from the page, and its preview; None where it cannot be read."""

    link: str
    preview: Preview | None


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """What was judged, and what production renders of the same prompt and seed."""

    cell: Cell
    judged: _Shown
    proof: _Shown
    proven: Proven
    before: _Shown | None = None
    """What production gave before, where the plan has it as a rival."""

    @property
    def verdict(self) -> str:
        """Say how the two compare, without the row's name."""
        return str(self.proven).removeprefix(f"{self.proven.row}: ")


@dataclass(frozen=True, kw_only=True)
class After:
    """The end of the page: the outcome of each claim, the next commands, and the summary as it is written."""

    verified: tuple[Verified, ...] = ()
    undo: str = ""
    another: str = ""
    """The command that deploys a checkpoint."""
    summary: str = ""


def render_deployment(plan: Plan, deployment: Deployment, reports: Path, *, after: After) -> str:
    """Return the page as a self-contained fragment. A picture that cannot be read is replaced by a note."""
    selected = plan.checkpoint(deployment.selected)
    return (
        environment(_TEMPLATES)
        .get_template("deploy.html")
        .render(
            plan=plan,
            deployment=deployment,
            name=at(step_name(selected), deployment.strength),
            source=plan.paths.checkpoints / deployment.candidates[deployment.selected].file,
            pairs=_pairs(plan, deployment, reports),
            after=after,
            frame_script=frame_script(),
        )
    )


def render_rollback(plan: Plan, rollback: Rollback, reports: Path, *, after: After) -> str:
    """Return the top of the page after a rollback: what is in production now, and what it renders."""
    page = environment(_TEMPLATES).get_template("rollback.html")
    places = {row: _ROLLBACK / f"{row}.png" for row in rollback.proof}
    there = [Source(reports / place, place.with_suffix("")) for place in places.values() if (reports / place).is_file()]
    previews = make_previews(there, reports)
    shown = {
        row: _Shown(link=quote(place.as_posix()), preview=previews.get(reports / place))
        for row, place in places.items()
    }
    names = {one.id: step_name(one) for one in plan.checkpoints}
    return page.render(
        plan=plan,
        rollback=rollback,
        name=names.get(rollback.name, rollback.name),
        taken_out=names.get(rollback.taken_out, rollback.taken_out),
        pictures=shown,
        purposes={cell.row: cell.prompt.purpose or cell.prompt.id for cell in matrix(plan)},
        after=after,
        frame_script=frame_script(),
    )


def _pairs(plan: Plan, deployment: Deployment, reports: Path) -> list[_Pair]:
    selected = plan.checkpoint(deployment.selected)
    cells = {cell.row: cell for cell in cells_at(plan, selected, deployment.strength)}
    judged = {one.row: PICTURES / cells[one.row].picture for one in deployment.proof}
    before = _before(plan, deployment, reports)
    places = [*judged.values(), *before.values(), *(PurePosixPath(one.picture) for one in deployment.proof)]
    previews = make_previews((Source(reports / place, place.with_suffix("")) for place in places), reports)

    def shown(place: PurePosixPath) -> _Shown:
        return _Shown(link=quote(place.as_posix()), preview=previews.get(reports / place))

    return [
        _Pair(
            cell=cells[one.row],
            judged=shown(judged[one.row]),
            proof=shown(PurePosixPath(one.picture)),
            proven=one,
            before=shown(before[one.row]) if one.row in before else None,
        )
        for one in deployment.proof
    ]


def _before(plan: Plan, deployment: Deployment, reports: Path) -> dict[str, PurePosixPath]:
    """Return the pictures of the file that was replaced, by row, where production was a rival when they were made."""
    store, found = Store(reports), {}
    for rival in plan.rivals:
        for cell in cells_at(plan, rival, deployment.strength) if rival.file == PRODUCTION else ():
            with contextlib.suppress(EvidenceError):
                evidence = store.read(cell)
                if evidence and evidence.lora and evidence.lora.sha256 == deployment.replaced_sha256:
                    found[cell.row] = PICTURES / cell.picture
    return found
