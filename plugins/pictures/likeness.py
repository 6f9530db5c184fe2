"""How near a picture is to the training images: a LoRA that is over-trained copies them.

A picture is reduced to 16x16 brightnesses without their mean and contrast, so that recompression, brightness and colour
do not count. Every window of 67 to 100 % of one picture is compared with the whole of the other, also mirrored, so that
crops do not count either. `benchmarks/likeness.py` measures what this finds and what it leaves alone.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from plugins.pictures.picture import FORMATS, UNREADABLE

Vectors = NDArray[np.float32]
"""One window in each row, of length 1."""

_IMAGES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_GRID: Final = 16
_BLOCKS: Final = (12, 11, 10, 9, 8)
"""Side, in pixels, of the block that becomes one brightness: windows of 100, 92, 83, 75 and 67 % of the picture."""
_SIDE: Final = _GRID * _BLOCKS[0]
_STRIDE: Final = 4

_SAMPLE: Final = 32
"""The usual distance between training images is estimated from about so many of them: a set may have thousands."""

COPY: Final = 0.15
"""Below this distance a picture is a copy, cropped or recoloured perhaps: see `benchmarks/likeness.py`."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The training image that a picture is nearest to. Distance 0 is the same picture, about 1 another."""

    image: Path
    distance: float
    usual: float | None
    """The median distance from a training image to the one nearest to it; None where there is but one."""


def fingerprint(picture: Image.Image) -> bytes:
    """Return a picture's 16x16 brightnesses: enough to tell pictures apart without opening them again."""
    return picture.convert("RGB").convert("L").resize((_GRID, _GRID), Image.Resampling.BOX).tobytes()


def diversity(fingerprints: Sequence[bytes]) -> float | None:
    """Return the mean distance between pictures; None for fewer than two."""
    if len(fingerprints) < 2:  # noqa: PLR2004 (one has no other)
        return None
    vectors = _levelled(np.stack([np.frombuffer(one, dtype=np.uint8).astype(np.float32) for one in fingerprints]))
    above = np.triu_indices(len(vectors), k=1)
    return round(float((1 - vectors @ vectors.T)[above].mean()), 4)


def training_images(folder: Path | None) -> tuple[Path, ...]:
    """List the images in a folder and below it, as trainers lay them out (`10_spyke/01.png` beside its caption)."""
    if folder is None or not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.rglob("*") if path.suffix.lower() in _IMAGES and path.is_file()))


class TrainingSet:
    """Training images to compare with. They are read when the first picture is compared, or when they are counted."""

    def __init__(self, images: Sequence[Path]) -> None:
        self._images = images

    @cached_property
    def _read(self) -> dict[Path, Vectors | None]:
        """The windows of each image; None for one that cannot be read."""
        return {path: _windows_of(path) for path in self._images}

    @cached_property
    def _paths(self) -> tuple[Path, ...]:
        return tuple(path for path, windows in self._read.items() if windows is not None)

    @cached_property
    def _windows(self) -> list[Vectors]:
        return [windows for windows in self._read.values() if windows is not None]

    @property
    def unreadable(self) -> tuple[Path, ...]:
        """Files that look like images and are not; nothing was compared with them."""
        return tuple(path for path, windows in self._read.items() if windows is None)

    def __bool__(self) -> bool:
        return bool(self._paths)

    def nearest(self, picture: Image.Image) -> Nearest:
        """Find the training image nearest to `picture`. Raises `ValueError` where there are none."""
        distances = self._distances(_windows(_shrunk(picture)))
        best = int(np.argmin(distances))
        return Nearest(image=self._paths[best], distance=round(max(float(distances[best]), 0.0), 4), usual=self.usual)

    @cached_property
    def usual(self) -> float | None:
        """Return the median distance from a training image to the nearest other one."""
        if len(self._paths) < 2:  # noqa: PLR2004 (one has no other)
            return None
        nearest = []
        for index in range(0, len(self._windows), max(1, len(self._windows) // _SAMPLE)):
            distances = self._distances(self._windows[index])
            nearest.append(min(float(distance) for other, distance in enumerate(distances) if other != index))
        return round(float(np.median(nearest)), 4)

    def _distances(self, windows: Vectors) -> NDArray[np.float32]:
        """Measure from one picture's windows to every training image; the first window of each is the whole."""
        whole = _both_ways(windows)
        return np.array(
            [1 - max((there @ whole.T).max(), (windows @ _both_ways(there).T).max()) for there in self._windows],
            dtype=np.float32,
        )


def _windows_of(path: Path) -> Vectors | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return _windows(_shrunk(image))
    except UNREADABLE:
        return None


def _shrunk(image: Image.Image) -> NDArray[np.float32]:
    grey: Any = image.convert("RGB").convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.float32)


def _windows(brightness: NDArray[np.float32]) -> Vectors:
    """Cut out every window, the whole picture first, and level its brightness and contrast."""
    sums = np.pad(brightness.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    found = []
    for block in _BLOCKS:
        means = sums[block:, block:] - sums[:-block, block:] - sums[block:, :-block] + sums[:-block, :-block]
        span = (_GRID - 1) * block + 1  # from the first of a window's means to the last
        windows = sliding_window_view(means, (span, span))[::_STRIDE, ::_STRIDE, ::block, ::block]
        found.append(windows.reshape(-1, _GRID**2))
    return _levelled(np.concatenate(found))


def _levelled(vectors: Vectors) -> Vectors:
    """Remove each row's mean and contrast; a row without contrast becomes zero."""
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    levelled: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-3)  # noqa: PLR2004
    return levelled


def _both_ways(windows: Vectors) -> Vectors:
    """Return the whole picture, and its mirror image."""
    whole = windows[0].reshape(_GRID, _GRID)
    return np.stack([whole.ravel(), whole[:, ::-1].ravel()])
