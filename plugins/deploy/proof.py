"""Production is rendered once more, and must give what was judged: the right bytes, read anew by the server."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image
from pydantic import BaseModel, ConfigDict

from plugins.comfyui.names import find_lora
from plugins.comfyui.run import Run
from plugins.comfyui.server import Server
from plugins.evidence.evidence import Evidence, Sha256
from plugins.evidence.files import write_atomically
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.stability import StabilityCheck
from plugins.pictures.check import Outcome
from plugins.pictures.checks import check_not_blank, check_not_noise, check_workflow, effect_of
from plugins.pictures.picture import Picture, PictureError, read_picture
from plugins.plan.cells import Cell, column
from plugins.plan.messages import UserError
from plugins.plan.plan import Checkpoint

CLEAR: Final = 2.0
"""On a server that is not bit-stable, every other candidate must be at least this many times as far away."""


class ProofError(UserError):
    """What production renders is not what was judged; the message names the picture and what it looks like."""


class Proven(BaseModel):
    """One picture rendered from the production LoRA, held against the judged one. Distances are of 255."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    row: str
    server: str
    picture: str
    """Seen from the reports folder."""
    pixels_sha256: Sha256
    identical: bool
    distance: float
    runner_up: str | None = None
    """The other candidate that it is nearest to, where it is not identical to the judged picture."""
    runner_up_distance: float | None = None

    def __str__(self) -> str:
        if self.identical:
            return f"{self.row}: the judged picture, pixel for pixel"
        told = f"{self.row}: {self.distance:.2f} of 255 from the judged picture"
        return f"{told}; the next candidate, {self.runner_up}, is at {self.runner_up_distance:.2f}"


@dataclass(frozen=True, kw_only=True)
class Prover:
    """Renders the production LoRA on the plan's prompts, on every server that serves it."""

    asked: ExpectedInputs
    evidence: Mapping[Cell, Evidence]
    store: Store
    servers: Sequence[Server]
    canary: StabilityCheck | None
    """What the run that made the pictures found out about its server."""
    reports: Path

    def prove(self, selected: Checkpoint, *, meanwhile: Callable[[str], None]) -> tuple[Proven, ...]:
        """Render every row from the production name, and compare with the selected checkpoint's pictures.

        Raises `ProofError` where one is not what was judged, and `ComfyUIError` where it cannot be rendered.
        """
        cells = list(column(self.asked.plan, selected))
        proven = []
        for server in self.servers:
            server.forget_weights(again=True)  # the former production LoRA may be cached under this very name
            for number, cell in enumerate(cells, 1):
                told = f"proof {number} of {len(cells)}  {self.asked.plan.production.lora_name} x {cell.row}"
                meanwhile(told)
                proven.append(self._prove(cell, server))
        return tuple(proven)

    def _prove(self, cell: Cell, server: Server) -> Proven:
        judged, url, production = self.evidence[cell], server.client.url, self.asked.plan.production.file
        place = Path("proof", f"{cell.row}.png")
        renders = ProductionRenderer(asked=self.asked, base_model=judged.base_model)
        picture = renders.render(production, cell, server, to=self.reports / place)
        pixels = picture.pixels_sha256
        identical = pixels == judged.picture.pixels_sha256
        common = {"row": cell.row, "server": url, "picture": place.as_posix(), "pixels_sha256": pixels}
        if identical:
            return Proven(**common, identical=True, distance=0.0)
        distances = self._distances(picture, cell)
        distance = distances.pop(cell.column)
        runner_up = min(distances, key=lambda name: distances[name], default=None)
        proven = Proven(
            **common,
            identical=False,
            distance=distance,
            runner_up=runner_up,
            runner_up_distance=distances[runner_up] if runner_up else None,
        )
        if problem := self._problem(proven, server):
            raise ProofError(f"{production} x {cell.row} on {url} is not what was judged: {problem}.")
        return proven

    def _baseline(self, cell: Cell) -> tuple[Cell, ...]:
        """Return the cell's baseline, which production gives where the LoRA is not applied, or nothing.

        It may be of an earlier plan: then it only is one more picture that production must not be as near to.
        """
        try:
            return (cell.baseline,) if self.store.read(cell.baseline) else ()
        except EvidenceError:
            return ()

    def forget(self) -> None:
        """Make every server forget what it has in memory, as after production was put back. Raises `ComfyUIError`."""
        for server in self.servers:
            server.forget_weights(again=True)

    def _problem(self, proven: Proven, server: Server) -> str:
        if proven.runner_up and proven.runner_up_distance is not None:
            if proven.runner_up_distance == 0:
                return f"it is {proven.runner_up}'s picture, pixel for pixel"
            if proven.runner_up_distance < CLEAR * proven.distance:
                return (
                    f"it differs by {proven.distance:.2f} of 255, and {proven.runner_up}'s picture is as near "
                    f"({proven.runner_up_distance:.2f})"
                )
        if self.canary and self.canary.stable and self._same_server(self.canary, server):
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

    @staticmethod
    def _same_server(canary: StabilityCheck, server: Server) -> bool:
        info = server.info
        return (canary.comfyui_version, canary.device) == (info.comfyui_version, info.device)

    def _distances(self, picture: Picture, cell: Cell) -> dict[str, float]:
        """Measure how far a picture is from each candidate's of the same row, and from the baseline's."""
        found = {}
        for other in (*self.evidence, *self._baseline(cell)):
            if other.row == cell.row:
                with Image.open(self.store.picture(other)) as theirs:
                    found[other.column] = effect_of(picture.image, theirs)
        return found


@dataclass(frozen=True, kw_only=True)
class ProductionRenderer:
    """Renders cells from any file of the loras folder, whatever the cell's own LoRA is."""

    asked: ExpectedInputs
    base_model: str

    def render(self, file: str, cell: Cell, server: Server, *, to: Path) -> Picture:
        """Render a cell from a file, and keep the picture.

        Raises `ProofError` where what comes is no picture of this workflow, and `ComfyUIError` where none comes.
        """
        plan, url = self.asked.plan, server.client.url
        listed = server.client.loras()
        lora_file = find_lora(plan.picker_name(file), listed, server=url, folder=plan.paths.loras)
        filled = self.asked.filled(
            cell, base_model=self.base_model, lora_file=lora_file, tag=f"proof-{uuid.uuid4().hex[:8]}"
        )
        finished = server.render(filled, _ignore)
        try:
            picture = read_picture(finished.png, largest=self.asked.largest)
        except PictureError as error:
            raise ProofError(f"{url} sent no usable picture of {file} x {cell.row}: {error}.") from error
        write_atomically(to, finished.png)
        checks = (
            self.asked.check_size(picture),
            check_not_blank(picture),
            check_not_noise(picture),
            check_workflow(picture, sent=filled.graph, remembered=finished.workflow),
        )
        if failed := [str(check).rstrip(".") for check in checks if check.outcome is Outcome.FAILED]:
            raise ProofError(f"{file} x {cell.row} on {url} is not what was asked for: {'; '.join(failed)}.")
        return picture


def _ignore(run: Run) -> None:
    """Take no notice of how far a picture has come."""
