"""What every picture must stand up to, and how a failure is told."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from PIL import ImageOps, ImageStat

from plugins.pictures.check import Check, Difference, Outcome
from plugins.pictures.picture import Picture

_FLAT_DEVIATION: Final = 4.0
"""Below this standard deviation (of 255) in every channel, a picture is one colour but for noise."""
_FLAT_SHARE: Final = 0.99
"""Above this share of pixels in one of 512 colours, there is nothing to judge in a picture."""


def check_size(picture: Picture, *, width: int, height: int) -> Check:
    """Hold the picture's size in pixels against the plan's."""
    size = picture.image.size
    if size == (width, height):
        return Check(name="size", outcome=Outcome.PASSED)
    difference = Difference(field="size", got=f"{size[0]}x{size[1]}", asked=f"{width}x{height}")
    return Check(name="size", outcome=Outcome.FAILED, differences=(difference,))


def check_not_blank(picture: Picture) -> Check:
    """Fail a picture that is transparent, one colour, or nearly so: black is what NaN in the decoder gives."""
    image = picture.image
    if "A" in image.getbands() and image.getchannel("A").getextrema()[1] == 0:
        return Check(name="not blank", outcome=Outcome.FAILED, message="the picture is wholly transparent")
    colours = image.convert("RGB")
    deviations = ImageStat.Stat(colours).stddev
    counted = ImageOps.posterize(colours, 3).getcolors(512) or []
    share = max(count for count, _ in counted) / (colours.width * colours.height)
    if max(deviations) >= _FLAT_DEVIATION and share <= _FLAT_SHARE:
        return Check(name="not blank", outcome=Outcome.PASSED)
    mean = tuple(round(value) for value in ImageStat.Stat(colours).mean)
    black = " Black is what NaN gives: try another VAE, or start ComfyUI with --force-fp32." if max(mean) < 8 else ""  # noqa: PLR2004
    return Check(
        name="not blank",
        outcome=Outcome.FAILED,
        message=f"the picture is nearly one colour, rgb{mean}: {share:.1%} of it.{black}",
    )


def check_workflow(picture: Picture, *, sent: Mapping[str, Any], remembered: Any) -> Check:  # noqa: ANN401 (JSON)
    """Hold the workflow in the picture against the one that was sent: LoRA, prompt, seed, and all the rest.

    A server that writes none (`--disable-metadata`) is taken at what its history remembers.
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
    differences = tuple(_differences(embedded, sent))
    outcome = Outcome.FAILED if differences else Outcome.PASSED
    return Check(name="workflow", outcome=outcome, message=message, differences=differences)


def _differences(got: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[Difference]:
    """List the inputs in which two graphs differ, node by node."""
    for node in sorted({*got, *asked}):
        left, right = _inputs(got.get(node)), _inputs(asked.get(node))
        name = f"node {node} ({right.get('class_type') or left.get('class_type')})"
        for field in sorted({*left, *right}):
            if left.get(field) != right.get(field):
                yield Difference(
                    field=f"{name} {field}", got=repr(left.get(field))[:200], asked=repr(right.get(field))[:200]
                )


def _inputs(node: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    if not isinstance(node, Mapping):
        return {}
    inputs = node.get("inputs")
    return {"class_type": node.get("class_type"), **(inputs if isinstance(inputs, Mapping) else {})}
