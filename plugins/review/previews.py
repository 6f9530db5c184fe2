"""Small WebP pictures for the page: inside it while the matrix is small, linked when it is large.

They lie beside the page in either case, so that each is made once: when its picture comes, while the next one renders.
"""

import base64
import hashlib
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
"""Where previews lie, seen from the report."""

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
    """A picture on disk, and the name that its preview gets beside the page: `step600/novel_pose`."""

    path: Path
    name: PurePosixPath


def training_source(path: Path) -> Source:
    """Name a training image's preview by place, size and time: another file gets another preview."""
    status = path.stat()
    stamp = f"{path} {status.st_size} {status.st_mtime_ns}"
    return Source(path, PurePosixPath("training", hashlib.sha256(stamp.encode()).hexdigest()[:12]))


def make_previews(sources: Iterable[Source], reports: Path) -> dict[Path, Preview]:
    """Shrink every picture; one that cannot be read is left out.

    Up to `EMBED_AT_MOST` pictures become `data:` addresses, more are linked. Each is written below `reports`/previews.
    """
    unique = {source.path: source for source in sources}

    def one(source: Source) -> Preview | None:
        return make_preview(source, reports, among=len(unique))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the GIL while it works
        made = pool.map(one, unique.values())
        return {path: preview for path, preview in zip(unique, made, strict=True) if preview}


def make_preview(source: Source, reports: Path, *, among: int) -> Preview | None:
    """Shrink one of so many pictures on a page; None for one that cannot be read.

    A preview that is newer than its picture, and not too large to be embedded, is kept.
    """
    share = EMBEDDED_BYTES // among if among <= EMBED_AT_MOST else None
    try:
        if path := beside(source, reports):
            webp = path.read_bytes() if share else b""
            if share is None or len(webp) <= share:
                with Image.open(path, formats=FORMATS) as there:
                    return _preview(source, webp, *there.size)
        with Image.open(source.path, formats=FORMATS) as picture:
            picture.load()
            for side, quality in _LADDER if share else (_LINKED,):
                webp, width, height = _shrunk(picture, side, quality)
                if share is None or len(webp) <= share:
                    break
        write_atomically(reports / _place(source), webp)
        return _preview(source, webp if share else b"", width, height)
    except UNREADABLE:
        return None


def beside(source: Source, reports: Path) -> Path | None:
    """Give the preview that lies beside the page and is newer than its picture; None where there is none."""
    path = reports / _place(source)
    there = path.is_file() and path.stat().st_mtime_ns > source.path.stat().st_mtime_ns
    return path if there else None


def _place(source: Source) -> PurePosixPath:
    return FOLDER / source.name.with_name(source.name.name + ".webp")


def _preview(source: Source, embedded: bytes, width: int, height: int) -> Preview:
    src = f"data:image/webp;base64,{base64.b64encode(embedded).decode()}" if embedded else _place(source).as_posix()
    return Preview(src, width, height)


def _shrunk(picture: Image.Image, side: int, quality: int) -> tuple[bytes, int, int]:
    """Give WebP bytes with the longest side at most `side`, without the picture's metadata."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=quality, method=_EFFORT)
    return buffer.getvalue(), small.width, small.height
