"""The trainers' own settings in a training folder: prompts, trigger, images, size and sampler, each with its file."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from plugins.plan.small_files import read_small

_DEPTH: Final = 2
_LARGEST: Final = 1 << 20
_MOST: Final = 200
"""Files that are read; captions beside images are not among them."""
_MOST_PROMPTS: Final = 40
_OPTION: Final = re.compile(r"\s--(\w+)(?:\s+(.*?))?(?=\s--\w|$)")
_SAMPLERS: Final = {
    "euler_a": ("euler_ancestral", None), "k_euler_a": ("euler_ancestral", None), "euler": ("euler", None),
    "k_euler": ("euler", None), "flowmatch": ("euler", "simple"), "flow_match": ("euler", "simple"),
    "ddim": ("ddim", None), "heun": ("heun", None), "lms": ("lms", None), "k_lms": ("lms", None),
    "dpm_2": ("dpm_2", None), "k_dpm_2": ("dpm_2", None), "dpm_2_a": ("dpm_2_ancestral", None),
    "k_dpm_2_a": ("dpm_2_ancestral", None), "dpmsolver++": ("dpmpp_2m", None), "dpmpp": ("dpmpp_2m", None),
    "dpmpp_karras": ("dpmpp_2m", "karras"), "dpmpp_sde": ("dpmpp_sde", None),
    "dpmpp_sde_karras": ("dpmpp_sde", "karras"), "dpmsingle": ("dpmpp_2s_ancestral", None), "unipc": ("uni_pc", None),
    "unipc_karras": ("uni_pc", "karras"), "euler_karras": ("euler", "karras"),
    "euler_ancestral": ("euler_ancestral", None),
}  # fmt: skip
"""What trainers call a sampler → ComfyUI's sampler, and its scheduler where the name says one."""
_ONETRAINER: Final = {"prompt", "negative_prompt", "diffusion_steps", "cfg_scale", "noise_scheduler"}


@dataclass
class Settings:
    """What the settings in a folder say. Where two files give the same setting, the first one counts."""

    folder: Path
    values: dict[str, tuple[Any, str]] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    trainer: str = ""
    files: list[str] = field(default_factory=list)

    def value(self, key: str) -> Any:  # noqa: ANN401 (whatever the trainer wrote)
        """Return what is known under a key; None where nothing is."""
        return self.values.get(key, (None, ""))[0]

    def source(self, key: str) -> str:
        """Return the file that a value is from; empty where there is none."""
        return self.values.get(key, (None, ""))[1]

    @property
    def read(self) -> tuple[str, ...]:
        """The files that said something."""
        return tuple(dict.fromkeys(self.files))

    def add(self, file: str, **values: object) -> None:
        """Take values over from a file; None and empty ones are none."""
        for key, value in values.items():
            if value not in (None, "", [], {}):
                self.values.setdefault(key, (value, file))
                self.files.append(file)

    def add_prompts(self, file: str, prompts: Iterable[object]) -> None:
        """Take a file's prompts over, where no other file had any."""
        texts = [one.strip() for one in prompts if isinstance(one, str) and one.strip()]
        if texts and not self.prompts:
            self.prompts = list(dict.fromkeys(texts))[:_MOST_PROMPTS]
            self.add(file, prompts=True)

    def add_images(self, file: str, folders: Iterable[object]) -> None:
        """Take a file's folders of training images over."""
        texts = [one for one in folders if isinstance(one, str) and one.strip() and "\0" not in one]
        if texts:
            self.images += texts
            self.add(file, images=True)

    def add_sampler(self, file: str, name: object) -> None:
        """Take a sampler over, as ComfyUI calls it; one that is not known is left out."""
        sampler, scheduler = _SAMPLERS.get(_word(name).lower(), (None, None))
        self.add(file, sampler=sampler, scheduler=scheduler)


