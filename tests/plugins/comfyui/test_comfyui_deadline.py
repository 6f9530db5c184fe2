"""One time budget spans several steps, and pauses between attempts grow within it."""

import threading
import time

import pytest

from plugins.comfyui.deadline import Deadline, Retry


class Noting(threading.Event):
    """An event that notes how long it is waited for, and takes no time."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Note a pause."""
        self.pauses.append(round(timeout or 0.0, 1))
        return self.is_set()


def test_deadline_counts_down_to_its_end() -> None:
    """What is left shrinks to 0 and no further; then the deadline has expired."""
    now = [100.0]
    deadline = Deadline(5.0, clock=lambda: now[0])
    seen = []
    for now[0] in (100.0, 103.0, 105.0, 109.0):
        seen.append((deadline.left, deadline.expired))
    assert [(5.0, False), (2.0, False), (0.0, True), (0.0, True)] == seen


def test_pauses_double_up_to_the_longest() -> None:
    """Each pause is twice as long as the one before, up to the longest."""
    stopping = Noting()
    attempts = Retry(1000.0, pause=1.0, longest=5.0, stopping=stopping)
    assert [True] * 5 == [attempts.wait() for _ in range(5)]
    assert [1.0, 2.0, 4.0, 5.0, 5.0] == stopping.pauses


def test_last_pause_ends_with_the_budget() -> None:
    """A pause that would outlast the budget is cut, so that one attempt falls on its end; then there is none."""
    attempts = Retry(0.05, pause=10.0, longest=10.0)
    begun = time.monotonic()
    assert [True, False] == [attempts.wait(), attempts.wait()]
    assert 5.0 > time.monotonic() - begun >= 0.05


@pytest.mark.parametrize(("asked", "pause"), [(0.0, 1.0), (0.5, 1.0), (3.0, 3.0), (31_536_000.0, 1.0)])
def test_server_may_ask_for_a_longer_pause(asked: float, pause: float) -> None:
    """A pause that a server asks for counts where it is longer than ours and leaves time for another attempt."""
    stopping = Noting()
    assert Retry(10.0, pause=1.0, longest=5.0, stopping=stopping).wait(asked=asked)
    assert [pause] == stopping.pauses


def test_stopping_ends_a_pause_and_allows_no_other_attempt() -> None:
    """A run that is stopped waits for nothing any more."""
    stopping = threading.Event()
    attempts = Retry(1000.0, pause=100.0, longest=100.0, stopping=stopping)
    threading.Timer(0.05, stopping.set).start()
    begun = time.monotonic()
    assert [False, False] == [attempts.wait(), attempts.wait()]
    assert 5.0 > time.monotonic() - begun
