"""What a person typed after --selected-step becomes a checkpoint of the plan."""

from collections.abc import Sequence
from pathlib import Path

from plugins.deploy.records import BallotRecord
from plugins.loras.copying import digest_of
from plugins.plan.messages import UserError
from plugins.plan.plan import Checkpoint, Plan
from plugins.review.ballot import Ballot, differences, read_ballot
from plugins.review.review import Entry


class SelectionError(UserError):
    """No checkpoint, or one that the plan does not have; the message lists the candidates."""


def select(plan: Plan, typed: str | None, *, chosen: str | None = None) -> Checkpoint:
    """Find the checkpoint that was typed as `600`, `step600`, `epoch5`, `final`, or the final's step number `920`.

    An id comes before a step or an epoch, which two checkpoints may share.

    `chosen` is what the ballot chose; where nothing was typed, the message offers it.

    Raises `SelectionError` listing what can be typed.
    """
    wanted = (typed or "").strip().casefold()
    for names in (_ids, _numbers):
        for checkpoint in plan.checkpoints:
            if wanted in names(checkpoint):
                return checkpoint
    problem = f"{plan.title} has no checkpoint {typed!r}." if wanted else "Which checkpoint is to be deployed?"
    if chosen and not wanted:
        problem = f"{problem} Your ballot chose {chosen}: --selected-step={chosen.removeprefix('step')}."
    candidates = "".join(
        f"\n  --selected-step={checkpoint.argument:<8} {checkpoint.file}" for checkpoint in plan.checkpoints
    )
    raise SelectionError(
        f"{problem} Look at the report, then name the one that you selected:{candidates}\nNothing was deployed."
    )


def _ids(checkpoint: Checkpoint) -> set[str]:
    return {checkpoint.id.casefold(), checkpoint.argument.casefold()}


def _numbers(checkpoint: Checkpoint) -> set[str]:
    step, epoch = checkpoint.step, checkpoint.epoch
    steps = set() if step is None else {str(step), f"step{step}"}
    return steps if epoch is None else {*steps, f"epoch{epoch}"}


def judged_by(
    path: Path, selected: Checkpoint, plan: Plan, entries: Sequence[Entry], *, simulated: bool
) -> tuple[Ballot, BallotRecord]:
    """Read the ballot, and see that it is of these pictures and chose this checkpoint.

    Raises `SelectionError` naming each thing that contradicts the deployment, and `BallotError`.
    """
    ballot = read_ballot(path)
    problems = []
    if ballot.plan.name != plan.name:
        problems.append(f"it is of another plan, {ballot.plan.name!r}")
    elif ballot.simulated != simulated:
        problems.append("it judges SIMULATED pictures" if ballot.simulated else "it judges real pictures")
    else:
        problems += differences(ballot, entries)
    if ballot.choice is not None and ballot.choice != selected.id:
        problems.append(f"it chose {ballot.choice}, and {selected.id} was typed")
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise SelectionError(
            f"The ballot {path} does not allow this deployment:{lines}\n"
            "Nothing was deployed. Judge again on the report page and save the ballot, or move the old one away."
        )
    return ballot, BallotRecord(file=path.absolute(), sha256=digest_of(path))
