"""The plan: what is tested, where it lies, and what "good" means.

Values only. `reading.py` makes them from TOML; whatever gets past it is right, and is trusted from there on. One module
holds every table, longer than the others as it is, so that all that a plan can say is read in one place.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from plugins.plan.fields import (
    FileName,
    Lax,
    LoraFile,
    Name,
    PlanName,
    PlanPath,
    Rate,
    RivalFile,
    Seeds,
    ServerUrl,
    Size,
    Text,
    TrainingFile,
    Words,
    expanded,
)

PRODUCTION: Final = "production"
"""As a rival's file: what production holds now."""
BASELINE: Final = "baseline"
"""The column without a LoRA."""

_STEP_LABEL: Final = re.compile(r"(?i)(step|epoch)\d+")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Paths(_Part):
    """Where the LoRA's files are.

    All are absolute once read: `~` is expanded and relative ones are joined.
    """

    project: PlanPath
    """Where relative paths start; `.` is the folder of the plan file."""
    checkpoints: PlanPath
    """The folder where the trainer left the checkpoints; never written to."""
    comfyui: PlanPath
    """The ComfyUI folder; `--comfyui-dir` replaces it."""
    loras: PlanPath = Path("models/loras")
    """Where the evaluation copies and the production file go; starts at `comfyui`."""
    training_images: PlanPath | None = None
    """A folder of training images: shown beside the pictures, and compared with them."""
    summary: PlanPath | None = None
    """A second place for `SUMMARY.md`, replaced by every deployment."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 (raw TOML)
        """Expand `~`; start relative paths at `project`, `loras` at `comfyui`, `project` at the plan's folder."""
        if not isinstance(given, dict):
            return given
        folder = Path((info.context or {}).get("folder", "."))

        def at(start: Path, key: str, default: str = "") -> Path:
            path = expanded(given.get(key, default))
            return start / path if path else start

        project = at(folder, "project")
        comfyui = at(project, "comfyui")
        starts = {"project": folder, "comfyui": project, "loras": comfyui}
        given = {"loras": "models/loras", **given}
        return {key: at(starts.get(key, project), key) if expanded(value) else value for key, value in given.items()}

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if os.path.realpath(self.checkpoints) == os.path.realpath(self.loras):
            raise ValueError(
                "`checkpoints` and `loras` are the same folder; keep the training output apart from ComfyUI's, "
                "since evaluation copies are removed from `loras`"
            )
        return self


class Nodes(_Part):
    """What a person names in an own workflow, by id or title, where it cannot be found or something else is meant."""

    picture: Text | None = None
    """The node that saves, shows or gives the picture to be judged."""
    prompt: Annotated[tuple[Text, ...], Lax] = ()
    """The inputs that take the prompt: `11.value`."""
    negative: Annotated[tuple[Text, ...], Lax] = ()
    """The inputs that take the negative prompt: `12.text`."""
    seed: Annotated[tuple[Text, ...], Lax] = ()
    """The inputs that take the seed: `5.seed`."""
    lora: Text | None = None
    """The slot of the tested LoRA (`10.lora_1`), or the loader of the model that it goes onto (`4`)."""


class ComfyUI(_Part):
    """The servers that render, and how to start one when none answers."""

    url: ServerUrl | None = None
    """The server's address. Give this or `urls`; `--comfyui-url` replaces both."""
    urls: Annotated[tuple[ServerUrl, ...], Lax] = ()
    """Several servers that read the same loras folder and share the pictures."""
    start: Annotated[tuple[Text, ...], Lax] = ()
    """The command, word by word, that starts ComfyUI in `paths.comfyui` when nothing answers."""
    workflow: PlanPath | None = None
    """Your own workflow: an API export, or a PNG that ComfyUI saved."""
    nodes: Nodes = Nodes()
    """What is not found in the workflow, or found wrongly."""
    timeout: Annotated[float, Field(gt=0)] = 600.0
    """Seconds that a server may go without a sign of life on a picture before it is given up."""

    @model_validator(mode="after")
    def _one_way_to_name_them(self) -> Self:
        if bool(self.url) == bool(self.urls):
            raise ValueError('give either url = "http://127.0.0.1:8188" or urls = [...]')
        return self

    @model_validator(mode="after")
    def _nodes_are_of_a_workflow(self) -> Self:
        if self.workflow is None and self.nodes != Nodes():
            raise ValueError(
                "[comfyui.nodes] names nodes of an own workflow; name its file with `workflow`, or take it out"
            )
        return self

    @property
    def servers(self) -> tuple[str, ...]:
        """Every server's address, in the plan's order."""
        return (self.url,) if self.url else self.urls


