"""After each checkpoint's first picture the server's log is asked which keys of the LoRA were not loaded."""

import threading
from collections.abc import Iterator
from typing import Final

from plugins.comfyui.errors import ComfyUIError
from plugins.comfyui.key_log import KeyLog
from plugins.comfyui.server import Finished
from plugins.loras.staging import Staged
from plugins.loras.unread import unread
from plugins.pictures.check import Check, Outcome
from plugins.plan.cells import Cell
from plugins.render.render_server import RenderServer

KEYS: Final = "LoRA keys"


class KeyCheck:
    """What the servers' logs reported in one run. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked: set[tuple[int, str]] = set()
        self._warnings: dict[str, str] = {}
        self._useless: dict[str, str] = {}
        self._without_log: dict[str, None] = {}

    def is_due(self, cell: Cell, server: RenderServer) -> bool:
        """Say whether this is the first picture of its checkpoint on a server."""
        return cell.checkpoint is not None and (id(server), cell.column) not in self._looked

    def useless(self, cell: Cell) -> str:
        """Return why a cell is not rendered: none of its LoRA's keys were loaded. Empty if it is to be rendered."""
        return self._useless.get(cell.column, "")

    def look(self, cell: Cell, server: RenderServer, finished: Finished, staged: Staged | None) -> Check | None:
        """Look in the log for keys that were skipped while a picture was made, if that is due; None if there are none.

        Before its first picture of a run a server drops all weights, so that it logs what it loads.
        """
        if staged is None or not self.is_due(cell, server):
            return None
        try:
            log = KeyLog.read(server.log(), started=finished.started, ended=finished.ended)
        except ComfyUIError:
            log = None
        skipped = log.skipped(staged.header.tensors) if log else None
        with self._lock:
            self._looked.add((id(server), cell.column))
            if skipped is None:
                self._without_log[server.info.address] = None
                return None
            if not skipped.keys:
                return Check(name=KEYS, outcome=Outcome.PASSED)
            advice = "; ".join(one.rpartition(": ")[2] for one in unread(staged.header))
            said = f"{skipped}{f': {advice}' if advice else ''}"
            self._warnings[cell.column] = said
            if skipped.is_all:
                self._useless[cell.column] = f"It was not rendered: {said}. See the column's first picture."
        return Check(name=KEYS, outcome=Outcome.FAILED if skipped.is_all else Outcome.WARNING, message=said)

    def last_lines(self) -> Iterator[str]:
        """Yield the last lines for the terminal."""
        yield from (f"warning: checkpoint {column}: {said}" for column, said in self._warnings.items())
        for url in self._without_log:
            yield f"{url} has no log of that time, so it was not checked whether all keys of the LoRAs were loaded"
