"""Whether several judges saw the same: Krippendorff's alpha of each criterion, and who said no.

K. Krippendorff, Content Analysis (2013), chapter 12: nominal data, any number of judges, marks may be missing. The page
counts the same, in agreement.js.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plugins.plan.cells import column
from plugins.plan.plan import Plan
from plugins.plan.wanted import Criterion
from plugins.review.ballot import Ballot


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far judges agree on one criterion."""

    criterion: Criterion
    units: tuple[tuple[str, ...], ...]
    """The answers that each picture got, of those that two judges or more marked."""

    @property
    def alike(self) -> int:
        """How many pictures got one answer from all."""
        return sum(len(set(answers)) == 1 for answers in self.units)

    def __str__(self) -> str:
        """Write `alpha 0.69; 10 of 12 pictures marked alike`."""
        if not self.units:
            return "no picture was marked by two judges"
        found = alpha(self.units)
        measure = "no alpha, since all marks are the same" if found is None else f"alpha {found:.2f}"
        return f"{measure}; {self.alike} of {len(self.units)} pictures marked alike"


def alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Return Krippendorff's alpha of nominal answers, one sequence for each picture: 1 is agreement, 0 is chance.

    None where there is nothing to tell apart: no picture with two answers, or one answer alone.
    """
    counted = [Counter(answers) for answers in units if len(answers) > 1]
    totals = sum(counted, Counter[str]())
    marks = totals.total()
    expected = marks**2 - sum(count**2 for count in totals.values())
    if not expected:
        return None
    observed = sum((one.total() ** 2 - sum(count**2 for count in one.values())) / (one.total() - 1) for one in counted)
    return 1 - (marks - 1) * observed / expected


def agreements(ballots: Sequence[Ballot], plan: Plan) -> list[Agreement]:
    """Return how far these ballots agree, criterion by criterion, in the plan's order."""
    return [
        Agreement(
            criterion=criterion,
            units=tuple(
                answers
                for checkpoint in plan.tested
                for cell in column(plan, checkpoint)
                if len(answers := tuple(_answers(ballots, checkpoint.id, cell.name, criterion.id))) > 1
            ),
        )
        for criterion in plan.criteria
    ]


def _answers(ballots: Iterable[Ballot], checkpoint: str, picture: str, criterion: str) -> Iterable[str]:
    for ballot in ballots:
        if mark := ballot.marks.get(checkpoint, {}).get(picture, {}).get(criterion):
            yield mark.answer