def own_label(label: str) -> str:
    """Accept a label that names no step, no epoch and not the baseline."""
    if label.lower() == BASELINE or _STEP_LABEL.fullmatch(label) or label.isdigit():
        raise ValueError(f"{label!r} already means something else; a label is a word such as 'final'")
    return label


def _has_effect(strength: float) -> float:
    if strength == 0:
        raise ValueError("0 switches the LoRA off, so every checkpoint would be the baseline; 1.0 is usual")
    return strength


Pixels = Annotated[int, Field(ge=16, le=16384, multiple_of=8)]
Strength = Annotated[float, Field(ge=-100, le=100), AfterValidator(_has_effect)]


class Sampling(_Part):
    """The settings that every picture shares, so that only the checkpoint differs along a row.

    With an own workflow all but the seeds may be left out, and stay as the workflow has them: `gives` says what is
    the plan's. The sizes that stand here then are a guess, for what is laid out before a picture is there.
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
    """Every checkpoint is rendered on every prompt once with each; a bare number draws as many, always the same."""
    lora_strength: Strength = 1.0
    """Strength of the tested LoRA, for the model and the text encoder."""
    lora_strengths: Annotated[tuple[Strength, ...], Lax, Field(min_length=1)] | None = None
    """Several strengths instead: every checkpoint is rendered at each, and judged with it."""
    negative: Words = ""
    """The negative prompt of every picture."""

    @property
    def strengths(self) -> tuple[float, ...]:
        """Every strength that the LoRA is tested at, in the plan's order."""
        return self.lora_strengths or (self.lora_strength,)

    def facts(self, *, is_own: bool) -> tuple[str, ...]:
        """Return what every picture shares, in a few words each; what is left to an own workflow is not among them."""
        told = {
            "base_model": self.base_model,
            "sampler": f"{self.sampler} ({self.scheduler})" if self.scheduler else self.sampler,
            "steps": f"{self.steps} steps",
            "cfg": f"CFG {self.cfg:g}",
            "width": f"{self.width}x{self.height}" if self.gives("height") or not is_own else f"width {self.width}",
            "height": f"height {self.height}" if is_own and not self.gives("width") else "",
            "clip_skip": f"clip skip {self.clip_skip}",
            "lora_strength": f"LoRA strength {', '.join(f'{one:g}' for one in self.strengths)}",
        }
        return tuple(words for key, words in told.items() if words and (not is_own or self.gives(key)))

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


class AlwaysOn(_Part):
    """A LoRA of the loras folder that is rendered with every cell, the baseline too: a speed LoRA, a style."""

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


class Checkpoint(_Part):
    """One saved state of the training run."""

    file: TrainingFile
    """A safetensors file below `paths.checkpoints`, with `/` between folders."""
    step: Annotated[int, Field(ge=0)] | None = None
    """The training step. Left out, it is read from the file's header, else from its name."""
    epoch: Annotated[int, Field(ge=0)] | None = None
    """The epoch, where it is what tells the checkpoints apart."""
    label: Name | None = None
    """A name in place of the step's: `final`."""
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

    @field_validator("label")
    @classmethod
    def _label_is_its_own(cls, label: str | None) -> str | None:
        return None if label is None else own_label(label)


