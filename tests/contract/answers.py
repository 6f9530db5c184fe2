"""Answers in the form in which scenarios compare them."""

from typing import Any, Final

from tests.contract.wire import Answer

JSON: Final = "application/json; charset=utf-8"
Plain = tuple[int, str | None, Any]
"""Status, content type, body."""

DONE: Final[Plain] = (200, None, "")
"""What a request gets that only has an effect."""
INTERNAL: Final[Plain] = (
    500,
    "text/plain; charset=utf-8",
    "500 Internal Server Error\n\nServer got itself in trouble",
)
"""What a request gets that the server did not expect."""


def plain(answer: Answer) -> Plain:
    """Return an answer as it can be compared."""
    return answer.status, answer.content_type, answer.body


def extra_of(item: list[Any]) -> dict[str, Any]:
    """Return a prompt's extra data without the time at which it was posted, in milliseconds, which must be there."""
    extra = dict(item[3])
    assert isinstance(extra.pop("create_time"), int)
    return extra
