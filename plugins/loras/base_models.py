"""The base model's file, if it is on this machine: its header shows its family."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from plugins.loras.errors import HeaderError
from plugins.loras.header import Header, read_header
from plugins.plan.plan import Plan
from plugins.plan.small_files import read_small
from plugins.plan.training.families import families_of_base

_FOLDERS: Final = ("checkpoints", "diffusion_models", "unet", "unet_gguf")
_SETTINGS: Final = "extra_model_paths.yaml"
_LARGEST_SETTINGS: Final = 1 << 20
_ANCESTORS: Final = 3
_MOST_SIBLINGS: Final = 200


def base_header(plan: Plan, base_model: str) -> Header | None:
    """Return the base model's header; None where its file is not found, is no safetensors file, or is not the only one.

    It is looked for in the ComfyUI folder, in the folders that its extra_model_paths.yaml names, and beside the folder
    that the plan's `loras` belongs to.
    """
    name = base_model.replace("\\", "/")
    for folders in (_own(plan), _extra(plan), _beside(plan)):
        headers = [header for folder in folders if (header := _header(folder / name))]
        if headers:
            return headers[0] if len({families_of_base(header) for header in headers}) == 1 else None
    return None


def _own(plan: Plan) -> Iterator[Path]:
    yield from (plan.paths.comfyui / "models" / folder for folder in _FOLDERS)


def _extra(plan: Plan) -> Iterator[Path]:
    """Yield the folders of base models that ComfyUI's settings add: a section for each program."""
    file = plan.paths.comfyui / _SETTINGS
    try:
        content = read_small(file, largest=_LARGEST_SETTINGS)
    except (OSError, ValueError):
        return
    import yaml  # noqa: PLC0415 (few have such a file, and the first prompt waits for what is loaded)

    try:
        sections = yaml.safe_load(content)
    except (ValueError, RecursionError, yaml.YAMLError):
        return
    for section in sections.values() if isinstance(sections, dict) else ():
        entries = section if isinstance(section, dict) else {}
        start = _below(file.parent, str(entries.get("base_path", "")))
        for folder in _FOLDERS:
            yield from (_below(start, line) for line in str(entries.get(folder) or "").splitlines() if line)


def _beside(plan: Plan) -> Iterator[Path]:
    """Yield the folders beside those that `loras` lies in: `Models/StableDiffusion` beside `Models/Lora/characters`."""
    if plan.paths.loras.is_relative_to(plan.paths.comfyui):
        return
    for ancestor in list(plan.paths.loras.parents)[:_ANCESTORS]:
        try:
            with os.scandir(ancestor) as entries:
                yield from (Path(one.path) for _, one in zip(range(_MOST_SIBLINGS), entries, strict=False))
        except OSError:
            continue


def _below(start: Path, text: str) -> Path:
    """Return a path as ComfyUI reads it from its settings: `~` and variables expanded, relative to `start`."""
    return start / os.path.expandvars(os.path.expanduser(text))  # noqa: PTH111 (of a user that may not exist)


def _header(file: Path) -> Header | None:
    try:
        return read_header(file) if file.is_file() else None
    except (HeaderError, OSError):
        return None  # a .ckpt, say; ComfyUI loads more kinds of files than LoRAs come in
