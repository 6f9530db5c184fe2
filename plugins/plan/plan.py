"""The plan: what is tested, where it lies, and what "good" means.

Values only. `reading.py` makes them from TOML; whatever gets past it is right, and is trusted from there on.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from plugins.plan.messages import Address

BASELINE: Final = "baseline"
"""The column without a LoRA."""

_RESERVED_ON_WINDOWS: Final = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³]) *(\.|$)")
_UNUSABLE: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]')
"""In a file name: what separates folders, drives and streams on some system, and what is not seen."""
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LONGEST_NAME: Final = 80
"""Letters. Two names, a step and what a copy is marked with while it is written make one file name of at most 255."""
_LONGEST_FILE: Final = 200
"""Bytes, so that a backup's name still fits into 255."""
_LONGEST_PART: Final = 255
_LONGEST_PATH: Final = 4000
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIZES: Final = TypeAdapter(ByteSize)
_STEP_LABEL: Final = re.compile(r"(?i)step\d+")


def _portable(name: str) -> str:
    """Accept a name that is one plain path part on macOS, Windows and Linux alike."""
    if not _SAFE.fullmatch(name) or name.endswith(".") or _RESERVED_ON_WINDOWS.match(name):
        raise ValueError(
            f"{name!r} cannot be part of a file name everywhere; "
            "use letters, digits, '_', '-' and '.', starting with a letter or digit, and no folder"
        )
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"'{name[:20]}...' has {len(name)} letters; a name that becomes a file's has {_LONGEST_NAME}")
    return name


def _portable_file(name: str) -> str:
    """Accept the name of a .safetensors file; spaces and any letters are fine, folders are not."""
    if not name.endswith(".safetensors"):
        raise ValueError(f"{name!r} does not end in .safetensors, the format that this suite can check")
    if _UNUSABLE.search(name) or name.startswith((".", "-", " ")) or _RESERVED_ON_WINDOWS.match(name):
        raise ValueError(f"{name!r} must be a plain file name everywhere, without a folder")
    if len(name.encode()) > _LONGEST_FILE:
        raise ValueError(f"'{name[:20]}...' is too long for a file name; use at most {_LONGEST_FILE} letters")
    return name


def _server_url(url: str) -> Address:
    """Accept the address of a server, without the trailing slash."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise ValueError(f"{shown_address(url)!r} is not the address of a server; write it like http://127.0.0.1:8188")
    return Address(url.rstrip("/"))


def shown_address(url: str) -> str:
    """Return what a person typed as an address without what may be secret in it, however wrong it is."""
    url = re.sub(r"(?s)^(.*?//)?.*@", r"\1***@", url)
    return re.sub(r"(?s)([?#]).+", r"\1***", url)


def _expanded(value: object) -> Path | None:
    """Return a path with `~` expanded; None for what cannot be one on this machine."""
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        return None
    try:
        path = Path(value).expanduser()
    except RuntimeError:  # `~name` of a user that is not there
        return None
    too_long = len(str(path)) > _LONGEST_PATH or any(len(part) > _LONGEST_PART for part in path.parts)
    return None if too_long or _CONTROLS.search(str(path)) else path


def _plan_path(value: object) -> object:
    if isinstance(value, str):
        path = _expanded(value)
        if path is None:
            shown = value if len(value) <= _LONGEST_PART else f"{value[:20]}..."
            raise ValueError(f"{shown!r} names no place on this machine; write a path such as '~/Code/plasma'")
        return path
    return value


def _words(value: str) -> str:
    if found := _CONTROLS.search(value):
        raise ValueError(f"holds {found[0]!a}, a control character that a terminal would obey; take it out")
    return value


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; write what it should say")
    return _words(value.strip())


Name = Annotated[str, AfterValidator(_portable)]
FileName = Annotated[str, AfterValidator(_portable_file)]
ServerUrl = Annotated[str, AfterValidator(_server_url)]
Text = Annotated[str, AfterValidator(_text)]
Words = Annotated[str, AfterValidator(_words)]
_Lax = Field(strict=False)
PlanPath = Annotated[Path, _Lax, BeforeValidator(_plan_path)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Paths(_Part):
    """Where the LoRA's files are. All absolute once read (`reading.py` expands and joins them)."""

    project: PlanPath
    checkpoints: PlanPath
    comfyui: PlanPath
    loras: PlanPath
    training_images: PlanPath | None = None
    summary: PlanPath | None = None

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 (raw TOML)
        """Expand `~`; start relative paths at `project`, `loras` at `comfyui`, `project` at the plan's folder."""
        if not isinstance(given, dict):
            return given
        folder = Path((info.context or {}).get("folder", "."))

        def at(start: Path, key: str, default: str = "") -> Path:
            path = _expanded(given.get(key, default))
            return start / path if path else start

        project = at(folder, "project")
        comfyui = at(project, "comfyui")
        starts = {"project": folder, "comfyui": project, "loras": comfyui}
        given = {"loras": "models/loras", **given}
        return {key: at(starts.get(key, project), key) if _expanded(value) else value for key, value in given.items()}

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if os.path.realpath(self.checkpoints) == os.path.realpath(self.loras):
            raise ValueError(
                "`checkpoints` and `loras` are the same folder; keep the training output apart from ComfyUI's, "
                "since evaluation copies are removed from `loras`"
            )
        return self


