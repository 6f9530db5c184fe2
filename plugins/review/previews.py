"""Small pictures for the page: inside it while the matrix is small, linked when it is large.

They lie beside the page in either case, so that each is made once: when its picture comes, while the next one renders.
Those inside are WebP, since a page is mailed; those beside are JPEG, which takes a tenth of WebP's processor time.
"""

import base64
import contextlib
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Final

from PIL import Image

from plugins.evidence.files import write_atomically
from plugins.pictures.picture import FORMATS, UNREADABLE

EMBED_AT_MOST: Final = 60
"""More pictures than this are linked. The limit is size, not time (200 embedded ones opened as fast as linked ones):
60 leave each 16 kB, a busy preview of 384 px; 200 would leave 5 kB, 160 px, too coarse."""
EMBEDDED_BYTES: Final = 950_000
"""Bytes of WebP in one page; Base64 makes them 1.27 MB, so that page and results together stay below 1.5 MB."""
FOLDER: Final = PurePosixPath("previews")
"""Where previews lie, seen from the report."""

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


@dataclass(frozen=True)
class _Form:
    """How a preview is written."""

    kind: str
    """Pillow's name of the file format."""
    suffix: str
    ladder: tuple[tuple[int, int], ...]
    """Longest side in pixels, and quality: tried until a preview fits its share."""
    share: int | None = None
    """Bytes that it may have inside the page; None where it is linked."""


_LINKED: Final = _Form("JPEG", ".jpg", ((512, 82),))
_EMBEDDED: Final = _Form("WEBP", ".webp", ((512, 82), (512, 60), (384, 60), (256, 50), (160, 40)))


def training_source(path: Path) -> Source:
    """Name a training image's preview by place, size and time: another file gets another preview."""
    status = path.stat()
    stamp = f"{path} {status.st_size} {status.st_mtime_ns}"
    return Source(
        path, PurePosixPath("training", hashlib.sha256(stamp.encode("utf-8", "surrogateescape")).hexdigest()[:12])
    )


def make_previews(sources: Iterable[Source], reports: Path) -> dict[Path, Preview]:
    """Shrink every picture; one that cannot be read is left out.

    Up to `EMBED_AT_MOST` pictures become `data:` addresses, more are linked. Each is written below `reports`/previews.
    """
    unique = {source.path: source for source in sources}

    def one(source: Source) -> Preview | None:
        return make_preview(source, reports, total=len(unique))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the GIL while it works
        made = pool.map(one, unique.values())
        return {path: preview for path, preview in zip(unique, made, strict=True) if preview}


def make_preview(source: Source, reports: Path, *, total: int) -> Preview | None:
    """Return the preview of one of `total` pictures on a page; None for one that cannot be read.

    One of the picture as it lies there, and not too large to be embedded, is kept. Raises `OSError` where one that is
    to be linked cannot be written.
    """
    form = _form(total)
    path = reports / _place(source, form)
    try:
        if there := _there(path, source, form):
            return there
        then = source.path.stat()  # before it is read: one that is written meanwhile has another time
        shrunk = _shrunk(_opened(source.path), form)
    except UNREADABLE:
        return None
    with contextlib.suppress(*([OSError] if form.share else [])):  # what is embedded needs no file
        _write(shrunk.content, path, then)
    return Preview(_address(source, form, shrunk.content), shrunk.width, shrunk.height)


def write_preview(picture: Image.Image, source: Source, reports: Path, *, total: int) -> None:
    """Write the preview of one of `total` pictures, which was just written and needs no decoding any more.

    Where it cannot be, it is made when the page is.
    """
    form = _form(total)
    with contextlib.suppress(*UNREADABLE):
        _write(_shrunk(picture, form).content, reports / _place(source, form), source.path.stat())


def beside(source: Source, reports: Path) -> Path | None:
    """Return the preview that lies beside the page and is of the picture as it is; None where there is none."""
    paths = (reports / _place(source, form) for form in (_LINKED, _EMBEDDED))
    return next((path for path in paths if _is_current(path, source)), None)


def _form(total: int) -> _Form:
    return replace(_EMBEDDED, share=EMBEDDED_BYTES // total) if total <= EMBED_AT_MOST else _LINKED


def _place(source: Source, form: _Form) -> PurePosixPath:
    return FOLDER / source.name.with_name(source.name.name + form.suffix)


def _is_current(preview: Path, source: Source) -> bool:
    """Return whether a preview is of the picture as it is now: it has the picture's time."""
    return preview.is_file() and preview.stat().st_mtime_ns == source.path.stat().st_mtime_ns


def _there(path: Path, source: Source, form: _Form) -> Preview | None:
    """Return the preview at `path`, if it is of the picture as it is, can be read, and is not too large."""
    if not _is_current(path, source) or (form.share is not None and path.stat().st_size > form.share):
        return None
    try:
        with Image.open(path, formats=FORMATS) as there:
            return Preview(_address(source, form, path.read_bytes() if form.share else b""), *there.size)
    except UNREADABLE:
        return None


def _address(source: Source, form: _Form, content: bytes) -> str:
    if form.share is None:
        return _place(source, form).as_posix()
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"


def _opened(path: Path) -> Image.Image:
    with Image.open(path, formats=FORMATS) as picture:
        picture.load()
        return picture


def _write(content: bytes, path: Path, then: os.stat_result) -> None:
    """Write a preview with the time that its picture had."""
    write_atomically(path, content)
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))


@dataclass(frozen=True)
class _Shrunk:
    content: bytes
    width: int
    height: int


def _shrunk(picture: Image.Image, form: _Form) -> _Shrunk:
    """Shrink a picture until it fits, without its metadata."""
    for side, quality in form.ladder:
        small = picture.convert("RGB")
        small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=1.0)
        buffer = BytesIO()
        small.save(buffer, form.kind, quality=quality, method=_EFFORT)  # JPEG has no such thing, and minds nothing
        if form.share is None or buffer.tell() <= form.share:
            break
    return _Shrunk(buffer.getvalue(), small.width, small.height)
