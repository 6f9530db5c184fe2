"""The header of a safetensors file, read without its weights: the trainer's notes, and each tensor's name and shape."""

import contextlib
import hashlib
import json
import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from plugins.plan.messages import UserError

_DIGITS: Final = 12
"""No training run has as many steps as a number this long."""
_LONGEST_NAME: Final = 80
_CROSS_ATTENTION: Final = re.compile(r"attn2[._]to_k[._](lora[._]?(down|A)[._])?(default[._])?weight$")
"""In a LoRA and in a base model, this tensor's second dimension is the width of the text encoding."""
_OTHERS: Final = {
    b"version https://git-lfs": "it is a pointer of Git LFS). Get the file itself: git lfs pull",
    b"<!doctype": "it is a web page, as a download without a login gives). Download it again.",
    b"<html": "it is a web page, as a download without a login gives). Download it again.",
    b"pk\x03\x04": "it is an archive, such as torch.save writes). Have the trainer save safetensors, or convert it.",
}
"""How files begin that people have in a LoRA's place, in small letters; what they are, and what to do."""
Shapes = tuple[tuple[str, tuple[int, ...]], ...]
"""Tensors by their names, each with its shape; without one where its numbers may be packed."""


class NotSafetensors(UserError):
    """A file that is not a complete safetensors file, or has no tensors; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor's type, shape, and place in the file's data: offsets in bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a safetensors file."""

    metadata: Mapping[str, str]
    tensors: tuple[str, ...]
    context: int | None = None
    """Width of the text encoding that its cross-attention reads; it tells UNets apart."""
    layout: Mapping[str, Tensor] = field(default_factory=dict, compare=False, repr=False)
    """Every tensor by its name."""

    @cached_property
    def shapes(self) -> Shapes:
        """Every tensor's name and shape; integers may be packed, and then their shape tells nothing."""
        stored = ((name, self.layout.get(name)) for name in self.tensors)
        return tuple((name, one.shape if one and one.dtype.startswith(("F", "BF")) else ()) for name, one in stored)

    @cached_property
    def step(self) -> int | None:
        """The training step that the trainer noted: kohya, ai-toolkit, SimpleTuner; None where there is none."""
        return next((found for key in ("ss_steps", "step") if (found := self._number(key)) is not None), None)

    @cached_property
    def step_key(self) -> str:
        """The note that `step` was read from."""
        return self._source_of("ss_steps", "step")

    @cached_property
    def epoch(self) -> int | None:
        """The epoch that the trainer noted; None where there is none."""
        return next((found for key in ("ss_epoch", "epoch") if (found := self._number(key)) is not None), None)

    @cached_property
    def epoch_key(self) -> str:
        """The note that `epoch` was read from."""
        return self._source_of("ss_epoch", "epoch")

    def _number(self, key: str) -> int | None:
        """Read a number from the notes: kohya's own key first, then what others call it."""
        if key.startswith("ss_"):
            return _whole(self.metadata.get(key))
        for given in (self._training_info.get(key), self.metadata.get(f"global_{key}")):
            if (found := _whole(given)) is not None:
                return found
        return None

    def _source_of(self, kohya: str, key: str) -> str:
        if self._number(kohya) is not None:
            return kohya
        return "training_info" if _whole(self._training_info.get(key)) is not None else f"global_{key}"

    @cached_property
    def _training_info(self) -> Mapping[str, Any]:
        """ai-toolkit's notes: JSON with step and epoch."""
        try:
            info = json.loads(self.metadata.get("training_info", ""))
        except (ValueError, RecursionError):
            return {}
        return info if isinstance(info, dict) else {}


def _why(path: Path, error: Exception) -> str:
    """Return why a file cannot be read, and after a bracket what to do about it."""
    start = b""
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(64)
            if not start:
                error = ValueError("it is empty")
    found = next((meaning for begins, meaning in _OTHERS.items() if start.lstrip().lower().startswith(begins)), None)
    return found or (
        f"{str(error).strip()}). If it is still being written or copied, wait; else copy it from the trainer's output "
        "again."
    )


def read_header(path: Path) -> Header:
    """Read the header of the file at `path`.

    Raises `NotSafetensors` where it is not a safetensors file, or does not have all the bytes its header promises.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no plain file")  # noqa: TRY301 (a pipe would be waited for without end)
        with safe_open(path, framework="numpy") as file:
            names, metadata = tuple(file.keys()), dict(file.metadata() or {})
        layout = _layout(path)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotSafetensors(f"{path} is not a complete safetensors file ({_why(path, error)}") from error
    if not names:
        raise NotSafetensors(f"{path} holds no tensors, so it is no LoRA. Copy it from the trainer's output again.")
    wide = next((layout[name].shape for name in names if _CROSS_ATTENTION.search(name)), ())
    return Header(metadata=metadata, tensors=names, context=wide[1] if len(wide) > 1 else None, layout=layout)


def header_size(path: Path) -> int:
    """Return the length of a safetensors file's header in bytes, as its first eight bytes say."""
    with path.open("rb") as file:
        return int(struct.unpack("<Q", file.read(8))[0])


def tensors_digest(path: Path) -> str:
    """Return the SHA-256 of all tensors' bytes: of what comes after the header."""
    with path.open("rb") as file:
        file.seek(8 + header_size(path))
        return hashlib.file_digest(file, "sha256").hexdigest()


def _layout(path: Path) -> dict[str, Tensor]:
    """Return where each tensor lies; what safetensors itself accepted is trusted here.

    Refuses a header that gives one name twice, since each reader may take another of the two. Raises `ValueError`.
    """

    def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise ValueError(f"its header names {twice[:_LONGEST_NAME]!r} twice")
        return found

    with path.open("rb") as file:
        file.seek(8)
        header = json.loads(file.read(header_size(path)), object_pairs_hook=once)
    return {
        name: Tensor(
            dtype=one["dtype"], shape=tuple(one["shape"]), begin=one["data_offsets"][0], end=one["data_offsets"][1]
        )
        for name, one in header.items()
        if name != "__metadata__"
    }


def _whole(value: object) -> int | None:
    """Return a whole number that a trainer wrote, as text or as JSON's number."""
    if isinstance(value, bool):
        return None
    text = str(value) if isinstance(value, int) else value
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < _DIGITS else None
