"""The checks of a picture, and the message of each failure."""

import reprlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageStat

from plugins.pictures.check import Check, Difference, Outcome, passed
from plugins.pictures.likeness import COPY, Nearest
from plugins.pictures.picture import Picture
from plugins.plan.messages import visible

_FLAT_REACH: Final = 10
"""Pixels this near (of 255) to the median in every channel are one colour but for noise."""
_NEARLY_BLACK: Final = 8
_BLACK: Final = (
    " Black is what NaN gives: where the baseline is fine, the LoRA is broken; else try another VAE, or start ComfyUI "
    "with --force-fp32."
)
_FLAT_SHARE: Final = 0.99
"""Above this share of pixels of one colour, there is nothing to judge in a picture."""

_NEIGHBOURS: Final = 0.5
"""Correlation of neighbouring pixels: 0.00 in static, above 0.8 in what any model decodes, a random one's too."""
_ROW_STEP: Final = 4
"""Only every n-th row is examined; a picture of 64x64 still has a thousand pairs of neighbours."""
_MOST_DIFFERENCES: Final = 20
"""The most differences between two workflows that are listed; unrelated workflows differ in thousands."""
_LONGEST: Final = 80
_BRIEFLY: Final = reprlib.Repr()
"""Shortens an input's value, which may be of any length and depth."""
_BRIEFLY.maxstring = _BRIEFLY.maxother = _BRIEFLY.maxlong = 200
_NO_EFFECT: Final = 1.0
"""Below this mean difference to the baseline, of 255, a LoRA can hardly be seen."""
ABOVE_NOISE: Final = 2.0
"""An effect must be at least this many times the difference between two renderings of one picture."""


def check_size(picture: Picture, *, width: int, height: int) -> Check:
    """Compare the picture's size in pixels with the plan's."""
    size = picture.image.size
    if size == (width, height):
        return passed("size")
    difference = Difference(field="size", got=f"{size[0]}x{size[1]}", asked=f"{width}x{height}")
    return Check(name="size", outcome=Outcome.FAILED, differences=(difference,))


def check_not_blank(picture: Picture) -> Check:
    """Fail a picture that is transparent, one colour, or nearly so: black is what NaN in the decoder gives."""
    image = picture.image
    if "A" in image.getbands() and image.getchannel("A").getextrema()[1] == 0:
        return Check(name="blank", outcome=Outcome.FAILED, message="the picture is wholly transparent")
    seen = image.convert("RGB")
    histogram = seen.histogram()
    colour = tuple(ImageStat.Stat(histogram).median)
    # No more pixels can be near in all channels than in one; so the histogram decides for most pictures.
    share = min(_near_counts(histogram, colour)) / (seen.width * seen.height)
    if share > _FLAT_SHARE:
        share = float(np.logical_and.reduce([_near(*one) for one in zip(seen.split(), colour, strict=True)]).mean())
    if share <= _FLAT_SHARE:
        return passed("blank")
    black = _BLACK if max(colour) < _NEARLY_BLACK else ""
    return Check(
        name="blank",
        outcome=Outcome.FAILED,
        message=f"the picture is nearly one colour, rgb{colour}: {share:.1%} of it.{black}",
    )


def _near_counts(histogram: Sequence[int], colour: Sequence[int]) -> Iterator[int]:
    """Count the values of each channel that are near its middle one."""
    for channel, middle in enumerate(colour):
        near = range(max(middle - _FLAT_REACH, 0), min(middle + _FLAT_REACH, 255) + 1)
        yield sum(histogram[256 * channel + value] for value in near)


def _near(band: Image.Image, middle: int) -> NDArray[np.bool_]:
    """Return which values of one channel are near the middle one."""
    return np.asarray(band.point([abs(value - middle) <= _FLAT_REACH for value in range(256)]), dtype=np.bool_)


