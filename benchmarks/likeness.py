"""What the search for copies of training images finds, and what it leaves alone: why `likeness.COPY` is what it is.

Run `python -m benchmarks.likeness`; it takes a few seconds and prints a table. Every training image of the demo is
changed in every way in which a copy may come, and looked for among all of them: how many were found, and for how many
the right image was named (the demo's are all alike). Then other pictures of the same character, by checkpoints that are
not over-trained, are looked for as well: none may be found.

The demo's drawings stand in for a model's pictures. To measure on your own, name a folder of training images and one of
pictures that are no copies of them: `python -m benchmarks.likeness TRAINING_FOLDER OTHER_FOLDER`.
"""

import io
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from plugins.pictures.likeness import COPY, TrainingSet, training_images
from stand_in.drawing import TRAINING_IMAGES, draw, draw_training_image
from stand_in.values import Applied, Clip, Conditioning, Latent, Lora, Model, Sampling, Vae

Change = Callable[[Image.Image], Image.Image]

_STEPS: Final = {"step400": 0.5, "step600": 0.65, "step800": 0.87}
"""Checkpoints that are not over-trained, and how much of the training they have behind them."""
_TEXTS: Final = (
    "spyke_plasma_v1, standing in a forest, dramatic lighting, anime style, full body",
    "spyke_plasma_v1, crouching, looking up at the sky, urban environment, anime style",
    "spyke_plasma_v1, full body, front view, detailed character study, arms at sides, anime style",
    "spyke_plasma_v1, waving, on a meadow",
    "spyke_plasma_v1, hero pose",
    "spyke_plasma_v1, portrait, beach",
)
_SEEDS: Final = (1, 7, 42, 99)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What became of one kind of picture."""

    kind: str
    pictures: int
    found: int
    """How many were taken for a copy."""
    named: int | None
    """For how many the nearest training image is the one that was copied; None for what is no copy."""
    nearest: float
    """The smallest distance of all."""
    farthest: float
    """The largest distance of all."""

    def __str__(self) -> str:
        named = "" if self.named is None else self.named
        return f"{self.kind:<34}{self.pictures:>9}{self.found:>7}{named:>7}{self.nearest:>9.3f}{self.farthest:>10.3f}"


def _cropped(share: float, x: float, y: float) -> Change:
    """Cut out a part of the sides; `x` and `y` are 0 at the left and top, 1 at the right and bottom."""

    def change(image: Image.Image) -> Image.Image:
        width, height = round(image.width * share), round(image.height * share)
        left, top = round((image.width - width) * x), round((image.height - height) * y)
        return image.crop((left, top, left + width, top + height)).resize(image.size, Image.Resampling.LANCZOS)

    return change


def _cropped_at_random(image: Image.Image) -> Image.Image:
    random = Random(image.tobytes())  # noqa: S311 (no secret)
    return _cropped(random.uniform(0.67, 1.0), random.random(), random.random())(image)


def _recompressed(quality: int) -> Change:
    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def _turned_hue(image: Image.Image) -> Image.Image:
    hue, *others = image.convert("HSV").split()
    return Image.merge("HSV", (hue.point(lambda value: (value + 40) % 256), *others)).convert("RGB")


def _tinted(image: Image.Image) -> Image.Image:
    return Image.blend(image, Image.new("RGB", image.size, (255, 170, 80)), 0.35)


def _swapped(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", image.split()[::-1])


CHANGES: Final[Mapping[str, Change]] = {
    "as it is": lambda image: image,
    "mirrored": ImageOps.mirror,
    "cropped to 90 %, middle": _cropped(0.9, 0.5, 0.5),
    "cropped to 80 %, a corner": _cropped(0.8, 0.0, 1.0),
    "cropped to 70 %, middle": _cropped(0.7, 0.5, 0.5),
    "cropped to 70 %, another corner": _cropped(0.7, 1.0, 0.0),
    "cropped at random, 67 to 100 %": _cropped_at_random,
    "mirrored, cropped to 80 %": lambda image: _cropped(0.8, 0.3, 0.6)(ImageOps.mirror(image)),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "JPEG, quality 30": _recompressed(30),
    "JPEG, quality 5": _recompressed(5),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(image.width / 128)),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "tinted": _tinted,
    "hue turned by 56 degrees": _turned_hue,
    "red and blue swapped": _swapped,
    "darker by half": lambda image: ImageEnhance.Brightness(image).enhance(0.5),
    "half the contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.5),
    "mirrored, cropped, tinted, JPEG 30": lambda image: _recompressed(30)(
        _tinted(_cropped(0.8, 0.5, 0.2)(ImageOps.mirror(image)))
    ),
}
"""All the ways in which a copy of a training image may come."""


def measure(training: TrainingSet, originals: Mapping[Path, Image.Image]) -> list[Found]:
    """Look for every training image as every kind of copy."""
    rows = []
    for kind, change in CHANGES.items():
        nearest = {path: training.nearest(change(image)) for path, image in originals.items()}
        distances = [one.distance for one in nearest.values()]
        named = sum(one.image == path for path, one in nearest.items())
        rows.append(_row(kind, distances, named=named))
    return rows


def measure_others(kind: str, training: TrainingSet, pictures: Iterable[Image.Image]) -> Found:
    """Look for pictures that are no copies; any that is found is a false alarm."""
    distances = [training.nearest(picture).distance for picture in pictures]
    return _row(kind, distances, named=None)


def write_training_images(folder: Path, *, side: int) -> dict[Path, Image.Image]:
    """Write the demo's training images, and give them by file."""
    images = {
        folder / f"{number:02}.png": draw_training_image(number, (side, side)) for number in range(TRAINING_IMAGES)
    }
    for path, image in images.items():
        image.save(path)
    return images


