"""What a person typed after --selected-step becomes a checkpoint of the plan."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plugins.evidence.deployments import BallotRecord
from plugins.plan.cells import at, strengths
from plugins.plan.messages import UserError, minute_of
from plugins.plan.plan import Plan
from plugins.plan.program import typable
from plugins.plan.tested import Checkpoint
from plugins.review.ballot import Ballot, BallotError, ballot_and_digest, differences, judge_name, required_no
from plugins.review.review import Entry

_JUDGE: Final = (
    "Choose checkpoint and strength under Decide on the report page, and save the ballot beside it.\n"
    "Nothing was deployed."
)


class SelectionError(UserError):
    """No checkpoint, or one that the plan does not have; the message lists the candidates."""


def select(plan: Plan, typed: str | None, *, chosen: str | None = None, ballot: str = "") -> Checkpoint:
    """Find the checkpoint that was typed as `600`, `step600`, `epoch5`, `final`, or the final's step number `920`.

    An id comes before a step or an epoch, which two checkpoints may share.

    `chosen` is what the ballot chose; where nothing was typed, it is taken. `ballot` says in words why it chose none.

    Raises `SelectionError` listing what can be typed.
    """
    wanted = ((typed or "").strip() or chosen or "").casefold()
    for names in (_ids, _numbers):
        for checkpoint in plan.checkpoints:
            if wanted in names(checkpoint):
                return checkpoint
    problem = " ".join(filter(None, ["Which checkpoint is to be deployed?", ballot]))
    if wanted:
        named = typed if (typed or "").strip() else chosen
        problem = f"{plan.title} has no checkpoint {named!r}{'' if named == typed else ', which your ballot chose'}."
    if any(wanted == rival.id.casefold() for rival in plan.rivals):
        problem = f"{wanted!r} is a [[rival]] of the plan: it was judged beside the checkpoints, and is never deployed."
    if not wanted and plan.sampling.compares_strengths:
        raise SelectionError(f"{problem} {_JUDGE}")
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
    raise SelectionError(f"{problem} {_JUDGE}")


def _ids(checkpoint: Checkpoint) -> set[str]:
    return {checkpoint.id.casefold(), checkpoint.argument.casefold()}


def _numbers(checkpoint: Checkpoint) -> set[str]:
    step, epoch = checkpoint.step, checkpoint.epoch
    steps = set() if step is None else {str(step), f"step{step}"}
    return steps if epoch is None else {*steps, f"epoch{epoch}"}


@dataclass(frozen=True, kw_only=True)
class SavedBallot:
    """A ballot's file, and what it said when it was found: a command goes by that, whatever is saved meanwhile."""

    file: Path
    ballot: Ballot | None
    """None where it cannot be read."""
    sha256: str
    """Of the file; empty where it cannot be read."""
    problem: str = ""
    """Why it cannot be read."""

    @classmethod
    def at(cls, file: Path) -> "SavedBallot":
        """Read a file as far as it can be read."""
        try:
            ballot, digest = ballot_and_digest(file)
        except BallotError as error:
            return cls(file=file, ballot=None, sha256="", problem=str(error))
        return cls(file=file, ballot=ballot, sha256=digest)

    def read(self) -> Ballot:
        """Return the ballot. Raises `BallotError` where it cannot be read."""
        if self.ballot is None:
            raise BallotError(self.problem)
        return self.ballot

    @property
    def time(self) -> float:
        """When it was saved, in seconds; of the file where it cannot be read."""
        return self.ballot.saved.timestamp() if self.ballot else self.file.stat().st_mtime

    def __str__(self) -> str:
        if self.ballot is None:
            return f"{self.file.name} (which cannot be read)"
        choice = at(self.ballot.choice or "none", self.ballot.strength)
        return f"{self.file.name} (saved {minute_of(self.ballot.saved)}, chose {choice})"


def chosen_strength(ballots: Iterable[SavedBallot], checkpoint: Checkpoint) -> float | None:
    """Return the strength at which the ballots chose a checkpoint; None where none of them did.

    Raises `SelectionError` where judges chose it at different ones.
    """
    chose = {one.ballot.strength: one for one in ballots if one.ballot and one.ballot.choice == checkpoint.id}
    if len(chose) > 1:
        lines = "".join(f"\n  {typable(f'--ballot={one.file}')}: {one}" for one in chose.values())
        raise SelectionError(
            f"At which strength? These ballots chose {checkpoint.id} at different ones:{lines}\nName one of them "
            "alone. Nothing was deployed."
        )
    return next(iter(chose), None)


