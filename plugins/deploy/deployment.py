"""The selected checkpoint goes into production, and what was done is put on record (mission, task 3)."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.errors import ComfyUIError
from plugins.deploy.proof import ProofError, Proven
from plugins.evidence.evidence import Evidence, Sha256
from plugins.evidence.files import write_atomically
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.loras.copies import CleanUp, remove_evaluation_copies
from plugins.loras.copying import digest_of, sync_folder
from plugins.loras.deployment import Installed, backup_of, install, restore, settle, unfinished
from plugins.loras.errors import DeploymentError, LoraError
from plugins.plan.cells import Cell
from plugins.plan.messages import UserError
from plugins.plan.plan import Checkpoint
from plugins.plan.small_files import read_small

RECORD: Final = "deployment.json"


class RecordError(UserError):
    """A record of a deployment that is not there or cannot be believed; the message names the file."""


class Candidate(BaseModel):
    """One checkpoint as it was when the selection was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    file: str
    sha256: Sha256


class Judged(BaseModel):
    """One picture that the selection rests on, and the evidence of it, as they were then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixels_sha256: Sha256
    evidence_sha256: Sha256
    prompt_id: str
    """The server's id of the rendering: another one means that it was rendered again since."""


class BallotRecord(BaseModel):
    """The ballot that a deployment was made by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    sha256: Sha256


class Deployment(BaseModel):
    """What was deployed, out of what, and on which evidence. Paths are absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    installed: str = ""
    """The id of the installation that this is the record of."""
    plan_name: str
    plan_digest: Sha256
    simulated: bool
    selected: str
    candidates: dict[str, Candidate]
    """By checkpoint id."""
    judged: dict[str, Judged]
    """What the selection rests on, by cell id."""
    production: Path
    replaced_sha256: Sha256 | None
    backup: Path | None
    removed: tuple[Path, ...] = ()
    left: dict[str, str] = {}
    """Evaluation copies that were not removed, and why."""
    observed: str = ""
    ballot: BallotRecord | None = None
    proof: tuple[Proven, ...]
    """What production rendered, held against what was judged."""
    server: ServerInfo
    deployed: datetime

    @property
    def sha256(self) -> str:
        """Digest of the deployed bytes."""
        return self.candidates[self.selected].sha256


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A checkpoint that passed the gate, with all that its deployment needs to know."""

    asked: ExpectedInputs
    store: Store
    checkpoint: Checkpoint
    evidence: Mapping[Cell, Evidence]
    observed: str
    ballot: BallotRecord | None


def deploy(
    selected: Selected,
    *,
    record: Path,
    prove: Callable[[], tuple[Proven, ...]],
    forget: Callable[[], None],
) -> Deployment:
    """Put the selected checkpoint in place, prove what it renders, and only then remove the evaluation copies.

    `forget` makes the servers forget what they loaded under the production name once the former file is back
    (COMFYUI.md, fact 1).

    Raises `DeploymentError` where production could not be changed, or did not render what was judged: the former
    production file is then in place again, or the message says where it is. Where this process is killed, `recover`
    puts it back.
    """
    asked, plan = selected.asked, selected.asked.plan
    target = plan.production_file
    with put_back_on_error(target, forget, told="Evaluation copies were left where they are."):
        installed = install(plan.training_file(selected.checkpoint), target, sha256=asked.loras[selected.checkpoint.id])
        installed = _as_undone_by_rollback(installed, record)
        deployment = _recorded(selected, installed, prove())
        _write(deployment, record)
    deployment = deployment.model_copy(update=_clean_up(selected, installed))
    with contextlib.suppress(OSError):  # the record is there already, but for the clean-up
        _write(deployment, record)
    return deployment


def _as_undone_by_rollback(installed: Installed, record: Path) -> Installed:
    """Where the deployment on record put these bytes there, keep what that one replaced: a rollback goes back to it."""
    if installed.replaced_sha256 != installed.sha256:
        return installed
    try:
        earlier = read_record(record)
    except RecordError:
        return installed
    if (earlier.sha256, earlier.production) != (installed.sha256, installed.file):
        return installed
    former = earlier.replaced_sha256
    backup = backup_of(installed.file, former) if former else None
    return installed.model_copy(update={"replaced_sha256": former, "backup": backup})


def _clean_up(selected: Selected, installed: Installed) -> dict[str, Any]:
    """Remove what a proven deployment no longer needs; what cannot be removed is told, and is no reason to undo it."""
    asked, plan = selected.asked, selected.asked.plan
    cleaned, left = CleanUp(removed=(), left={}), {}
    try:
        installed = settle(installed, [plan.training_file(one) for one in plan.checkpoints])
        cleaned = remove_evaluation_copies(plan, frozenset(asked.loras.values()))
    except OSError as error:
        left[str(error.filename)] = f"cleaning up stopped there ({error.strerror or error}); deploy again"
    left |= {str(path): reason for path, reason in cleaned.left.items()}
    return {"backup": installed.backup, "removed": cleaned.removed, "left": left}


@contextmanager
def put_back_on_error(target: Path, forget: Callable[[], None], *, told: str = "") -> Iterator[None]:
    """Put the former production file back where putting another one there, or its proof, went wrong or was stopped.

    Raises `DeploymentError` that says what was wrong, what was done, and what more is `told`.
    """
    try:
        yield
    except DeploymentError:
        raise  # it says that production was not touched
    except BaseException as error:
        done = _put_back(target, forget)
        if isinstance(error, ProofError | ComfyUIError | OSError):
            raise DeploymentError(f"{error}\n{done} {told}".rstrip()) from error
        error.add_note(done)
        raise


def _put_back(target: Path, forget: Callable[[], None]) -> str:
    """Put the former production file back where a deployment was begun, and say what was done; never raises."""
    try:
        begun = unfinished(target)
        done = restore(begun) if begun else f"{target} already held these bytes, and was left as it is."
    except (LoraError, OSError) as error:
        return f"{target} holds a LoRA that is UNPROVEN: {error}"
    try:
        forget()
    except ComfyUIError as error:
        return f"{done} Restart ComfyUI: it may still have the other file in memory ({error})"
    return done


def _recorded(selected: Selected, installed: Installed, proof: tuple[Proven, ...]) -> Deployment:
    plan, asked = selected.asked.plan, selected.asked
    return Deployment(
        installed=installed.id,
        plan_name=plan.name,
        plan_digest=plan.digest,
        simulated=asked.simulated,
        selected=selected.checkpoint.id,
        candidates={
            one.id: Candidate(step=one.step, file=one.file, sha256=asked.loras[one.id]) for one in plan.checkpoints
        },
        judged={
            cell.id: Judged(
                pixels_sha256=found.picture.pixels_sha256,
                evidence_sha256=digest_of(selected.store.evidence(cell)),
                prompt_id=found.run.prompt_id,
            )
            for cell, found in selected.evidence.items()
        },
        production=installed.file,
        replaced_sha256=installed.replaced_sha256,
        backup=installed.backup,
        observed=selected.observed,
        ballot=selected.ballot,
        proof=proof,
        server=next(iter(selected.evidence.values())).server,
        deployed=datetime.now(UTC),
    )


def read_record(path: Path) -> Deployment:
    """Read what the last deployment left. Raises `RecordError`."""
    try:
        return Deployment.model_validate_json(read_small(path))
    except FileNotFoundError:
        raise RecordError(
            f"No deployment is on record in {path.parent}. Deploy with pytest -m deploy --selected-step=STEP, or name "
            "the folder of the run that did: --reports DIR."
        ) from None
    except (OSError, ValidationError, RecursionError) as error:
        raise RecordError(f"{path} is not a readable record of a deployment: {str(error).splitlines()[0]}") from error


def _write(deployment: Deployment, path: Path) -> None:
    write_atomically(path, deployment.model_dump_json(indent=2) + "\n")
    sync_folder(path.parent)  # it must be there before the way back is given up
