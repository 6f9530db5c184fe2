"""The files beside a LoRA that its managers read, with no key but those that they document."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from plugins.plan.small_files import read_small
from plugins.plan.training.families import Family
from plugins.publish.facts import Facts

_VERSIONS: Final = {Family.SD1: "SD1", Family.SD2: "SD2", Family.SDXL: "SDXL", Family.SD3: "SD3"}
"""Families as A1111 calls them."""
_HEAVIEST: Final = 2.0
"""The strongest weight that A1111 takes for a preference; 0 switches it off."""


def preview_place(production: Path) -> Path:
    """Return where every manager looks for a picture."""
    return production.with_name(f"{production.stem}.preview.png")


def sidecars(facts: Facts) -> dict[Path, bytes]:
    """Return the files that the plan wants beside production, and what they hold."""
    production, wanted = facts.plan.production_file, facts.wanted.sidecars
    found = {preview_place(production): facts.preview} if "preview" in wanted else {}
    found |= {
        production.with_name(f"{production.stem}{suffix}"): _json(make(facts))
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


def _lora_manager(facts: Facts) -> dict[str, Any]:
    """ComfyUI-LoRA-Manager; its docs/metadata-json-schema.md."""
    production, wanted = facts.plan.production_file, facts.wanted
    preview = preview_place(production).as_posix() if "preview" in wanted.sidecars else ""
    return {
        "file_name": production.stem,
        "model_name": facts.title,
        "file_path": production.as_posix(),
        "size": facts.size,
        "modified": facts.modified,
        "sha256": facts.deployment.sha256,
        "base_model": wanted.base_model.strip() or "Unknown",
        "preview_url": preview,
        "notes": _notes(facts),
        "from_civitai": False,
        "civitai": {"trainedWords": list(wanted.trigger_words)} if wanted.trigger_words else {},
        "usage_tips": json.dumps({} if facts.strength is None else {"strength": facts.strength}),
    }


def _a1111(facts: Facts) -> dict[str, Any]:
    """Stable Diffusion web UI and Forge: what their editor of a LoRA's metadata saves."""
    found: dict[str, Any] = {
        "description": facts.title,
        "sd version": _VERSIONS.get(facts.family, "Unknown") if facts.family else "Unknown",
        "notes": _notes(facts),
    }
    if facts.trigger:
        found["activation text"] = facts.trigger
    if facts.strength is not None and 0 < facts.strength <= _HEAVIEST:
        found["preferred weight"] = facts.strength
    if negative := facts.plan.sampling.negative.strip():
        found["negative text"] = negative
    return found


def _civitai(facts: Facts) -> dict[str, Any]:
    """Civitai's answer about a version of a model, as civitai helpers keep it; without ids, since it has none."""
    wanted, production = facts.wanted, facts.plan.production
    found: dict[str, Any] = {
        "name": facts.deployment.selected,
        "description": _notes(facts),
        "trainedWords": list(wanted.trigger_words),
        "model": {"name": facts.title, "type": "LORA"},
        "files": [{"name": production.file, "hashes": {"SHA256": facts.deployment.sha256.upper()}}],
    }
    return found | ({"baseModel": wanted.base_model.strip()} if wanted.base_model.strip() else {})


def _notes(facts: Facts) -> str:
    return "\n".join([f"{facts.story()}.", *facts.marks()])


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


_KINDS: Final[Mapping[str, tuple[str, Callable[[Facts], dict[str, Any]]]]] = {
    "lora-manager": (".metadata.json", _lora_manager),
    "a1111": (".json", _a1111),
    "civitai": (".civitai.info", _civitai),
}
