"""A matrix that was rendered and judged, with its evaluation copies still in the loras folder."""

import shutil
from pathlib import Path

import pytest

from plugins.evidence.store import Store
from plugins.loras.staging import preflight, stage
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import expected_inputs_of, keep_all


@pytest.fixture(scope="session")
def made_judged(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Return the small plan with every cell rendered and every checkpoint staged, made once, to be copied."""
    folder = tmp_path_factory.mktemp("judged") / "whole"
    shutil.copytree(made_plan, folder)
    plan = read_plan(folder / "plan.toml")
    stage(plan, preflight(plan))
    reports = folder / "reports"
    judged = Judged(plan=plan, expected=expected_inputs_of(plan), store=Store(reports), reports=reports)
    keep_all(judged.expected, judged.store)
    return judged


@pytest.fixture
def judged(plan: Plan, tmp_path: Path, made_judged: Judged) -> Judged:
    """Return the small plan with every cell rendered and every checkpoint staged."""
    reports = tmp_path / "reports"
    shutil.copytree(made_judged.reports, reports)
    shutil.copytree(made_judged.plan.paths.loras, plan.paths.loras, dirs_exist_ok=True)
    return Judged(plan=plan, expected=expected_inputs_of(plan), store=Store(reports), reports=reports)
