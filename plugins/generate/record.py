"""Writing the evidence of a rendered cell, and reading that of an earlier run if it is still valid."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from plugins.comfyui.workflow import Filled
from plugins.evidence.evidence import (
    AlwaysOnRecord,
    CellRecord,
    Evidence,
    LoraRecord,
    NearestRecord,
    PictureRecord,
    PlanRecord,
    RunRecord,
)
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.cell_renderer import CellFailedError, Rendered
from plugins.generate.expected import ExpectedInputs
from plugins.loras.staging import Staged
from plugins.pictures.checks import check_no_training_copy, stale_weights
from plugins.pictures.likeness import Nearest, TrainingSet, fingerprint
from plugins.plan.cells import Cell
from plugins.plan.messages import visible


@dataclass(frozen=True, kw_only=True)
class Recorder:
    """Writes the evidence of one plan's pictures, and reads the evidence of earlier runs."""

    expected: ExpectedInputs
    store: Store
    base_model: str
    staged: Mapping[str, Staged]
    """The staged LoRA of each checkpoint id."""
    training: TrainingSet
    _nodes: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The nodes of the last workflow."""

    @cached_property
    def _plan(self) -> PlanRecord:
        return PlanRecord(name=self.expected.plan.name, digest=self.expected.plan.digest)

    def staged_for(self, cell: Cell) -> Staged | None:
        """Return the staged LoRA of a cell; None for a baseline."""
        return self.staged[cell.checkpoint.id] if cell.checkpoint else None

    def current(self, cell: Cell) -> Evidence | None:
        """Return the cell's evidence if it is valid and matches the plan; a check may have failed."""
        found = self.expected.found(self.store, cell)
        return None if isinstance(found, str) else found

    def reusable(self, cell: Cell) -> Evidence | None:
        """Return the cell's evidence if it is valid, passed every check, and has the inputs that would be sent now."""
        evidence = self.current(cell)
        if evidence is None or evidence.failures or evidence.base_model != self.base_model:
            return None
        return evidence

    def evidence_of(self, rendered: Rendered) -> Evidence:
        """Return the evidence of a picture, also compared with the training images and with the last picture.

        Raises `CellFailedError` where the LoRA file is no longer the one that was staged: then it is not known which
        was rendered.
        """
        cell, picture, finished = rendered.cell, rendered.picture, rendered.finished
        plan, staged = self.expected.plan, self.staged_for(cell)
        strength = rendered.filled.strength
        if strength is None and plan.sampling.gives("lora_strength"):
            strength = plan.sampling.strengths[0] if cell.strength is None else cell.strength
        if staged and staged.is_changed:
            raise CellFailedError(
                f"{staged.file} was changed while {cell} was rendered from it. Run this again, "
                "and leave the loras folder alone meanwhile."
            )
        nearest = self.training.nearest(picture.image) if self.training else None
        before = self._other_weights_before(rendered)
        stale = (stale_weights(lora=staged.sha256, before=before),) if staged and before else ()
        return Evidence(
            plan=self._plan,
            cell=CellRecord(
                column=cell.column,
                row=cell.row,
                step=cell.checkpoint.step if cell.checkpoint else None,
                prompt=cell.prompt.id,
                seed=cell.seed,
                strength=cell.strength,
            ),
            prompt_text=cell.prompt.text,
            negative_text=cell.prompt.applied_to(plan.sampling).negative,
            base_model=self.base_model,
            lora=LoraRecord(file=plan.staged_file(staged.checkpoint), sha256=staged.sha256, strength=strength)
            if staged
            else None,
            always_on=tuple(
                AlwaysOnRecord(file=one.file, sha256=self.expected.always_on.get(one.file), strength=one.strength)
                for one in plan.loras
            ),
            inputs_digest=self.expected.inputs_digest(cell, base_model=self.base_model),
            workflow={node: self._node(node, content) for node, content in rendered.filled.graph.items()},
            server=rendered.server,
            files=self.expected.files.get(rendered.server, ()),
            run=RunRecord(prompt_id=finished.prompt_id, started=finished.started, ended=finished.ended),
            picture=PictureRecord(
                sha256=picture.sha256,
                pixels_sha256=picture.pixels_sha256,
                width=picture.image.width,
                height=picture.image.height,
                fingerprint=fingerprint(picture.image).hex(),
            ),
            nearest=_nearest_record(nearest, plan.paths.training_images),
            checks=(*rendered.checks, check_no_training_copy(nearest), *stale),
        )

    def shared(self, cell: Cell, original: Cell, evidence: Evidence) -> Evidence:
        """Return the evidence of a cell that shows another's picture, since both LoRAs hold the same tensors."""
        staged = self.staged_for(cell)
        if staged is None or evidence.lora is None or cell.checkpoint is None:
            raise ValueError(f"{cell} has no LoRA to share")
        file = self.expected.plan.staged_file(cell.checkpoint)
        return evidence.model_copy(
            update={
                "cell": evidence.cell.model_copy(update={"column": cell.column, "step": cell.checkpoint.step}),
                "lora": evidence.lora.model_copy(update={"file": file, "sha256": staged.sha256}),
                "inputs_digest": self.expected.inputs_digest(cell, base_model=self.base_model),
                "rendered_as": original.column,
            }
        )

    def _node(self, node: str, content: Any) -> Any:  # noqa: ANN401 (JSON)
        """Return a node, as the last workflow holds it if it had the same: thousands are kept, and few nodes differ."""
        last = self._nodes.get(node)
        if repr(last) == repr(content):  # 1 equals 1.0, and is another text in the file
            return last
        self._nodes[node] = content
        return content

    def _other_weights_before(self, rendered: Rendered) -> str:
        """Return the digest of the other LoRA bytes that the same pixels were rendered from last, or ""."""
        try:
            last = self.store.read(rendered.cell)
        except EvidenceError:
            return ""
        staged = self.staged_for(rendered.cell)
        if last is None or last.lora is None or staged is None or last.lora.sha256 == staged.sha256:
            return ""
        same_pixels = last.picture.pixels_sha256 == rendered.picture.pixels_sha256
        same_workflow = _digest_of(last.workflow, rendered.filled) == rendered.filled.digest(None)
        return last.lora.sha256 if same_pixels and same_workflow else ""


def _digest_of(workflow: dict[str, Any], filled: Filled) -> str:
    """Return the digest of another workflow with the same nodes; empty if it has others."""
    return replace(filled, graph=workflow).digest(None) if filled.save in workflow else ""


def _nearest_record(nearest: Nearest | None, folder: Path | None) -> NearestRecord | None:
    """Name the nearest training image by its place in their folder, so that two of one name stay two."""
    if nearest is None:
        return None
    path = nearest.image
    name = path.relative_to(folder).as_posix() if folder and path.is_relative_to(folder) else path.name
    return NearestRecord(image=visible(name), distance=nearest.distance, usual=nearest.usual)
