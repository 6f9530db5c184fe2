"""What headers and the trainer's settings say about a run: what a plan needs, and the source of each value."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from plugins.plan.new_plan.runs import Run
from plugins.plan.new_plan.settings import Settings, read_settings
from plugins.plan.training.families import Family, families_of
from plugins.plan.training.header import Header
from plugins.plan.training.names import is_weights

_REPEATS: Final = re.compile(r"^\d+_")
"""kohya's dataset folders: `10_spyke woman` is shown ten times."""
_SIZE: Final = re.compile(r"(\d{2,5})\D+(\d{2,5})")
_ANY_OUTPUT: Final = re.compile(r"(?i)(out|outputs?|models?|checkpoints?|loras?|results?|saved?|saves|)$")
"""Names of folders that do not say what was trained; the root folder's name is empty."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What is usual for a family of base models, where the trainer says nothing."""

    sampler: str = "euler"
    scheduler: str = "simple"
    steps: int = 20
    cfg: float = 1.0
    size: int = 1024


USUAL: Final[Mapping[Family, Usual]] = {
    Family.SD1: Usual(sampler="euler_ancestral", scheduler="normal", cfg=7.0, size=512),
    Family.SD2: Usual(sampler="euler_ancestral", scheduler="normal", cfg=7.0, size=768),
    Family.SDXL: Usual(sampler="euler_ancestral", scheduler="normal", steps=25, cfg=6.0),
    Family.SD3: Usual(scheduler="sgm_uniform", steps=28, cfg=4.5),
    Family.FLUX1: Usual(),
    Family.FLUX2: Usual(),
    Family.CHROMA: Usual(steps=26, cfg=4.0),
    Family.QWEN: Usual(cfg=2.5),
    Family.ZIMAGE: Usual(steps=9),
    Family.LUMINA: Usual(steps=30, cfg=4.0),
    Family.HIDREAM: Usual(steps=28, cfg=5.0),
}
_OTHERWISE: Final = Usual(scheduler="normal", cfg=7.0, size=512)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A value and its source; `source` is empty if the value is a guess that a person should check."""

    value: Any
    source: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a plan needs."""

    name: str
    trainer: str
    family: str
    """In words; empty where it is not known."""
    trigger: Fact
    base_model: Fact
    training_images: Fact
    sampler: Fact
    scheduler: Fact
    steps: Fact
    cfg: Fact
    width: Fact
    height: Fact
    clip_skip: Fact
    seed: Fact
    negative: Fact
    prompts: tuple[str, ...] = ()
    """The trainer's own sample prompts."""
    prompts_from: str = ""
    read: tuple[str, ...] = field(default=())
    """Settings files that were read."""


def facts_of(run: Run) -> Facts:
    """Gather what is known of a run."""
    header = run.entries[-1].found.header
    settings = read_settings(run.folder)
    families = families_of(header)
    family = next(iter(families)) if len(families) == 1 and Family.OTHER not in families else None
    usual = USUAL.get(family, _OTHERWISE) if family else _OTHERWISE
    what = f"usual for {family}" if family in USUAL else ""
    width, height = _size(header, settings) or (Fact(value=_multiple(usual.size), source=what),) * 2

    def setting(key: str, default: object) -> Fact:
        found = settings.value(key)
        return Fact(value=found, source=settings.source(key)) if found is not None else Fact(value=default, source=what)

    trigger = _trigger(header, settings)
    name = run.stem or header.metadata.get("ss_output_name", "") or settings.value("name") or _folder_name(run.folder)
    return Facts(
        name=str(name),
        trainer=_trainer(run, header, settings),
        family=str(family) if family else "",
        trigger=trigger,
        base_model=_base_model(header, settings),
        training_images=_training_images(run, settings),
        sampler=setting("sampler", usual.sampler),
        scheduler=setting("scheduler", usual.scheduler),
        steps=setting("steps", usual.steps),
        cfg=setting("cfg", usual.cfg),
        width=_side("width", settings) or width,
        height=_side("height", settings) or height,
        clip_skip=_clip_skip(header),
        seed=setting("seed", 42),
        negative=setting("negative", ""),
        prompts=tuple(_with_trigger(text, trigger) for text in settings.prompts),
        prompts_from=settings.source("prompts"),
        read=settings.read,
    )


def _folder_name(folder: Path) -> str:
    """Name a LoRA after its folder, or after the one above where that only says that a trainer wrote there."""
    return next((one.name for one in (folder, *folder.parents) if not _ANY_OUTPUT.match(one.name)), folder.name)


def _side(key: str, settings: Settings) -> Fact | None:
    """Return one side of the trainer's sample pictures."""
    found = settings.value(key)
    return Fact(value=_multiple(found), source=settings.source(key)) if found else None


def _size(header: Header, settings: Settings) -> tuple[Fact, Fact] | None:
    """Return the width and the height that were trained at."""
    if found := _SIZE.search(header.metadata.get("ss_resolution", "")):
        width, height = (Fact(value=_multiple(int(one)), source="ss_resolution") for one in found.groups())
        return width, height
    side = _side("resolution", settings)
    return (side, side) if side else None


