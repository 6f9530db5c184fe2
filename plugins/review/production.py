"""What is in production now, by the records that a deployment and a rollback leave in the reports folder."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ValidationError

from plugins.loras.copying import digest_of
from plugins.plan.cells import at
from plugins.plan.plan import Plan
from plugins.plan.small_files import read_small
from plugins.review.review import step_name


class _Candidate(BaseModel):
    sha256: str


class _Deployment(BaseModel):
    plan_name: str
    simulated: bool
    selected: str
    strength: float | None = None
    candidates: dict[str, _Candidate]
    deployed: AwareDatetime


class _Rollback(BaseModel):
    undone: datetime | None


def in_production(plan: Plan, reports: Path, *, simulated: bool) -> str:
    """Return `step 600, proven 25 Nov 2025`; empty where no deployment of this plan stands as it was proven.

    Empty as well where the production file is not what the record says: `pytest -m verify` tells more.
    """
    deployment: _Deployment | None = _read(reports / "deployment.json", _Deployment)
    rollback: _Rollback | None = _read(reports / "rollback.json", _Rollback)
    if deployment is None or (deployment.plan_name, deployment.simulated) != (plan.name, simulated):
        return ""
    if rollback and rollback.undone == deployment.deployed:
        return ""
    checkpoint, candidate = plan.checkpoint(deployment.selected), deployment.candidates.get(deployment.selected)
    try:
        stands = candidate is not None and digest_of(plan.production_file) == candidate.sha256
    except OSError:
        stands = False
    if checkpoint is None or not stands:
        return ""
    when = deployment.deployed
    return f"{at(step_name(checkpoint), deployment.strength)}, proven {when.day} {when:%b %Y}"


def _read(path: Path, kind: type[BaseModel]) -> Any:  # noqa: ANN401 (one of the two kinds, or None)
    try:
        return kind.model_validate_json(read_small(path))
    except (OSError, ValidationError, RecursionError):
        return None
