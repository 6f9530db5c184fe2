"""One live line below pytest's own output; plain lines now and then where there is no terminal."""

import os
import time
from collections.abc import Callable
from typing import Final, TextIO

_PLAIN_SECONDS: Final = 10.0
# Make sure that there is a line below (index, reverse index), go there, write, and come back.
_BELOW: Final = "\x1bD\x1bM\x1b7\x1b[B\r\x1b[2K"
_BACK: Final = "\x1b8"


class LiveLine:
    """Shows how far a run has come without touching what pytest has printed.

    On a terminal the line stands below pytest's dots and is wiped when a test ends. Elsewhere a line is printed every
    ten seconds. `width` returns the terminal's columns, `clock` seconds.
    """

    def __init__(
        self, stream: TextIO, *, width: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._width = width
        self._clock = clock
        self._terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._printed = clock()
        self._shown = ""

    def show(self, text: str) -> None:
        """Show `text` in place of what was shown before."""
        if not self._terminal:
            if self._clock() - self._printed >= _PLAIN_SECONDS:
                self._printed = self._clock()
                self._stream.write(f"\n{text}\n")
                self._stream.flush()
        elif text != self._shown:
            self._shown = text
            self._stream.write(f"{_BELOW}{text[: self._width() - 1]}{_BACK}")
            self._stream.flush()

    @property
    def is_shown(self) -> bool:
        """Whether there is a line to remove."""
        return bool(self._shown)

    def wipe(self) -> None:
        """Remove the line, before pytest goes on printing."""
        if self._shown:
            self._shown = ""
            self._stream.write(f"{_BELOW}{_BACK}")
            self._stream.flush()