class Rival(_Part):
    """A LoRA that is judged beside the checkpoints and can never be deployed: production's, somebody else's."""

    file: RivalFile
    """The file, in the loras folder or below it; `production` is what production holds now."""
    label: Name
    """What its column is called: in test ids, file names and on the page."""
    expect: Words = ""
    """What to expect, shown on the report once it is asked for."""

    step: ClassVar[None] = None
    epoch: ClassVar[None] = None

    @property
    def id(self) -> str:
        """Its label."""
        return self.label

    @property
    def when(self) -> str:
        """Its label: nobody says when it was saved."""
        return self.label

    @property
    def argument(self) -> str:
        """How messages name it; it is no argument of `--selected-step`."""
        return self.label

    @field_validator("label")
    @classmethod
    def _label_is_its_own(cls, label: str) -> str:
        return own_label(label)


Tested = Checkpoint | Rival
"""What a column shows the pictures of."""


class Prompt(_Part):
    """One test prompt and why it is there."""

    id: Name
    """Its name in test ids and file names."""
    text: Text
    """The prompt, with the trigger word in it."""
    purpose: Words = ""
    """What it tests, in a few words."""
    bleed: bool = False
    """Whether the trigger word is left out on purpose: the LoRA should change little there."""
    negative: Words | None = None
    """The negative prompt on this prompt, instead of [sampling]'s."""
    width: Pixels | None = None
    """Pixels, on this prompt."""
    height: Pixels | None = None
    """Pixels, on this prompt."""

    @property
    def own(self) -> dict[str, Any]:
        """The settings that it has of its own."""
        given = {"negative": self.negative, "width": self.width, "height": self.height}
        return {key: value for key, value in given.items() if value is not None}

    def applied_to(self, sampling: Sampling) -> Sampling:
        """Return the settings that this prompt is rendered with."""
        return sampling.model_copy(update=self.own) if self.own else sampling


class Criterion(_Part):
    """One question that a person answers by looking."""

    id: Name
    """Its name in the ballot."""
    text: Text
    """The question, which is answered with yes or no."""
    required: bool = False
    """Whether one `no` rules a checkpoint out."""
    prompts: Annotated[tuple[str, ...], Lax] = ()
    """The prompts on whose pictures to look for it; none means all."""


class Selection(_Part):
    """When a checkpoint passes a criterion."""

    rate: Annotated[Rate, Field(alias="pass")] = None
    """`"all"`: yes on every picture that was looked at. A share, such as 0.8: the interval's lower end reaches it."""


class Production(_Part):
    """The one LoRA that stays, and what must hold of it. Sizes are bytes."""

    file: FileName
    """The name under which the chosen checkpoint is deployed, in `paths.loras`."""
    min_size: Size = 0
    """The least size that is right."""
    max_size: Size = 2**63
    """The largest size that is right."""
    forbidden: Annotated[tuple[Text, ...], Lax] = ()
    """Words that no LoRA's name may hold, in any case and any sub-folder."""
    workflows: Annotated[tuple[Text, ...], Lax] = ()
    """Workflows (API format) that load production; each is verified to name it, and no checkpoint or forbidden LoRA."""

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


class Publish(_Part):
    """What `-m publish` writes of the LoRA in production: files beside it, and a copy to share. Nothing is uploaded."""

    sidecars: Annotated[tuple[Sidecar, ...], Lax] = ("preview", "lora-manager", "a1111", "civitai")
    """What is written beside production: a picture, and what each LoRA manager reads. `[]` for nothing."""
    copy_to: Annotated[PlanPath | None, Field(alias="copy")] = None
    """A folder for a copy with a ModelSpec header, its card and pictures; starts at `project`."""
    title: Words = ""
    """The LoRA's name for people; the plan's title where it is left out."""
    trigger_words: Annotated[tuple[Text, ...], Lax] = ()
    """What a prompt needs, spelled as trained."""
    base_model: Words = ""
    """The base model as LoRA managers and Civitai spell it: `SD 1.5`, `SDXL 1.0`, `Illustrious`."""
    architecture: Words = ""
    """ModelSpec's name of the architecture, where neither the file's header nor its tensors tell it."""
    author: Words = ""
    """Who made it."""
    license: Words = ""
    """The license, by its name."""
    keep_training_notes: bool = False
    """Whether the copy keeps all that the trainer wrote into the header, paths and tags among it."""

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
    "no_forbidden_lora_on_disk",
    "no_forbidden_lora_in_picker",
    "workflow_templates_load_production_lora",
    "published_files_are_of_production_lora",
    "selection_has_a_reason",
]
"""What a deployment verifies, by the names of its tests; the last one: marks on a ballot, or --observed."""


