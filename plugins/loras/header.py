"""What a LoRA file says of itself, read without loading its weights."""

import json
import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from plugins.loras.errors import HeaderError
from plugins.plan.plan import Checkpoint

_DIGITS: Final = 12
"""No training run has as many steps as a number this long."""
_CROSS_ATTENTION: Final = re.compile(r"attn2[._]to_k[._](lora[._]?(down|A)[._])?(default[._])?weight$")
"""In a LoRA and in a base model, this tensor's second dimension is the width of the text encoding."""
_BY_CONTEXT: Final = {768: "SD 1.x", 1024: "SD 2.x", 2048: "SDXL"}
_LONGEST_TOLD: Final = 80
"""Letters of one of the trainer's notes that a line repeats; a hostile one may have megabytes."""
_TOLD: Final = (
    ("module", "ss_network_module"),
    ("rank", "ss_network_dim"),
    ("base model version", "ss_base_model_version"),
)


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a safetensors file: the trainer's notes and the names of its tensors."""

    metadata: Mapping[str, str]
    tensors: tuple[str, ...]
    context: int | None = None
    """Width of the text encoding that its cross-attention reads, in numbers; it tells base models apart."""

    @property
    def step(self) -> int | None:
        """The training step as kohya's trainer writes it (`ss_steps`), where it is there."""
        step = self.metadata.get("ss_steps", "")
        return int(step) if step.isdecimal() and len(step) < _DIGITS else None

    @cached_property
    def architecture(self) -> str | None:
        """The kind of base model that its tensors are shaped for, where that can be told."""
        if any("double_blocks" in name for name in self.tensors):
            return "Flux"
        if any(name.startswith(("lora_te2_", "conditioner.embedders.1.")) for name in self.tensors):
            return "SDXL"
        return _BY_CONTEXT.get(self.context or 0)

    @cached_property
    def told(self) -> str:
        """What it says of itself, in one line: module, rank, base model version, key prefixes."""
        said = [f"{name} {self.metadata[key][:_LONGEST_TOLD]}" for name, key in _TOLD if self.metadata.get(key)]
        prefixes = Counter("_".join(re.split(r"[._]", name)[:2])[:_LONGEST_TOLD] for name in self.tensors)
        keys = ", ".join(f"{prefix}* ({count})" for prefix, count in prefixes.most_common(3))
        kind = [f"shaped for {self.architecture}"] if self.architecture else []
        told = "; ".join([*said, *kind, f"keys {keys}"])
        return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in told)


def read_header(path: Path) -> Header:
    """Read the header of the file at `path`.

    Raises `HeaderError` where it is not a safetensors file, or does not have all the bytes its header promises.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = tuple(file.keys())
            attention = next((name for name in names if _CROSS_ATTENTION.search(name)), None)
            shape = file.get_slice(attention).get_shape() if attention else []
            context = shape[1] if len(shape) > 1 else None
            header = Header(metadata=dict(file.metadata() or {}), tensors=names, context=context)
        _see_no_name_twice(path)
    except (SafetensorError, OSError, ValueError) as error:
        why = "it is empty" if path.is_file() and path.stat().st_size == 0 else str(error).strip()
        raise HeaderError(
            f"{path} is not a whole safetensors file ({why}). "
            "If it is still being written or copied, wait; else take it from the trainer's output again."
        ) from error
    if not header.tensors:
        raise HeaderError(f"{path} holds no tensors, so it is no LoRA. Take it from the trainer's output again.")
    return header


def header_size(path: Path) -> int:
    """Return the length of a safetensors file's header in bytes, as its first eight bytes tell it."""
    with path.open("rb") as file:
        return int(struct.unpack("<Q", file.read(8))[0])


def _see_no_name_twice(path: Path) -> None:
    """Refuse a header that gives one name twice: each reader may take another of the two (safetensors' format).

    Raises `ValueError`.
    """

    def once(pairs: Sequence[tuple[str, object]]) -> None:
        counted = Counter(name for name, _ in pairs)
        if twice := next((name for name, count in counted.items() if count > 1), None):
            raise ValueError(f"its header names {twice[:_LONGEST_TOLD]!r} twice")

    with path.open("rb") as file:
        file.seek(8)
        json.loads(file.read(header_size(path)), object_pairs_hook=once)


def check_header(path: Path, checkpoint: Checkpoint) -> Header:
    """Read the header of `checkpoint`'s file and hold it against the plan.

    Raises `HeaderError` also where the trainer's step contradicts the plan's.
    """
    header = read_header(path)
    if header.step is not None and header.step != checkpoint.step:
        raise HeaderError(
            f"{path} says that it was saved at step {header.step} (ss_steps), but the plan calls it step "
            f"{checkpoint.step}. Correct the plan's [[checkpoint]], or the file."
        )
    return header


def check_fit(headers: Mapping[Checkpoint, Header], base: Header | None, *, base_model: str) -> None:
    """Refuse LoRAs that are shaped for another kind of base model: no key of them would fit, and nobody would say so.

    What cannot be told from the headers is left to the comparison with the baseline. Raises `HeaderError`.
    """
    wanted = base.architecture if base else None
    wrong = {one.id: header for one, header in headers.items() if header.architecture not in {None, wanted}}
    if wanted and wrong:
        lines = "".join(f"\n  {checkpoint}: {header.told}" for checkpoint, header in wrong.items())
        raise HeaderError(
            f"The base model {base_model} is {wanted}, and these LoRAs are not:{lines}\n"
            "  Correct `base_model` under [sampling] in the plan: it must be of the kind that they were trained on."
        )
