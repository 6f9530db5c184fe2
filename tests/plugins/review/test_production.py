"""What the page says is in production: only what is on record, proven, and still there."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plugins.plan.plan import Plan
from plugins.review.production import in_production
from tests.small_plan import made_plan, plan, plan_file

__all__ = ["made_plan", "plan", "plan_file"]

DEPLOYED = datetime(2025, 11, 25, 20, 15, tzinfo=UTC)


@pytest.fixture
def reports(plan: Plan, tmp_path: Path) -> Path:
    """Put a file into production, with the record of its deployment."""
    plan.production_file.parent.mkdir(parents=True, exist_ok=True)
    plan.production_file.write_bytes(b"weights")
    record = {
        "plan_name": plan.name,
        "simulated": False,
        "selected": "step600",
        "candidates": {"step600": {"sha256": hashlib.sha256(b"weights").hexdigest()}},
        "deployed": DEPLOYED.isoformat(),
        "more": "is not read",
    }
    (tmp_path / "deployment.json").write_text(json.dumps(record), "utf-8")
    return tmp_path


def test_proven_deployment_is_told(plan: Plan, reports: Path) -> None:
    """Checkpoint and day, in a few words."""
    assert "step 600, proven 25 Nov 2025" == in_production(plan, reports, simulated=False)


def test_nothing_is_claimed_that_does_not_stand(plan: Plan, reports: Path) -> None:
    """Nothing of a simulated run, of other bytes, after a rollback, of a broken record, or without one."""
    assert "" == in_production(plan, reports, simulated=True)
    rollback = reports / "rollback.json"
    rollback.write_text(json.dumps({"undone": DEPLOYED.isoformat()}), "utf-8")
    assert "" == in_production(plan, reports, simulated=False)
    rollback.unlink()
    plan.production_file.write_bytes(b"others")
    assert "" == in_production(plan, reports, simulated=False)
    (reports / "deployment.json").write_text("{", "utf-8")
    assert "" == in_production(plan, reports, simulated=False)
    assert "" == in_production(plan, reports / "none", simulated=False)
