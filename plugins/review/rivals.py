"""Is the selected checkpoint better than a rival, such as production? rivals.js says the same on the page."""

from plugins.plan.cells import at
from plugins.plan.plan import Plan
from plugins.plan.tested import Rival
from plugins.review.ballot import Ballot, figures
from plugins.review.figures import Figure


def compared_with(rival: Rival, ballot: Ballot, plan: Plan, *, selected: str, strength: float | None) -> str:
    """Say by the marks whether the selected checkpoint is better than a rival, criterion by criterion."""
    counted = figures(ballot, plan, strength)
    criteria = [one for one in plan.criteria if one.required] or list(plan.criteria)
    better: list[str] = []
    worse: list[str] = []
    unmarked = 0
    for criterion in criteria:
        ours, theirs = (counted[one][criterion.id] for one in (selected, rival.id))
        if not (ours.looked_at and theirs.looked_at):
            unmarked += 1
        elif _share(ours) != _share(theirs):
            counts = f"{criterion.text} ({ours.yes} of {ours.looked_at} against {theirs.yes} of {theirs.looked_at})"
            (better if _share(ours) > _share(theirs) else worse).append(counts)
    start = f"Is {at(selected, strength)} better than {rival.label}?"
    if unmarked or not criteria:
        return f"{start} Not answered: {unmarked} of {len(criteria)} criteria are not marked on both."
    if worse:
        also = f" Better in {'; '.join(better)}." if better else ""
        return f"{start} Not by the marks: worse in {'; '.join(worse)}.{also}"
    if better:
        return f"{start} Yes, by the marks: better in {'; '.join(better)}, and worse in none."
    return f"{start} They are equal by the marks."


def _share(figure: Figure) -> float:
    return figure.yes / figure.looked_at
