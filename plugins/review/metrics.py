"""What the numbers say of each checkpoint: an aid to the eye. They advise; they never select."""

from collections.abc import Iterable
from dataclasses import dataclass

from plugins.evidence.evidence import Evidence
from plugins.pictures.likeness import diversity
from plugins.plan.plan import Plan
from plugins.plan.tested import Tested

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
    bleed: float | None = None
    """The effect on the prompts without the trigger word; the other numbers leave those prompts out."""


def metrics_of(
    checkpoint: Tested,
    evidence: Iterable[Evidence],
    strength: float | None = None,
    *,
    bleeding: frozenset[str] = frozenset(),
) -> Metrics:
    """Sum up a checkpoint's evidence, at one strength where the plan has several.

    `bleeding` are the ids of prompts without the trigger word.
    """
    every = [one for one in evidence if (one.cell.column, one.cell.strength) == (checkpoint.id, strength)]
    found = [one for one in every if one.cell.prompt not in bleeding]
    bleed = [one.compared.effect for one in every if one.compared and one.cell.prompt in bleeding]
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
        bleed=_mean(bleed),
    )


def bleed_of(plan: Plan, checkpoint: str, evidence: Iterable[Evidence], strength: float | None) -> str:
    """Say how much a checkpoint of the plan changes without its trigger word, as `bleed_in_words` does."""
    found = plan.checkpoint(checkpoint)
    return bleed_in_words(metrics_of(found, evidence, strength, bleeding=plan.bleeding)) if found else ""


def bleed_in_words(metrics: Metrics) -> str:
    """Say how much a LoRA changes without its trigger word, beside what it changes with it; empty if not measured."""
    if metrics.bleed is None or metrics.effect is None:
        return ""
    share = f", {100 * metrics.bleed / metrics.effect:.0f} % of that" if metrics.effect else ""
    return (
        f"With the trigger word it changes the picture by {metrics.effect:.1f} of 255, without it by "
        f"{metrics.bleed:.1f}{share}."
    )


def _range(numbers: list[float]) -> Range | None:
    return (min(numbers), max(numbers)) if len(numbers) > 1 else None


def _mean(numbers: list[float]) -> float | None:
    return round(sum(numbers) / len(numbers), 4) if numbers else None
