"""Every checkpoint, and the base model alone, is rendered on every prompt: `pytest -m generate`."""

from collections.abc import Callable

import pytest

from plugins.evidence.evidence import Evidence
from plugins.plan.cells import Cell
from plugins.plan.messages import visible

pytestmark = pytest.mark.generate


def test_baseline_renders_prompt(baseline_cell: Cell, evidence_of: Callable[[Cell], Evidence]) -> None:
    """The base model alone gives a picture to compare with."""
    _fail_for(baseline_cell, evidence_of(baseline_cell))


def test_checkpoint_renders_prompt(checkpoint_cell: Cell, evidence_of: Callable[[Cell], Evidence]) -> None:
    """The checkpoint gives a picture of the asked size, with something in it, made from what was asked for."""
    _fail_for(checkpoint_cell, evidence_of(checkpoint_cell))


def _fail_for(cell: Cell, evidence: Evidence) -> None:
    if evidence.failures:
        told = "\n".join(f"  {check}" for check in evidence.failures)
        pytest.fail(visible(f"The picture of {cell} cannot be judged:\n{told}"), pytrace=False)
