"""What the numbers say of each checkpoint: an aid to the eye. They advise; they never select."""

from collections.abc import Iterable
from dataclasses import dataclass

from plugins.evidence.evidence import Evidence
from plugins.pictures.likeness import diversity
from plugins.plan.plan import Tested

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """One checkpoint's numbers, over its pictures; None where they were not measured.

    `effect` is the mean difference to the baseline, of 255. `distance` is the mean distance to the nearest training
    image, and `diversity` the mean distance of its pictures from each other: 0 is the same picture, about 1 another. A
    checkpoint that is over-trained falls in both.
    """

    checkpoint: str
    strength: float | None = None
    """Where the plan has several."""
    step: int | None
    effect: float | None
    distance: float | None
    diversity: float | None
    effects: Range | None = None
    """The effect's lowest and highest among its pictures."""
    distances: Range | None = None


def metrics_of(checkpoint: Tested, evidence: Iterable[Evidence], strength: float | None = None) -> Metrics:
    """Sum up a checkpoint's evidence, at one strength where the plan has several."""
    found = [one for one in evidence if (one.cell.column, one.cell.strength) == (checkpoint.id, strength)]
    fingerprints = [bytes.fromhex(one.picture.fingerprint) for one in found if one.picture.fingerprint]
    effects = [one.compared.effect for one in found if one.compared]
    distances = [one.nearest.distance for one in found if one.nearest]
    return Metrics(
        checkpoint=checkpoint.id,
        strength=strength,
        step=checkpoint.step,
        effect=_mean(effects),
        distance=_mean(distances),
        diversity=diversity(fingerprints),
        effects=_range(effects),
        distances=_range(distances),
    )


def _range(numbers: list[float]) -> Range | None:
    return (min(numbers), max(numbers)) if len(numbers) > 1 else None


def _mean(numbers: list[float]) -> float | None:
    return round(sum(numbers) / len(numbers), 4) if numbers else None
