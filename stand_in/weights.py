"""Safetensors files: reading what the stand-in needs of them, and writing ones that any library opens."""

import hashlib
import json
import os
import random
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open

from stand_in.values import UNKNOWN_TRAINING, Lora

_CHUNK: Final = 1 << 20
_HEADER_LIMIT: Final = 100_000_000
_RANDOM_BLOCK: Final = 1 << 16
_LENGTH: Final = struct.Struct("<Q")
"""A file starts with the length of its header."""
_HALF: Final = 2
"""Bytes of one F16 number."""
_MODEL_KEYS: Final = ("lora_unet_", "unet.", "diffusion_model.", "transformer.")
_CLIP_KEYS: Final = ("lora_te_", "text_encoder.", "text_encoders.")

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor names and shapes, all of them F16."""


class WeightsError(Exception):
    """A file that holds no usable weights, where the safetensors library itself finds nothing to say."""


def read_header(path: Path, *, limit: int = _HEADER_LIMIT) -> dict[str, Any]:
    """Return the JSON header: tensor names, and `__metadata__` where there is one. Looks no further into the file.

    Raises `ValueError` when the file is no safetensors file, or has a header over `limit` bytes.
    """
    return _opened(path, limit)[0]


def check(path: Path) -> dict[str, Any]:
    """Return the header of a file that ComfyUI would load: one that is whole.

    Raises what the real server reports for a broken one: safetensors' own `SafetensorError`
    (recorded in run_corrupt_lora.json).
    """
    try:
        header, start = _opened(path, _HEADER_LIMIT)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        if start + max(ends, default=0) != path.stat().st_size:
            raise ValueError(f"{path} is cut short")  # noqa: TRY301 (reported below, in the library's words)
    except (ValueError, KeyError, TypeError) as error:
        try:
            with safe_open(path, framework="np"):
                pass
        except ImportError:
            pass  # the library liked the header, and only then looked for numpy
        raise WeightsError(f"{path.name} holds no weights that the stand-in can read: {error}") from error
    return header


def read_lora(path: Path) -> Lora:
    """Load a LoRA as LoraLoader does: all of its tensors are read. Raises as `check` does."""
    header = check(path)
    metadata = header.pop("__metadata__", {})
    _, start = _opened(path, _HEADER_LIMIT)
    return Lora(
        trigger=metadata.get("ss_output_name", ""),
        fraction=_fraction(metadata),
        digest=_checksum(path, json.dumps(header, sort_keys=True).encode(), start),
        fits_model=any(key.startswith(_MODEL_KEYS) for key in header),
        fits_clip=any(key.startswith(_CLIP_KEYS) for key in header),
        keys=tuple(header),
    )


def not_loaded(lora: Lora, *, with_clip: bool) -> list[str]:
    """Name the keys of a LoRA that no weight takes; without a text encoder, those for it are among them."""
    taken = (*_MODEL_KEYS, *_CLIP_KEYS) if with_clip else _MODEL_KEYS
    return [key for key in lora.keys if not key.startswith(taken)]


def read_base(path: Path) -> str:
    """Return what identifies a base model: a digest of its header and size. Raises as `check` does.

    Of a file in another format than safetensors it is a checksum.
    """
    if path.suffix != ".safetensors":
        return _checksum(path)
    header = json.dumps(check(path), sort_keys=True)
    return hashlib.sha256(f"{header} {path.stat().st_size}".encode()).hexdigest()[:16]


def write_weights(path: Path, shapes: Shapes, metadata: Mapping[str, str], *, seed: str) -> None:
    """Write a safetensors file: zeros but for a block of numbers from `seed` at either end, atomically.

    The zeros are a hole where the file system has holes, so that 50 MB take a moment and no room. The same
    arguments give the same bytes everywhere.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, shape in shapes.items():
        size = _size(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not ending in .safetensors, so that no picker ever shows a half-written file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(_LENGTH.pack(len(text)) + text)
            file.write(_numbers(seed, min(end, _RANDOM_BLOCK)))
            file.truncate(_LENGTH.size + len(text) + end)
            if end >= 2 * _RANDOM_BLOCK:  # the last tensor is a second factor: a LoRA of zeros there changes nothing
                file.seek(-_RANDOM_BLOCK, os.SEEK_END)
                file.write(_numbers(f"{seed} end", _RANDOM_BLOCK))
        os.replace(temporary, path)  # noqa: PTH105 (same on every system)
    finally:
        temporary.unlink(missing_ok=True)


def size_of(shapes: Shapes) -> int:
    """Bytes that the tensors take in a file, without its header."""
    return sum(_size(shape) for shape in shapes.values())


def _opened(path: Path, limit: int) -> tuple[dict[str, Any], int]:
    """Read the header, and where the tensors start."""
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
        length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
        if not len(b"{}") <= length <= limit:
            raise ValueError(f"{path} has no safetensors header")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{path} has no safetensors header")  # noqa: TRY004 (one error for one meaning)
    return header, _LENGTH.size + length


def _size(shape: tuple[int, ...]) -> int:
    size = _HALF
    for length in shape:
        size *= length
    return size


def _numbers(seed: str, size: int) -> bytes:
    """Small F16 numbers, none of them infinite: bytes whose exponent's top bits are cleared."""
    raw = bytearray(random.Random(seed).randbytes(size))  # noqa: S311 (no secret)
    for high in range(1, size, 2):
        raw[high] &= 0xAF
    return bytes(raw)


def _checksum(path: Path, names: bytes = b"", start: int = 0) -> str:
    """Identify a file's bytes from `start` on, and what they are called; the notes before them change nothing."""
    checksum = zlib.crc32(names)
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return f"{checksum:08x}-{path.stat().st_size - start}"


def _fraction(metadata: Mapping[str, str]) -> float:
    try:
        if told := metadata.get("stand_in_training"):
            return min(1.0, max(0.0, float(told)))
        return min(1.0, max(0.0, float(metadata["ss_steps"]) / float(metadata["ss_max_train_steps"])))
    except (KeyError, ValueError, ZeroDivisionError):
        return UNKNOWN_TRAINING
