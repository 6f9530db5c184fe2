"""What the page says is in production: only what is on record, proven, and still there."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plugins.comfyui.answers import ServerInfo
from plugins.evidence.deployments import RECORD, ROLLBACK, Candidate, Deployment, Rollback, write_record
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
    digest = hashlib.sha256(b"weights").hexdigest()
    server = ServerInfo(url="http://127.0.0.1:8188", comfyui_version="0.33.0", device="cpu", simulated=False)
    deployment = Deployment(
        plan_name=plan.name,
        plan_digest=plan.digest,
        simulated=False,
        selected="step600",
        candidates={"step600": Candidate(step=600, file="a.safetensors", sha256=digest)},
        judged={},
        production=plan.production_file,
        replaced_sha256=None,
        backup=None,
        proof=(),
        server=server,
        deployed=DEPLOYED,
    )
    write_record(deployment, tmp_path / RECORD)
    return tmp_path


def test_proven_deployment_is_told(plan: Plan, reports: Path) -> None:
    """Checkpoint and day, in a few words."""
    assert "step 600, proven 25 Nov 2025" == in_production(plan, reports, simulated=False)


def test_nothing_is_claimed_that_does_not_stand(plan: Plan, reports: Path) -> None:
    """Nothing of a simulated run, of other bytes, after a rollback, of a broken record, or without one."""
    assert "" == in_production(plan, reports, simulated=True)
    taken_back = Rollback(
        installed="1",
        plan_name=plan.name,
        simulated=False,
        production=plan.production_file,
        sha256="0" * 64,
        checkpoint=None,
        taken_out="step600",
        proof={},
        undone=DEPLOYED,
        rolled_back=DEPLOYED,
    )
    rollback = reports / ROLLBACK
    write_record(taken_back, rollback)
    assert "" == in_production(plan, reports, simulated=False)
    rollback.unlink()
    plan.production_file.write_bytes(b"others")
    assert "" == in_production(plan, reports, simulated=False)
    (reports / RECORD).write_text("{", "utf-8")
    assert "" == in_production(plan, reports, simulated=False)
    assert "" == in_production(plan, reports / "none", simulated=False)