def check_not_noise(picture: Picture) -> Check:
    """Fail static: in a picture of anything, a pixel resembles the one beside it."""
    if picture.image.width == 1:
        return Check(name="noise", outcome=Outcome.NOT_CHECKED, message="the picture is one pixel wide")
    grey = np.asarray(picture.image.convert("RGB").convert("L"))[::_ROW_STEP].astype(np.float32)
    likeness = _correlation(grey[:, 1:], grey[:, :-1])
    if likeness >= _NEIGHBOURS:
        return passed("noise")
    return Check(
        name="noise",
        outcome=Outcome.FAILED,
        message=f"neighbouring pixels have nothing in common (correlation {likeness:.2f}): the picture is static. "
        "The decoder or the LoRA is broken; look at ComfyUI's terminal.",
    )


def check_lora_applied(*, identical: bool, effect: float, noise: float = 0.0, lora: str, header: str) -> Check:
    """Fail a picture that is the baseline's: no key of the LoRA fits the base model, which ComfyUI reports as success.

    `effect` is the mean difference to the baseline, of 255, and `noise` that between two renderings of one picture;
    `lora` names the file and `header` what it says about itself.
    """
    name = "LoRA effect"
    if identical:
        message = "the picture is the baseline's, pixel for pixel: no key of this LoRA fits this base model"
        return Check(name=name, outcome=Outcome.FAILED, message=f"{message}. {lora}: {header}")
    if effect < ABOVE_NOISE * noise:
        message = (
            f"the picture differs from the baseline by {effect:.2f} of 255, and this server's two renderings of "
            f"one picture by {noise:.2f}: the LoRA's effect cannot be told from noise. {lora}: {header}"
        )
        return Check(name=name, outcome=Outcome.FAILED, message=message)
    if effect < _NO_EFFECT:
        message = f"the LoRA has next to no effect: the picture differs from the baseline by {effect:.2f} of 255"
        return Check(name=name, outcome=Outcome.WARNING, message=message)
    return Check(name=name, outcome=Outcome.PASSED, message=f"differs from the baseline by {effect:.1f} of 255")


def check_own_picture(twins: Mapping[str, str], *, lora: str, elsewhere: Collection[str] = ()) -> Check:
    """Fail a picture that another cell has too. `twins` gives the LoRA digest of each other cell with these pixels.

    The same LoRA bytes under two names are a copied file; different ones mean that the server gave a wrong picture, and
    so does the same LoRA on another prompt or seed or at another strength: `elsewhere` names those of the twins.
    """
    if not twins:
        return passed("twin")
    lines = []
    for cell, other in twins.items():
        if lora and lora == other and cell not in elsewhere:
            lines.append(f"it is {cell}'s, pixel for pixel, and both LoRAs are the same file (SHA-256 {lora[:12]})")
        else:
            loras = f"LoRA {lora[:12] or 'none'} here, {other[:12] or 'none'} there"
            asked = "another prompt, seed or strength" if lora == other else loras
            lines.append(f"it is {cell}'s, pixel for pixel, although their inputs differ ({asked})")
    return Check(name="twin", outcome=Outcome.FAILED, message="; ".join(lines))


def stale_weights(*, lora: str, before: str) -> Check:
    """Warn of a picture that did not change though its LoRA file did: the server may serve old weights.

    `lora` and `before` are digests of the LoRA's bytes now and when the same pixels were rendered last. A file of which
    only the header was rewritten looks the same.
    """
    message = (
        f"the LoRA file has changed (SHA-256 {before[:12]} before, {lora[:12]} now), but the picture is the same, "
        "pixel for pixel. Unless only the file's header was rewritten, the server still uses the old weights: "
        "restart it, then run this again with --regenerate"
    )
    return Check(name="stale weights", outcome=Outcome.WARNING, message=message)