def find_ballots(reports: Path, named: Iterable[Path] = ()) -> list[SavedBallot]:
    """Return the ballots that were named, one for each judge; else those in the reports folder.

    Of the latter the first one counts: `ballot.json`, then the newest.
    """
    if judges := [SavedBallot.at(file) for file in dict.fromkeys(named)]:
        return judges
    found = sorted(map(SavedBallot.at, reports.glob("ballot*.json")), key=lambda one: -one.time)
    return sorted(found, key=lambda one: one.file.name != "ballot.json")


def choice_of(ballots: Sequence[SavedBallot], typed: str | None) -> str | None:
    """Return what the first ballot chose.

    Raises `SelectionError` where nothing was typed and another ballot beside it, or another judge's, chose otherwise.
    """
    used, *others = ballots
    ballot = used.read()
    if not (typed or "").strip() and any(
        other.ballot and (other.ballot.choice, other.ballot.strength) != (ballot.choice, ballot.strength)
        for other in others
    ):
        lines = "".join(f"\n  {typable(f'--ballot={one.file}')}: {one}" for one in ballots)
        raise SelectionError(
            f"Which ballot counts? These chose differently:{lines}\nName the checkpoint with --selected-step, or one "
            "ballot. Nothing was deployed."
        )
    return ballot.choice


def ballot_lines(ballots: Sequence[SavedBallot], typed: str | None, *, judges: int = 1) -> Iterator[str]:
    """Tell which ballots a deployment goes by, the first so many of these, and what is doubtful about them."""
    used, *others = ballots
    if judges > 1:
        yield f"judged by {judges}: {', '.join(map(str, ballots[:judges]))}"
        for one in ballots[:judges]:
            if one.ballot and one.ballot.is_empty:
                yield f"warning: nothing is marked on the ballot {one.file}"
        return
    if not (typed or "").strip():
        yield f"chosen by the ballot {used.file}"
    if used.ballot and used.ballot.is_empty:
        yield f"warning: nothing is marked on the ballot {used.file}"
    newer = [other for other in others if other.time > used.time]
    if others:
        beside = ", ".join(map(str, newer or others))
        yield f"warning: {used} is used; beside it {'is a newer ballot' if newer else 'is another ballot'}: {beside}"


def no_lines(ballots: Sequence[Ballot], selected: Checkpoint, plan: Plan, strength: float | None) -> Iterator[str]:
    """Warn of each judge who says no to something that the plan requires: no majority outvotes it in silence."""
    for number, ballot in enumerate(ballots, 1):
        if len(ballots) > 1 and (denied := required_no(ballot, selected.id, plan, strength)):
            yield f"warning: {judge_name(ballot, number)} says no on {selected.id}: {'; '.join(denied)}"


def judged_by(
    used: Sequence[SavedBallot], selected: Checkpoint, plan: Plan, entries: Sequence[Entry], *, simulated: bool
) -> list[tuple[Ballot, BallotRecord]]:
    """Return the judges' ballots, once they are of these pictures and one of them chose this checkpoint.

    Raises `BallotError`, and `SelectionError` naming each thing on a ballot that contradicts the deployment.
    """
    ballots = [one.read() for one in used]
    agreed = any(ballot.choice == selected.id for ballot in ballots)
    for one, ballot in zip(used, ballots, strict=True):
        problems = []
        if ballot.plan.name != plan.name:
            problems.append(f"it is of another plan, {ballot.plan.name!r}")
        elif ballot.simulated != simulated:
            problems.append("it judges SIMULATED pictures" if ballot.simulated else "it judges real pictures")
        else:
            problems += differences(ballot, entries)
        if ballot.choice is not None and not agreed:
            problems.append(f"it chose {ballot.choice}, and {selected.id} was typed")
        if problems:
            lines = "".join(f"\n  {problem}" for problem in problems)
            raise SelectionError(
                f"The ballot {one.file} does not allow this deployment:{lines}\n"
                "Nothing was deployed. Judge again on the report page and save the ballot, or move the old one away."
            )
    records = [BallotRecord(file=one.file.absolute(), sha256=one.sha256) for one in used]
    return list(zip(ballots, records, strict=True))
