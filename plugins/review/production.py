"""What is in production now, by the records that a deployment and a rollback leave in the reports folder."""

from pathlib import Path

from plugins.evidence.deployments import RECORD, ROLLBACK, RecordError, read_record, rollback_of
from plugins.loras.copying import digest_of
from plugins.plan.cells import at
from plugins.plan.plan import Plan
from plugins.review.review import step_name


def in_production(plan: Plan, reports: Path, *, simulated: bool) -> str:
    """Return `step 600, proven 25 Nov 2025`; empty where no deployment of this plan stands as it was proven.

    Empty as well where the production file is not what the record says: `pytest -m verify` tells more.
    """
    try:
        deployment = read_record(reports / RECORD)
        rollback = rollback_of(deployment, reports / ROLLBACK)
    except RecordError:
        return ""
    if rollback or (deployment.plan_name, deployment.simulated) != (plan.name, simulated):
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
