"""Nothing is deployed that was not tested: every checkpoint on every prompt, as the files are now."""

from typing import Final

from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.pictures.check import Outcome
from plugins.plan.cells import Cell, column
from plugins.plan.messages import UserError
from plugins.plan.plan import Checkpoint, Plan

NEEDED: Final = ("size", "blank", "noise", "LoRA effect", "twin")
"""The checks that must have been made of every judged picture, whatever their outcome."""


class GateError(UserError):
    """The selection may not be deployed; the message names every cell that is in the way."""


def tested_cells(plan: Plan) -> tuple[Cell, ...]:
    """Return the cells that a selection rests on: every checkpoint at every strength on every prompt; no baselines."""
    return tuple(cell for checkpoint in plan.checkpoints for cell in column(plan, checkpoint))


def pass_gate(
    expected: ExpectedInputs, store: Store, selected: Checkpoint, strength: float | None = None
) -> dict[Cell, Evidence]:
    """Return the evidence that the selection rests on.

    Raises `GateError` where a cell of any checkpoint has no evidence of the bytes that its training file has now, or a
    picture of the selected one, at the `strength` that it was judged at, failed a check.
    """
    cells = tested_cells(expected.plan)
    missing = expected.missing(store, cells)
    problems = [str(one) for one in missing]
    shut = {one.cell for one in missing}
    evidence = {} if problems else {cell: found for cell in cells if (found := store.read(cell))}
    for cell, found in evidence.items():
        is_judged = (cell.checkpoint, cell.strength) == (selected, strength)
        told = _unchecked(found) + ([str(check) for check in found.failures] if is_judged else [])
        problems += [f"{cell}: {one}" for one in told]
        shut |= {cell} if told else set()
    base_models = sorted({found.base_model for found in evidence.values()})
    if len(base_models) > 1:
        problems.append(f"the pictures were made on several base models ({', '.join(base_models)}) and do not compare")
    if problems:
        count = len(shut) or len(cells)
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise GateError(
            f"{selected.id} cannot be deployed: {count} of {len(cells)} cells stand in the way.{lines}\n"
            "Nothing was deployed. Render what is missing, and look at the report again: pytest -m generate"
        )
    return evidence


def _unchecked(evidence: Evidence) -> list[str]:
    """Return the checks that were never made of a picture, as when a run was killed before it compared them."""
    outcomes = {check.name: check.outcome for check in evidence.checks}
    return [
        f"its check {name!r} was not made"
        for name in NEEDED
        if outcomes.get(name, Outcome.NOT_CHECKED) is Outcome.NOT_CHECKED
    ]
