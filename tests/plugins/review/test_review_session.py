"""The last words of a generating run fit what happened."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from plugins.review.session import ReviewSession
from tests.plain_command import plain_command

HERE = Path("/here")
PAGE = HERE / "reports/report.html"


def last_words(
    tally: dict[str, int],
    page: Path | None,
    *,
    stopped: bool = False,
    tests_failed: int = 0,
    strengths: tuple[float | None, ...] = (None,),
) -> str:
    """Return the last words over so many good, missing and failed pictures."""
    command = plain_command(HERE)
    review = SimpleNamespace(tally=Counter(tally), by_id=range(6), command="DEPLOY", strengths=strengths)
    session = SimpleNamespace(_command=command, review=review)
    return ReviewSession.last_line(
        cast("ReviewSession", session), page, stopped=stopped, tests_failed=tests_failed, failed_only=" --lf"
    )


@pytest.mark.parametrize(
    ("tally", "page", "stopped", "words"),
    [
        ({"good": 5, "warning": 1}, PAGE, False, "Look at reports/report.html, then deploy: DEPLOY"),
        ({"good": 3, "missing": 3}, PAGE, True, "Stopped: 3 of 6 pictures are there. Go on: pytest -m generate"),
        (
            {"good": 3, "missing": 3},
            PAGE,
            False,
            "3 of 6 pictures are there. Look at reports/report.html; make the others: pytest -m generate",
        ),
        (
            {"missing": 6},
            PAGE,
            False,
            "None of the 6 pictures is there; their tests say why. Try again: pytest -m generate",
        ),
        (
            {"good": 5, "failed": 1},
            PAGE,
            False,
            "1 of 6 pictures failed a check. Look at reports/report.html; make them again: "  # noqa: ISC004
            "pytest -m generate --regenerate --lf",
        ),
        (
            {"good": 6},
            None,
            False,
            "No page was written, since pytest-html is off. To write it: pytest -m generate",
        ),
        (
            {"good": 6},
            Path("/elsewhere/x.html"),
            False,
            (
                "Look at /elsewhere/x.html (its pictures only open from /here/reports: leave out --html), "
                "then deploy: DEPLOY"
            ),
        ),
    ],
)
def test_last_words_fit_what_happened(tally: dict[str, int], page: Path | None, stopped: bool, words: str) -> None:  # noqa: FBT001
    """A deployment is the next step only where every picture is there and right, and a page shows them."""
    assert words == last_words(tally, page, stopped=stopped)


def test_of_several_strengths_the_ballot_says_which() -> None:
    """Where strengths are compared a step alone cannot be deployed, so the ballot comes first."""
    assert "Look at reports/report.html, save your ballot in reports, then deploy: pytest -m deploy" == last_words(
        {"good": 6}, PAGE, strengths=(0.8, 1.0)
    )


def test_a_test_that_failed_beside_a_good_picture_is_no_deployment() -> None:
    """A test that was timed out while its picture of an earlier run is right is to be tried again."""
    assert "1 test failed, and said why. Look at reports/report.html; try again: pytest -m generate" == last_words(
        {"good": 6}, PAGE, tests_failed=1
    )