def other_pictures(step: str, *, side: int) -> list[Image.Image]:
    """Draw what a checkpoint makes of some prompts and seeds: the same character, on its own."""
    lora = Applied(
        lora=Lora(trigger="spyke_plasma_v1", fraction=_STEPS[step], digest=step, fits_model=True, fits_clip=True),
        strength=1.0,
    )
    return [_drawn(text, seed, lora, side) for text in _TEXTS for seed in _SEEDS]


def _drawn(text: str, seed: int, lora: Applied, side: int) -> Image.Image:
    clip = Clip(base="base", loras=(lora,))
    blank = Latent(width=side, height=side, batch=1)
    sampling = Sampling(
        model=Model(base="base", loras=(lora,)),
        positive=Conditioning(text=text, clip=clip),
        negative=Conditioning(text="", clip=clip),
        start=blank,
        seed=seed,
        steps=20,
        cfg=7.0,
        sampler="euler_ancestral",
        scheduler="normal",
        denoise=1.0,
    )
    return draw(Latent(width=side, height=side, batch=1, sampling=sampling), Vae(base="base"))


def measure_demo(folder: Path, *, side: int) -> tuple[list[Found], list[Found], float]:
    """Measure copies and others on the demo's drawings; gives also how near training images are to each other."""
    originals = write_training_images(folder, side=side)
    training = TrainingSet(tuple(originals))
    others = [measure_others(f"other pictures, {step}", training, other_pictures(step, side=side)) for step in _STEPS]
    return measure(training, originals), others, training.usual or 0.0


def _measure_own(training_folder: Path, other_folder: Path) -> tuple[list[Found], list[Found], float]:
    training = TrainingSet(training_images(training_folder))
    originals = {path: _opened(path) for path in training_images(training_folder) if path not in training.unreadable}
    pictures = map(_opened, training_images(other_folder))
    others = [measure_others(f"pictures in {other_folder.name}", training, pictures)]
    return measure(training, originals), others, training.usual or 0.0


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _row(kind: str, distances: Sequence[float], *, named: int | None) -> Found:
    found = sum(distance < COPY for distance in distances)
    return Found(
        kind=kind,
        pictures=len(distances),
        found=found,
        named=named,
        nearest=min(distances),
        farthest=max(distances),
    )


def main() -> None:
    """Print what was measured."""
    if folders := [Path(argument) for argument in sys.argv[1:]]:
        copies, others, usual = _measure_own(*folders)
    else:
        with tempfile.TemporaryDirectory() as folder:
            copies, others, usual = measure_demo(Path(folder), side=512)
    print(f"A copy is nearer than {COPY}. Training images are usually {usual:.3f} from each other.\n")
    print(f"{'':<34}{'pictures':>9}{'found':>7}{'named':>7}{'nearest':>9}{'farthest':>10}")
    for row in (*copies, *others):
        print(row)
    print(f"\nThe farthest copy is at {max(one.farthest for one in copies):.3f}, ", end="")
    print(f"the nearest other picture at {min(one.nearest for one in others):.3f}.")


if __name__ == "__main__":
    main()
