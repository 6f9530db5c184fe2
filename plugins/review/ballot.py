"""The ballot: what a person marked, noted and chose on the report page, read back from the file that it saves."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError
from pydantic_core import from_json, to_json

from plugins.evidence.evidence import PlanRecord
from plugins.plan.cells import cells_at
from plugins.plan.messages import UserError
from plugins.plan.plan import Plan
from plugins.plan.record import Record, Sha256
from plugins.plan.small_files import NotText, read_small, text_of
from plugins.plan.tested import Rival
from plugins.review.figures import Answer, Figure
from plugins.review.review import Entry

_SHOWN: Final = 8
"""Hexadecimal digits of a digest that the page shows, and messages name."""
_TOLD: Final = 3
"""Mistakes that one message tells."""


class BallotError(UserError):
    """A ballot that cannot be used; the message names the file, what is wrong with it, and what to do."""


class Mark(Record):
    """One criterion of one picture as the person saw it."""

    answer: Answer
    blind: bool = False
    """Whether the checkpoints were hidden when it was given."""


class Notes(Record):
    """What was written, by checkpoint id and by cell id."""

    checkpoints: Mapping[str, str] = {}
    cells: Mapping[str, str] = {}


class Suggestion(Record):
    """What the plan's selection rule gave for these marks; no checkpoint: none passes, or not enough is marked."""

    checkpoint: str | None
    strength: float | None = None
    reason: str


class Blind(Record):
    """The shuffle that hid the checkpoints: their ids from left to right, and whether they were revealed since."""

    order: tuple[str, ...]
    revealed: bool


class Judged(Record):
    """A picture that was there to be judged: SHA-256 of the file and, since format 2, of its pixels alone."""

    file: Sha256
    pixels: Sha256 | None = None


class Duel(Record):
    """Two pictures of one prompt, by cell id, seen side by side without their names, and which was better."""

    left: str
    right: str
    won: Literal["left", "right", "same"]


class _Saved(Record):
    """What every format holds."""

    plan: PlanRecord
    simulated: bool
    """Whether a stand-in drew the pictures: such a ballot says nothing about a LoRA."""
    saved: AwareDatetime
    notes: Notes
    choice: str | None
    """The id of the chosen checkpoint: `step600`, `final`."""
    strength: float | None = None
    """What it was judged at, where the plan has several strengths."""
    reason: str
    suggestion: Suggestion
    blind: Blind | None
    """None: the checkpoints were never hidden."""


class Ballot(_Saved):
    """Everything that a person said on the page."""

    format: Literal[2]
    judge: str = ""
    """Who judged, as typed on the page."""
    duels: tuple[Duel, ...] = ()
    starred: str | None = None
    """The id of the picture that stands for the LoRA where it is published."""
    preference: str = ""
    """What the page made of the duels, in words."""
    marks: Mapping[str, Mapping[str, Mapping[str, Mark]]]
    """By checkpoint id, then by picture (a row's id, with its strength where there are several), then criterion id."""
    pictures: Mapping[str, Judged] = Field(min_length=1)
    """Every picture that was there to be judged, by cell id."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is marked."""
        return not any(self._marks())

    @property
    def judged_blind(self) -> bool:
        """Whether every mark was given while the checkpoints were hidden."""
        return not self.is_empty and all(mark.blind for mark in self._marks())

    @property
    def follows_rule(self) -> bool:
        """Whether the choice is what the selection rule gave."""
        suggested = (self.suggestion.checkpoint, self.suggestion.strength)
        return self.choice is not None and (self.choice, self.strength) == suggested

    def answers(self, checkpoint: str) -> dict[str, Answer]:
        """Return the worst mark that each criterion got on a checkpoint's pictures, by criterion id."""
        rows = self.marks.get(checkpoint, {})
        criteria = dict.fromkeys(criterion for marks in rows.values() for criterion in marks)
        worst = ((criterion, self.figure(checkpoint, criterion, rows).answer) for criterion in criteria)
        return {criterion: answer for criterion, answer in worst if answer}

    def figure(self, checkpoint: str, criterion: str, rows: Iterable[str]) -> Figure:
        """Count a criterion's marks on these of a checkpoint's pictures."""
        marked = self.marks.get(checkpoint, {})
        marks = (marked.get(row, {}).get(criterion) for row in rows)
        count = Counter(mark.answer for mark in marks if mark)
        return Figure(yes=count["yes"], no=count["no"], unsure=count["unsure"])

    def _marks(self) -> Iterable[Mark]:
        return (mark for rows in self.marks.values() for marks in rows.values() for mark in marks.values())


class _FirstFormat(_Saved):
    """A ballot whose marks are a checkpoint's, whatever picture they were given on."""

    format: Literal[1]
    marks: Mapping[str, Mapping[str, Mark]]
    pictures: Mapping[str, Sha256] = Field(min_length=1)

    def ballot(self) -> Ballot:
        """Lay each mark on all pictures of its checkpoint."""

        def rows(checkpoint: str) -> list[str]:
            start = f"{checkpoint}-"
            return [cell.removeprefix(start) for cell in self.pictures if cell.startswith(start)]

        shared = {name: getattr(self, name) for name in _Saved.model_fields}
        marks = {checkpoint: dict.fromkeys(rows(checkpoint), marks) for checkpoint, marks in self.marks.items()}
        pictures = {cell: Judged(file=digest) for cell, digest in self.pictures.items()}
        return Ballot(format=2, marks=marks, pictures=pictures, **shared)


