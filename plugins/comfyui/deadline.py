"""One time budget across several steps, and the pauses between attempts within it: everything that waits uses these."""

import threading
import time
from collections.abc import Callable
from typing import Final


class Deadline:
    """So many seconds from now on. `clock` gives seconds; a test passes its own."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._end: Final = clock() + seconds

    @property
    def left(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self._end - self._clock())

    @property
    def expired(self) -> bool:
        """Whether no time is left."""
        return self.left <= 0


class Retry:
    """Attempts at one thing within a time budget.

        attempts = Retry(seconds, pause=0.25, longest=5.0, stopping=event)
        while True:
            try:
                return something()
            except Unreachable:
                if not attempts.wait():
                    raise

    Each pause is twice as long as the one before, up to `longest`; the last one ends with the budget, so that there is
    one attempt at its very end. `stopping` ends a pause, and allows no other attempt.
    """

    def __init__(
        self, seconds: float, *, pause: float, longest: float, stopping: threading.Event | None = None
    ) -> None:
        self._deadline: Final = Deadline(seconds)
        self._pause = pause
        self._longest: Final = longest
        self._stopping: Final = stopping or threading.Event()

    def wait(self, *, asked: float = 0.0) -> bool:
        """Pause before the next attempt; return False at once where there is to be none.

        `asked` is the pause that a server asks for. It counts where it is longer and leaves time for another attempt.
        """
        left = self._deadline.left
        if left <= 0 or self._stopping.is_set():
            return False
        pause = asked if self._pause < asked < left else min(self._pause, left)
        self._pause = min(self._pause * 2, self._longest)
        return not self._stopping.wait(pause)
