"""One cell is rendered, checked, and kept with its evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from PIL import Image

from plugins.comfyui.errors import Lost
from plugins.comfyui.names import find_lora
from plugins.comfyui.server import Finished, Server
from plugins.comfyui.workflow import Filled
from plugins.evidence.asked import Asked
from plugins.evidence.canary import Canary, write_canary
from plugins.evidence.disk import told_unkept
from plugins.evidence.evidence import (
    CellRecord,
    Evidence,
    LoraRecord,
    NearestRecord,
    PictureRecord,
    PlanRecord,
    RunRecord,
    ServerRecord,
)
from plugins.evidence.store import EvidenceError, Store
from plugins.loras.staging import Staged
from plugins.pictures.checks import (
    check_fresh_weights,
    check_no_training_copy,
    check_not_blank,
    check_not_noise,
    check_size,
    check_workflow,
    effect_of,
)
from plugins.pictures.likeness import TrainingSet, fingerprint
from plugins.pictures.picture import PictureError, read_picture
from plugins.plan.cells import Cell
from plugins.plan.telling import ToldError
from plugins.render.board import Board

_LARGEST_AT_LEAST: Final = 4_000_000
"""Pixels that are decoded in any case, so that a picture of the wrong size is told by its size."""


class CellFailedError(ToldError):
    """A cell that gave no picture; the message says why, and where."""


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes pictures with evidence for the cells of one plan."""

    asked: Asked
    store: Store
    base_model: str
    staged: Mapping[str, Staged]
    """The staged LoRA of each checkpoint id."""
    listed: Mapping[str, tuple[str, ...]]
    """The LoRAs in each server's picker, as it spells them."""
    training: TrainingSet
    tag: str
    """A word of this run's own: the server then saves every picture anew (COMFYUI.md, fact 6)."""

    def known(self, cell: Cell) -> Evidence | None:
        """Give the cell's evidence where it is whole and of what the plan asks for now; a check may have failed."""
        try:
            evidence = self.store.read(cell)
        except EvidenceError:
            return None
        return None if evidence is None or self.asked.mismatch(cell, evidence) else evidence

    def recall(self, cell: Cell) -> Evidence | None:
        """Give the cell's evidence where it is whole, passed, and of the very inputs that would be sent now."""
        evidence = self.known(cell)
        if evidence is None or evidence.failures or evidence.base_model != self.base_model:
            return None
        return evidence

    def make(self, cell: Cell, server: Server, board: Board) -> Evidence:
        """Render a cell, check its picture, and keep both. A picture that fails a check is kept too, and says so.

        Raises `CellFailedError` or `ComfyUIError` where there is no picture to keep.
        """
        staged = self.staged_for(cell)
        filled = self._filled(cell, server, self.tag)
        board.begin(cell, filled.sampler)
        server.forget_weights()
        try:
            finished = server.render(filled, lambda run: board.move(cell, run))
        except Lost:  # the server was restarted: its queue is gone, but it is there again
            finished = server.render(filled, lambda run: board.move(cell, run))
        if staged and staged.is_changed:
            raise CellFailedError(
                f"{staged.file} was changed while {cell} was rendered from it. Run pytest -m generate again, "
                "and leave the loras folder alone meanwhile."
            )
        evidence = self._evidence(cell, server, filled, finished)
        try:
            self.store.write(cell, finished.png, evidence)
        except OSError as error:
            raise CellFailedError(told_unkept(self.store.folder, error)) from error
        return evidence

    def make_again(self, cell: Cell, servers: Sequence[Server]) -> Canary | None:
        """Render a cell of this run a second time where it was rendered, and compare; None where there is no first.

        The server forgets all before: it must sample anew, and load models anew, as for a deployment's proof.
        """
        first = self.store.read(cell)
        server = next((one for one in servers if first and one.client.url == first.server.url), None)
        if first is None or server is None:
            return None
        server.forget_weights(again=True)
        filled = self._filled(cell, server, f"{self.tag}-again")
        second = read_picture(server.render(filled, lambda _: None).png, largest=self._largest)
        with Image.open(self.store.picture(cell)) as picture:
            difference = effect_of(second.image, picture)
        canary = Canary(
            cell=cell.id,
            server=server.info.url,
            comfyui_version=server.info.comfyui_version,
            device=server.info.device,
            stable=second.pixels_sha256 == first.picture.pixels_sha256,
            difference=difference,
        )
        write_canary(canary, self.store.folder.parent)
        return canary

    def _filled(self, cell: Cell, server: Server, tag: str) -> Filled:
        """Give a cell's workflow with its LoRA as the server spells it."""
        staged, url, name = self.staged_for(cell), server.client.url, None
        if staged:
            wanted = self.asked.plan.picker_name(staged.file.name)
            name = find_lora(wanted, self.listed[url], server=url, folder=staged.file.parent)
        return self.asked.filled(cell, base_model=self.base_model, lora_file=name, tag=tag)

    def staged_for(self, cell: Cell) -> Staged | None:
        """Give the staged LoRA of a cell; None for a baseline."""
        return self.staged[cell.checkpoint.id] if cell.checkpoint else None

    @property
    def _largest(self) -> int:
        return max(self.asked.plan.sampling.width * self.asked.plan.sampling.height, _LARGEST_AT_LEAST)

    def _evidence(self, cell: Cell, server: Server, filled: Filled, finished: Finished) -> Evidence:
        plan, staged, info = self.asked.plan, self.staged_for(cell), server.info
        sampling = plan.sampling
        try:
            picture = read_picture(finished.png, largest=self._largest)
        except PictureError as error:
            raise CellFailedError(
                f"{info.url} sent no usable picture of {cell}: {error}. "
                "If there is a proxy in front of it, look at that; then run pytest -m generate again."
            ) from error
        nearest = self.training.nearest(picture.image) if self.training else None
        before = self._other_weights_before(cell, filled, picture.pixels_sha256)
        stale = (check_fresh_weights(lora=staged.sha256, before=before),) if staged and before else ()
        checks = (
            check_size(picture, width=sampling.width, height=sampling.height),
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
            lora=LoraRecord(file=staged.file.name, sha256=staged.sha256, strength=sampling.lora_strength)
            if staged
            else None,
            inputs_digest=self.asked.inputs_digest(cell, base_model=self.base_model),
            workflow=filled.graph,
            server=ServerRecord(
                url=info.url, comfyui_version=info.comfyui_version, device=info.device, simulated=info.simulated
            ),
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
        """Give the digest of the other LoRA bytes that these very pixels were rendered from last; empty where none."""
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