def read_settings(folder: Path) -> Settings:
    """Read the settings files of a training folder, up to two levels deep; what cannot be read is passed over."""
    settings = Settings(folder=folder)
    for path in _candidates(folder):
        file = path.relative_to(folder).as_posix()
        try:
            text = read_small(path, largest=_LARGEST).decode("utf-8-sig")
            _READERS[path.suffix.lower()](settings, file, text)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
            continue
    return settings


def _candidates(folder: Path) -> Iterator[Path]:
    count = 0
    for here, folders, names in os.walk(folder):
        depth = len(Path(here).relative_to(folder).parts)
        folders[:] = sorted(one for one in folders if not one.startswith(".")) if depth < _DEPTH else []
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            if suffix in _READERS and (suffix != ".txt" or "prompt" in name.lower()) and count < _MOST:
                count += 1
                yield Path(here, name)


def _read_yaml(settings: Settings, file: str, text: str) -> None:
    """Read ai-toolkit's settings: one process, with model, datasets and samples."""
    config = yaml.safe_load(text)["config"]
    process = _dict(next(iter(config["process"]), None))
    sample, model, train = (_dict(process.get(key)) for key in ("sample", "model", "train"))
    settings.trainer = settings.trainer or ("ai-toolkit" if process else "")
    settings.add(
        file,
        name=_word(config.get("name")),
        trigger=_word(process.get("trigger_word")),
        base_model=model.get("name_or_path"),
        width=sample.get("width"),
        height=sample.get("height"),
        steps=_steps(sample.get("sample_steps")),
        cfg=_number(sample.get("guidance_scale")) if not _distils_guidance(model) else 1.0,
        seed=_whole(sample.get("seed")),
        negative=_text(sample.get("neg")),
    )
    settings.add_sampler(file, sample.get("sampler") or train.get("noise_scheduler"))
    given = [*_list(sample.get("prompts")), *(_dict(one).get("prompt") for one in _list(sample.get("samples")))]
    settings.add_prompts(file, (re.split(r"\s--\w+\s", one)[0] for one in given if isinstance(one, str)))
    settings.add_images(file, (_dict(one).get("folder_path") for one in _list(process.get("datasets"))))


def _distils_guidance(model: Mapping[str, Any]) -> bool:
    """Say whether a guidance scale is no CFG: Flux.1 takes it as an input, and is sampled with CFG 1."""
    return bool(model.get("is_flux")) or _word(model.get("arch")).lower().startswith("flux")


def _read_json(settings: Settings, file: str, text: str) -> None:
    """Read OneTrainer's concepts and samples, SimpleTuner's prompts and data, and settings of named options."""
    found = json.loads(text)
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    name = Path(file).name.lower()
    if entries and any(_ONETRAINER & one.keys() == _ONETRAINER for one in entries):
        _read_samples(settings, file, entries)
    elif entries and ("concept" in name or all({"path", "image"} <= one.keys() for one in entries)):
        settings.trainer = settings.trainer or "OneTrainer"
        settings.add_images(file, (one.get("path") for one in entries))
    elif entries and any("instance_data_dir" in one for one in entries):
        settings.trainer = settings.trainer or "SimpleTuner"
        settings.add_images(file, (one.get("instance_data_dir") for one in entries))
    elif isinstance(found, dict) and "prompt_library" in name:
        settings.trainer = settings.trainer or "SimpleTuner"
        settings.add_prompts(file, found.values())
    elif isinstance(found, dict):
        options = {key.removeprefix("--"): value for key, value in found.items()}
        _read_options(settings, file, options)
        settings.add(file, base_model=options.get("base_model_name"))


def _read_samples(settings: Settings, file: str, entries: list[dict[str, Any]]) -> None:
    first = entries[0]
    settings.trainer = settings.trainer or "OneTrainer"
    settings.add(
        file,
        negative=_text(first["negative_prompt"]),
        width=first.get("width"),
        height=first.get("height"),
        seed=_whole(first.get("seed")),
        steps=_steps(first["diffusion_steps"]),
        cfg=_number(first["cfg_scale"]),
    )
    settings.add_sampler(file, first["noise_scheduler"])
    settings.add_prompts(file, (one.get("prompt") for one in entries if one.get("enabled", True)))


