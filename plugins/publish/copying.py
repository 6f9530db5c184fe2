"""A copy of the LoRA to share: another header, the same tensors bit for bit."""

import json
import re
import struct
from pathlib import Path
from typing import Final

from plugins.loras.errors import HeaderError
from plugins.loras.header import header_size, read_header
from plugins.plan.training.families import Family
from plugins.plan.training.header import tensors_digest
from plugins.publish.profile import Profile
from plugins.publish.record import PublishError

_BLOCK: Final = 4 * 1024 * 1024
_ALIGNED: Final = 8
"""Bytes: the tensors begin at a multiple of this, as safetensors itself writes them."""
_PREFIX: Final = "modelspec."
_TECHNICAL: Final = (
    "ss_base_model_version",
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_v2",
    "ss_steps",
    "ss_epoch",
    "format",
    "modelspec.resolution",
    "modelspec.prediction_type",
)
"""Notes of the trainer that say how to load the file, but not where or from what it was made."""
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
"""A name such as `networks.lora`, a number, a size such as `512x512`."""
_ARCHITECTURE: Final = re.compile(_WORD.pattern + r"(/lora)?")
_IMPLEMENTATION: Final = re.compile(_WORD.pattern + r"|https://github\.com/[\w.-]{1,39}/[\w.-]{1,64}", re.ASCII)
_ARCHITECTURES: Final = {
    Family.SD1: "stable-diffusion-v1-lora",
    Family.SDXL: "stable-diffusion-xl-v1-base-lora",
}
"""As ModelSpec lists them; of other families it lists none, or several."""
_OF_STABILITY: Final = ("lora_unet_", "lora_te")


def write_copy(profile: Profile, target: Path) -> None:
    """Write the copy, read it again, and check that its tensors are production's.

    Raises `OSError`, and `PublishError` where they are not.
    """
    production = profile.plan.production_file
    notes = notes_of_copy(profile, tensors_digest(production))
    with production.open("rb") as source, target.open("wb") as copy:
        start = 8 + header_size(production)
        source.seek(8)
        header = json.loads(source.read(start - 8))
        header = {"__metadata__": notes, **{name: one for name, one in header.items() if name != "__metadata__"}}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNED)
        copy.write(struct.pack("<Q", len(text)) + text)
        while block := source.read(_BLOCK):
            copy.write(block)
    check_copy(profile, target)


def check_copy(profile: Profile, copy: Path) -> None:
    """Check that a copy's tensors are production's, bit for bit, under the same names. Raises `PublishError`."""
    production = profile.plan.production_file
    try:
        same = read_header(copy).layout == read_header(production).layout
    except HeaderError as error:
        raise PublishError(f"The copy cannot be read again: {error} Nothing was published.") from error
    if not same or tensors_digest(copy) != tensors_digest(production):
        raise PublishError(
            f"The copy of {production} does not hold the same tensors. Nothing was published; try again."
        )


def notes_of_copy(profile: Profile, tensors_sha256: str) -> dict[str, str]:
    """Return the notes in the copy's header: ModelSpec's, and what of the trainer's may go with it."""
    wanted, given = profile.wanted, profile.header.metadata
    kept = {key: given[key] for key in (given if wanted.keep_training_notes else _TECHNICAL) if key in given}
    if not wanted.keep_training_notes:
        kept = {key: value for key, value in kept.items() if _WORD.fullmatch(value)}
    words = f"Trigger words: {profile.trigger}. " if profile.trigger else ""
    judged = "" if profile.strength is None else f"Judged at strength {profile.strength:g}."
    fields = {
        "title": profile.title,
        "description": f"{profile.story()}.",
        "date": f"{profile.deployment.deployed:%Y-%m-%d}",
        "hash_sha256": f"0x{tensors_sha256}",
        "usage_hint": f"{words}{judged}".strip(),
        "thumbnail": profile.thumbnail,
        "author": wanted.author.strip(),
        "license": wanted.license.strip(),
        "trigger_phrase": profile.trigger,
    }
    return kept | {f"{_PREFIX}{key}": value for key, value in {**_architecture(profile), **fields}.items() if value}


def _architecture(profile: Profile) -> dict[str, str]:
    """Return ModelSpec's keys for loading the file; none if one is not known, since ModelSpec requires all of them."""
    given = profile.header.metadata
    named, made_by = given.get(f"{_PREFIX}architecture", ""), given.get(f"{_PREFIX}implementation", "")
    named = named if _ARCHITECTURE.fullmatch(named) else ""
    made_by = made_by if _IMPLEMENTATION.fullmatch(made_by) else ""
    by_family = _ARCHITECTURES.get(profile.family, "") if profile.family else ""
    is_of_stability = all(name.startswith(_OF_STABILITY) for name in profile.header.tensors)
    found = {
        "sai_model_spec": "1.0.0",
        "architecture": profile.wanted.architecture.strip() or named or by_family,
        "implementation": made_by or ("sgm" if is_of_stability else ""),
    }
    return found if all(found.values()) else {}
