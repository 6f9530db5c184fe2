"""Pictures to check: drawn, flat, noisy, broken."""

import io
import json
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plugins.pictures.picture import Picture, read_picture

LARGEST = 4_000_000


def png(image: Image.Image, *, prompt: Any = None) -> bytes:
    """Return an image as a PNG, with ComfyUI's workflow in it where one is given, as JSON or as text of any kind."""
    info = PngInfo()
    if prompt is not None:
        info.add_text("prompt", prompt if isinstance(prompt, str) else json.dumps(prompt))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def picture(image: Image.Image, *, prompt: Any = None) -> Picture:
    """Return an image as the suite reads it from a server."""
    return read_picture(png(image, prompt=prompt), largest=LARGEST)


def flat(colour: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    """Return an image of one colour."""
    return Image.new(mode, (64, 64), colour)


def noise(middle: float, deviation: float) -> Image.Image:
    """Return a flat image with noise of that standard deviation."""
    values = np.random.default_rng(7).normal(middle, deviation, (128, 128, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def dotted(side: int) -> Image.Image:
    """Return a grey image with a white square, of 128x128 pixels."""
    image = Image.new("RGB", (128, 128), (90, 90, 90))
    image.paste((255, 255, 255), (20, 20, 20 + side, 20 + side))
    return image