def _read_toml(settings: Settings, file: str, text: str) -> None:
    """Read kohya's and musubi's datasets, diffusion-pipe's directories and model, and settings of named options."""
    found = tomllib.loads(text)
    for dataset in map(_dict, _list(found.get("datasets"))):
        subsets = [dataset, *map(_dict, _list(dataset.get("subsets")))]
        settings.add_images(file, (one.get("image_dir") or one.get("image_directory") for one in subsets))
        settings.add(file, trigger=next((one["class_tokens"] for one in subsets if one.get("class_tokens")), None))
        settings.add(file, resolution=_side(dataset.get("resolution")))
    directories = [_dict(one).get("path") for one in _list(found.get("directory"))]
    if directories:
        settings.trainer = settings.trainer or "diffusion-pipe"
        settings.add_images(file, directories)
        settings.add(file, resolution=next(map(_side, _list(found.get("resolutions"))), None))
    model = _dict(found.get("model"))
    paths = ("checkpoint_path", "transformer_path", "diffusers_path", "ckpt_path")
    settings.add(file, base_model=next((model[key] for key in paths if model.get(key)), None))
    options = {
        key: value for table in (found, *found.values()) if isinstance(table, dict) for key, value in table.items()
    }
    _read_options(settings, file, options)


def _read_options(settings: Settings, file: str, options: Mapping[str, Any]) -> None:
    """Read what kohya's trainer and SimpleTuner call their options."""
    settings.add(file, base_model=options.get("pretrained_model_name_or_path"))
    settings.add(file, resolution=_side(options.get("resolution")))
    settings.add_images(file, [options.get("train_data_dir")])
    settings.add_sampler(file, options.get("sample_sampler"))
    settings.add_prompts(file, [options.get("validation_prompt")])


def _read_prompts(settings: Settings, file: str, text: str) -> None:
    """Read kohya's sample prompts: a line each, `text --n negative --w 512 --h 768 --d seed --l cfg --s steps`."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines:
        options = {found[1]: (found[2] or "").strip() for found in _OPTION.finditer(lines[0])}
        settings.add(
            file,
            negative=options.get("n"),
            width=_whole(options.get("w")),
            height=_whole(options.get("h")),
            seed=_whole(options.get("d")),
            cfg=_number(options.get("l")),
            steps=_steps(options.get("s")),
        )
        settings.add_sampler(file, options.get("ss"))
        settings.add_prompts(file, (_OPTION.split(line, maxsplit=1)[0] for line in lines))


_READERS: Final[Mapping[str, Callable[[Settings, str, str], None]]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_json,
    ".toml": _read_toml,
    ".txt": _read_prompts,
}


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _word(value: object) -> str:
    """Return what a single value says; nothing of a list or table, which YAML's aliases can make endless as a text."""
    return "" if isinstance(value, bool | list | dict | None) else str(value)


def _whole(value: object) -> int | None:
    """Return a whole number of 0 or more, also where it is written as text."""
    text = _word(value)
    return int(text) if text.isdecimal() and len(text) < 20 else None  # noqa: PLR2004


def _steps(value: object) -> int | None:
    """Return a number of steps that a plan allows."""
    steps = _whole(value)
    return steps if steps and steps <= 10_000 else None  # noqa: PLR2004 (what a plan allows)


def _number(value: object) -> float | None:
    try:
        number = float(_word(value))
    except ValueError:
        return None
    return number if 0 <= number <= 100 else None  # noqa: PLR2004 (what a plan allows)


def _side(value: object) -> int | None:
    """Return the first side of a resolution: 1024, "1024,1024" or [1024, 768]."""
    found = re.search(r"\d+", str(value))
    number = int(found[0]) if found and len(found[0]) < 6 else 0  # noqa: PLR2004 (pixels)
    return number if number >= 64 else None  # noqa: PLR2004 (SimpleTuner's may be megapixels)
