"""What a plan asks of the result: criteria, the selection, production, what is published, the planned work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from plugins.plan.fields import (
    FileName,
    Lax,
    Name,
    PlanPath,
    Rate,
    Size,
    Table,
    Text,
    Words,
)


class Criterion(Table):
    """One question that a person answers by looking."""

    id: Name
    """Its name in the ballot."""
    text: Text
    """The question, to be answered with yes or no."""
    required: bool = False
    """Whether one `no` rules a checkpoint out."""
    prompts: Annotated[tuple[str, ...], Lax] = ()
    """The prompts that it applies to; left out, all but those with `bleed = true`."""


class Selection(Table):
    """When a checkpoint passes a criterion."""

    rate: Annotated[Rate, Field(alias="pass")] = None
    """`"all"`: a yes on every picture that was looked at. A share, such as 0.8: the interval's lower end reaches it."""


class Production(Table):
    """The LoRA that stays, and what must be true of it."""

    file: FileName
    """The name under which the chosen checkpoint is deployed, in `paths.loras`."""
    min_size: Size = 0
    """The smallest size that it may have."""
    max_size: Size = 2**63
    """The largest size that it may have."""
    forbidden: Annotated[tuple[Text, ...], Lax] = ()
    """Words that no LoRA's name may contain, in upper or lower case, in any subfolder."""
    workflows: Annotated[tuple[Text, ...], Lax] = ()
    """Workflows (API format). One must load production; any that names this LoRA must load it, by exactly this file."""

    @model_validator(mode="after")
    def _sizes_in_order(self) -> Self:
        if self.min_size > self.max_size:
            raise ValueError("min_size is larger than max_size")
        return self

    @property
    def lora_name(self) -> str:
        """The name that a workflow uses: the file's, without its extension."""
        return Path(self.file).stem


Sidecar = Literal["preview", "lora-manager", "a1111", "civitai"]


class Publish(Table):
    """What `-m publish` writes about the LoRA in production: files beside it, a copy to share. Nothing is uploaded."""

    sidecars: Annotated[tuple[Sidecar, ...], Lax] = ("preview", "lora-manager", "a1111", "civitai")
    """The files beside production: a picture, and what each LoRA manager reads. `[]` for none."""
    copy_to: Annotated[PlanPath | None, Field(alias="copy")] = None
    """A folder for a copy with a ModelSpec header, its card and pictures; starts at `project`."""
    title: Words = ""
    """The LoRA's name for people; the plan's title where it is left out."""
    trigger_words: Annotated[tuple[Text, ...], Lax] = ()
    """What a prompt needs, spelled as trained."""
    base_model: Words = ""
    """The base model as LoRA managers and Civitai spell it: `SD 1.5`, `SDXL 1.0`, `Illustrious`."""
    architecture: Words = ""
    """ModelSpec's name of the architecture, if neither the file's header nor its tensors show it."""
    author: Words = ""
    """Who made it."""
    license: Words = ""
    """The license, by its name."""
    keep_training_notes: bool = False
    """Whether the copy keeps everything that the trainer wrote into the header, including paths and tags."""

    @field_validator("sidecars")
    @classmethod
    def _each_once(cls, sidecars: tuple[Sidecar, ...]) -> tuple[Sidecar, ...]:
        return tuple(dict.fromkeys(sidecars))

    @model_validator(mode="after")
    def _publishes_something(self) -> Self:
        if not self.sidecars and self.copy_to is None:
            raise ValueError('publish: names nothing to publish; write sidecars = ["preview"], copy = "dist", or both')
        return self


Claim = Literal[
    "production_lora_is_present",
    "production_lora_has_its_size",
    "no_evaluation_copies_remain",
    "picker_lists_production_lora",
    "every_checkpoint_was_tested_on_every_prompt",
    "ballot_is_unchanged",
    "production_lora_rendered_what_was_judged",
    "production_lora_is_the_selected_checkpoint",
    "model_files_are_as_proven",
    "no_forbidden_lora_on_disk",
    "no_forbidden_lora_in_picker",
    "workflow_templates_load_production_lora",
    "published_files_are_of_production_lora",
    "selection_has_a_reason",
]
"""What a deployment verifies, by the names of its tests; the last one: marks on a ballot, or --observed."""


class PlannedWork(Table):
    """What a planning tool reads at the top of SUMMARY.md: which plan of which phase this LoRA completes."""

    phase: Text
    """The phase, as its folder is called."""
    plan: Text
    """The plan's number in the phase, in quotes."""
    subsystem: Text
    """The part of the project that the LoRA belongs to."""
    tags: Annotated[tuple[Text, ...], Lax] = ()
    """Words to find it by."""
    requirements: Mapping[Name, Annotated[tuple[Claim, ...], Lax, Field(min_length=1)]]
    """The requirements, each with the claims that must pass in one run for it to be complete."""
    requires: Annotated[tuple[Text, ...], Lax] = ()
    """Phases or plans that this one was built on."""
    affects: Annotated[tuple[Text, ...], Lax] = ()
    """Later work that loads the LoRA."""