def ballot_and_digest(path: Path) -> tuple[Ballot, str]:
    """Read what the report page saved, and the SHA-256 of its file. Raises `BallotError`."""
    again = "Save it again from the report page."
    try:
        content = read_small(path)
        raw = from_json(text_of(content))
    except FileNotFoundError:
        raise BallotError(f"No ballot at {path}. Save one from the report page, or name it with --ballot.") from None
    except NotText as error:
        raise BallotError(f"The ballot {path} {error}.") from error
    except ValueError as error:
        raise BallotError(f"The ballot {path} is not JSON ({error}). {again}") from error
    except OSError as error:
        raise BallotError(f"The ballot {path} cannot be read: {error}. {again}") from error
    try:
        return parse_ballot(raw), hashlib.sha256(content).hexdigest()
    except ValidationError as error:
        raise BallotError(f"The ballot {path} cannot be used: {_in_words(error)}. {again}") from error
    except ValueError as error:
        raise BallotError(f"The ballot {path} cannot be used: {error}. {again}") from error


def parse_ballot(raw: Any) -> Ballot:  # noqa: ANN401 (raw JSON)
    """Return the ballot of any format. Raises `ValueError`; pydantic's where a field is wrong."""
    if not isinstance(raw, dict) or "marks" not in raw or "format" not in raw:
        raise ValueError("it is not a ballot")
    if raw["format"] == 1:
        return _FirstFormat.model_validate_json(to_json(raw)).ballot()
    if raw["format"] != 2:  # noqa: PLR2004 (as `Ballot.format` says)
        raise ValueError(f"its format is {raw['format']!r}, and this suite reads formats 1 and 2")
    return Ballot.model_validate_json(to_json(raw))


def figures(ballot: Ballot, plan: Plan, strength: float | None = None) -> dict[str, dict[str, Figure]]:
    """Count each criterion over the pictures on which the plan has it looked for: by checkpoint, then criterion id.

    `strength` is the one that the pictures were made at, where the plan has several.
    """
    return {
        checkpoint.id: {
            criterion.id: ballot.figure(
                checkpoint.id,
                criterion.id,
                [
                    cell.name
                    for cell in cells_at(plan, checkpoint, strength)
                    if cell.prompt.id in plan.looked_for(criterion)
                ],
            )
            for criterion in plan.criteria
        }
        for checkpoint in plan.tested
    }


def differences(ballot: Ballot, entries: Iterable[Entry]) -> list[str]:
    """Tell where the pictures of a matrix are not those that were judged, one line each; empty if all are."""
    found = []
    cells = {entry.cell.id: entry for entry in entries}
    rivals = {cell_id for cell_id, entry in cells.items() if isinstance(entry.cell.checkpoint, Rival)}
    for cell_id, entry in cells.items():
        judged = ballot.pictures.get(cell_id)
        if cell_id in rivals:
            continue  # nobody deploys it, and production changes with every deployment
        if judged and not entry.digest:
            found.append(f"{entry.cell}: its picture was judged, and is gone ({entry.problem or 'not rendered'})")
        elif entry.digest and not judged:
            found.append(f"{entry.cell}: rendered after the ballot was saved, so nobody judged it")
        elif judged and not _same(judged, entry):
            now = entry.digest[:_SHOWN]
            found.append(f"{entry.cell}: picture {judged.file[:_SHOWN]} was judged, and now it is {now}")
    found += [f"{cell_id}: was judged, and is not in this plan" for cell_id in ballot.pictures if cell_id not in cells]
    return found


def _same(judged: Judged, entry: Entry) -> bool:
    """Whether a picture is the one that was judged: the same file, or the same pixels in another file."""
    return judged.file == entry.digest or judged.pixels == entry.pixels


def _in_words(error: ValidationError) -> str:
    """Return the first few mistakes, each with its place in the file."""
    mistakes = []
    for detail in error.errors()[:_TOLD]:
        place = ".".join(map(str, detail["loc"]))
        words = detail["msg"].removeprefix("Value error, ")
        mistakes.append(f"{place}: {words}" if place else words)
    more = error.error_count() - len(mistakes)
    return "; ".join(mistakes) + (f"; and {more} more" if more > 0 else "")


def required_no(ballot: Ballot, checkpoint: str, plan: Plan, strength: float | None) -> list[str]:
    """Return the required criteria that a ballot says no to on a checkpoint's pictures at a strength."""
    found = figures(ballot, plan, strength)[checkpoint]
    return [one.text for one in plan.criteria if one.required and found[one.id].answer == "no"]


def judge_name(ballot: Ballot, number: int) -> str:
    """Return the name that a judge typed on the page; where none was typed, a number."""
    return ballot.judge.strip() or f"judge {number}"
