"""One cell is rendered and checked, and its evidence put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.run import Run
from plugins.comfyui.server import Finished
from plugins.comfyui.workflow import Filled
from plugins.evidence.evidence import (
    CellRecord,
    Evidence,
    LoraRecord,
    NearestRecord,
    PictureRecord,
    PlanRecord,
    RunRecord,
)
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.stability import StabilityCheck, write_stability
from plugins.loras.staging import Staged
from plugins.pictures.checks import (
    check_fresh_weights,
    check_no_training_copy,
    check_not_blank,
    check_not_noise,
    check_workflow,
    effect_of,
)
from plugins.pictures.likeness import TrainingSet, fingerprint
from plugins.pictures.picture import Picture, PictureError, read_picture
from plugins.plan.cells import Cell
from plugins.plan.messages import UserError
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer, render_cell


class CellFailedError(UserError):
    """A cell that gave no picture; the message says why, and where."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A picture that was checked, and is not kept yet. One that failed a check is to be kept too."""

    png: bytes
    image: Image.Image
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes pictures with evidence for the cells of one plan."""

    asked: ExpectedInputs
    store: Store
    base_model: str
    staged: Mapping[str, Staged]
    """The staged LoRA of each checkpoint id."""
    lora_name: Callable[[RenderServer, Staged], str]
    """See that a staged LoRA lies before a server, and give its name as that server's picker spells it."""
    training: TrainingSet
    tag: str
    """A word of this run's own: the server then saves every picture anew (COMFYUI.md, fact 6)."""

    def current(self, cell: Cell) -> Evidence | None:
        """Return the cell's evidence where it is whole and of what the plan asks for now; a check may have failed."""
        try:
            evidence = self.store.read(cell)
        except EvidenceError:
            return None
        return None if evidence is None or self.asked.mismatch(cell, evidence) else evidence

    def recall(self, cell: Cell) -> Evidence | None:
        """Return the cell's evidence where it is whole, passed, and of the very inputs that would be sent now."""
        evidence = self.current(cell)
        if evidence is None or evidence.failures or evidence.base_model != self.base_model:
            return None
        return evidence

    def make(
        self, cell: Cell, place: RenderServer, board: Progress, posted: Callable[[], None] = lambda: None
    ) -> Rendered:
        """Render a cell and check its picture; `posted` is called once it is in the server's queue.

        Raises `CellFailedError` or `ComfyUIError` where there is no picture to keep.
        """
        filled = self._filled(cell, place, self.tag)
        board.begin(cell, filled.sampler)

        def tell(run: Run) -> None:
            posted()
            board.move(cell, run)

        finished = render_cell(place, filled, tell)
        staged = self.staged_for(cell)
        if staged and staged.is_changed:
            raise CellFailedError(
                f"{staged.file} was changed while {cell} was rendered from it. Run this again, "
                "and leave the loras folder alone meanwhile."
            )
        return self._checked(cell, filled, finished, place.info)

    def make_again(self, cell: Cell, places: Sequence[RenderServer]) -> StabilityCheck | None:
        """Render a cell of this run a second time where it was rendered, and compare; None where there is no first.

        The server forgets all before: it must sample anew, and load models anew, as for a deployment's proof.
        """
        first = self.store.read(cell)
        place = next((one for one in places if first and one.info == first.server), None)
        if first is None or place is None:
            return None
        place.forget_weights(again=True)
        filled = self._filled(cell, place, f"{self.tag}-again")
        second = read_picture(place.render(filled, lambda _: None).png, largest=self.asked.largest)
        with Image.open(self.store.picture(cell)) as picture:
            difference = effect_of(second.image, picture)
        canary = StabilityCheck(
            cell=cell.id,
            server=place.info.url,
            worker=place.info.worker,
            comfyui_version=place.info.comfyui_version,
            device=place.info.device,
            stable=second.pixels_sha256 == first.picture.pixels_sha256,
            difference=difference,
        )
        write_stability(canary, self.store.folder.parent)
        return canary

    def _filled(self, cell: Cell, place: RenderServer, tag: str) -> Filled:
        """Return a cell's workflow with its LoRA as the server spells it."""
        staged = self.staged_for(cell)
        name = self.lora_name(place, staged) if staged else None
        return self.asked.filled(cell, base_model=self.base_model, lora_file=name, tag=tag)

    def staged_for(self, cell: Cell) -> Staged | None:
        """Return the staged LoRA of a cell; None for a baseline."""
        return self.staged[cell.checkpoint.id] if cell.checkpoint else None

    def _checked(self, cell: Cell, filled: Filled, finished: Finished, info: ServerInfo) -> Rendered:
        try:
            picture = read_picture(finished.png, largest=self.asked.largest)
        except PictureError as error:
            raise CellFailedError(
                f"{info.url} sent no usable picture of {cell}: {error}. "
                "If there is a proxy in front of it, look at that; then run this again."
            ) from error
        evidence = self._evidence(cell, filled, finished, info, picture)
        return Rendered(png=finished.png, image=picture.image, evidence=evidence)

    def _evidence(self, cell: Cell, filled: Filled, finished: Finished, info: ServerInfo, picture: Picture) -> Evidence:
        plan, staged = self.asked.plan, self.staged_for(cell)
        sampling = plan.sampling
        nearest = self.training.nearest(picture.image) if self.training else None
        before = self._other_weights_before(cell, filled, picture.pixels_sha256)
        stale = (check_fresh_weights(lora=staged.sha256, before=before),) if staged and before else ()
        checks = (
            self.asked.check_size(picture),
            check_not_blank(picture),
            check_not_noise(picture),
            check_no_training_copy(nearest),
            check_workflow(picture, sent=filled.graph, remembered=finished.workflow),
            *stale,
        )
        return Evidence(
            plan=PlanRecord(name=plan.name, digest=plan.digest),
            cell=CellRecord(
                column=cell.column,
                row=cell.row,
                step=cell.checkpoint.step if cell.checkpoint else None,
                prompt=cell.prompt.id,
                seed=cell.seed,
            ),
            prompt_text=cell.prompt.text,
            negative_text=sampling.negative,
            base_model=self.base_model,
            lora=LoraRecord(
                file=plan.staged_file(staged.checkpoint), sha256=staged.sha256, strength=sampling.lora_strength
            )
            if staged
            else None,
            inputs_digest=self.asked.inputs_digest(cell, base_model=self.base_model),
            workflow=filled.graph,
            server=info,
            run=RunRecord(prompt_id=finished.prompt_id, started=finished.started, ended=finished.ended),
            picture=PictureRecord(
                sha256=picture.sha256,
                pixels_sha256=picture.pixels_sha256,
                width=picture.image.width,
                height=picture.image.height,
                fingerprint=fingerprint(picture.image).hex(),
            ),
            nearest=NearestRecord(
                image=_below(nearest.image, plan.paths.training_images), distance=nearest.distance, usual=nearest.usual
            )
            if nearest
            else None,
            checks=checks,
        )

    def _other_weights_before(self, cell: Cell, filled: Filled, pixels_sha256: str) -> str:
        """Return the digest of the other LoRA bytes that these very pixels were rendered from last, or ""."""
        try:
            last = self.store.read(cell)
        except EvidenceError:
            return ""
        staged = self.staged_for(cell)
        if last is None or last.lora is None or staged is None or last.lora.sha256 == staged.sha256:
            return ""
        same = last.picture.pixels_sha256 == pixels_sha256
        asked_alike = _digest_of(last.workflow, filled) == filled.digest(None)
        return last.lora.sha256 if same and asked_alike else ""


def _digest_of(workflow: dict[str, Any], filled: Filled) -> str:
    """Digest of another workflow of the same nodes; empty where it has others."""
    return replace(filled, graph=workflow).digest(None) if filled.save in workflow else ""


def _below(path: Path, folder: Path | None) -> str:
    """Name a file by its place in a folder, so that two of one name in subfolders are told apart."""
    return path.relative_to(folder).as_posix() if folder and path.is_relative_to(folder) else path.name
