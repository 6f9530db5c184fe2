"""The checkpoints' numbers as small plots, one for each measure: places on a canvas, for the template to draw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from plugins.plan.cells import at
from plugins.review.metrics import Metrics, Range
from plugins.review.review import Review, step_name

WIDTH: Final = 400
HEIGHT: Final = 190
"""Of a plot, in the units that its places are in; letters are 13 high."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 44, 26, 34
_LABEL: Final = 40
"""A dot's number needs this much room beside that of its neighbour; one without room is in the table alone."""
_STEEP: Final = 14
"""A line that rises more than this beside a dot would run through its number: it is written on the other side."""


_OUTLYING: Final = 2.5
"""A largest number of more than so many times the next one would flatten all others: it is drawn at the edge."""


_Place = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number of a checkpoint: what it is, and what it means."""

    id: str
    title: str
    meaning: str
    digits: int
    of: Callable[[Metrics], float | None]
    among: Callable[[Metrics], Range | None] = lambda _: None
    """The lowest and the highest of its pictures; None where there is but one number."""
    scale: Callable[[Metrics], float | None] = lambda _: None
    """Another number that it is drawn on one scale with."""

    def written(self, metrics: Metrics) -> str:
        """Write the number as it is shown; a dash where it was not measured."""
        value = self.of(metrics)
        return "–" if value is None else f"{value:.{self.digits}f}"  # noqa: RUF001 (a dash stands for nothing)


MEASURES: Final = (
    Measure(
        id="effect",
        title="Effect against the baseline",
        meaning=(
            "Mean difference from the picture without the LoRA, of 255. Near 0 it does nothing; more is not better."
        ),
        digits=1,
        of=lambda metrics: metrics.effect,
        among=lambda metrics: metrics.effects,
        scale=lambda metrics: metrics.bleed,
    ),
    Measure(
        id="bleed",
        title="Effect without the trigger word",
        meaning=(
            "The same difference, on the same scale, on the prompts without the trigger word. "
            "Far below the effect with it means that the LoRA leaves other subjects alone."
        ),
        digits=1,
        of=lambda metrics: metrics.bleed,
        scale=lambda metrics: metrics.effects[1] if metrics.effects else metrics.effect,
    ),
    Measure(
        id="distance",
        title="Distance to the training images",
        meaning=(
            "From each picture to its nearest training image: 0 is the same picture, about 1 an unrelated one. "
            "A fall in the last steps may mean copying."
        ),
        digits=2,
        of=lambda metrics: metrics.distance,
        among=lambda metrics: metrics.distances,
    ),
    Measure(
        id="diversity",
        title="Diversity across prompts",
        meaning=(
            "How far a checkpoint's own pictures are from each other, on the same scale. "
            "A fall means that it draws the same whatever the prompt asks for."
        ),
        digits=2,
        of=lambda metrics: metrics.diversity,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One checkpoint on a plot. `number` is what it shows; `labelled` whether there is room to write it."""

    x: float
    y: float
    name: str
    tick: str
    number: str
    labelled: bool
    beyond: bool
    """Whether it lies beyond the scale, and is drawn at its edge."""
    anchor: str
    """Where the number is written: above the dot (`middle`), or to its left (`end`) or right (`start`)."""
    bar: tuple[float, float] | None = None
    """Up from where and down to where its pictures reach, top first."""
    ranged: str = ""
    """The same in words: ` (1.0 to 2.0)`."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A rival's number: a line across, since nobody knows its step."""

    y: float
    name: str
    number: str


@dataclass(frozen=True, kw_only=True)
class Series:
    """One measure of all checkpoints at one strength, by step."""

    strength: float | None
    """Where the plan has several."""
    dots: tuple[Dot, ...]
    """Those that were measured."""
    lines: tuple[str, ...]
    """Points of each line; a checkpoint that was not measured interrupts it."""
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One measure of all checkpoints, by step; a series for each strength."""

    measure: Measure
    series: tuple[Series, ...]

    @property
    def dots(self) -> tuple[Dot, ...]:
        """The dots of every series."""
        return tuple(dot for one in self.series for dot in one.dots)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of every series."""
        return tuple(line for one in self.series for line in one.lines)

    @property
    def said(self) -> str:
        """Tell the same in words."""
        levels = (f"{level.name}: {level.number}" for one in self.series for level in one.levels)
        return "; ".join([*(f"{dot.name}: {dot.number}{dot.ranged}" for dot in self.dots), *levels])


