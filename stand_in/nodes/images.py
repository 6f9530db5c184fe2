"""The nodes that decode, load, resize and measure pictures."""

# ruff: noqa: D102  (the one method of a node does what its class says)

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from PIL import Image

from stand_in.drawing import draw
from stand_in.nodes.node import Node, Ui, Values, plain
from stand_in.values import Latent, Other, Pictures, Vae

_METHODS: Final = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_UPSCALED: Final = 4
"""Times that an upscale model enlarges, whatever its name says."""


def _decode(*, samples: Latent, vae: Vae, **rest: int) -> Values:
    """Draw the pictures; tiles change nothing."""
    del rest
    images = tuple(draw(samples, vae, index) for index in range(samples.batch))
    return (Pictures(images=images, sampling=samples.sampling),)


class LoadImage(Node):
    """Reads a picture of the input folder."""

    def __call__(self, *, image: str) -> tuple[Values, Ui]:
        with Image.open(self.kit.folders.root / "input" / image) as opened:
            return (Pictures(images=(opened.convert("RGB"),)), Other(kind="MASK", notes=(self.note({}),))), {}


def _empty(*, width: int, height: int, batch_size: int = 1, color: int = 0) -> Values:
    """Make pictures of one colour, without any model."""
    rgb = (color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF)
    return (Pictures(images=tuple(Image.new("RGB", (width, height), rgb) for _ in range(batch_size))),)


def _changed(image: Pictures, change: Callable[[Image.Image], Image.Image]) -> Values:
    return (replace(image, images=tuple(change(one) for one in image.images)),)


def _scaled(image: Pictures, method: str, size: tuple[int, int]) -> Values:
    return _changed(image, lambda one: one.resize(size, _METHODS[method]))


def _scale(*, image: Pictures, upscale_method: str, width: int, height: int, crop: str) -> Values:
    """Resize; a size of 0 follows from the other one, and cropping keeps the middle."""
    old_width, old_height = image.images[0].size
    if width == 0 and height == 0:
        return (image,)
    width = width or max(1, round(old_width * height / old_height))
    height = height or max(1, round(old_height * width / old_width))
    if crop == "center":
        across = min(old_width, round(old_height * width / height))
        down = min(old_height, round(old_width * height / width))
        left, top = (old_width - across) // 2, (old_height - down) // 2
        (image,) = _changed(image, lambda one: one.crop((left, top, left + across, top + down)))
    return _scaled(image, upscale_method, (width, height))


def _scale_by(*, image: Pictures, upscale_method: str, scale_by: float) -> Values:
    width, height = image.images[0].size
    return _scaled(image, upscale_method, (round(width * scale_by), round(height * scale_by)))


def _scale_to_total(*, image: Pictures, upscale_method: str, megapixels: float, resolution_steps: int = 1) -> Values:
    width, height = image.images[0].size
    by = math.sqrt(megapixels * 1024 * 1024 / (width * height))
    size = tuple(round(side * by / resolution_steps) * resolution_steps for side in (width, height))
    return _scaled(image, upscale_method, (size[0], size[1]))


def _scale_to_largest(*, image: Pictures, upscale_method: str, largest_size: int) -> Values:
    width, height = image.images[0].size
    by = largest_size / max(width, height)
    return _scaled(image, upscale_method, (round(width * by), round(height * by)))


def _upscale(*, upscale_model: Other, image: Pictures) -> Values:
    del upscale_model
    width, height = image.images[0].size
    return _scaled(image, "lanczos", (_UPSCALED * width, _UPSCALED * height))


def _crop(*, image: Pictures, width: int, height: int, x: int, y: int) -> Values:
    across, down = image.images[0].size
    left, top = min(x, across - 1), min(y, down - 1)
    return _changed(image, lambda one: one.crop((left, top, min(left + width, across), min(top + height, down))))


def _from_batch(*, image: Pictures, batch_index: int, length: int) -> Values:
    first = min(len(image.images) - 1, batch_index)
    return (replace(image, images=image.images[first : first + length]),)


def _batch(*, image1: Pictures, image2: Pictures) -> Values:
    (second,) = _scaled(image2, "bilinear", image1.images[0].size)
    return (replace(image1, images=(*image1.images, *second.images)),)


def _measured(*, image: Pictures, **hidden: Any) -> Values:  # noqa: ANN401
    del hidden
    return (*image.images[0].size, len(image.images))


IMAGES: Final[dict[str, type[Node]]] = {
    "VAEDecode": plain(_decode),
    "VAEDecodeTiled": plain(_decode),
    "LoadImage": LoadImage,
    "EmptyImage": plain(_empty),
    "ImageScale": plain(_scale),
    "ImageScaleBy": plain(_scale_by),
    "ImageScaleToTotalPixels": plain(_scale_to_total),
    "ImageScaleToMaxDimension": plain(_scale_to_largest),
    "ImageUpscaleWithModel": plain(_upscale),
    "ImageCrop": plain(_crop),
    "ImageFromBatch": plain(_from_batch),
    "ImageBatch": plain(_batch),
    "RepeatImageBatch": plain(lambda *, image, amount: (replace(image, images=image.images * amount),)),
    "GetImageSize": plain(_measured),
}
