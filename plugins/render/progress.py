"""How far the rendering has come: written by the threads that render, read by the live line."""

import threading
import time
from collections.abc import Callable
from typing import Final

from plugins.comfyui.run import Phase, Run
from plugins.plan.cells import Cell

_WAITING: Final = "waiting for the server"
_SILENT: Final = "the server does not answer"


class Progress:
    """Keeps count of the cells of one rendering and what is happening to the first that is not done.

    `clock` gives seconds; a test passes its own.
    """

    def __init__(self, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._total = total
        self._done = 0
        self._begun = self._last = clock()
        self._now: dict[Cell, str] = {}
        self._sampler: dict[Cell, str] = {}

    def begin(self, cell: Cell, sampler: str) -> None:
        """Note that a cell was given to a server, and which node of its workflow samples."""
        with self._lock:
            self._now[cell] = _WAITING
            self._sampler[cell] = sampler

    def move(self, cell: Cell, run: Run) -> None:
        """Note what a server reports about a cell."""
        with self._lock:
            if cell not in self._now:
                return
            if not run.answers:
                self._now[cell] = _SILENT
            elif run.node == self._sampler[cell]:
                self._now[cell] = f"sampling {run.value}/{run.maximum}" if run.maximum else "sampling"
            elif run.phase is Phase.SUCCEEDED:
                self._now[cell] = "checking the picture"
            elif run.phase is Phase.RUNNING and not self._now[cell].startswith(("sampling", "saving")):
                self._now[cell] = "loading models"
            elif run.phase is Phase.RUNNING:
                self._now[cell] = "saving"
            elif self._now[cell] == _SILENT:
                self._now[cell] = _WAITING

    def end(self, cell: Cell) -> None:
        """Note that a cell is done, well or not."""
        with self._lock:
            self._done += 1
            self._last = self._clock()
            self._now.pop(cell, None)
            self._sampler.pop(cell, None)

    def line(self) -> str:
        """Return it in one line: `cell 7 of 18  step600 x novel_pose  sampling 12/20  0:41 left`."""
        with self._lock:
            if self._done >= self._total:
                return f"{self._total} of {self._total} cells done"
            parts = [f"cell {self._done + 1} of {self._total}"]
            if self._now:
                cell, doing = next(iter(self._now.items()))
                parts += [str(cell), doing]
            # from the cells that are done; counted down while the next one is under way, and none once that is overdue
            left = (self._last - self._begun) / max(self._done, 1) * (self._total - self._done)
            left -= self._clock() - self._last
            if self._done and left >= 0 and _SILENT not in parts:
                parts.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
            return "  ".join(parts)
