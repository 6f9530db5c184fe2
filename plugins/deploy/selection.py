"""What a person typed after --selected-step becomes a checkpoint of the plan."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from plugins.deploy.records import BallotRecord
from plugins.loras.copying import digest_of
from plugins.plan.cells import at, strengths
from plugins.plan.messages import UserError
from plugins.plan.plan import Checkpoint, Plan
from plugins.review.ballot import Ballot, BallotError, differences, read_ballot
from plugins.review.review import Entry


class SelectionError(UserError):
    """No checkpoint, or one that the plan does not have; the message lists the candidates."""


def select(plan: Plan, typed: str | None, *, chosen: str | None = None) -> Checkpoint:
    """Find the checkpoint that was typed as `600`, `step600`, `epoch5`, `final`, or the final's step number `920`.

    An id comes before a step or an epoch, which two checkpoints may share.

    `chosen` is what the ballot chose; where nothing was typed, it is taken.

    Raises `SelectionError` listing what can be typed.
    """
    wanted = ((typed or "").strip() or chosen or "").casefold()
    for names in (_ids, _numbers):
        for checkpoint in plan.checkpoints:
            if wanted in names(checkpoint):
                return checkpoint
    problem = "Which checkpoint is to be deployed?"
    if wanted:
        named = typed if (typed or "").strip() else chosen
        problem = f"{plan.title} has no checkpoint {named!r}{'' if named == typed else ', which your ballot chose'}."
    candidates = "".join(
        f"\n  --selected-step={checkpoint.argument:<8} {checkpoint.file}" for checkpoint in plan.checkpoints
    )
    raise SelectionError(
        f"{problem} Look at the report, then name the one that you selected:{candidates}\nNothing was deployed."
    )


def strength_of(plan: Plan, chosen: float | None) -> float | None:
    """Return the strength that the ballot chose; None where the plan has but one. Raises `SelectionError`."""
    among = {f"{one:g}": one for one in strengths(plan) if one is not None}
    if not among or (chosen is not None and f"{chosen:g}" in among):
        return among[f"{chosen:g}"] if among else None
    listed = ", ".join(among)
    problem = (
        f"{plan.title} compares the strengths {listed}, and no ballot says which one was judged."
        if chosen is None
        else f"{plan.title} has no strength {chosen:g}, which your ballot chose; it has {listed}."
    )
    raise SelectionError(
        f"{problem} Choose checkpoint and strength under Decide on the report page, and save the ballot beside it.\n"
        "Nothing was deployed."
    )


def _ids(checkpoint: Checkpoint) -> set[str]:
    return {checkpoint.id.casefold(), checkpoint.argument.casefold()}


def _numbers(checkpoint: Checkpoint) -> set[str]:
    step, epoch = checkpoint.step, checkpoint.epoch
    steps = set() if step is None else {str(step), f"step{step}"}
    return steps if epoch is None else {*steps, f"epoch{epoch}"}


@dataclass(frozen=True, kw_only=True)
class SavedBallot:
    """A ballot's file, and what it says; None where it cannot be read."""

    file: Path
    ballot: Ballot | None

    @classmethod
    def at(cls, file: Path) -> "SavedBallot":
        """Read a file as far as it can be read."""
        try:
            return cls(file=file, ballot=read_ballot(file))
        except BallotError:
            return cls(file=file, ballot=None)

    @property
    def time(self) -> float:
        """When it was saved, in seconds; of the file where it cannot be read."""
        return self.ballot.saved.timestamp() if self.ballot else self.file.stat().st_mtime

    def __str__(self) -> str:
        if self.ballot is None:
            return f"{self.file.name} (which cannot be read)"
        choice = at(self.ballot.choice or "none", self.ballot.strength)
        return f"{self.file.name} (saved {self.ballot.saved:%Y-%m-%d %H:%M} UTC, chose {choice})"


def find_ballots(reports: Path, named: Path | None = None) -> list[SavedBallot]:
    """Return the ballot that was named; else those in the reports folder: `ballot.json`, then the newest first.

    The first one counts.
    """
    if named:
        return [SavedBallot.at(named)]
    found = sorted(map(SavedBallot.at, reports.glob("ballot*.json")), key=lambda one: -one.time)
    return sorted(found, key=lambda one: one.file.name != "ballot.json")


def choice_of(ballots: Sequence[SavedBallot], typed: str | None) -> str | None:
    """Return what the first ballot chose.

    Raises `SelectionError` where nothing was typed and another ballot beside it chose otherwise.
    """
    used, *others = ballots
    ballot = read_ballot(used.file)
    if not (typed or "").strip() and any(
        other.ballot and (other.ballot.choice, other.ballot.strength) != (ballot.choice, ballot.strength)
        for other in others
    ):
        lines = "".join(f"\n  --ballot={str(one.file)!r}: {one}" for one in ballots)
        raise SelectionError(f"Which ballot counts? {used.file.parent} holds several:{lines}\nNothing was deployed.")
    return ballot.choice


def ballot_lines(ballots: Sequence[SavedBallot], typed: str | None) -> Iterator[str]:
    """Tell which ballot a deployment goes by, and what is doubtful about it."""
    used, *others = ballots
    if not (typed or "").strip():
        yield f"chosen by the ballot {used.file}"
    if used.ballot and used.ballot.is_empty:
        yield f"warning: nothing is marked on the ballot {used.file}"
    newer = [other for other in others if other.time > used.time]
    if others:
        told = ", ".join(map(str, newer or others))
        yield f"warning: {used} is used; beside it {'is a newer ballot' if newer else 'is another ballot'}: {told}"


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
