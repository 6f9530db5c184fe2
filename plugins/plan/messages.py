"""Messages quote files, servers and the command line: no quote may control the terminal or reveal a secret.

Every error of this suite that a person may see is a `UserError`.
"""

import re
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_UNSEEN: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # control characters, those of terminal escape codes among them; line breaks stay
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing, so that names read otherwise
    "\u2028\u2029\ud800-\udfff]"  # other line breaks, and halves of characters, which cannot be printed
)
_CREDENTIALS: Final = re.compile(r"(?<=//)[^\s/?#'\"<>]*@")
"""The user and password in an address, wherever it stands in a text."""


def visible(text: str) -> str:
    """Escape what would control the terminal or mislead the eye; line breaks stay."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def masked(text: str) -> str:
    """Hide the user and password of every address in a text."""
    return _CREDENTIALS.sub("***@", text)


def without_credentials(url: str) -> str:
    """Return a server's address as it may be shown."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    place = f"{place}:{parts.port}" if parts.port else place
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))


def counted(number: int, what: str) -> str:
    """Return `1 checkpoint` or `2 checkpoints`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def minute_of(time: datetime) -> str:
    """Return when something was done, as a person is shown it: `2026-11-26 04:30 UTC`."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


class UserError(Exception):
    """An error that a person reads: what is wrong, where, and what to do next. Its words may quote anything."""

    def __init__(self, message: str) -> None:
        super().__init__(masked(visible(message)))


class Secret(str):
    """A text that may be sent, but is hidden where values are listed, as in a traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Address(str):
    """A server's address: used with its password, if it has one, but listed without it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(masked(str(self)))
