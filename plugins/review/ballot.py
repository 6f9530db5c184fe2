"""The ballot: what a person marked, noted and chose on the report page, read back from the file that it saves."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import from_json

from plugins.evidence.evidence import PlanRecord, Sha256
from plugins.plan.messages import UserError
from plugins.plan.small_files import read_small
from plugins.review.review import Entry

FORMAT: Final = 1
_SHOWN: Final = 8
"""Hexadecimal digits of a digest that the page shows, and messages name."""
_TOLD: Final = 3
"""Mistakes that one message tells."""

Answer = Literal["yes", "no", "unsure"]


class BallotError(UserError):
    """A ballot that cannot be used; the message names the file, what is wrong with it, and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mark(_Part):
    """One criterion of one checkpoint as the person saw it."""

    answer: Answer
    blind: bool = False
    """Whether the checkpoints were hidden when it was given."""


class Notes(_Part):
    """What was written, by checkpoint id and by cell id."""

    checkpoints: Mapping[str, str] = {}
    cells: Mapping[str, str] = {}


class Suggestion(_Part):
    """What the plan's selection rule gave for these marks; no checkpoint: none passes, or not enough is marked."""

    checkpoint: str | None
    reason: str


class Blind(_Part):
    """The shuffle that hid the checkpoints: their ids from left to right, and whether they were revealed since."""

    order: tuple[str, ...]
    revealed: bool


class Ballot(_Part):
    """Everything that a person said on the page."""

    format: Literal[1]
    plan: PlanRecord
    simulated: bool
    """Whether a stand-in drew the pictures: such a ballot says nothing about a LoRA."""
    saved: AwareDatetime
    marks: Mapping[str, Mapping[str, Mark]]
    """By checkpoint id, then by criterion id."""
    notes: Notes
    choice: str | None
    """The id of the chosen checkpoint: `step600`, `final`."""
    reason: str
    suggestion: Suggestion
    blind: Blind | None
    """None: the checkpoints were never hidden."""
    pictures: Mapping[str, Sha256] = Field(min_length=1)
    """SHA-256 of every picture that was there to be judged, by cell id."""

    @property
    def judged_blind(self) -> bool:
        """Whether every mark was given while the checkpoints were hidden."""
        marks = [mark for marks in self.marks.values() for mark in marks.values()]
        return bool(marks) and all(mark.blind for mark in marks)

    @property
    def follows_rule(self) -> bool:
        """Whether the choice is what the selection rule gave."""
        return self.choice is not None and self.choice == self.suggestion.checkpoint

    def answers(self, checkpoint: str) -> dict[str, Answer]:
        """Return what was marked for one checkpoint, by criterion id."""
        return {criterion: mark.answer for criterion, mark in self.marks.get(checkpoint, {}).items()}

    @model_validator(mode="before")
    @classmethod
    def _of_this_format(cls, given: Any) -> Any:  # noqa: ANN401 (raw JSON)
        if not isinstance(given, dict) or "marks" not in given or "format" not in given:
            raise ValueError("it is not a ballot")
        if given["format"] != FORMAT:
            raise ValueError(f"its format is {given['format']!r}, and this suite reads format {FORMAT}")
        return given


def read_ballot(path: Path) -> Ballot:
    """Read what the report page saved. Raises `BallotError`."""
    try:
        return Ballot.model_validate(from_json(read_small(path)))
    except FileNotFoundError:
        raise BallotError(f"No ballot at {path}. Save one from the report page, or name it with --ballot.") from None
    except ValidationError as error:
        raise BallotError(
            f"The ballot {path} cannot be used: {_told(error)}. Save it again from the report page."
        ) from error
    except ValueError as error:
        raise BallotError(f"The ballot {path} is not JSON ({error}). Save it again from the report page.") from error
    except OSError as error:
        raise BallotError(f"The ballot {path} cannot be read: {error}. Save it again from the report page.") from error


def differences(ballot: Ballot, entries: Iterable[Entry]) -> list[str]:
    """Tell where the pictures of a matrix are not those that were judged, one line each; empty if all are."""
    found = []
    cells = {entry.cell.id: entry for entry in entries}
    for cell_id, entry in cells.items():
        judged, now = ballot.pictures.get(cell_id), entry.digest
        if judged and not now:
            found.append(f"{entry.cell}: its picture was judged, and is gone ({entry.problem or 'not rendered'})")
        elif now and not judged:
            found.append(f"{entry.cell}: rendered after the ballot was saved, so nobody judged it")
        elif judged != now and judged:
            found.append(f"{entry.cell}: picture {judged[:_SHOWN]} was judged, and now it is {now[:_SHOWN]}")
    found += [f"{cell_id}: was judged, and is not in this plan" for cell_id in ballot.pictures if cell_id not in cells]
    return found


def _told(error: ValidationError) -> str:
    """Return the first few mistakes, each with its place in the file."""
    mistakes = []
    for detail in error.errors()[:_TOLD]:
        place = ".".join(map(str, detail["loc"]))
        words = detail["msg"].removeprefix("Value error, ")
        mistakes.append(f"{place}: {words}" if place else words)
    more = error.error_count() - len(mistakes)
    return "; ".join(mistakes) + (f"; and {more} more" if more > 0 else "")
