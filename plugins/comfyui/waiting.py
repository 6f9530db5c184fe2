"""What is known of a prompt while it is waited for."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from plugins.comfyui.run import Run, fold

_LOOK_SECONDS: Final = 1.0
"""How often the history is looked at while the socket says nothing."""
_WRITTEN_SECONDS: Final = 0.02
"""How soon the history is looked at again after the socket told of the end: it is written a moment later (fact 4)."""


class Waiting:
    """Told by the socket's thread, read by the waiting one; `on_progress` is told whenever the run moves on."""

    def __init__(self, run: Run, on_progress: Callable[[Run], None]) -> None:
        self.run = run
        self._news = threading.Event()
        self._on_progress = on_progress
        self._looked = time.monotonic()

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in a message of the socket."""
        run = fold(self.run, message)
        if run != self.run:
            self.run = run
            self._on_progress(run)
            if run.phase.ended or run.closed:
                self._news.set()

    def is_time_to_look(self) -> bool:
        """Wait for news, but not for long; say whether it is time to look at the history."""
        self._news.wait(_WRITTEN_SECONDS if self.run.phase.ended else _LOOK_SECONDS)
        self._news.clear()
        now = time.monotonic()
        if not self.run.phase.ended and now - self._looked < _LOOK_SECONDS * 0.9:
            return False
        self._looked = now
        return True