class ComfyUI(_Part):
    """The servers that render, and how to start one when none answers."""

    url: ServerUrl | None = None
    urls: Annotated[tuple[ServerUrl, ...], _Lax] = ()
    start: Annotated[tuple[Text, ...], _Lax] = ()
    workflow: PlanPath | None = None
    timeout: Annotated[float, Field(gt=0)] = 600.0
    """Seconds that a server may go without a sign of life on a picture before it is given up."""

    @model_validator(mode="after")
    def _one_way_to_name_them(self) -> Self:
        if bool(self.url) == bool(self.urls):
            raise ValueError('give either url = "http://127.0.0.1:8188" or urls = [...]')
        return self

    @property
    def servers(self) -> tuple[str, ...]:
        """Every server's address, in the plan's order."""
        return (self.url,) if self.url else self.urls


class Sampling(_Part):
    """The settings that every picture shares, so that only the checkpoint differs along a row."""

    base_model: Text
    sampler: Text
    scheduler: Text
    steps: Annotated[int, Field(ge=1, le=10_000)]
    cfg: Annotated[float, Field(ge=0, le=100)]
    width: Annotated[int, Field(ge=16, le=16384, multiple_of=8)]
    height: Annotated[int, Field(ge=16, le=16384, multiple_of=8)]
    clip_skip: Annotated[int, Field(ge=1, le=24)] = 1
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, lt=2**64)], ...], _Lax, Field(min_length=1)]
    lora_strength: Annotated[float, Field(ge=-100, le=100)] = 1.0
    negative: Words = ""

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{list(seeds)} names a seed twice")
        return seeds

    @field_validator("lora_strength")
    @classmethod
    def _strength_has_effect(cls, strength: float) -> float:
        if strength == 0:
            raise ValueError("0 switches the LoRA off, so every checkpoint would be the baseline; 1.0 is usual")
        return strength


class Checkpoint(_Part):
    """One saved state of the training run."""

    step: Annotated[int, Field(ge=0)]
    file: FileName
    label: Name | None = None
    expect: Words = ""

    @property
    def id(self) -> str:
        """`final`, or `step600`: in test ids, file names and on the command line."""
        return self.label or f"step{self.step}"

    @field_validator("label")
    @classmethod
    def _label_is_its_own(cls, label: str | None) -> str | None:
        if label is not None and (label.lower() == BASELINE or _STEP_LABEL.fullmatch(label) or label.isdigit()):
            raise ValueError(f"{label!r} already means something else; a label is a word such as 'final'")
        return label


class Prompt(_Part):
    """One test prompt and why it is there."""

    id: Name
    text: Text
    purpose: Words = ""


class Criterion(_Part):
    """One question that a person answers by looking."""

    id: Name
    text: Text
    required: bool = False
    prompts: Annotated[tuple[str, ...], _Lax] = ()
    """The prompts on which to look for it; none means all."""


def _rate(value: object) -> float | None:
    """Read `"all"` as None, and a share of pictures as it is."""
    if value == "all":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(f'{value!r} is neither "all" nor a share between 0 and 1, such as 0.8')
    return float(value)


class Selection(_Part):
    """When a checkpoint passes a criterion."""

    rate: Annotated[float | None, BeforeValidator(_rate), Field(alias="pass")] = None
    """None: yes on all pictures that were looked at. Else the share that the interval's lower end must reach."""


def _size(value: object) -> int:
    """Read `"50 MB"` as 50,000,000 bytes; a bare number is bytes."""
    if isinstance(value, bool):
        raise ValueError(f'{value!r} is not a size; write it like "50 MB"')  # noqa: TRY004 (pydantic's error)
    try:
        return int(_SIZES.validate_python(value))
    except ValidationError:
        raise ValueError(f'{value!r} is not a size; write it like "50 MB"') from None