def _trainer(run: Run, header: Header, settings: Settings) -> str:
    """Name the trainer by its notes, settings and file names."""
    notes, file = header.metadata, run.entries[0].found.file
    module = notes.get("ss_network_module", "")
    signs = (
        (settings.trainer, bool(settings.trainer)),
        ("ai-toolkit", "training_info" in notes or "ai-toolkit" in notes.get("software", "")),
        ("OneTrainer", "ot_branch" in notes or "-save-" in file),
        ("SimpleTuner", "global_step" in notes),
        ("musubi-tuner", re.search(r"networks\.lora_(?!flux|sd3|lumina|anima)", module) is not None),
        ("FluxGym", (run.folder / "train.sh").is_file() or (run.folder / "train.bat").is_file()),
        ("kohya's trainer", any(key.startswith("ss_") for key in notes)),
        ("diffusion-pipe", re.search(r"(?:^|/)(?:epoch|step)\d+/(?:adapter_model|lora)\.", file) is not None),
        ("Diffusers", "pytorch_lora_weights" in file),
    )  # fmt: skip
    return next((name for name, is_so in signs if is_so), "")


def _base_model(header: Header, settings: Settings) -> Fact:
    for source, given in (
        ("ss_sd_model_name", header.metadata.get("ss_sd_model_name")),
        (settings.source("base_model"), settings.value("base_model")),
    ):
        if isinstance(given, str) and (name := PurePosixPath(given.replace("\\", "/")).name):
            return Fact(value=name, source=source if is_weights(name) else "")
    return Fact(value="")


def _trigger(header: Header, settings: Settings) -> Fact:
    """Find the trigger word: as the trainer's settings have it, else what the captions have in common.

    Kohya's trainer uses the class tokens or the folder's name only for images without a caption, and then counts them
    among the tags: where they are in none, they were not trained. Regularisation images are of something else.
    """
    if given := settings.value("trigger"):
        return Fact(value=str(given).strip(), source=settings.source("trigger"))
    others = {
        *_json(header.metadata.get("ss_reg_dataset_dirs")),
        *(str(subset.get("image_dir")) for subset in _subsets(header) if subset.get("is_reg")),
    }
    tagged = {name: tags for name, tags in _json(header.metadata.get("ss_tag_frequency")).items() if name not in others}
    folders = _json(header.metadata.get("ss_dataset_dirs")) or tagged
    images: Counter[str] = Counter()
    for tags in tagged.values():
        if isinstance(tags, dict):
            images.update({str(tag).strip(): count for tag, count in tags.items() if isinstance(count, int)})
    named = [
        *((str(one.get("class_tokens") or ""), "class_tokens") for one in _subsets(header) if not one.get("is_reg")),
        *((_REPEATS.sub("", folder), "the dataset folder") for folder in folders if _REPEATS.match(folder)),
    ]
    for words, source in named:
        if (word := words.strip()) and (not images or _are_in(word, images)):
            return Fact(value=word, source=source)
    if images:
        most = max(images.values())
        first, *more = [tag for tag, count in images.items() if count == most]
        return Fact(value=first, source="" if more else "the captions")
    return Fact(value=header.metadata.get("ss_output_name", ""))


def _are_in(words: str, tags: Iterable[str]) -> bool:
    """Say whether all words that stand between commas, where captions are cut into tags, are words of some tag."""
    wanted = [rf"(?<!\w){re.escape(word)}(?!\w)" for part in words.split(",") if (word := part.strip())]
    return all(any(re.search(word, tag, re.IGNORECASE) for tag in tags) for word in wanted)


def _subsets(header: Header) -> Iterator[Mapping[str, Any]]:
    datasets = _json(header.metadata.get("ss_datasets"), of=list)
    for dataset in datasets:
        subsets = dataset.get("subsets") if isinstance(dataset, dict) else None
        yield from (one for one in subsets if isinstance(one, dict)) if isinstance(subsets, list) else ()


def _training_images(run: Run, settings: Settings) -> Fact:
    """Find the training images: where the settings say, if that is there."""
    for given in settings.images:
        try:
            place = (run.folder / Path(str(given)).expanduser()).resolve()
            if place.is_dir():
                return Fact(value=place.as_posix(), source=settings.source("images"))
        except (OSError, ValueError, RuntimeError):
            continue
    return Fact(value=next((str(one) for one in settings.images), ""))


def _clip_skip(header: Header) -> Fact:
    given = header.metadata.get("ss_clip_skip", "")
    return Fact(value=int(given), source="ss_clip_skip") if given in {"1", "2"} else Fact(value=1, source="usual")


def _with_trigger(text: str, trigger: Fact) -> str:
    """Put the trigger where ai-toolkit's prompts have a place for it."""
    return re.sub(r"\[(trigger|name)\]", lambda _: str(trigger.value), text)


def _multiple(value: object) -> int:
    """Return a side that a picture can have."""
    number = int(value) if isinstance(value, int | float) and 0 < value < 1 << 20 else 512
    return min(16384, max(64, number // 8 * 8))


def _json(text: str | None, of: type[Any] = dict) -> Any:  # noqa: ANN401 (whatever the trainer wrote)
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return of()
    return found if isinstance(found, of) else of()
