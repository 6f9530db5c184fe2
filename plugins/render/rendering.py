"""Cells are rendered ahead of the tests that ask for them, so that no server idles while a picture is checked."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import cycle
from typing import Final, Generic, TypeVar

from plugins.comfyui.errors import Silent, Unreachable
from plugins.comfyui.server import Server
from plugins.plan.cells import Cell
from plugins.render.board import Board

Result = TypeVar("Result")
Other = TypeVar("Other")

AHEAD: Final = 3
"""Cells on each server at a time: one that it renders, one queued behind, and one whose picture is being checked."""
_TICK_SECONDS: Final = 0.1


class Rendering(Generic[Result]):
    """A run over many cells, on one or several servers, in the cells' order.

    `work` renders one cell on one server, in a thread of its own; what it returns or raises is the cell's result.
    """

    def __init__(
        self, cells: Sequence[Cell], *, servers: Sequence[Server], work: Callable[[Cell, Server, Board], Result]
    ) -> None:
        self.board: Final = Board(len(cells))
        self._servers = servers
        self._work = work
        self._mine = threading.local()
        self._threads = ThreadPoolExecutor(max_workers=AHEAD * len(servers), thread_name_prefix="render")
        self._next_server = cycle(servers)
        self._choosing = threading.Lock()
        self._results: dict[Cell, Future[Result]] = {cell: self._threads.submit(self._render, cell) for cell in cells}

    def result(self, cell: Cell, *, meanwhile: Callable[[str], None]) -> Result:
        """Wait for a cell's result, telling `meanwhile` ten times a second how far the run has come."""
        future = self._results[cell]
        while not (future.cancelled() or wait([future], timeout=_TICK_SECONDS).done):
            meanwhile(self.board.line())
        return future.result()

    def after(self, cell: Cell, work: Callable[[], Other]) -> Future[Other]:
        """Have something done in the background once every cell has been begun, and `cell` is done."""

        def run() -> Other:
            wait([self._results[cell]])
            return work()

        return self._threads.submit(run)

    def close(self) -> None:
        """Withdraw what is queued; the threads end with what they are at. Cells that are done stay done."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for server in self._servers:
            server.close()
        self._threads.shutdown(wait=True)

    def _render(self, cell: Cell) -> Result:
        """Render a cell on this thread's server; where that is out of reach, on another one."""
        mine = self._server()
        try:
            for server in (mine, *(other for other in self._servers if other is not mine)):
                try:
                    return self._work(cell, server, self.board)
                except (Unreachable, Silent) as error:
                    lost = error
            raise lost
        finally:
            self.board.end(cell)

    def _server(self) -> Server:
        """Give the server of this thread: each thread keeps to one."""
        if not hasattr(self._mine, "server"):
            with self._choosing:
                self._mine.server = next(self._next_server)
        server: Server = self._mine.server
        return server
