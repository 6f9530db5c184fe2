"""The nodes that hold and join texts and numbers, and those that mix prompts."""

import math
from dataclasses import replace
from typing import Any, Final

from stand_in.nodes.node import Node, Values, plain
from stand_in.values import Conditioning


def _joined(*, string_a: str, string_b: str, delimiter: str) -> Values:
    return (delimiter.join((string_a, string_b)),)


def _replaced(*, string: str, find: str, replace: str) -> Values:
    return (string.replace(find, replace),)


def _trimmed(*, string: str, mode: str) -> Values:
    return ({"Left": str.lstrip, "Right": str.rstrip}.get(mode, str.strip)(string),)


def _chosen(*, switch: bool, on_false: Any = None, on_true: Any = None) -> Values:  # noqa: ANN401
    return (on_true if switch else on_false,)


def _resolution(*, aspect_ratio: str, megapixels: float, multiple: int) -> Values:
    """Return width and height of so many pixels, in the ratio with which the choice begins: `3:2 (Photo)`."""
    across, down = (int(number) for number in aspect_ratio.split(" ", maxsplit=1)[0].split(":"))
    by = math.sqrt(megapixels * 1024 * 1024 / (across * down))
    return tuple(round(side * by / multiple) * multiple for side in (across, down))


def _zeroed(*, conditioning: Conditioning) -> Values:
    return (replace(conditioning, text="", notes=(*conditioning.notes, "zeroed")),)


def _both(first: Conditioning, second: Conditioning, note: str) -> Values:
    text = ", ".join(text for text in (first.text, second.text) if text)
    return (replace(first, text=text, notes=(*first.notes, note, repr(second))),)


def _combined(*, conditioning_1: Conditioning, conditioning_2: Conditioning) -> Values:
    return _both(conditioning_1, conditioning_2, "combined")


def _appended(
    *, conditioning_to: Conditioning, conditioning_from: Conditioning, conditioning_to_strength: float = 1.0
) -> Values:
    return _both(conditioning_to, conditioning_from, f"appended {conditioning_to_strength}")


_VALUES: Final = plain(lambda **inputs: tuple(inputs.values()))

TEXTS: Final[dict[str, type[Node]]] = {
    **dict.fromkeys(
        (
            *("PrimitiveString", "PrimitiveStringMultiline", "PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean"),
            "SeedNode",
        ),
        _VALUES,
    ),
    "StringConcatenate": plain(_joined),
    "StringReplace": plain(_replaced),
    "StringTrim": plain(_trimmed),
    "ComfySwitchNode": plain(_chosen),
    "ResolutionSelector": plain(_resolution),
    "ConditioningZeroOut": plain(_zeroed),
    "ConditioningCombine": plain(_combined),
    "ConditioningConcat": plain(_appended),
    "ConditioningAverage": plain(_appended),
}
