"""The selected checkpoint goes into production, and what was done is put on record (mission, task 3)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from plugins.evidence.asked import Asked
from plugins.evidence.evidence import Evidence, ServerRecord, Sha256
from plugins.evidence.files import write_atomically
from plugins.loras.copying import digest_of
from plugins.loras.deployment import install, remove_evaluation_copies
from plugins.loras.errors import DeploymentError
from plugins.plan.cells import Cell
from plugins.plan.plan import Checkpoint

RECORD: Final = "deployment.json"


class RecordError(Exception):
    """A record of a deployment that is not there or cannot be believed; the message names the file."""


class Candidate(BaseModel):
    """One checkpoint as it was when the selection was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    file: str
    sha256: Sha256


class Deployment(BaseModel):
    """What was deployed, out of what, and on which evidence. Paths are absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    plan_name: str
    plan_digest: Sha256
    simulated: bool
    selected: str
    candidates: dict[str, Candidate]
    """By checkpoint id."""
    pictures: dict[str, Sha256]
    """Digest of the pixels that were judged, by cell id."""
    production: Path
    replaced_sha256: Sha256 | None
    backup: Path | None
    removed: tuple[Path, ...] = ()
    left: dict[str, str] = {}
    """Evaluation copies that were not removed, and why."""
    observed: str = ""
    server: ServerRecord
    deployed: datetime

    @property
    def sha256(self) -> str:
        """Digest of the deployed bytes."""
        return self.candidates[self.selected].sha256


def deploy(
    asked: Asked, selected: Checkpoint, evidence: dict[Cell, Evidence], *, record: Path, observed: str
) -> Deployment:
    """Put the selected checkpoint in place, see that it is there, then remove the evaluation copies.

    The record is written as soon as production has changed, and again when the clean-up is done. Raises
    `DeploymentError` while the former production file is still in place.
    """
    plan = asked.plan
    known = frozenset(asked.loras.values())
    plan.paths.loras.mkdir(parents=True, exist_ok=True)
    installed = install(
        plan.training_file(selected),
        plan.paths.loras / plan.production.file,
        sha256=asked.loras[selected.id],
        known=known,
    )
    deployment = Deployment(
        plan_name=plan.name,
        plan_digest=plan.digest,
        simulated=asked.simulated,
        selected=selected.id,
        candidates={
            checkpoint.id: Candidate(step=checkpoint.step, file=checkpoint.file, sha256=asked.loras[checkpoint.id])
            for checkpoint in plan.checkpoints
        },
        pictures={cell.id: found.picture.pixels_sha256 for cell, found in evidence.items()},
        production=installed.file,
        replaced_sha256=installed.replaced_sha256,
        backup=installed.backup,
        observed=observed,
        server=next(iter(evidence.values())).server,
        deployed=datetime.now(UTC),
    )
    _write(deployment, record)
    if digest_of(installed.file) != installed.sha256:
        raise DeploymentError(
            f"{installed.file} does not hold the bytes that were just written to it. Evaluation copies were left "
            "where they are; check the disk, then deploy again."
        )
    cleaned = remove_evaluation_copies(plan, known)
    left = {str(path): reason for path, reason in cleaned.left.items()}
    deployment = deployment.model_copy(update={"removed": cleaned.removed, "left": left})
    _write(deployment, record)
    return deployment


def read_record(path: Path) -> Deployment:
    """Read what the last deployment left. Raises `RecordError`."""
    try:
        return Deployment.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(
            f"No deployment is on record in {path.parent}. Deploy with pytest -m deploy --selected-step=STEP, or name "
            "the folder of the run that did: --reports DIR."
        ) from None
    except (OSError, ValidationError, RecursionError) as error:
        raise RecordError(f"{path} is not a readable record of a deployment: {str(error).splitlines()[0]}") from error


def _write(deployment: Deployment, path: Path) -> None:
    write_atomically(path, deployment.model_dump_json(indent=2) + "\n")
