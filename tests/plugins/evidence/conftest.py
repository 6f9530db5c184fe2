"""A plan's cells and a place for their evidence."""

from pathlib import Path

import pytest

from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.plan.plan import Plan
from tests.plugins.evidence.made_evidence import expected_inputs_of


@pytest.fixture
def asked(plan: Plan) -> ExpectedInputs:
    """Ask for what the small plan says now."""
    return expected_inputs_of(plan)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty pictures folder."""
    return Store(tmp_path / "reports")
