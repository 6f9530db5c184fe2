"""How a claim about production ends: its record, and what ends its test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

Fail = Callable[[object], NoReturn]
"""Ends a test with a message."""
Once = Callable[[str, object], NoReturn]
"""Ends a test for a cause, which is explained in full once."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """One verification and how it ended: `passed`, `failed`, `skipped`, or `not checked`."""

    claim: str
    outcome: str
    name: str = ""
    """Its test's, without `test_`, as a plan's requirements name it."""
