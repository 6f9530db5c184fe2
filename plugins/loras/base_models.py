"""The base model's own file, where it lies on this machine: its header tells its family."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from plugins.loras.errors import HeaderError
from plugins.loras.families import families_of_base
from plugins.loras.header import Header, read_header
from plugins.plan.plan import Plan

_FOLDERS: Final = ("checkpoints", "diffusion_models", "unet", "unet_gguf")
_SETTINGS: Final = "extra_model_paths.yaml"
_LARGEST_SETTINGS: Final = 1 << 20
_ENTRY: Final = re.compile(r"^(?P<indent>\s+)(?P<key>\w+)\s*:\s*(?P<value>[^#]*?)\s*(?:#.*)?$")
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
    """Yield the folders of base models that ComfyUI's settings add: `base_path`, and its entries."""
    file = plan.paths.comfyui / _SETTINGS
    try:
        text = file.read_bytes()[:_LARGEST_SETTINGS].decode("utf-8", "replace")
    except OSError:
        return
    start, key = file.parent, ""
    for line in text.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            start, key = file.parent, ""  # another program's section
        if found := _ENTRY.match(line):
            key, value = found["key"], found["value"].strip("'\"")
            if key == "base_path":
                start = _below(file.parent, value)
        else:
            value = line.partition("#")[0].strip().strip("'\"")
        if key in _FOLDERS and value not in {"", "|", ">"}:
            yield _below(start, value)


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
