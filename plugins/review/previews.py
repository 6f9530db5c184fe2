"""Small WebP pictures for the page: inside it while the matrix is small, beside it when it is large."""

import base64
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Final

from PIL import Image

from plugins.evidence.files import write_atomically
from plugins.pictures.likeness import FORMATS
from plugins.pictures.picture import UNREADABLE

EMBED_AT_MOST: Final = 60
"""More pictures than this are linked. The limit is size, not time (200 embedded ones opened as fast as linked ones):
60 leave each 32 kB, a busy 512 px preview at quality 60; 200 would leave 9 kB, 256 px at quality 50, too coarse."""
EMBEDDED_BYTES: Final = 1_900_000
"""Bytes of WebP in one page; Base64 makes them 2.5 MB, so that page and results together stay below 3 MB."""
FOLDER: Final = PurePosixPath("previews")
"""Where linked previews lie, seen from the report."""

_LADDER: Final = ((512, 82), (512, 60), (384, 60), (256, 50), (160, 40))
"""Longest side in pixels, and WebP quality: tried until a preview fits its share."""
_LINKED: Final = (384, 78)
_EFFORT: Final = 2
"""Of WebP, 0 to 6: a preview takes 4 ms instead of 12 ms at 4, and is 5 % larger."""


@dataclass(frozen=True)
class Preview:
    """What an `img` needs: an address (`data:` or relative), width and height in pixels."""

    src: str
    width: int
    height: int


@dataclass(frozen=True)
class Source:
    """A picture on disk, and the name that its preview gets where it lies beside the page: `step600/novel_pose`."""

    path: Path
    name: PurePosixPath | None = None


def make_previews(sources: Iterable[Source], reports: Path) -> dict[Path, Preview]:
    """Shrink every picture; one that cannot be read is left out.

    Up to `EMBED_AT_MOST` pictures become `data:` addresses. More are written below `reports`/previews, once:
    a preview that is newer than its picture is kept.
    """
    unique = {source.path: source for source in sources}
    share = EMBEDDED_BYTES // max(len(unique), 1)
    embedded = len(unique) <= EMBED_AT_MOST

    def one(source: Source) -> Preview | None:
        try:
            return _embedded(source, share) if embedded else _linked(source, reports)
        except UNREADABLE:
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the GIL while it works
        made = pool.map(one, unique.values())
        return {path: preview for path, preview in zip(unique, made, strict=True) if preview}


def _embedded(source: Source, share: int) -> Preview:
    with Image.open(source.path, formats=FORMATS) as picture:
        picture.load()
        for side, quality in _LADDER:
            webp, width, height = _shrunk(picture, side, quality)
            if len(webp) <= share:
                break
    return Preview(f"data:image/webp;base64,{base64.b64encode(webp).decode()}", width, height)


def linked(source: Source, reports: Path) -> Path | None:
    """Give the preview that lies beside the page and is newer than its picture; None where there is none."""
    if source.name is None:
        return None
    path = reports / _beside(source)
    there = path.is_file() and path.stat().st_mtime_ns > source.path.stat().st_mtime_ns
    return path if there else None


def _beside(source: Source) -> PurePosixPath:
    name = source.name or PurePosixPath(source.path.stem)
    return FOLDER / name.with_name(name.name + ".webp")


def _linked(source: Source, reports: Path) -> Preview:
    relative = _beside(source)
    if path := linked(source, reports):
        with Image.open(path, formats=FORMATS) as there:
            return Preview(relative.as_posix(), *there.size)
    with Image.open(source.path, formats=FORMATS) as picture:
        webp, width, height = _shrunk(picture, *_LINKED)
    write_atomically(reports / relative, webp)
    return Preview(relative.as_posix(), width, height)


def _shrunk(picture: Image.Image, side: int, quality: int) -> tuple[bytes, int, int]:
    """Give WebP bytes with the longest side at most `side`, without the picture's metadata."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=quality, method=_EFFORT)
    return buffer.getvalue(), small.width, small.height
