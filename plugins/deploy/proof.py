"""Rendering production once more, which must give what was judged: the right bytes, read again by the server."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from PIL import Image

from plugins.comfyui.choices import always_on_names
from plugins.comfyui.names import find_lora
from plugins.comfyui.server import Server
from plugins.evidence.deployments import Proven
from plugins.evidence.evidence import Evidence
from plugins.evidence.files import write_atomically
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.cell_renderer import CellFailedError, CellRenderer
from plugins.generate.expected import ExpectedInputs
from plugins.generate.stability import StabilityCheck
from plugins.pictures.checks import effect_of
from plugins.pictures.picture import Picture
from plugins.plan.cells import Cell, cells_at
from plugins.plan.messages import UserError
from plugins.plan.tested import Checkpoint

CLEAR: Final = 2.0
"""On a server that is not bit-stable, every other candidate must be at least this many times as far away."""


class ProofError(UserError):
    """What production renders is not what was judged; the message names the picture and what it looks like."""


@dataclass(frozen=True, kw_only=True)
class ProductionRenderer:
    """Renders cells from one file of the loras folder, whatever LoRA the cells themselves are about."""

    expected: ExpectedInputs
    base_model: str
    file: str

    def render(self, cell: Cell, server: Server, *, to: Path) -> Picture:
        """Render a cell from the file, keep the picture at `to`, and return it.

        Raises `ProofError` where it is no picture of this workflow, and `ComfyUIError` where there is none.
        """
        plan, url = self.expected.plan, server.client.url
        listed = server.ask(lambda client: client.loras())
        lora = find_lora(plan.picker_name(self.file), listed, server=url, folder=plan.paths.loras)
        renderer = CellRenderer(
            expected=self.expected,
            base_model=self.base_model,
            lora_name=lambda _cell, _server: lora,
            always_on=lambda _server: always_on_names(plan, listed, server=url),
            tag=f"proof-{uuid.uuid4().hex[:8]}",
            name=lambda cell: f"{self.file} x {cell.row}",
        )
        try:
            rendered = renderer.render(cell, server)
        except CellFailedError as error:
            raise ProofError(str(error)) from error
        write_atomically(to, rendered.finished.png)
        if failed := [str(check).rstrip(".") for check in rendered.failures]:
            raise ProofError(f"{self.file} x {cell.row} on {url} is not what was asked for: {'; '.join(failed)}.")
        return rendered.picture


@dataclass(frozen=True, kw_only=True)
class Prover:
    """Renders the production LoRA on the plan's prompts, on every server that serves it."""

    expected: ExpectedInputs
    evidence: Mapping[Cell, Evidence]
    store: Store
    servers: Sequence[Server]
    stability: Sequence[StabilityCheck]
    """The stability of the servers, as measured when the pictures were made."""

    def prove(
        self, selected: Checkpoint, strength: float | None = None, *, meanwhile: Callable[[str], None]
    ) -> tuple[Proven, ...]:
        """Render every row from the production name, and compare with the selected checkpoint's pictures.

        `strength` is the one that was judged, where the plan has several.
        Raises `ProofError` where one is not what was judged, and `ComfyUIError` where it cannot be rendered.
        """
        cells = cells_at(self.expected.plan, selected, strength)
        proven = []
        for server in self.servers:
            server.forget_weights(again=True)  # the former production LoRA may be cached under this very name
            for number, cell in enumerate(cells, 1):
                name = self.expected.plan.production.lora_name
                meanwhile(f"proof {number} of {len(cells)}  {name} x {cell.row}")
                proven.append(self._prove(cell, server))
        return tuple(proven)

    def forget(self) -> None:
        """Clear every server's memory, as after production was put back. Raises `ComfyUIError`."""
        forget_all(self.servers)

    def _prove(self, cell: Cell, server: Server) -> Proven:
        judged, url, production = self.evidence[cell], server.client.url, self.expected.plan.production.file
        place = Path("proof", f"{cell.row}.png")
        renderer = ProductionRenderer(expected=self.expected, base_model=judged.base_model, file=production)
        picture = renderer.render(cell, server, to=self.store.reports / place)
        pixels = picture.pixels_sha256
        proven = partial(Proven, row=cell.row, server=url, picture=place.as_posix(), pixels_sha256=pixels)
        if pixels == judged.picture.pixels_sha256:
            return proven(identical=True, distance=0.0)
        distances = self._distances(picture, cell)
        distance = distances.pop(cell.column)
        runner_up = min(distances, key=lambda name: distances[name], default=None)
        differs = proven(
            identical=False,
            distance=distance,
            runner_up=runner_up,
            runner_up_distance=distances[runner_up] if runner_up else None,
            unlike="; ".join(server.info.differences(judged.server)),
        )
        if problem := self._problem(differs, server):
            raise ProofError(f"{production} x {cell.row} on {url} is not what was judged: {problem}.")
        return differs

    def _problem(self, proven: Proven, server: Server) -> str:
        """Return why a picture that differs from the judged one is no proof; empty if it is near enough."""
        if proven.runner_up_distance is not None:
            if proven.runner_up_distance == 0:
                return f"it is {proven.runner_up}'s picture, pixel for pixel"
            if proven.runner_up_distance < CLEAR * proven.distance:
                return (
                    f"it differs by {proven.distance:.2f} of 255, and {proven.runner_up}'s picture is as near "
                    f"({proven.runner_up_distance:.2f})"
                )
        if self._is_stable(server):
            return (
                f"it differs by {proven.distance:.2f} of 255, and this server gave the same pixels twice when the "
                "pictures were made"
            )
        if proven.runner_up is None:
            return (
                f"it differs by {proven.distance:.2f} of 255, and there is no other picture of this prompt to tell by "
                "how much it may. Run pytest -m generate again, which renders the baseline too"
            )
        return ""

    def _is_stable(self, server: Server) -> bool:
        """Return whether the server is one that gave the same picture twice."""
        return any(one.stable and one.is_of(server.info) for one in self.stability)

    def _distances(self, picture: Picture, cell: Cell) -> dict[str, float]:
        """Measure how far a picture is from each candidate's of the same row and strength, and from the baseline's."""
        found = {}
        for other in (*self.evidence, *self._baseline(cell)):
            competes = other.row == cell.row and other.strength in {None, cell.strength}
            if competes and not self._is_saved_again(other, cell):
                with Image.open(self.store.picture_path(other)) as theirs:
                    found[other.column] = effect_of(picture.image, theirs)
        return found

    def _is_saved_again(self, other: Cell, cell: Cell) -> bool:
        """Say whether another candidate is the same checkpoint, saved twice: the same picture proves both."""
        theirs, ours = self.evidence.get(other), self.evidence[cell]
        return other != cell and theirs is not None and theirs.rendered_column == ours.rendered_column

    def _baseline(self, cell: Cell) -> tuple[Cell, ...]:
        """Return the cell's baseline, which production gives where the LoRA is not applied, or nothing.

        It may be of an earlier plan: then it is just one more picture that production must not resemble.
        """
        try:
            return (cell.baseline,) if self.store.read(cell.baseline) else ()
        except EvidenceError:
            return ()


def forget_all(servers: Iterable[Server]) -> None:
    """Clear the servers' memory. Raises `ComfyUIError`."""
    for server in servers:
        server.forget_weights(again=True)
