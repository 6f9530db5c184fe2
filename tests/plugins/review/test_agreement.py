"""Several judges: Krippendorff's alpha against published examples, and a "no" that no majority hides."""

import pytest

from plugins.plan.plan import Plan
from plugins.review.agreement import agreements, alpha
from plugins.review.ballot import Ballot, required_no
from tests.plugins.review.published import EXAMPLES, units
from tests.plugins.review.sample import spyke


@pytest.mark.parametrize(("table", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_alpha_is_the_published_one(table: tuple[str, ...], expected: float) -> None:
    """Two and three categories and more, two to four judges, with marks missing."""
    assert expected == pytest.approx(alpha(units(table)), abs=0.0006)


def test_marks_that_are_all_the_same_tell_nothing() -> None:
    """One answer alone, or no picture with two marks, has no alpha: nothing is divided by zero."""
    assert alpha([("yes", "yes"), ("yes", "yes")]) is None
    assert alpha([("yes",), ("no",)]) is None
    assert alpha([]) is None
    assert 1.0 == alpha([("yes", "yes"), ("no", "no")])


def ballot(plan: Plan, **answers: str) -> Ballot:
    """Return a ballot with these answers on step600's criteria, on its picture in the novel pose."""
    marks = {criterion: {"answer": answer} for criterion, answer in answers.items()}
    return Ballot.model_validate(
        {
            "format": 2,
            "plan": {"name": plan.name, "digest": plan.digest},
            "simulated": False,
            "saved": "2025-11-22T20:30:00Z",
            "marks": {"step600": {"novel_pose": marks}},
            "notes": {},
            "choice": None,
            "reason": "",
            "suggestion": {"checkpoint": None, "reason": ""},
            "blind": None,
            "pictures": {"step600-novel_pose": {"file": "0" * 64}},
        },
        strict=False,
    )


def test_agreement_is_told_criterion_by_criterion() -> None:
    """What two marked is counted; one judge's "no" is named, however many said yes."""
    plan = spyke()
    judges = [ballot(plan, hair="yes", cloak="yes"), ballot(plan, hair="yes", cloak="no"), ballot(plan, style="no")]
    told = {one.criterion.id: str(one) for one in agreements(judges, plan)}
    assert {
        "hair": "no alpha, since all marks are the same; 1 of 1 pictures marked alike",
        "cloak": "alpha 0.00; 0 of 1 pictures marked alike",
        "style": "no picture was marked by two judges",
    } == {name: told[name] for name in ("hair", "cloak", "style")}
    cloak = next(criterion.text for criterion in plan.criteria if criterion.id == "cloak")
    assert [[], [cloak]] == [required_no(one, "step600", plan, None) for one in judges[:2]]
