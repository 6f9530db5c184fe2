"""What a rollback did, on record; and what a killed deployment or rollback left half done is brought to its end."""

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from plugins.deploy.deployment import RECORD, Deployment, RecordError, read_record
from plugins.evidence.evidence import Sha256
from plugins.loras import journal
from plugins.loras.journal import Installation
from plugins.plan.plan import Plan
from plugins.plan.small_files import read_small

ROLLBACK: Final = "rollback.json"


class Rollback(BaseModel):
    """What a rollback did. Paths are absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    installed: str
    """The id of the installation that this is the record of."""
    plan_name: str
    simulated: bool
    production: Path
    sha256: Sha256
    """Digest of the file that was put back."""
    checkpoint: str | None
    """The checkpoint that it is; None where it is none of the plan's."""
    taken_out: str
    """The checkpoint, or the digest, that was in production."""
    proof: dict[str, str]
    """What production rendered of each row, in words."""
    undone: datetime | None
    """When the deployment was made that this took back: another one on record is newer than this."""
    rolled_back: datetime

    @property
    def name(self) -> str:
        """What is in production now, in words."""
        return self.checkpoint or f"the file that was there before (SHA-256 {self.sha256[:12]})"

    def __str__(self) -> str:
        return (
            f"Production was rolled back from {self.taken_out} to {self.name} on {self.rolled_back:%Y-%m-%d %H:%M} UTC."
        )


def recover(plan: Plan, reports: Path) -> str:
    """Bring to an end what a killed run left half done: what was proven is kept, what was not is taken back.

    Says what was taken back; empty where nothing was. Raises `DeploymentError` or `OSError` where that cannot be done.
    """
    begun = journal.pending(plan.production_file)
    if begun is None:
        return ""
    if _was_proven(begun, reports):
        journal.commit(begun, [plan.training_file(one) for one in plan.checkpoints])
        return ""
    what = "rollback" if begun.rollback else "deployment"
    return f"An earlier {what} was stopped before it was proven. {journal.rollback(begun)}"


def _was_proven(begun: Installation, reports: Path) -> bool:
    """Look for the record that is written when a deployment or a rollback was proven; a broken one proves nothing."""
    with contextlib.suppress(RecordError):
        if read_record(reports / RECORD).installed == begun.id:
            return True
    with contextlib.suppress(RecordError):
        rollback = _read_rollback(reports / ROLLBACK)
        return rollback is not None and rollback.installed == begun.id
    return False


def rollback_of(deployment: Deployment, path: Path) -> Rollback | None:
    """Return the rollback that took this deployment back; None where it still stands.

    Raises `RecordError`.
    """
    found = _read_rollback(path)
    return found if found and found.undone == deployment.deployed else None


def _read_rollback(path: Path) -> Rollback | None:
    try:
        return Rollback.model_validate_json(read_small(path))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, RecursionError) as error:
        told = f"{path} is not a readable record of a rollback: {str(error).splitlines()[0]}"
        raise RecordError(f"{told}. Move it away; production is held against the last deployment then.") from error
