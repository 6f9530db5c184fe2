"""Draws what a model with this LoRA would make of this prompt: a cartoon that tells the training's story.

The same graph gives the same pixels; every input changes at least a few. Checkpoints of one row share seed and
prompt, and with them the background, so that only the character differs.
"""

import hashlib
from functools import cache
from random import Random
from typing import Final

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from stand_in import poses
from stand_in.canvas import Canvas
from stand_in.figure import draw_figure
from stand_in.looks import Stage, look_of, stage_of
from stand_in.scenery import draw_training_ground, light, scenery_for
from stand_in.values import Latent, Sampling, Vae

TRAINING_IMAGES: Final = len(poses.TRAINING)
LABEL: Final = "SIMULATED"
_HALF_CROUCHED: Final = 0.42
_MOTES: Final = 20
_USUAL_CFG: Final = 7.0


def draw(latent: Latent, vae: Vae, index: int = 0) -> Image.Image:
    """Draw the picture of one latent of a batch, at the latent's own size."""
    size = (latent.width, latent.height)
    if latent.sampling is None:
        return _finished(Image.new("RGB", size, (127, 127, 127)), repr((latent, vae, index)))
    image = _scene(latent.sampling, size, index)
    cfg = latent.sampling.cfg
    if cfg != _USUAL_CFG:
        share = max(-0.5, min(0.5, (cfg - _USUAL_CFG) * 0.03))
        image = ImageEnhance.Color(image).enhance(1 + share)
    return _finished(image, repr((latent, vae, index)))


def draw_training_image(index: int, size: tuple[int, int]) -> Image.Image:
    """Draw one of the pictures that the LoRA was trained on: all features, and never a crouch."""
    return _finished(_training_scene(index, size), f"training image {index}")


def _scene(sampling: Sampling, size: tuple[int, int], index: int) -> Image.Image:
    passes = _passes(sampling)
    sampling = passes[-1]
    text = sampling.positive.text
    stage = stage_of(tuple(applied for one in passes for applied in one.model.loras), text)
    if stage is Stage.OVERFIT:
        return _training_scene(((sampling.seed or 0) + index) % TRAINING_IMAGES, size)
    random = Random(f"{sampling.seed} {index} {text}")  # noqa: S311 (no secret)
    canvas = Canvas(size)
    scenery_for(text)(canvas, random)
    light(canvas, text)
    pose = poses.asked_for(text, ((sampling.seed or 0) + index) % 3)
    if stage is Stage.SLIPPING and pose.crouch:
        pose = poses.between(poses.HERO, pose, _HALF_CROUCHED)
    draw_figure(canvas, pose, look_of(stage), random.uniform(-1, 1))
    return canvas.picture()


def _passes(sampling: Sampling) -> list[Sampling]:
    """Return the runs of samplers that made a picture, from the last back to the one that began with noise alone."""
    passes = [sampling]
    while passes[-1].denoise < 1 and (before := passes[-1].start.sampling) is not None:
        passes.append(before)
    return passes


def _training_scene(index: int, size: tuple[int, int]) -> Image.Image:
    random = Random(f"training image {index}")  # noqa: S311 (no secret)
    canvas = Canvas(size)
    draw_training_ground(canvas, random)
    draw_figure(canvas, poses.TRAINING[index], look_of(Stage.OVERFIT), random.uniform(-1, 1))
    return canvas.picture()


def _finished(image: Image.Image, everything: str) -> Image.Image:
    """Add motes of light whose places tell one set of inputs from any other, and the label."""
    digest = hashlib.shake_128(everything.encode()).digest(8 * _MOTES)
    reach = max(1, image.width // 256)
    draw = ImageDraw.Draw(image)
    for start in range(0, len(digest), 8):
        x = int.from_bytes(digest[start : start + 4]) % image.width
        y = int.from_bytes(digest[start + 4 : start + 8]) % image.height
        red, green, blue = (round(value + (_towards(value) - value) * 0.2) for value in _pixel(image, x, y))
        draw.rectangle((x, y, x + reach - 1, y + reach - 1), (red, green, blue))
    _label(image)
    return image


def _pixel(image: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    value = image.getpixel((x, y))
    return value[:3] if isinstance(value, tuple) else (0, 0, 0)  # type: ignore[return-value]


def _towards(value: int) -> int:
    return 255 if value < 160 else 90  # noqa: PLR2004 (lighter on dark, darker on light)


def _label(image: Image.Image) -> None:
    """Write SIMULATED into the bottom right corner, below the figure's feet."""
    font = _font(max(7, round(min(image.size) * 0.032)))
    draw = ImageDraw.Draw(image, "RGBA")
    left, top, right, bottom = draw.textbbox((0, 0), LABEL, font=font)
    margin = max(1, image.height // 100)
    x, y = image.width - (right - left) - 2 * margin, image.height - (bottom - top) - 2 * margin
    draw.rectangle((x - margin, y - margin, image.width, image.height), (40, 28, 44, 150))
    draw.text((x - left, y - top), LABEL, (255, 255, 255, 235), font=font)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError):  # a Pillow without FreeType
        return ImageFont.load_default()
