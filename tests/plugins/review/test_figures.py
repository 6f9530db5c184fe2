"""k of n, and what it proves."""

import pytest

from plugins.review.figures import Figure, wilson


@pytest.mark.parametrize(
    ("yes", "of", "expected"),
    [
        pytest.param(3, 3, (0.4385, 1.0), id="3-of-3"),
        pytest.param(9, 9, (0.7009, 1.0), id="9-of-9"),
        pytest.param(27, 27, (0.8754, 1.0), id="27-of-27"),
        pytest.param(0, 3, (0.0, 0.5615), id="none"),
        pytest.param(1, 1, (0.2065, 1.0), id="one"),
        pytest.param(81, 263, (0.2553, 0.3662), id="newcombe-1998"),
        pytest.param(15, 148, (0.0624, 0.1605), id="newcombe-1998-few"),
        pytest.param(1, 29, (0.0061, 0.1718), id="newcombe-1998-one"),
    ],
)
def test_interval_is_wilsons(yes: int, of: int, expected: tuple[float, float]) -> None:
    """The interval is what Newcombe (1998, table I, method 3) gives for his examples, and for a few pictures."""
    assert pytest.approx(expected, abs=6e-5) == wilson(yes, of)


@pytest.mark.parametrize(
    ("figure", "told", "answer"),
    [
        pytest.param(Figure(yes=3), "3 of 3: at least 44 %", "yes", id="all"),
        pytest.param(Figure(no=3), "0 of 3: at most 56 %", "no", id="none"),
        pytest.param(Figure(yes=2, unsure=1), "2 of 3: 21 to 94 %", "unsure", id="unsure"),
        pytest.param(Figure(yes=8, no=1), "8 of 9: 57 to 98 %", "no", id="one-no-is-not-outvoted"),
        pytest.param(Figure(), "", None, id="nothing"),
    ],
)
def test_figure_says_what_it_proves(figure: Figure, told: str, answer: str | None) -> None:
    """A figure is told with its interval; its answer is its worst mark."""
    assert (told, answer) == (str(figure), figure.answer)
