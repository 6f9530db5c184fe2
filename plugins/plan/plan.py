"""The plan: what is tested, where the files are, and what "good" means.

Values only. `reading.py` makes them from TOML; what it accepts is valid, and trusted from there on. The tables are in
`places.py`, `tested.py` and `wanted.py`.
"""

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from plugins.plan.fields import (
    Lax,
    PlanName,
    Table,
    Text,
    Words,
)
from plugins.plan.places import ComfyUI, Paths
from plugins.plan.tested import (
    BASELINE,
    PRODUCTION,
    AlwaysOn,
    Checkpoint,
    Prompt,
    Rival,
    Sampling,
    Tested,
)
from plugins.plan.wanted import Criterion, PlannedWork, Production, Publish, Selection


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


class Plan(Table):
    """Everything that a person decided before looking at pictures."""

    name: PlanName
    """The evaluation copies are named after it; often the trigger word."""
    title: Text
    """The report's title."""
    selection_rule: Words = ""
    """How you intend to choose; shown where you decide."""
    paths: Paths
    comfyui: ComfyUI
    sampling: Sampling
    loras: Annotated[tuple[AlwaysOn, ...], Lax, Field(alias="lora")] = ()
    checkpoints: Annotated[tuple[Checkpoint, ...], Lax, Field(alias="checkpoint", min_length=1)]
    rivals: Annotated[tuple[Rival, ...], Lax, Field(alias="rival")] = ()
    prompts: Annotated[tuple[Prompt, ...], Lax, Field(alias="prompt", min_length=1)]
    criteria: Annotated[tuple[Criterion, ...], Lax, Field(alias="criterion")] = ()
    selection: Selection = Selection()
    production: Production
    publish: Publish | None = None
    """What `-m publish` writes, if anything."""
    summary: PlannedWork | None = None
    """The work that this LoRA completes, for a planning tool."""

    @field_validator("checkpoints")
    @classmethod
    def _by_step(cls, checkpoints: tuple[Checkpoint, ...]) -> tuple[Checkpoint, ...]:
        """Order from under-trained to over-trained: by step, else by epoch, else as the plan has them.

        A checkpoint with neither, such as a final one, comes last.
        """
        for key in ("step", "epoch"):
            known = [one for one in checkpoints if getattr(one, key) is not None]
            rest = [one for one in checkpoints if getattr(one, key) is None]
            if known and all(one.step is None and one.epoch is None for one in rest):
                return (*sorted(known, key=lambda one: getattr(one, key)), *rest)
        return checkpoints

    @model_validator(mode="after")
    def _production_is_not_forbidden(self) -> Self:
        for word in self.production.forbidden:
            if word.casefold() in self.production.file.casefold():
                raise ValueError(f"production.file {self.production.file!r} holds the forbidden word {word!r}")
        return self

    @model_validator(mode="after")
    def _claims_can_be_made(self) -> Self:
        needed = {claim for claims in (self.summary.requirements.values() if self.summary else ()) for claim in claims}
        if "workflow_templates_load_production_lora" in needed and not self.production.workflows:
            raise ValueError(
                "summary.requirements needs the claim 'workflow_templates_load_production_lora', and the plan names no "
                "workflows under [production], so it could never be complete"
            )
        return self

    @model_validator(mode="after")
    def _summary_replaces_nothing(self) -> Self:
        summary, paths = self.paths.summary, self.paths
        if summary and (
            summary.suffix != ".md"
            or any(_real(summary).is_relative_to(_real(folder)) for folder in (paths.loras, paths.checkpoints))
        ):
            raise ValueError(
                f"paths.summary {str(summary)!r} is overwritten by every deployment; name a .md file outside of the "
                "LoRA folders"
            )
        return self

    @model_validator(mode="after")
    def _copy_is_no_lora_of_comfyui(self) -> Self:
        folder, loras = self.copy_folder, (self.paths.loras, self.paths.checkpoints)
        if folder and any(_real(folder).is_relative_to(_real(one)) for one in loras):
            raise ValueError(
                f"publish.copy {str(folder)!r} lies in a folder of LoRAs, where the copy would be offered or taken for "
                "a checkpoint; name another folder"
            )
        return self

    @model_validator(mode="after")
    def _bleed_is_without_the_trigger(self) -> Self:
        words = self.trigger_words
        for prompt in (one for one in self.prompts if one.bleed):
            if not words:
                raise ValueError(
                    f"prompt {prompt.id!r} has bleed = true, and the plan names no trigger word: no other prompt "
                    f"contains its name, {self.name!r}. Write trigger_words = [...] under [publish]"
                )
            if found := [word for word in words if prompt.holds(word)]:
                raise ValueError(
                    f"prompt {prompt.id!r} has bleed = true, and holds the trigger word {found[0]!r}: take one of the "
                    "two out"
                )
        return self

    @model_validator(mode="after")
    def _criteria_name_prompts(self) -> Self:
        known = {prompt.id for prompt in self.prompts}
        for criterion in self.criteria:
            if unknown := [prompt for prompt in criterion.prompts if prompt not in known]:
                raise ValueError(
                    f"criterion {criterion.id!r} names the prompt {unknown[0]!r}, which the plan does not have; "
                    f"it has {', '.join(sorted(known))}"
                )
        return self

    @model_validator(mode="after")
    def _production_is_no_evaluation_copy(self) -> Self:
        staged = {self.staged_file(checkpoint).casefold() for checkpoint in self.checkpoints}
        if self.production.file.casefold() in staged:
            raise ValueError(
                f"production.file {self.production.file!r} is also the name of an evaluation copy, "
                "which is removed after deployment; give production another name"
            )
        return self

    @model_validator(mode="after")
    def _tested_lora_is_not_always_on(self) -> Self:
        tested = {name.casefold() for name in self.lora_files}
        for one in self.loras:
            if PurePosixPath(one.file).name.casefold() in tested:
                raise ValueError(
                    f"[[lora]] {one.file!r} is a name of the LoRA under test, and would be rendered in the baseline "
                    "too; name another file, or take the table out"
                )
        return self

    @model_validator(mode="after")
    def _rivals_are_others(self) -> Self:
        labels = {one.id.casefold() for one in self.checkpoints}
        staged = {self.staged_file(one).casefold() for one in self.checkpoints}
        for rival in self.rivals:
            name = PurePosixPath(rival.file).name.casefold()
            if rival.id.casefold() in labels:
                raise ValueError(
                    f"[[rival]] {rival.label!r} is already a checkpoint's; each column needs its own label"
                )
            if name == self.production.file.casefold():
                raise ValueError(
                    f'[[rival]] {rival.label!r}: {rival.file!r} is production; write file = "{PRODUCTION}"'
                )
            if name in staged:
                raise ValueError(
                    f"[[rival]] {rival.label!r}: {rival.file!r} is the name of an evaluation copy, which is replaced "
                    "and removed by a run; give the rival's file another name"
                )
        return self

    @model_validator(mode="after")
    def _cells_have_ids_of_their_own(self) -> Self:
        seen: dict[str, tuple[str, str]] = {}
        for column in (BASELINE, *(one.id.casefold() for one in self.tested)):
            for row in (prompt.id.casefold() for prompt in self.prompts):
                name = f"{column}-{row}"
                other = seen.setdefault(name, (column, row))
                if other != (column, row):
                    first, second = (f"{one!r} on prompt {prompt!r}" for one, prompt in (other, (column, row)))
                    raise ValueError(f"{first} and {second} would both be called {name}; rename one of the prompts")
        return self

    @property
    def lora_files(self) -> frozenset[str]:
        """Every name that the LoRA under test goes by: training outputs, evaluation copies, and production."""
        names = {self.production.file}
        for checkpoint in self.checkpoints:
            names |= {PurePosixPath(checkpoint.file).name, self.staged_file(checkpoint)}
        return frozenset(names)

    @property
    def trigger_words(self) -> tuple[str, ...]:
        """The trigger words: those of [publish], else the plan's name if prompts contain it, else none."""
        if self.publish and self.publish.trigger_words:
            return self.publish.trigger_words
        held = any(prompt.holds(self.name) for prompt in self.prompts if not prompt.bleed)
        return (self.name,) if held else ()

    @property
    def bleeding(self) -> frozenset[str]:
        """The ids of the prompts without the trigger word, where the LoRA should change little."""
        return frozenset(prompt.id for prompt in self.prompts if prompt.bleed)

    def looked_for(self, criterion: Criterion) -> tuple[str, ...]:
        """Return the ids of the prompts that a criterion applies to: its own, else all with the trigger word."""
        return criterion.prompts or tuple(prompt.id for prompt in self.prompts if not prompt.bleed)

    @property
    def settings(self) -> tuple[str, ...]:
        """What every picture shares, in a few words each."""
        return (*self.sampling.settings(is_own=self.workflow is not None), *(f"always on: {one}" for one in self.loras))

    @property
    def tested(self) -> tuple[Tested, ...]:
        """Every column but the baseline, from left to right: the checkpoints, then the rivals."""
        return (*self.checkpoints, *self.rivals)

    def checkpoint(self, checkpoint_id: str) -> Checkpoint | None:
        """Return the checkpoint of an id such as `step600` or `final`; None where the plan has none."""
        return next((one for one in self.checkpoints if one.id == checkpoint_id), None)

    def staged_file(self, checkpoint: Tested) -> str:
        """Name the evaluation copy in ComfyUI's loras folder; a rival is rendered from where it lies."""
        if isinstance(checkpoint, Rival):
            return self.production.file if checkpoint.file == PRODUCTION else checkpoint.file
        return f"{self.name}_{checkpoint.id}.safetensors"

    def picker_name(self, file: str) -> str:
        """Name a file in the loras folder as ComfyUI's picker does: seen from its models/loras, with `/`.

        Links are resolved. In a folder elsewhere, which the server's settings name, the name is that of the file alone.
        """
        root, folder = self.paths.comfyui / "models" / "loras", self.paths.loras
        for start, below in ((root, folder), (_real(root), _real(folder))):
            if below.is_relative_to(start):
                return (below.relative_to(start) / file).as_posix()
        links = root.iterdir() if root.is_dir() else ()
        link = next((one for one in links if one.is_symlink() and _real(folder).is_relative_to(_real(one))), None)
        return (link.name / _real(folder).relative_to(_real(link)) / file).as_posix() if link else file

    def training_file(self, checkpoint: Tested) -> Path:
        """Return where the trainer left a checkpoint, or where a rival is."""
        if isinstance(checkpoint, Rival):
            return self.paths.loras / self.staged_file(checkpoint)
        return self.paths.checkpoints / checkpoint.file

    @property
    def production_file(self) -> Path:
        """Where the production LoRA lies."""
        return self.paths.loras / self.production.file

    @property
    def copy_folder(self) -> Path | None:
        """Where the copy to share goes, which starts at `project`; None where none is wanted."""
        given = self.publish.copy_to if self.publish else None
        return self.paths.project / given if given else None

    @property
    def workflow(self) -> Path | None:
        """The person's own workflow file, which starts at `project`; None where the built-in one is used."""
        given = self.comfyui.workflow
        return self.paths.project / given if given else None

    @property
    def digest(self) -> str:
        """SHA-256 of what is tested: not of titles, expectations and folders, which do not change a picture."""
        tested = self.model_dump(mode="json", include={"name", "sampling", "checkpoints", "prompts"})
        if self.rivals:
            tested["rivals"] = [one.model_dump(mode="json", exclude={"expect"}) for one in self.rivals]
        if self.loras:
            tested["loras"] = [one.model_dump(mode="json") for one in self.loras]
        if tested["sampling"]["lora_strengths"] is None:  # plans without a list have the digest that they always had
            del tested["sampling"]["lora_strengths"]
        for checkpoint in tested["checkpoints"]:
            del checkpoint["expect"]
            if checkpoint["epoch"] is None:
                del checkpoint["epoch"]
        for prompt in tested["prompts"]:
            del prompt["purpose"], prompt["bleed"]
            for key in ("negative", "width", "height"):
                if prompt[key] is None:
                    del prompt[key]
        return hashlib.sha256(json.dumps(tested, sort_keys=True).encode()).hexdigest()
