"""The checkpoints' numbers as plots: where each dot stands, and what is written beside it."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from plugins.review.metrics import Metrics
from plugins.review.page import render_page
from plugins.review.plot import HEIGHT, WIDTH, Plot, plots
from plugins.review.review import Review
from tests.plugins.review.sample import large_plan, numbers, spyke


def review_of(*metrics: Metrics) -> Review:
    """Review the Spyke plan with these numbers and no picture."""
    return Review(plan=spyke(), reports=Path("nowhere"), entries=(), metrics=metrics)


@pytest.fixture
def drawn() -> dict[str, Plot]:
    """Plot the sample's numbers, by measure."""
    return {plot.measure.id: plot for plot in plots(review_of(*numbers(spyke())))}


def test_dots_stand_by_step_and_by_number(drawn: dict[str, Plot]) -> None:
    """Across, a dot stands by its step; up, by its number, from 0 to the largest; none leaves the canvas."""
    dots = drawn["effect"].dots
    assert ["200", "400", "600", "800", "final"] == [dot.tick for dot in dots]
    assert ["3.5", "7.0", "10.5", "14.0", "17.5"] == [dot.number for dot in dots]
    across = [dot.x - dots[0].x for dot in dots]
    assert pytest.approx(across[-1] * 200 / 720, abs=0.1) == across[1]
    assert pytest.approx((dots[0].y - dots[-1].y) / 4, abs=0.1) == dots[0].y - dots[1].y
    assert all(0 < dot.x < WIDTH and 0 < dot.y < HEIGHT for dot in dots)


def test_one_outlier_does_not_flatten_the_others() -> None:
    """A number far above all others is drawn at the edge, and marked; the others have the scale to themselves."""
    high, low = numbers(spyke())[-1], numbers(spyke())[:-1]
    dots = {plot.measure.id: plot for plot in plots(review_of(*low, replace(high, effect=68.7)))}["effect"].dots
    assert [False, False, False, False, True] == [dot.beyond for dot in dots]
    assert "68.7" == dots[-1].number
    assert dots[-1].y < dots[-2].y < HEIGHT / 2


def test_bar_reaches_over_the_pictures() -> None:
    """A bar goes from the lowest to the highest picture; one that outlies flattens nothing, and ends at the edge."""
    low, *_, high = numbers(spyke())
    metrics = (replace(low, effects=(2.0, 4.0)), replace(high, effect=60.0, effects=(50.0, 70.0)))
    (plot,) = (plot for plot in plots(review_of(*metrics)) if plot.measure.id == "effect")
    bar, edge = (dot.bar for dot in plot.dots)
    assert bar
    assert edge
    assert bar[0] < plot.dots[0].y < bar[1]
    assert edge[0] == edge[1] == plot.dots[1].y < bar[0]
    assert "step 200: 3.5 (2.0 to 4.0); final, step 920: 60.0 (50.0 to 70.0)" == plot.said


def test_what_was_not_measured_interrupts_the_line(drawn: dict[str, Plot]) -> None:
    """A checkpoint without a number has no dot, and no line passes over its place."""
    distance = drawn["distance"]
    assert ["200", "600", "800", "final"] == [dot.tick for dot in distance.dots]
    assert [3] == [len(line.split()) for line in distance.lines]
    assert "step 200: 0.80; step 600: 0.60; step 800: 0.50; final, step 920: 0.40" == distance.said


def test_number_is_written_where_no_line_runs(drawn: dict[str, Plot]) -> None:
    """A number stands right of a dot that the line falls to, left of one that it rises from, else above."""
    assert ["end", "end", "end", "end", "middle"] == [dot.anchor for dot in drawn["effect"].dots]
    assert ["middle", "start", "start", "middle", "middle"] == [dot.anchor for dot in drawn["diversity"].dots]


def test_numbers_that_would_touch_are_left_to_the_table() -> None:
    """With many checkpoints some dots have no label, but the first and the last have, and the words name all."""
    plan = large_plan(20, 1)
    review = replace(review_of(*numbers(plan)), plan=plan)
    dots = plots(review)[0].dots
    labelled = [dot.x for dot in dots if dot.labelled]
    assert 19 == len(dots)
    assert {dots[0].x, dots[-1].x} <= set(labelled)
    assert all(right - left >= 40 for left, right in itertools.pairwise(labelled))
    assert 19 == plots(review)[0].said.count("step")


def test_one_checkpoint_without_effect_has_a_plot() -> None:
    """A single dot, and a number of 0, divide nothing by nothing."""
    one = Metrics(checkpoint="step200", step=200, effect=0.0, distance=None, diversity=None)
    (plot,) = plots(review_of(one))
    assert ("0.0", ()) == (plot.dots[0].number, plot.lines)


def test_nothing_measured_is_not_plotted() -> None:
    """Where no checkpoint has a number, the page has no plot and no words about any."""
    nothing = Metrics(checkpoint="step200", step=200, effect=None, distance=None, diversity=None)
    assert () == plots(review_of())
    page = render_page(review_of(nothing))
    assert "<svg" not in page
    assert "Numbers by step" not in page


def test_each_strength_is_a_line_of_its_own() -> None:
    """With several strengths each has its dots and its line, on one scale, and says which it is."""
    weak, strong = (tuple(replace(one, strength=at) for one in numbers(spyke())) for at in (0.8, 1.0))
    stronger = tuple(replace(one, effect=(one.effect or 0) * 2) for one in strong)

    effect = plots(review_of(*weak, *stronger))[0]

    assert [0.8, 1.0] == [one.strength for one in effect.series]
    assert ["step 200 at strength 0.8", "step 200 at strength 1"] == [one.dots[0].name for one in effect.series]
    assert effect.series[0].dots[-1].y > effect.series[1].dots[-1].y
    assert [1, 1] == [len(one.lines) for one in effect.series]
