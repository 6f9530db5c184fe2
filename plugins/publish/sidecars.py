"""The files beside a LoRA that LoRA managers read, with only the keys that they document."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from plugins.plan.small_files import read_small
from plugins.plan.training.families import Family
from plugins.publish.profile import Profile

_VERSIONS: Final = {Family.SD1: "SD1", Family.SD2: "SD2", Family.SDXL: "SDXL", Family.SD3: "SD3"}
"""Families as A1111 calls them."""
_HEAVIEST: Final = 2.0
"""The strongest weight that A1111 takes for a preference; 0 switches it off."""


def preview_place(production: Path) -> Path:
    """Return where every manager looks for a picture."""
    return production.with_name(f"{production.stem}.preview.png")


def sidecars(profile: Profile) -> dict[Path, bytes]:
    """Return the files that the plan wants beside production, and what they hold."""
    production, wanted = profile.plan.production_file, profile.wanted.sidecars
    found = {preview_place(production): profile.preview} if "preview" in wanted else {}
    found |= {
        production.with_name(f"{production.stem}{suffix}"): _json(make(profile))
        for name, (suffix, make) in _KINDS.items()
        if name in wanted
    }
    return found


def sidecar_digests(production: Path) -> dict[Path, str]:
    """Return the sidecars that lie beside production and name the SHA-256 of their LoRA, whoever wrote them."""
    found = {}
    for suffix in (".metadata.json", ".civitai.info"):
        path = production.with_name(f"{production.stem}{suffix}")
        try:
            content = json.loads(read_small(path))
            named = content["sha256"] if suffix == ".metadata.json" else content["files"][0]["hashes"]["SHA256"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            continue  # not there, or nothing that tells of which file it is
        if isinstance(named, str) and named:
            found[path] = named.lower()
    return found


def _lora_manager(profile: Profile) -> dict[str, Any]:
    """ComfyUI-LoRA-Manager; its docs/metadata-json-schema.md."""
    production, wanted = profile.plan.production_file, profile.wanted
    preview = preview_place(production).as_posix() if "preview" in wanted.sidecars else ""
    return {
        "file_name": production.stem,
        "model_name": profile.title,
        "file_path": production.as_posix(),
        "size": profile.size,
        "modified": profile.modified,
        "sha256": profile.deployment.sha256,
        "base_model": wanted.base_model.strip() or "Unknown",
        "preview_url": preview,
        "notes": _notes(profile),
        "from_civitai": False,
        "civitai": {"trainedWords": list(wanted.trigger_words)} if wanted.trigger_words else {},
        "usage_tips": json.dumps({} if profile.strength is None else {"strength": profile.strength}),
    }


def _a1111(profile: Profile) -> dict[str, Any]:
    """Stable Diffusion web UI and Forge: what their editor of a LoRA's metadata saves."""
    found: dict[str, Any] = {
        "description": profile.title,
        "sd version": _VERSIONS.get(profile.family, "Unknown") if profile.family else "Unknown",
        "notes": _notes(profile),
    }
    if profile.trigger:
        found["activation text"] = profile.trigger
    if profile.strength is not None and 0 < profile.strength <= _HEAVIEST:
        found["preferred weight"] = profile.strength
    if negative := profile.plan.sampling.negative.strip():
        found["negative text"] = negative
    return found


def _civitai(profile: Profile) -> dict[str, Any]:
    """Civitai's answer about a version of a model, as civitai helpers keep it; without ids, since it has none."""
    wanted, production = profile.wanted, profile.plan.production
    found: dict[str, Any] = {
        "name": profile.deployment.selected,
        "description": _notes(profile),
        "trainedWords": list(wanted.trigger_words),
        "model": {"name": profile.title, "type": "LORA"},
        "files": [{"name": production.file, "hashes": {"SHA256": profile.deployment.sha256.upper()}}],
    }
    return found | ({"baseModel": wanted.base_model.strip()} if wanted.base_model.strip() else {})


def _notes(profile: Profile) -> str:
    return "\n".join([f"{profile.story()}.", *profile.marks()])


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


_KINDS: Final[Mapping[str, tuple[str, Callable[[Profile], dict[str, Any]]]]] = {
    "lora-manager": (".metadata.json", _lora_manager),
    "a1111": (".json", _a1111),
    "civitai": (".civitai.info", _civitai),
}
