"""A review is put together from what this run knows, and from what lies on disk."""

from pathlib import Path

from plugins.comfyui.workflow import Workflow
from plugins.generate.expected import ExpectedInputs
from plugins.plan.cells import matrix
from plugins.review.gathering import gather
from tests.plugins.review.sample import drawing, evidence, spyke


def test_what_is_known_is_not_read_again(tmp_path: Path) -> None:
    """Known evidence is shown as it is, a failure in its place; what is neither is looked for on disk."""
    plan = spyke()
    first, second, third, *others = matrix(plan)
    known = {cell: evidence(plan, cell, drawing(cell, 16)) for cell in (first, second)}
    asked = ExpectedInputs(plan=plan, workflow=Workflow.built_in(), loras={}, simulated=False)

    review = gather(asked, tmp_path, failed={second: "out of memory"}, command="", known=known)

    shown = {entry.cell: (entry.evidence, entry.problem) for entry in review.entries}
    assert (known[first], "") == shown[first]
    assert (None, "out of memory") == shown[second]
    assert {(None, "pytest -m generate renders it")} == {shown[cell] for cell in (third, *others)}
