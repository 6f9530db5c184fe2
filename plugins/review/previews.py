"""Small pictures for the page: inside it while the matrix is small, linked when it is large.

They lie beside the page in either case, so that each is made once: when its picture comes, while the next one renders.
Those inside are WebP, since a page is mailed; those beside are JPEG, which takes a tenth of WebP's processor time.
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
_LINKED: Final = (512, 82)
"""The same of JPEG."""
_EFFORT: Final = 2
"""Of WebP, 0 to 6: a preview takes 4 ms instead of 12 ms at 4, and is 5 % larger."""
_WEBP: Final = ".webp"
_JPEG: Final = ".jpg"


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


def make_preview(source: Source, reports: Path, *, among: int, picture: Image.Image | None = None) -> Preview | None:
    """Shrink one of so many pictures on a page; None for one that cannot be read.

    A preview of the picture as it lies there, and not too large to be embedded, is kept; one of a `picture` that was
    just written, and needs no decoding any more, is always made.
    """
    share = EMBEDDED_BYTES // among if among <= EMBED_AT_MOST else None
    place = _place(source, _WEBP if share else _JPEG)
    try:
        if picture is None and (there := _kept(source, reports, place, share)):
            return there
        made = source.path.stat()
        shrunk = _fitting(_opened(source.path) if picture is None else picture, share)
        write_atomically(reports / place, shrunk.content)
        os.utime(reports / place, ns=(made.st_atime_ns, made.st_mtime_ns))  # it is of the picture as it was then
        return _preview(place, shrunk.content if share else b"", shrunk.width, shrunk.height)
    except UNREADABLE:
        return None


def beside(source: Source, reports: Path) -> Path | None:
    """Give the preview that lies beside the page and is of the picture as it is; None where there is none."""
    return next((path for suffix in (_JPEG, _WEBP) if _is_of(path := reports / _place(source, suffix), source)), None)


def _kept(source: Source, reports: Path, place: PurePosixPath, share: int | None) -> Preview | None:
    """Give the preview that is there, if it may be shown."""
    path = reports / place
    if not _is_of(path, source):
        return None
    content = path.read_bytes() if share else b""
    if share is not None and len(content) > share:
        return None
    with Image.open(path, formats=FORMATS) as there:
        return _preview(place, content, *there.size)


def _is_of(preview: Path, source: Source) -> bool:
    """Say whether a preview is of the picture as it is now: it was given the picture's time."""
    return preview.is_file() and preview.stat().st_mtime_ns == source.path.stat().st_mtime_ns


def _place(source: Source, suffix: str) -> PurePosixPath:
    return FOLDER / source.name.with_name(source.name.name + suffix)


def _preview(place: PurePosixPath, embedded: bytes, width: int, height: int) -> Preview:
    src = f"data:image/webp;base64,{base64.b64encode(embedded).decode()}" if embedded else place.as_posix()
    return Preview(src, width, height)


def _opened(path: Path) -> Image.Image:
    with Image.open(path, formats=FORMATS) as picture:
        picture.load()
        return picture


@dataclass(frozen=True)
class _Shrunk:
    content: bytes
    width: int
    height: int


def _fitting(picture: Image.Image, share: int | None) -> _Shrunk:
    """Shrink a picture to WebP of at most `share` bytes, or to JPEG where there is no such limit."""
    if share is None:
        return _shrunk(picture, *_LINKED, "JPEG")
    for side, quality in _LADDER:
        shrunk = _shrunk(picture, side, quality, "WEBP")
        if len(shrunk.content) <= share:
            break
    return shrunk


def _shrunk(picture: Image.Image, side: int, quality: int, kind: str) -> _Shrunk:
    """Shrink a picture until its longest side is at most `side`, without its metadata."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=1.0)
    buffer = BytesIO()
    small.save(buffer, kind, quality=quality, **({"method": _EFFORT} if kind == "WEBP" else {}))
    return _Shrunk(buffer.getvalue(), small.width, small.height)
