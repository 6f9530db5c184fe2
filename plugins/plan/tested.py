"""What a plan tests: settings, LoRAs that are always on, checkpoints, rivals, prompts."""

import re
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from plugins.plan.fields import (
    Lax,
    LoraFile,
    Name,
    RivalFile,
    Seeds,
    Table,
    Text,
    TrainingFile,
    Words,
)

PRODUCTION: Final = "production"
"""As a rival's file: what production holds now."""


BASELINE: Final = "baseline"
"""The column without a LoRA."""


_STEP_LABEL: Final = re.compile(r"(?i)(step|epoch)\d+")


def _own_label(label: str) -> str:
    """Accept a label that names no step, no epoch and not the baseline."""
    if label.lower() == BASELINE or _STEP_LABEL.fullmatch(label) or label.isdigit():
        raise ValueError(f"{label!r} already means something else; a label is a word such as 'final'")
    return label


Label = Annotated[Name, AfterValidator(_own_label)]


def _has_effect(strength: float) -> float:
    if strength == 0:
        raise ValueError("0 switches the LoRA off, so every checkpoint would be the baseline; 1.0 is usual")
    return strength


Pixels = Annotated[int, Field(ge=16, le=16384, multiple_of=8)]


Strength = Annotated[float, Field(ge=-100, le=100), AfterValidator(_has_effect)]


class Sampling(Table):
    """The settings that every picture shares, so that only the checkpoint differs along a row.

    With a custom workflow all but the seeds may be left out, and stay as the workflow has them: `gives` says which the
    plan gives. The sizes here are then a guess, to lay out the page before a picture exists.
    """

    base_model: Text = ""
    """The base model as ComfyUI's picker names it; its extension may be left out."""
    sampler: Text = ""
    """A sampler of ComfyUI's picker."""
    scheduler: Text = ""
    """A scheduler of ComfyUI's picker."""
    steps: Annotated[int, Field(ge=1, le=10_000)] = 0
    """Sampling steps."""
    cfg: Annotated[float, Field(ge=0, le=100)] = 0.0
    """CFG scale."""
    width: Pixels = 1024
    """Pixels."""
    height: Pixels = 1024
    """Pixels."""
    clip_skip: Annotated[int, Field(ge=1, le=24)] = 1
    """1 uses the text encoder's last layer, 2 the one before."""
    seeds: Seeds
    """Every checkpoint is rendered on every prompt with each seed. A bare number draws that many, always the same."""
    lora_strength: Strength = 1.0
    """Strength of the tested LoRA, for the model and the text encoder."""
    lora_strengths: Annotated[tuple[Strength, ...], Lax, Field(min_length=1)] | None = None
    """Several strengths instead of one: every checkpoint is rendered and judged at each."""
    negative: Words = ""
    """The negative prompt of every picture."""

    @property
    def strengths(self) -> tuple[float, ...]:
        """Every strength that the LoRA is tested at, in the plan's order."""
        return self.lora_strengths or (self.lora_strength,)

    @property
    def compares_strengths(self) -> bool:
        """Whether every checkpoint is judged at several strengths."""
        return len(self.strengths) > 1

    @property
    def how_to_deploy(self) -> str:
        """How a checkpoint is deployed; where strengths are compared, a ballot alone says which one was judged."""
        by = "save a ballot that chooses it and its strength, then " if self.compares_strengths else ""
        return f"{by}pytest {self.deploying}"

    @property
    def deploying(self) -> str:
        """The options of the command that deploys a checkpoint."""
        return "-m deploy" if self.compares_strengths else "-m deploy --selected-step=STEP"

    def settings(self, *, is_own: bool) -> tuple[str, ...]:
        """Return the settings that all pictures share, a few words each; a custom workflow's own are left out."""
        words_by_key = {
            "base_model": self.base_model,
            "sampler": f"{self.sampler} ({self.scheduler})" if self.scheduler else self.sampler,
            "steps": f"{self.steps} steps",
            "cfg": f"CFG {self.cfg:g}",
            "width": f"{self.width}x{self.height}" if self.gives("height") or not is_own else f"width {self.width}",
            "height": f"height {self.height}" if is_own and not self.gives("width") else "",
            "clip_skip": f"clip skip {self.clip_skip}",
            "lora_strength": f"LoRA strength {', '.join(f'{one:g}' for one in self.strengths)}",
        }
        return tuple(words for key, words in words_by_key.items() if words and (not is_own or self.gives(key)))

    def gives(self, key: str) -> bool:
        """Say whether the plan gives a setting, rather than leave it to the workflow."""
        given = self.model_fields_set
        return key in given or (key == "lora_strength" and "lora_strengths" in given)

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{list(seeds)} names a seed twice")
        return seeds

    @field_validator("lora_strengths")
    @classmethod
    def _strengths_differ(cls, strengths: tuple[float, ...] | None) -> tuple[float, ...] | None:
        names = [f"{one:g}" for one in strengths or ()]
        if len(set(names)) < len(names):
            raise ValueError(f"[{', '.join(names)}] names a strength twice")
        return strengths

    @model_validator(mode="after")
    def _strength_is_given_once(self) -> Self:
        if {"lora_strength", "lora_strengths"} <= self.model_fields_set:
            raise ValueError("give either lora_strength = 1.0 or lora_strengths = [0.6, 0.8, 1.0]")
        return self


