"""k of n, and what it proves."""

import pytest

from plugins.plan.wanted import Selection
from plugins.review.figures import Figure, unprovable_rate, wilson
from tests.plugins.review.sample import spyke


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


@pytest.mark.parametrize(
    ("rate", "seeds", "told"),
    [
        pytest.param(None, 1, [], id="all"),
        pytest.param(
            0.8,
            1,
            ["1 of a checkpoint's pictures, and a yes on all of them shows at least 21 %. It takes 16"],
            id="few",
        ),
        pytest.param(
            0.8,
            15,
            ["15 of a checkpoint's pictures, and a yes on all of them shows at least 80 %. It takes 16"],
            id="15",
        ),
        pytest.param(0.8, 16, [], id="enough"),
    ],
)
def test_rate_that_cannot_be_reached_is_said_before_rendering(rate: float | None, seeds: int, told: list[str]) -> None:
    """Where even a yes on every picture shows less than the plan asks for, the number that it takes is said."""
    plan = spyke()
    sampling = plan.sampling.model_copy(update={"seeds": tuple(range(seeds))})
    found = unprovable_rate(
        plan.model_copy(update={"sampling": sampling, "selection": Selection.model_validate({"pass": rate or "all"})})
    )
    assert told == [line.partition("judged on ")[2].removesuffix(": add seeds.") for line in found]
