"""Weights that cannot be right, found in a sample of a file: all zero, NaN or infinite; files with equal weights."""

import hashlib
import re
import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from plugins.plan.training.header import Header, Tensor, header_size, tensors_digest

_TENSORS: Final = 128
"""How many tensors are sampled, spread over the file."""
_SPOTS: Final = 3
_SPOT: Final = 64
"""Bytes that are read at each of a tensor's spots."""
_BLOCK: Final = 1 << 20
_EXPONENTS: Final = {"F16": (2, 0x7C00), "BF16": (2, 0x7F80), "F32": (4, 0x7F80_0000), "F64": (8, 0x7FF0 << 48)}
"""Size of a number in bytes, and the bits that are all set in NaN and infinity."""
_FLOATS: Final = (*_EXPONENTS, "F8_E4M3", "F8_E5M2")
_NOT_WEIGHTS: Final = (".alpha", ".on_input", ".rescale")
_FIRST_FACTORS: Final = re.compile(
    r"lora[._](?:down|mid|A|linear_layer\.down)\b|_lora\.down\.|hada_(?:w1_[ab]|w2_b|t[12])$|lokr_(?:w1|w1_[ab]|w2_a|t2)$"
)
"""Random numbers before the training begins; the factors that they are multiplied with are zeros then."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a sample of a file's weights shows."""

    tensors: int
    """How many tensors were looked into."""
    not_finite: int
    """How many of them hold NaN or infinity in at least half of the numbers that were read."""
    is_zero: bool
    """Whether the whole LoRA changes nothing: this was confirmed in full."""
    digest: str
    """Of all tensors' names and shapes, and of the bytes that were read: another digest proves other weights."""


def sample_of(path: Path, header: Header) -> Sample:
    """Sample the weights of a file: at most 25 kB are read, unless they seem to be zeros.

    Raises `OSError`.
    """
    start = 8 + header_size(path)
    weights = {
        name: one
        for name, one in header.layout.items()
        if one.dtype in _FLOATS and one.end > one.begin and not name.endswith(_NOT_WEIGHTS)
    }
    chosen = dict(list(weights.items())[:: max(1, -(-len(weights) // _TENSORS))])
    last = {name: one for name, one in weights.items() if not _FIRST_FACTORS.search(name)} or weights
    layout = sorted((name, one.dtype, one.shape, one.begin, one.end) for name, one in header.layout.items())
    digest = hashlib.blake2b(repr(layout).encode())
    not_finite, zero = 0, bool(last)
    with path.open("rb") as file:
        for name, tensor in chosen.items():
            spots = [_read(file, start + at, min(_SPOT, tensor.end - at)) for at in _spots(tensor)]
            for spot in spots:
                digest.update(spot)
            not_finite += _is_not_finite(b"".join(spots), tensor.dtype)
            zero = zero and (name not in last or all(_is_zero(spot) for spot in spots))
        zero = zero and all(_is_zero(block) for tensor in last.values() for block in _blocks(file, start, tensor))
    return Sample(tensors=len(chosen), not_finite=not_finite, is_zero=zero, digest=digest.hexdigest())


def same_weights(files: Mapping[Path, Sample]) -> list[tuple[Path, ...]]:
    """Group the files that hold the same tensors by the same names. Reads none that differs in its sample.

    Raises `OSError`.
    """
    groups: dict[tuple[int, str], list[Path]] = {}
    for path, sample in files.items():
        size = path.stat().st_size - header_size(path)
        groups.setdefault((size, sample.digest), []).append(path)
    same: dict[tuple[int, str, str], list[Path]] = {}
    for (size, digest), paths in groups.items():
        for path in paths if len(paths) > 1 else ():
            same.setdefault((size, digest, tensors_digest(path)), []).append(path)
    return [tuple(paths) for paths in same.values() if len(paths) > 1]


def _spots(tensor: Tensor) -> Iterator[int]:
    """Yield where to look: at the beginning, in the middle and at the end, at whole numbers of 8 bytes."""
    room = max(0, tensor.end - tensor.begin - _SPOT)
    for number in range(_SPOTS if room else 1):
        yield tensor.begin + room * number // (_SPOTS - 1) // 8 * 8


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def _blocks(file: BinaryIO, start: int, tensor: Tensor) -> Iterator[bytes]:
    for at in range(tensor.begin, tensor.end, _BLOCK):
        yield _read(file, start + at, min(_BLOCK, tensor.end - at))


def _is_zero(data: bytes) -> bool:
    """Say whether numbers are zeros, of either sign."""
    return not data.translate(None, b"\x00\x80")


def _is_not_finite(data: bytes, dtype: str) -> bool:
    """Say whether at least half of the numbers are NaN or infinite. A training that failed leaves nothing else."""
    if dtype == "F8_E4M3":
        bad = [byte & 0x7F == 0x7F for byte in data]  # noqa: PLR2004 (the one pattern that is NaN)
    elif dtype == "F8_E5M2":
        bad = [byte & 0x7C == 0x7C for byte in data]  # noqa: PLR2004 (all bits of the exponent)
    else:
        size, exponent = _EXPONENTS[dtype]
        numbers = array(next(code for code in ("H", "I", "L", "Q") if array(code).itemsize == size))
        numbers.frombytes(data[: len(data) // size * size])
        if sys.byteorder == "big":
            numbers.byteswap()
        bad = [number & exponent == exponent for number in numbers]
    return sum(bad) * 2 >= max(1, len(bad))
