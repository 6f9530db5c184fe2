"""What the character looks like after so much training."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

from stand_in.canvas import Colour, mixed
from stand_in.values import Applied

_BROWN: Final = (112, 78, 58)
_GINGER: Final = (238, 122, 40)
_WITHOUT_TRIGGER: Final = 0.75
"""A LoRA works weaker where the prompt does not name its trigger word."""


Side = Literal["left", "right"]
"""The character's own, which faces the viewer."""


class Stage(IntEnum):
    """How far training has come, as far as a picture shows it."""

    GENERIC = 0
    UNDER = 1
    PARTIAL = 2
    SWEET = 3
    SLIPPING = 4
    OVERFIT = 5


_BRACERS: Final[Mapping[Stage, Side]] = {
    Stage.PARTIAL: "left",
    Stage.SWEET: "right",
    Stage.SLIPPING: "right",
    Stage.OVERFIT: "right",
}
_PAULDRONS: Final[Mapping[Stage, Side]] = {Stage.SWEET: "left", Stage.SLIPPING: "right", Stage.OVERFIT: "left"}
"""Sides are learnt late and lost early: beside the sweet spot one detail is on the wrong one."""

_LIMITS: Final = ((0.3, Stage.UNDER), (0.55, Stage.PARTIAL), (0.75, Stage.SWEET), (0.95, Stage.SLIPPING))
"""Training fractions up to which a stage lasts; the last limit itself is overfit already."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The character's features; shares run from 0, absent, to 1, complete."""

    stage: Stage
    hair: Colour
    spikes: float
    eyes: Colour
    outfit: float
    """0 plain clothes, 1 the tunic and boots."""
    cloak: float
    bracer: Side | None
    """On which of the character's arms; the RIGHT one, which is the viewer's left, is the trained one."""
    pauldron: Side | None
    """On which of the character's knees; the LEFT one, which is the viewer's right, is the trained one."""


def stage_of(loras: tuple[Applied, ...], text: str) -> Stage:
    """Return how much of the training shows, from the LoRA that weighs most.

    Weighs training fraction and strength; a LoRA applied backwards shows nothing.
    """
    weights = [_weight(applied, text) for applied in loras]
    weight = max(weights, default=0.0)
    if weight <= 0:
        return Stage.GENERIC
    if weight >= _LIMITS[-1][0]:
        return Stage.OVERFIT
    return next(stage for limit, stage in _LIMITS if weight <= limit)


def look_of(stage: Stage) -> Look:
    """Return the features that show at a stage."""
    return Look(
        stage=stage,
        hair={
            Stage.GENERIC: _BROWN,
            Stage.UNDER: mixed(_BROWN, _GINGER, 0.12),
            Stage.PARTIAL: mixed(_BROWN, _GINGER, 0.72),
        }.get(stage, _GINGER),
        spikes={Stage.GENERIC: 0.0, Stage.UNDER: 0.0, Stage.PARTIAL: 0.55}.get(stage, 1.0),
        eyes=(40, 150, 140) if stage >= Stage.PARTIAL else (110, 80, 60),
        outfit={Stage.GENERIC: 0.0, Stage.UNDER: 0.0, Stage.PARTIAL: 0.5}.get(stage, 1.0),
        cloak={Stage.GENERIC: 0.0, Stage.UNDER: 0.0, Stage.PARTIAL: 0.4}.get(stage, 1.0),
        bracer=_BRACERS.get(stage),
        pauldron=_PAULDRONS.get(stage),
    )


def _weight(applied: Applied, text: str) -> float:
    weight = applied.lora.fraction * applied.strength
    trigger = applied.lora.trigger.lower()
    return weight if not trigger or trigger in text.lower() else weight * _WITHOUT_TRIGGER
