"""Putting the selected checkpoint into production, proving it there, and recording what was done."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugins.comfyui.errors import ComfyUIError
from plugins.deploy.proof import ProofError
from plugins.evidence.deployments import (
    RECORD,
    ROLLBACK,
    BallotRecord,
    Candidate,
    Deployment,
    Judged,
    Proven,
    RecordError,
    Serving,
    read_record,
    read_rollback,
    write_record,
)
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.population import made_on
from plugins.loras import journal
from plugins.loras.copies import CleanUp, remove_evaluation_copies
from plugins.loras.copying import digest_of
from plugins.loras.errors import DeploymentError, LoraError
from plugins.loras.journal import Installation
from plugins.plan.cells import Cell
from plugins.plan.plan import Plan
from plugins.plan.tested import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Selected:
    """A checkpoint that passed the gate, with all that its deployment needs to know."""

    expected: ExpectedInputs
    store: Store
    checkpoint: Checkpoint
    evidence: Mapping[Cell, Evidence]
    observed: str
    accepted: Mapping[str, str] = field(default_factory=dict)
    """Pictures that were accepted whatever their checks say, each with its problem."""
    ballot: BallotRecord | None
    strength: float | None = None
    """The strength at which it was judged, if the plan has several."""
    other_ballots: tuple[BallotRecord, ...] = ()
    serving: tuple[Serving, ...] = ()
    """The servers that production will be proven on."""


def deploy(
    selected: Selected,
    *,
    record: Path,
    prove: Callable[[], tuple[Proven, ...]],
    forget: Callable[[], None],
) -> Deployment:
    """Put the selected checkpoint in place, prove what it renders, and only then remove the evaluation copies.

    `forget` makes the servers forget what they loaded under the production name, once the former file is back.

    Raises `DeploymentError` where production could not be changed, or did not render what was judged: the former
    production file is then in place again, or the message says where it is. Where this process is killed, `recover`
    puts it back.
    """
    expected, plan = selected.expected, selected.expected.plan
    target = plan.production_file
    with put_back_on_error(target, forget, also="Evaluation copies were left where they are."):
        source = plan.training_file(selected.checkpoint)
        installed = journal.begin(source, target, sha256=expected.loras[selected.checkpoint.id])
        installed = _with_way_back(installed, record)
        deployment = _recorded(selected, installed, prove())
        write_record(deployment, record)
    deployment = deployment.model_copy(update=_clean_up(selected, installed))
    with contextlib.suppress(OSError):  # the record is there already, but for the clean-up
        write_record(deployment, record)
    return deployment


def _with_way_back(installed: Installation, record: Path) -> Installation:
    """If the deployment on record put these bytes there, keep the file that it replaced, for a rollback."""
    if installed.replaced_sha256 != installed.sha256:
        return installed
    try:
        earlier = read_record(record)
    except RecordError:
        return installed
    if (earlier.sha256, earlier.production) != (installed.sha256, installed.file):
        return installed
    former = earlier.replaced_sha256
    backup = journal.backup_of(installed.file, former) if former else None
    return installed.model_copy(update={"replaced_sha256": former, "backup": backup})


def _clean_up(selected: Selected, installed: Installation) -> dict[str, Any]:
    """Remove what a proven deployment no longer needs. A file that cannot be removed is recorded, and fails nothing."""
    expected, plan = selected.expected, selected.expected.plan
    cleaned, left = CleanUp(removed=(), left={}), {}
    try:
        installed = journal.commit(installed, [plan.training_file(one) for one in plan.checkpoints])
        cleaned = remove_evaluation_copies(plan, frozenset(expected.loras.values()))
    except OSError as error:
        left[str(error.filename)] = f"cleaning up stopped there ({error.strerror or error}); deploy again"
    left |= {str(path): reason for path, reason in cleaned.left.items()}
    return {"backup": installed.backup, "removed": cleaned.removed, "left": left}


@contextmanager
def put_back_on_error(target: Path, forget: Callable[[], None], *, also: str = "") -> Iterator[None]:
    """Put the former production file back where installing another one, or its proof, went wrong or was stopped.

    Raises `DeploymentError` that says what was wrong, what was done, and what is `also` to be said.
    """
    try:
        yield
    except DeploymentError:
        raise  # it says that production was not touched
    except BaseException as error:
        done = _put_back(target, forget)
        if isinstance(error, ProofError | ComfyUIError | OSError):
            raise DeploymentError(f"{error}\n{done} {also}".rstrip()) from error
        error.add_note(done)
        raise


def _put_back(target: Path, forget: Callable[[], None]) -> str:
    """Put the former production file back where a deployment was begun, and say what was done; never raises."""
    try:
        begun = journal.pending(target)
        if begun is None:
            return f"{target} was not changed."
        done = journal.undo(begun)
    except (LoraError, OSError) as error:
        return f"{target} holds a LoRA that is UNPROVEN: {error}"
    try:
        forget()
    except ComfyUIError as error:
        return f"{done} Restart ComfyUI: it may still have the other file in memory ({error})"
    return done


def recover(plan: Plan, reports: Path) -> str:
    """Finish what a killed run left unfinished: a proven installation is kept, any other is rolled back.

    Returns what was taken back, in words; empty where nothing was. Raises `DeploymentError` or `OSError` where that
    cannot be done.
    """
    begun = journal.pending(plan.production_file)
    if begun is None:
        return ""
    if _was_proven(begun, reports):
        journal.commit(begun, [plan.training_file(one) for one in plan.checkpoints])
        return ""
    what = "rollback" if begun.rollback else "deployment"
    return f"An earlier {what} was stopped before it was proven. {journal.undo(begun)}"


def _was_proven(begun: Installation, reports: Path) -> bool:
    """Look for the record that a proven deployment or rollback writes; a broken record proves nothing."""
    with contextlib.suppress(RecordError):
        if read_record(reports / RECORD).installed == begun.id:
            return True
    with contextlib.suppress(RecordError):
        rollback = read_rollback(reports / ROLLBACK)
        return rollback is not None and rollback.installed == begun.id
    return False


def _recorded(selected: Selected, installed: Installation, proof: tuple[Proven, ...]) -> Deployment:
    plan, expected = selected.expected.plan, selected.expected
    return Deployment(
        installed=installed.id,
        plan_name=plan.name,
        plan_digest=plan.digest,
        simulated=expected.simulated,
        selected=selected.checkpoint.id,
        strength=selected.strength,
        candidates={
            one.id: Candidate(step=one.step, file=one.file, sha256=expected.loras[one.id]) for one in plan.checkpoints
        },
        judged={
            cell.id: Judged(
                pixels_sha256=found.picture.pixels_sha256,
                evidence_sha256=digest_of(selected.store.evidence_path(cell)),
                prompt_id=found.run.prompt_id,
            )
            for cell, found in selected.evidence.items()
        },
        production=installed.file,
        replaced_sha256=installed.replaced_sha256,
        backup=installed.backup,
        observed=selected.observed,
        accepted=dict(selected.accepted),
        ballot=selected.ballot,
        other_ballots=selected.other_ballots,
        proof=proof,
        server=next(iter(selected.evidence.values())).server,
        serving=selected.serving,
        made_on=tuple(made_on(selected.evidence.values())),
        deployed=datetime.now(UTC),
    )