class PlannedWork(_Part):
    """What a planning tool reads at the top of SUMMARY.md: which plan of which phase this LoRA completes."""

    phase: Text
    """The phase, as its folder is called."""
    plan: Text
    """The plan's number in the phase, in quotes."""
    subsystem: Text
    """What the work belongs to."""
    tags: Annotated[tuple[Text, ...], Lax] = ()
    """Words to find it by."""
    requirements: Mapping[Name, Annotated[tuple[Claim, ...], Lax, Field(min_length=1)]]
    """The requirements, each with the claims that must pass in one run for it to be complete."""
    requires: Annotated[tuple[Text, ...], Lax] = ()
    """Phases or plans that this one was built on."""
    affects: Annotated[tuple[Text, ...], Lax] = ()
    """What comes next and loads the LoRA."""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _holds(text: str, word: str) -> bool:
    """Say whether a text holds a trigger word, as a word of its own."""
    return re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", text.casefold()) is not None


class Plan(_Part):
    """Everything that a person decided before looking at pictures."""

    name: PlanName
    """The stem of the evaluation copies' names; often the trigger word."""
    title: Text
    """The report's title."""
    selection_rule: Words = ""
    """How you mean to choose; shown where you decide."""
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

        What says neither step nor epoch, such as a final checkpoint, comes last.
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
                    f"prompt {prompt.id!r} has bleed = true, and the plan tells no trigger word: no other prompt "
                    f"holds its name, {self.name!r}. Write trigger_words = [...] under [publish]"
                )
            if found := [word for word in words if _holds(prompt.text, word)]:
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
        """The trigger words that the plan tells: those to publish, else its name where prompts hold it; else none."""
        if self.publish and self.publish.trigger_words:
            return self.publish.trigger_words
        held = any(_holds(prompt.text, self.name) for prompt in self.prompts if not prompt.bleed)
        return (self.name,) if held else ()

    @property
    def bleeding(self) -> frozenset[str]:
        """The ids of the prompts without the trigger word, where the LoRA should change little."""
        return frozenset(prompt.id for prompt in self.prompts if prompt.bleed)

    def looked_for(self, criterion: Criterion) -> tuple[str, ...]:
        """Return the ids of the prompts on which a criterion is looked for: with the trigger word, or as it says."""
        return criterion.prompts or tuple(prompt.id for prompt in self.prompts if not prompt.bleed)

    @property
    def facts(self) -> tuple[str, ...]:
        """What every picture shares, in a few words each."""
        return (*self.sampling.facts(is_own=self.workflow is not None), *(f"always on: {one}" for one in self.loras))

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

        Links are seen through; of a folder elsewhere, which the server's settings name, the file alone is named.
        """
        root, folder = self.paths.comfyui / "models" / "loras", self.paths.loras
        for start, below in ((root, folder), (_real(root), _real(folder))):
            if below.is_relative_to(start):
                return (below.relative_to(start) / file).as_posix()
        links = root.iterdir() if root.is_dir() else ()
        link = next((one for one in links if one.is_symlink() and _real(folder).is_relative_to(_real(one))), None)
        return (link.name / _real(folder).relative_to(_real(link)) / file).as_posix() if link else file

    def training_file(self, checkpoint: Tested) -> Path:
        """Where the trainer left this checkpoint; where a rival lies."""
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
        """SHA-256 over what is tested; titles, expectations and places do not change what a picture shows."""
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
