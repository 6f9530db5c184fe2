"""A LoRA's header: read without its weights, described in one line, and compared with the base model's."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from plugins.loras.errors import HeaderError
from plugins.plan.tested import Checkpoint
from plugins.plan.training.families import are_related, families_of, families_of_base, family_names
from plugins.plan.training.header import Header, NotSafetensors, header_size
from plugins.plan.training.header import read_header as read
from plugins.plan.training.layers import other_size

__all__ = ["Header", "check_fit", "doubts_of_fit", "header_size", "read_header", "said"]

_LONGEST_NOTE: Final = 80
"""Letters of a trainer's note that are shown; a hostile note may have megabytes."""
_NOTES: Final = (
    ("module", "ss_network_module"),
    ("rank", "ss_network_dim"),
    ("base model version", "ss_base_model_version"),
)


def read_header(path: Path) -> Header:
    """Read the header of the file at `path`.

    Raises `HeaderError` where it is not a safetensors file, or does not have all the bytes its header promises.
    """
    try:
        return read(path)
    except NotSafetensors as error:
        raise HeaderError(str(error)) from error


def said(header: Header) -> str:
    """Describe a file in one line by its header: module, rank, base model version, family, key prefixes."""
    notes = [f"{name} {header.metadata[key][:_LONGEST_NOTE]}" for name, key in _NOTES if header.metadata.get(key)]
    prefixes = Counter("_".join(re.split(r"[._]", name)[:2])[:_LONGEST_NOTE] for name in header.tensors)
    keys = ", ".join(f"{prefix}* ({count})" for prefix, count in prefixes.most_common(3))
    family = family_names(families_of(header))
    line = "; ".join([*notes, *([f"made for {family}"] if family else []), f"keys {keys}"])
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)


def check_fit(headers: Mapping[Checkpoint, Header], base: Header | None, *, base_model: str) -> None:
    """Refuse LoRAs of another family than the base model's: none of their keys would fit, and ComfyUI would not fail.

    If the headers do not show it, the comparison with the baseline does. Raises `HeaderError`.
    """
    wrong = {one: header for one, header in _others(headers, base) if not _is_related(header, base)}
    sizes = {one: size for one, header in headers.items() if base and (size := other_size(header, base))}
    if base and wrong:
        lines = "".join(f"\n  {checkpoint.id}: {said(header)}" for checkpoint, header in wrong.items())
        raise HeaderError(
            f"The base model {base_model} is {family_names(families_of_base(base))}, and these LoRAs are not:{lines}\n"
            "  Correct `base_model` under [sampling] in the plan: it must be of the kind that they were trained on."
        )
    if base and sizes:
        lines = "".join(
            f"\n  {one.id}: {layer} has {ours} inputs, and {theirs} in the base model"
            for one, (layer, ours, theirs) in sizes.items()
        )
        raise HeaderError(
            f"The base model {base_model} is of another size than these LoRAs were made for:{lines}\n"
            "  Correct `base_model` under [sampling] in the plan: it must be the one that they were trained on."
        )


def doubts_of_fit(headers: Mapping[Checkpoint, Header], base: Header | None, *, base_model: str) -> Iterator[str]:
    """Yield a doubt about each LoRA of a family that is related to the base model's."""
    for checkpoint, header in _others(headers, base):
        if base and _is_related(header, base):
            yield (
                f"checkpoint {checkpoint.id} is made for {family_names(families_of(header))}, and the base model "
                f"{base_model} is {family_names(families_of_base(base))}: only part of it may take effect"
            )


def _others(headers: Mapping[Checkpoint, Header], base: Header | None) -> Iterator[tuple[Checkpoint, Header]]:
    """Yield each checkpoint of another family than the base model's, if both are known."""
    wanted = families_of_base(base) if base else frozenset()
    for checkpoint, header in headers.items():
        if wanted and not wanted & families_of(header):
            yield checkpoint, header


def _is_related(header: Header, base: Header | None) -> bool:
    return base is not None and are_related(families_of(header), families_of_base(base))