class Production(_Part):
    """The one LoRA that stays, and what must hold of it. Sizes are bytes."""

    file: FileName
    min_size: Annotated[int, BeforeValidator(_size)] = 0
    max_size: Annotated[int, BeforeValidator(_size)] = 2**63
    forbidden: Annotated[tuple[Text, ...], _Lax] = ()

    @model_validator(mode="after")
    def _sizes_in_order(self) -> Self:
        if self.min_size > self.max_size:
            raise ValueError("min_size is larger than max_size")
        return self

    @property
    def lora_name(self) -> str:
        """The name that a workflow uses: the file's, without its extension (mission: Phase 9 wires it in)."""
        return Path(self.file).stem


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


class Plan(_Part):
    """Everything that a person decided before looking at pictures."""

    name: Name
    title: Text
    selection_rule: Words = ""
    paths: Paths
    comfyui: ComfyUI
    sampling: Sampling
    checkpoints: Annotated[tuple[Checkpoint, ...], _Lax, Field(alias="checkpoint", min_length=1)]
    prompts: Annotated[tuple[Prompt, ...], _Lax, Field(alias="prompt", min_length=1)]
    criteria: Annotated[tuple[Criterion, ...], _Lax, Field(alias="criterion")] = ()
    selection: Selection = Selection()
    production: Production

    @field_validator("checkpoints")
    @classmethod
    def _by_step(cls, checkpoints: tuple[Checkpoint, ...]) -> tuple[Checkpoint, ...]:
        """Order by step: columns read from under-trained to over-trained, whatever the plan's order."""
        return tuple(sorted(checkpoints, key=lambda checkpoint: checkpoint.step))

    @model_validator(mode="after")
    def _production_is_not_forbidden(self) -> Self:
        for word in self.production.forbidden:
            if word.casefold() in self.production.file.casefold():
                raise ValueError(f"production.file {self.production.file!r} holds the forbidden word {word!r}")
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
    def _cells_have_ids_of_their_own(self) -> Self:
        seen: dict[str, tuple[str, str]] = {}
        for column in (BASELINE, *(checkpoint.id.casefold() for checkpoint in self.checkpoints)):
            for row in (prompt.id.casefold() for prompt in self.prompts):
                name = f"{column}-{row}"
                other = seen.setdefault(name, (column, row))
                if other != (column, row):
                    first, second = (f"{one!r} on prompt {prompt!r}" for one, prompt in (other, (column, row)))
                    raise ValueError(f"{first} and {second} would both be called {name}; rename one of the prompts")
        return self

    def checkpoint(self, checkpoint_id: str) -> Checkpoint | None:
        """Return the checkpoint of an id such as `step600` or `final`; None where the plan has none."""
        return next((one for one in self.checkpoints if one.id == checkpoint_id), None)

    def staged_file(self, checkpoint: Checkpoint) -> str:
        """Name of the evaluation copy in ComfyUI's loras folder (mission, task 1: step-labelled names)."""
        return f"{self.name}_{checkpoint.id}.safetensors"

    def picker_name(self, file: str) -> str:
        """Name a file in the loras folder as ComfyUI's picker does: seen from its models/loras, with `/`."""
        root = self.paths.comfyui / "models" / "loras"
        folder = self.paths.loras
        return (folder.relative_to(root) / file).as_posix() if folder.is_relative_to(root) else file

    def training_file(self, checkpoint: Checkpoint) -> Path:
        """Where the trainer left this checkpoint."""
        return self.paths.checkpoints / checkpoint.file

    @property
    def production_file(self) -> Path:
        """Where the production LoRA lies (mission, task 3)."""
        return self.paths.loras / self.production.file

    @property
    def workflow(self) -> Path | None:
        """The person's own workflow file, which starts at `project`; None where the built-in one is used."""
        given = self.comfyui.workflow
        return self.paths.project / given if given else None

    @property
    def digest(self) -> str:
        """SHA-256 over what is tested; titles, expectations and places do not change what a picture shows."""
        tested = self.model_dump(mode="json", include={"name", "sampling", "checkpoints", "prompts"})
        for checkpoint in tested["checkpoints"]:
            del checkpoint["expect"]
        for prompt in tested["prompts"]:
            del prompt["purpose"]
        return hashlib.sha256(json.dumps(tested, sort_keys=True).encode()).hexdigest()
