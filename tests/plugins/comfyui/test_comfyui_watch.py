"""Each reason to wait has an end of its own, and the waiting of one prompt does not eat another's."""

from collections.abc import Callable

import pytest

from plugins.comfyui.timing import Timing
from plugins.comfyui.watch import Location, PromptStatus, Timeouts

TIMEOUT = 600.0
Look = Callable[..., Location | None]


class Clock:
    """Seconds, as a test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def look(clock: Clock) -> Look:
    """Let seconds pass, then see a prompt: `look(5, Location.RUNNING, sign=..., ahead=...)`."""
    timeouts = Timeouts(timeout=TIMEOUT, timing=Timing(), clock=clock)

    def after(seconds: float, where: Location, *, sign: object = "", ahead: tuple[str, ...] = ()) -> Location | None:
        clock.now += seconds
        return timeouts.expired(PromptStatus(location=where, ahead=ahead), sign)

    return after


@pytest.mark.parametrize(
    ("where", "limit"),
    [
        (Location.RUNNING, 600),
        (Location.WAITING, 600),
        (Location.BEHIND_OTHERS, 3600),
        (Location.GONE, 3),
        (Location.OUT_OF_REACH, 60),
    ],
)
def test_every_wait_has_its_end(look: Look, where: Location, limit: float) -> None:
    """A wait is not over at its limit, and is right after it."""
    assert [None, None, where] == [look(0, where), look(limit, where), look(0.1, where)]


def test_behind_ours_there_is_no_clock(look: Look) -> None:
    """Behind another prompt of ours nothing runs out: that one has a clock, and begins anew when ours runs."""
    assert [None, None] == [look(0, Location.BEHIND_OURS), look(10_000, Location.BEHIND_OURS)]
    assert [None, None, Location.RUNNING] == [look(seconds, Location.RUNNING) for seconds in (1, 600, 1)]


def test_others_do_not_eat_our_time(look: Look) -> None:
    """Somebody else's picture may take longer than our timeout, and ours has all of its own time after it."""
    assert [None, None] == [look(0, Location.BEHIND_OTHERS), look(3600, Location.BEHIND_OTHERS)]
    assert [None, None, Location.RUNNING] == [look(seconds, Location.RUNNING) for seconds in (0, 600, 1)]


def test_each_of_others_has_its_own_time(look: Look) -> None:
    """When one of others' pictures is done, the next one's time begins."""
    ahead = [look(3599, Location.BEHIND_OTHERS, ahead=tuple("abc"[number:])) for number in range(3)]
    assert [None, None, None] == ahead
    assert Location.BEHIND_OTHERS == look(3601, Location.BEHIND_OTHERS, ahead=("c",))


def test_news_is_a_sign_of_life(look: Look) -> None:
    """A prompt that moves on may take any time."""
    assert [None] * 9 == [look(599, Location.RUNNING, sign=step) for step in range(9)]
    assert Location.RUNNING == look(601, Location.RUNNING, sign=8)


def test_out_of_reach_now_and_then_is_no_sign_of_life(look: Look) -> None:
    """A server that is out of reach for moments while nothing moves is given up as if it had been there."""
    seen = [look(40, place) for _ in range(9) for place in (Location.RUNNING, Location.OUT_OF_REACH)]
    assert [*[None] * 16, Location.RUNNING] == seen[:17]


def test_gone_now_and_then_is_not_lost(look: Look) -> None:
    """A prompt that is seen again was not lost; being out of reach in between proves nothing."""
    assert [None, None, None] == [look(2, place) for place in (Location.GONE, Location.RUNNING, Location.GONE)]
    assert [None, Location.GONE] == [look(2, place) for place in (Location.OUT_OF_REACH, Location.GONE)]


@pytest.mark.parametrize(("timeout", "reach"), [(10, 60), (600, 60), (1200, 120)])
def test_reach_grows_with_the_timeout(timeout: float, reach: float) -> None:
    """A server has a minute to come back, and more where the plan is more patient."""
    assert reach == Timing().reach_of(timeout)