def check_no_training_copy(nearest: Nearest | None) -> Check:
    """Warn of a picture that is a training image again. A person decides: a training image may be asked for."""
    name = "training copy"
    if nearest is None:
        return Check(name=name, outcome=Outcome.NOT_CHECKED, message="the plan names no training_images")
    usual = "" if nearest.usual is None else f"; training images are usually {nearest.usual:.2f} from each other"
    message = f"nearest training image: {visible(nearest.image.name)}, at distance {nearest.distance:.2f}{usual}"
    if nearest.distance >= COPY:
        return Check(name=name, outcome=Outcome.PASSED, message=message)
    return Check(name=name, outcome=Outcome.WARNING, message=f"looks like a copy of a training image: {message}")


def effect_of(picture: Image.Image, baseline: Image.Image) -> float:
    """Measure how much a picture differs from its baseline: the mean over all pixels and channels, of 255."""
    if picture.size != baseline.size:
        return 255.0
    difference = ImageChops.difference(picture.convert("RGB"), baseline.convert("RGB"))
    return round(sum(ImageStat.Stat(difference).mean) / 3, 4)


def check_colours(picture: Picture) -> tuple[Check, ...]:
    """Warn of a picture with a palette, which ComfyUI never writes: its colours may have been reduced on the way."""
    if not picture.has_palette:
        return ()
    message = (
        "the PNG has a palette of at most 256 colours, which ComfyUI does not write: something between it and here "
        "recompresses pictures. Name the server itself with --comfyui-url, then run this again with --regenerate"
    )
    return (Check(name="colours", outcome=Outcome.WARNING, message=message),)


def check_workflow(
    picture: Picture,
    *,
    sent: Mapping[str, Any],
    remembered: Any,  # noqa: ANN401 (JSON)
    file: str,
    stem: str,
) -> Check:
    """Compare the workflow in the picture with the one that was sent: LoRA, prompt, seed, and all the rest.

    If the server writes none (`--disable-metadata`), its history is compared instead: the workflow, and the name of the
    picture's `file`, which must begin with `stem`, or it is another prompt's picture.
    """
    embedded = picture.workflow
    message = ""
    if embedded is None:
        embedded, message = remembered, "the PNG carries no workflow; the server's history was compared instead"
    if not isinstance(embedded, Mapping):
        return Check(
            name="workflow",
            outcome=Outcome.NOT_CHECKED,
            message="neither the PNG nor the server's history says what it was made from",
        )
    found = _differences(embedded, sent)
    if picture.workflow is None and not file.startswith(stem):
        named = Difference(field="file", got=_shown(file), asked=f"{_shown(stem)} at its beginning")
        found = chain([named], found)
    differences = tuple(islice(found, _MOST_DIFFERENCES))
    if more := sum(1 for _ in found):
        first = f"{len(differences) + more} inputs differ, of which these are the first {_MOST_DIFFERENCES}"
        message = f"{message}; {first}" if message else first
    if not message and not differences:
        return passed("workflow")
    outcome = Outcome.FAILED if differences else Outcome.PASSED
    return Check(name="workflow", outcome=outcome, message=message, differences=differences)


def _differences(got: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[Difference]:
    """List the inputs in which two graphs differ, node by node."""
    for node in sorted({*got, *asked}):
        left, right = _inputs(got.get(node)), _inputs(asked.get(node))
        name = f"node {node[:_LONGEST]} ({str(right.get('class_type') or left.get('class_type'))[:_LONGEST]})"
        for field in sorted({*left, *right}):
            if left.get(field) != right.get(field):
                place = visible(f"{name} {field[:_LONGEST]}")
                yield Difference(field=place, got=_shown(left.get(field)), asked=_shown(right.get(field)))


def _shown(value: Any) -> str:  # noqa: ANN401 (JSON)
    return visible(_BRIEFLY.repr(value))


def _inputs(node: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    if not isinstance(node, Mapping):
        return {}
    inputs = node.get("inputs")
    return {"class_type": node.get("class_type"), **(inputs if isinstance(inputs, Mapping) else {})}


def _correlation(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    left, right = left - left.mean(), right - right.mean()
    spread = float(np.sqrt((left * left).sum() * (right * right).sum()))
    return float((left * right).sum()) / spread if spread > 0 else 1.0
