"""Reading a picture's bytes once: its pixels, and what ComfyUI wrote into the file."""

import hashlib
import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any, Final

from PIL import Image, UnidentifiedImageError, WebPImagePlugin

from plugins.plan.messages import UserError

UNREADABLE: Final = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow raises on bytes that are no picture, or far too large a one."""
FORMATS: Final = ("PNG", "JPEG", WebPImagePlugin.WebPImageFile.format, "BMP")
"""Formats that are opened, whatever the file's name: others run programs (EPS) or contain films. Pillow knows WebP once
its module is there; else it would load all of its formats to find it.
"""
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


class PictureError(UserError):
    """Bytes that are not a complete PNG; the message says what they are instead."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A decoded PNG."""

    image: Image.Image
    sha256: str
    """Digest of the file."""
    workflow: Any
    """The graph that ComfyUI wrote into the file, or None where there is none (`--disable-metadata`)."""
    has_palette: bool = False
    """Whether the file lists its colours, as no PNG of ComfyUI's does; `image` has them in its pixels."""

    @cached_property
    def pixels_sha256(self) -> str:
        """Digest of the pixels alone: equal for equal pictures, whatever was written beside them."""
        image = self.image
        return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def read_picture(png: bytes, *, largest: int) -> Picture:
    """Decode a PNG of at most `largest` pixels, wholly.

    Raises `PictureError`: not a PNG, cut short, or far larger than any picture that was asked for.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(png), formats=("PNG",))
            if image.width * image.height > largest:
                raise PictureError(f"it is {image.width}x{image.height}, larger than any picture of this plan")
            image.load()
            _see_the_end(png)
    except UnidentifiedImageError:
        start = png[:12]
        raise PictureError(f"it is not a PNG: {len(png)} bytes that begin with {start!r}") from None
    except UNREADABLE as error:
        raise PictureError(f"it is not a complete PNG: {error}") from error
    has_palette = image.mode == "P"
    return Picture(
        image=_coloured(image) if has_palette else image,
        sha256=hashlib.sha256(png).hexdigest(),
        workflow=_workflow(image),
        has_palette=has_palette,
    )


def _coloured(image: Image.Image) -> Image.Image:
    """Return a picture with its colours in place of their numbers in a palette: digests are of colours."""
    return image.convert("RGBA" if "transparency" in image.info else "RGB")


def _see_the_end(png: bytes) -> None:
    """Refuse a PNG without its last chunk, which a decoder does not need once it has all pixels. Raises `OSError`."""
    place = len(_SIGNATURE)
    while (kind := png[place + 4 : place + 8]) != b"IEND":
        if len(kind) < 4:  # noqa: PLR2004 (letters of a chunk's name)
            raise OSError("its end is missing")
        place += int.from_bytes(png[place : place + 4], "big") + 12


def _workflow(image: Image.Image) -> Any:  # noqa: ANN401 (JSON)
    try:
        return json.loads(image.info["prompt"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
