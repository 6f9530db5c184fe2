"""The inputs that the plan asks for now, compared with the evidence of what was rendered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.names import is_called
from plugins.comfyui.workflow import Filled, Workflow
from plugins.evidence.evidence import Evidence, FileRecord
from plugins.evidence.store import EvidenceError, Store
from plugins.pictures.check import Check, Outcome
from plugins.pictures.checks import check_size
from plugins.pictures.picture import Picture
from plugins.plan.cells import Cell
from plugins.plan.plan import Plan

_LARGEST_AT_LEAST: Final = 4_000_000
"""Pixels that are decoded in any case, so that a picture of the wrong size fails the check of its size."""
_LARGEST_OF_OWN: Final = 64_000_000


@dataclass(frozen=True, kw_only=True)
class ExpectedInputs:
    """The plan, its workflow, and the digest of each checkpoint's training output, by checkpoint id."""

    plan: Plan
    workflow: Workflow
    loras: Mapping[str, str]
    always_on: Mapping[str, str] = field(default_factory=dict)
    """The digest of each LoRA that is always on, by its file; left out if its bytes cannot be read."""
    simulated: bool
    """Whether this command runs on the stand-in: simulated evidence never counts as real, nor real as simulated."""
    files: Mapping[ServerInfo, tuple[FileRecord, ...]] = field(default_factory=dict)
    """The model files beside the tested LoRA that each server has now; nothing where none was asked."""

    def filled(
        self,
        cell: Cell,
        *,
        base_model: str,
        lora_file: str | None,
        tag: str = "",
        spelled: Mapping[str, str] = MappingProxyType({}),
    ) -> Filled:
        """Return the workflow of a cell, ready to be sent; `spelled` are the LoRAs that are always on, for a server.

        `tag` is part of the file name: to a workflow in its cache a server answers without a picture.
        """
        filled = self.workflow.fill(
            cell,
            self.plan.sampling,
            base_model=base_model,
            lora_file=lora_file,
            prefix=f"{self.plan.name}/{cell.id}-{tag}",
        )
        return filled.with_loras(spelled) if spelled else filled

    @cached_property
    def largest(self) -> int:
        """Pixels of the largest picture that is decoded; a custom workflow may make its own larger."""
        sizes = [prompt.applied_to(self.plan.sampling) for prompt in self.plan.prompts]
        largest = max(one.width * one.height for one in sizes)
        return _LARGEST_OF_OWN if self.plan.workflow else max(largest, _LARGEST_AT_LEAST)

    def check_size(self, picture: Picture, cell: Cell) -> Check:
        """Compare a picture's size with the plan's. A custom workflow's is compared with the baseline's, once known."""
        if self.plan.workflow:
            message = "the workflow decides on it; each checkpoint's is compared with the baseline's"
            return Check(name="size", outcome=Outcome.NOT_CHECKED, message=message)
        asked = cell.prompt.applied_to(self.plan.sampling)
        return check_size(picture, width=asked.width, height=asked.height)

    def inputs_digest(self, cell: Cell, *, base_model: str) -> str:
        """Return a digest of everything that the cell's picture is made from."""
        if cell.checkpoint is None:
            return self.filled(cell, base_model=base_model, lora_file=None).digest(None, self.always_on)
        file = self.plan.staged_file(cell.checkpoint)
        return self.filled(cell, base_model=base_model, lora_file=file).digest(
            self.loras[cell.checkpoint.id], self.always_on
        )

    def mismatch(self, cell: Cell, evidence: Evidence) -> str:
        """Return why a cell's evidence does not match what the plan asks for now; empty if it does."""
        if evidence.simulated != self.simulated:
            return "it is SIMULATED" if evidence.simulated else "it is a real picture, and this is a --demo run"
        if cell.checkpoint and (evidence.lora is None or evidence.lora.sha256 != self.loras.get(cell.checkpoint.id)):
            judged = evidence.lora.sha256[:12] if evidence.lora else "none"
            file = self.plan.training_file(cell.checkpoint)
            return f"it was rendered from other bytes (SHA-256 {judged}) than {file} has now"
        for one in evidence.always_on:
            now = self.always_on.get(one.file)
            if now != one.sha256 and any(one.file == other.file for other in self.plan.loras):
                return f"it was rendered with other bytes of {one.file} (SHA-256 {(one.sha256 or 'not known')[:12]})"
        wanted = self.plan.sampling.base_model
        if wanted and not is_called(wanted, evidence.base_model):
            return f"it was rendered on another base model, {evidence.base_model}"
        if evidence.plan.name != self.plan.name or evidence.inputs_digest != self.inputs_digest(
            cell, base_model=evidence.base_model
        ):
            return "the plan's prompt, seed, settings or workflow were changed since it was rendered"
        changed = ", ".join(self.changed_files(evidence))
        return f"{changed} is another file now than when it was rendered" if changed else ""

    def changed_files(self, evidence: Evidence) -> tuple[str, ...]:
        """List the model files that were replaced under their names since a picture was made from them.

        The server that made it is asked, if it is one of this run's; else one server with the same files is enough.
        """
        there = {server: evidence.changed_files(files, server) for server, files in self.files.items()}
        made_it = [one for server, one in there.items() if evidence.server.is_at(server)]
        return min(made_it or there.values(), key=len, default=())

    def found(self, store: Store, cell: Cell, *, absent: str = "it was not rendered") -> Evidence | str:
        """Return a cell's evidence if it is valid and matches the plan, else why not."""
        try:
            evidence = store.read(cell)
        except EvidenceError as error:
            return str(error)
        return absent if evidence is None else self.mismatch(cell, evidence) or evidence
