"""How long a prompt of ours may wait: each reason to wait has an end of its own, and none eats another's."""

import time
from collections.abc import Callable
from typing import Final

from plugins.comfyui.sight import Sight, Where

_REACH_SECONDS: Final = 60.0
"""How long a server that has a prompt of ours may not answer at all, as while it is restarted; at least."""
_REACH_PART: Final = 10
"""What part of the plan's `timeout` a server may not answer, where that is longer."""
_GONE_SECONDS: Final = 3.0
"""How long a prompt must be neither in the history nor in the queue before it is lost: one follows the other."""
_OTHERS_TIMES: Final = 6
"""How many times the plan's `timeout` one prompt of somebody else's may take: how it is doing is not told to us."""


def reach_of(timeout: float) -> float:
    """Return the seconds that a server may not answer at all, from the plan's `timeout`."""
    return max(_REACH_SECONDS, timeout / _REACH_PART)


class Patience:
    """What has been seen of one prompt, and since when: says which wait is over.

    `timeout` is the plan's, in seconds: a prompt may run, or wait while nothing runs, that long without a sign of
    life. Behind another prompt of ours it has no clock of its own, since that one has; behind somebody else's, each
    prompt ahead has `limit` seconds. `clock` gives seconds; a test passes its own.
    """

    def __init__(self, *, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._sign: object = None
        self._place: object = None
        self._alive = self._answered = clock()
        self._gone: float | None = None

    def limit(self, where: Where) -> float:
        """Return the seconds after which a wait is over."""
        limits = {
            Where.RUNNING: self._timeout,
            Where.WAITING: self._timeout,
            Where.BEHIND_OTHERS: self._timeout * _OTHERS_TIMES,
            Where.GONE: _GONE_SECONDS,
            Where.OUT_OF_REACH: reach_of(self._timeout),
        }
        return limits.get(where, float("inf"))

    def over(self, sight: Sight, sign: object) -> Where | None:
        """Take in what was seen last, and the last sign of life; give the wait that is over, or None.

        A server that is out of reach now and then neither loses a prompt nor shows life.
        """
        now = self._clock()
        if sign != self._sign:
            self._sign, self._alive, self._answered = sign, now, now
        if sight.where is Where.OUT_OF_REACH:
            return sight.where if now - self._answered > self.limit(sight.where) else None
        self._answered = now
        if (sight.where, sight.ahead) != self._place:
            self._place, self._alive = (sight.where, sight.ahead), now
        if sight.where is not Where.GONE:
            self._gone = None
            return sight.where if now - self._alive > self.limit(sight.where) else None
        self._gone = now if self._gone is None else self._gone
        return sight.where if now - self._gone > self.limit(sight.where) else None
