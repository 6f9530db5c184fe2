"""A matrix that was rendered and judged, with its evaluation copies still in the loras folder."""

from pathlib import Path

import pytest

from plugins.evidence.store import Store
from plugins.loras.staging import preflight, stage
from plugins.plan.plan import Plan
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import expected_inputs_of, keep_all


@pytest.fixture
def judged(plan: Plan, tmp_path: Path) -> Judged:
    """Return the small plan with every cell rendered and every checkpoint staged."""
    stage(plan, preflight(plan))
    reports = tmp_path / "reports"
    judged = Judged(plan=plan, expected=expected_inputs_of(plan), store=Store(reports), reports=reports)
    keep_all(judged.expected, judged.store)
    return judged
