"""How tests wait for what happens elsewhere."""

import time
from collections.abc import Callable


def until(true: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait until a condition holds; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not true():
        assert end > time.monotonic(), "it did not happen"
        time.sleep(0.005)


def ignore(*_: object) -> None:
    """Do nothing: the callback of a test that needs none."""