def plots(review: Review) -> tuple[Plot, ...]:
    """Plot what was measured; a measure that no checkpoint has is left out."""
    return tuple(plot for measure in MEASURES if (plot := _plot(measure, review)).dots)


def _plot(measure: Measure, review: Review) -> Plot:
    reaches = ((measure.among(one) or (0.0, measure.of(one) or 0.0))[1] for one in review.metrics)
    beside = [value for one in review.metrics if (value := measure.scale(one))]
    top = _top([*(highest for highest in reaches if highest), *beside])
    by_strength = groupby(review.metrics, key=lambda one: one.strength)
    return Plot(
        measure=measure,
        series=tuple(_series(measure, review, strength, tuple(found), top) for strength, found in by_strength),
    )


def _series(
    measure: Measure, review: Review, strength: float | None, metrics: tuple[Metrics, ...], top: float
) -> Series:
    checkpoints = {checkpoint.id: checkpoint for checkpoint in review.plan.checkpoints}
    names = {rival.id: at(step_name(rival), strength) for rival in review.plan.rivals}
    levels = tuple(
        Level(y=_up(value, top), name=names[one.checkpoint], number=measure.written(one))
        for one in metrics
        if one.checkpoint in names and (value := measure.of(one)) is not None
    )
    metrics = tuple(one for one in metrics if one.checkpoint in checkpoints)
    places = _places(measure, metrics, top)
    labelled = _labelled([place[0] for place in places if place])
    dots = []
    for index, (one, place) in enumerate(zip(metrics, places, strict=True)):
        if place:
            checkpoint, among = checkpoints[one.checkpoint], measure.among(one)
            dot = Dot(
                x=place[0],
                y=place[1],
                name=at(step_name(checkpoint), strength),
                tick=checkpoint.argument,
                number=measure.written(one),
                labelled=place[0] in labelled,
                beyond=(measure.of(one) or 0.0) > top,
                anchor=_anchor(places[index - 1] if index else None, place, (*places, None)[index + 1]),
                bar=(_up(among[1], top), _up(among[0], top)) if among else None,
                ranged=f" ({among[0]:.{measure.digits}f} to {among[1]:.{measure.digits}f})" if among else "",
            )
            dots.append(dot)
    runs = [list(filter(None, run)) for there, run in groupby(places, key=bool) if there]
    lines = tuple(" ".join(f"{x:g},{y:g}" for x, y in run) for run in runs if len(run) > 1)
    return Series(strength=strength, dots=tuple(dots), lines=lines, levels=levels)


def _top(values: Sequence[float]) -> float:
    """Return the number at the scale's upper end: the largest, unless it outlies all others."""
    *others, largest = sorted(values) or [1.0]
    return others[-1] * 1.25 if others and largest > _OUTLYING * others[-1] else largest


def _places(measure: Measure, metrics: Sequence[Metrics], top: float) -> list[_Place | None]:
    """Return each checkpoint's place: across by step, up from 0 to the top; None where not measured.

    Where a step is not known, they stand in their order, at equal distances.
    """
    values = [measure.of(one) for one in metrics]
    known = [one.step for one in metrics if one.step is not None]
    steps = known if len(known) == len(metrics) else list(range(len(metrics)))
    first, span = min(steps, default=0), max(steps, default=0) - min(steps, default=0)
    places: list[_Place | None] = []
    for step, value in zip(steps, values, strict=True):
        across = (step - first) / span if span else 0.5
        x = _LEFT + across * (WIDTH - _LEFT - _RIGHT)
        places.append(None if value is None else (round(x, 1), _up(value, top)))
    return places


def _up(value: float, top: float) -> float:
    return round(HEIGHT - _BOTTOM - min(value / top, 1.0) * (HEIGHT - _TOP - _BOTTOM), 1)


def _anchor(before: _Place | None, here: _Place, after: _Place | None) -> str:
    """Write a dot's number where no line runs through it."""
    falls_here = before is not None and here[1] - before[1] > _STEEP
    rises_from = after is not None and here[1] - after[1] > _STEEP
    if falls_here == rises_from:
        return "middle"
    return "start" if falls_here else "end"


def _labelled(across: Sequence[float]) -> set[float]:
    """Choose the dots that have a label: the last, the first, and as many between as do not touch."""
    chosen = set(across[-1:])
    reach = -float(_LABEL)
    for x in across:
        if x - reach >= _LABEL and across[-1] - x >= _LABEL:
            chosen.add(x)
            reach = x
    return chosen
