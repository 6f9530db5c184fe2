"""What a LoRA changes without its trigger word: measured by itself, charted on one scale, told in a sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from plugins.evidence.evidence import ComparedRecord, Evidence
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.review.metrics import bleed_in_words, metrics_of
from plugins.review.page import render_page
from plugins.review.plot import plots
from plugins.review.review import Review
from tests.plugins.review.sample import drawing, evidence, make_review, spyke


@pytest.fixture
def bleeding() -> Plan:
    """Return the Spyke plan with its last prompt's trigger word left out."""
    plan = spyke()
    *others, last = plan.prompts
    last = last.model_copy(update={"bleed": True, "text": "a man, full body"})
    criteria = tuple(one.model_copy(update={"prompts": ()}) for one in plan.criteria)
    return plan.model_copy(update={"prompts": (*others, last), "criteria": criteria})


def changed(plan: Plan, *, with_trigger: float, without: float) -> list[Evidence]:
    """Make evidence of step 600 that differs from its baseline by so much."""
    found = []
    for cell in matrix(plan):
        if cell.column == "step600":
            effect = without if cell.prompt.bleed else with_trigger
            compared = ComparedRecord(baseline_pixels_sha256="0" * 64, effect=effect)
            made = evidence(plan, cell, drawing(cell, 32))
            found.append(made.model_copy(update={"compared": compared}))
    return found


def test_effect_without_the_trigger_is_a_number_of_its_own(bleeding: Plan) -> None:
    """The effect is that of the trigger prompts; what bleeds is beside it, and both are said."""
    step600 = bleeding.checkpoints[2]
    found = changed(bleeding, with_trigger=20.0, without=5.0)

    metrics = metrics_of(step600, found, bleeding=bleeding.bleeding)

    assert (metrics.effect, metrics.bleed) == (20.0, 5.0)
    assert bleed_in_words(metrics) == (
        "With the trigger word it changes the picture by 20.0 of 255, without it by 5.0, 25 % of that."
    )
    assert bleed_in_words(replace(metrics, bleed=None)) == ""


def test_it_is_charted_on_the_scale_of_the_effect(bleeding: Plan) -> None:
    """The chart of what bleeds has the scale of the effect, so that the two can be held against each other."""
    step600 = bleeding.checkpoints[2]
    metrics = metrics_of(step600, changed(bleeding, with_trigger=20.0, without=5.0), bleeding=bleeding.bleeding)
    drawn = {one.measure.id: one for one in plots(_review(bleeding, Path("nowhere"), metrics))}

    effect, bleed = (drawn[one].dots[0] for one in ("effect", "bleed"))

    assert (effect.number, bleed.number) == ("20.0", "5.0")
    assert bleed.y > effect.y
    wide = replace(metrics, effect=10.0, effects=(5.0, 40.0), bleed=10.0)
    effect, bleed = (one.dots[0] for one in plots(_review(bleeding, Path("nowhere"), wide))[:2])
    assert effect.y == bleed.y


def test_criteria_are_looked_for_with_the_trigger_alone(bleeding: Plan, tmp_path: Path) -> None:
    """A criterion that names no prompts is not looked for where the trigger word is left out; the page knows it."""
    assert bleeding.looked_for(bleeding.criteria[0]) == ("trigger_environment", "novel_pose")
    named = bleeding.criteria[0].model_copy(update={"prompts": ("asymmetric_details",)})
    assert bleeding.looked_for(named) == ("asymmetric_details",)

    page = render_page(make_review(tmp_path, side=16, flags=False, plan=bleeding))
    assert '"prompts": ["trigger_environment", "novel_pose"]' in page
    assert '<p id="bleed" role="status"></p>' in page


def _review(plan: Plan, reports: Path, *metrics: object) -> Review:
    return Review(plan=plan, reports=reports, entries=(), metrics=metrics)  # type: ignore[arg-type]
