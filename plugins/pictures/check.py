"""The outcome of one check of a picture."""

from enum import StrEnum
from functools import cache

from pydantic import BaseModel, ConfigDict


class Outcome(StrEnum):
    """How a check ended. What could not be examined is not checked, never passed."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Difference(BaseModel):
    """One field in which a picture differs from what was requested."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    got: str
    asked: str

    def __str__(self) -> str:
        return f"{self.field}: got {self.got}, asked for {self.asked}"


class Check(BaseModel):
    """The outcome of one check, with what a person needs to act on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    outcome: Outcome
    message: str = ""
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        details = "; ".join(filter(None, [self.message, *map(str, self.differences)]))
        return f"{self.name}: {details or self.outcome}"


@cache
def passed(name: str) -> Check:
    """Return a check that passed and says no more: one value for all pictures, thousands of which stay in memory."""
    return Check(name=name, outcome=Outcome.PASSED)