class AlwaysOn(Table):
    """A LoRA of the loras folder that is loaded in every picture, the baseline's too: a speed LoRA, a style."""

    file: LoraFile
    """The file, below the loras folder."""
    strength: Annotated[float, Field(ge=-100, le=100)] = 1.0
    """How strongly it is applied, for the model and the text encoder."""

    @field_validator("strength")
    @classmethod
    def _is_on(cls, strength: float) -> float:
        if strength == 0:
            raise ValueError("0 switches the LoRA off; take its table out of the plan")
        return strength

    def __str__(self) -> str:
        return f"{self.file} at strength {self.strength:g}"


class Checkpoint(Table):
    """One saved state of the training run."""

    file: TrainingFile
    """A safetensors file below `paths.checkpoints`, with `/` between folders."""
    step: Annotated[int, Field(ge=0)] | None = None
    """The training step. Left out, it is read from the file's header, else from its name."""
    epoch: Annotated[int, Field(ge=0)] | None = None
    """The epoch, if the trainer names its checkpoints by epochs."""
    label: Label | None = None
    """A name instead of the step: `final`."""
    expect: Words = ""
    """What you expect of it. The page shows it once the checkpoint was marked."""

    @property
    def id(self) -> str:
        """`final`, `step600` or `epoch5`: in test ids, file names and on the command line."""
        return self.label or self.when.replace(" ", "")

    @property
    def when(self) -> str:
        """When it was saved, in words: `step 600` or `epoch 5`; its label where neither is known."""
        if self.step is not None:
            return f"step {self.step}"
        return self.label or "" if self.epoch is None else f"epoch {self.epoch}"

    @property
    def argument(self) -> str:
        """How `--selected-step` names it: `final`, `600` or `epoch5`."""
        return self.id.removeprefix("step")

    @model_validator(mode="after")
    def _has_an_id(self) -> Self:
        if not self.id:
            raise ValueError(
                f"neither the plan nor {self.file!r} says when it was saved; "
                'write step = 600 or epoch = 5, or label = "final"'
            )
        return self


class Rival(Table):
    """A LoRA that is judged beside the checkpoints but can never be deployed: production's or somebody else's."""

    file: RivalFile
    """The file, in the loras folder or below it; `production` is what production holds now."""
    label: Label
    """Its name in test ids, in file names and on the page."""
    expect: Words = ""
    """What you expect of it, as for a checkpoint."""

    step: ClassVar[None] = None
    epoch: ClassVar[None] = None

    @property
    def id(self) -> str:
        """Its label."""
        return self.label

    @property
    def when(self) -> str:
        """Its label, since it is not known when it was saved."""
        return self.label

    @property
    def argument(self) -> str:
        """How messages name it; it is no argument of `--selected-step`."""
        return self.label


Tested = Checkpoint | Rival
"""What a column shows the pictures of."""


class Prompt(Table):
    """One test prompt and why it is there."""

    id: Name
    """Its name in test ids and file names."""
    text: Text
    """The prompt, with the trigger word in it."""
    purpose: Words = ""
    """What it tests, in a few words."""
    bleed: bool = False
    """Whether the prompt leaves out the trigger word on purpose, so that the LoRA should change little."""
    negative: Words | None = None
    """The negative prompt on this prompt, instead of [sampling]'s."""
    width: Pixels | None = None
    """Pixels, on this prompt."""
    height: Pixels | None = None
    """Pixels, on this prompt."""

    @property
    def own(self) -> dict[str, Any]:
        """The settings that this prompt overrides."""
        given = {"negative": self.negative, "width": self.width, "height": self.height}
        return {key: value for key, value in given.items() if value is not None}

    def holds(self, word: str) -> bool:
        """Say whether the text holds a trigger word, as a word of its own."""
        return re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", self.text.casefold()) is not None

    def applied_to(self, sampling: Sampling) -> Sampling:
        """Return the settings that this prompt is rendered with."""
        return sampling.model_copy(update=self.own) if self.own else sampling
