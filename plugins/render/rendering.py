"""Rendering cells ahead of the tests that ask for them, so that no server idles while a picture is checked."""

import threading
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from typing import Final, Generic, Protocol, TypeVar

from plugins.comfyui.errors import BadAnswer, Silent, Unreachable
from plugins.plan.cells import Cell
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer

Result = TypeVar("Result")

AHEAD: Final = 3
"""Cells on each server at a time: one that it renders, one queued behind, and one whose picture is being checked."""
_TICK_SECONDS: Final = 0.1


class Rows(Protocol):
    """Which servers may render the cells of a row."""

    def take(self, cell: Cell, server: RenderServer) -> bool:
        """Return whether a server may render a cell, which it then does."""

    def may(self, cell: Cell, server: RenderServer) -> bool:
        """Return whether a server might render a cell."""

    def made(self, cell: Cell) -> None:
        """Note that a cell was rendered."""

    def give_back(self, cell: Cell) -> None:
        """Note that the server that took a cell does not render it."""


class Rendering(Generic[Result]):
    """A run over many cells, on one or several servers, in the cells' order; one that is named twice is rendered once.

    `work` renders one cell on one server, in a thread of an executor; what it returns or raises is the cell's result.
    It calls its last argument once the cell is in the server's queue: the server's next cell is begun after that, so
    that each server gets its cells in order. Each server takes the next cell when it has room, so all end together.

    A cell goes back where its server is out of reach, and another server takes it. A server that was so, or answered as
    no ComfyUI does, `AHEAD` times in a row gets no more, unless it is the last: it would fail cells faster than others
    render them. `rows` says which servers may render which cells; without it, any may.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        *,
        servers: Sequence[RenderServer],
        work: Callable[[Cell, RenderServer, Progress, Callable[[], None]], Result],
        rows: Rows | None = None,
    ) -> None:
        self._cells = cells = tuple(dict.fromkeys(cells))
        self.progress: Final = Progress(len(cells))
        self._work = work
        self._rows = rows
        self._servers = servers
        self._results: dict[Cell, Future[Result]] = {cell: Future() for cell in cells}
        self._waiting = list(range(len(cells)))
        """Numbers of the cells that no server has at the moment, in order."""
        self._tried: dict[int, list[RenderServer]] = {}
        """The servers that gave each cell back."""
        self._misses = dict.fromkeys(servers, 0)
        """How many cells in a row failed because of each server."""
        self.gave_back: Final[dict[RenderServer, str]] = {}
        """Each server that gave cells back for others to render, and why it did so last."""
        self._turns = {server: threading.Lock() for server in servers}
        self._lost: set[RenderServer] = set()
        self._closing = False
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers=AHEAD * len(servers), thread_name_prefix="render")
        for _ in range(min(AHEAD, len(cells))):
            for server in servers:
                self._start(self._serve, server)

    def result(self, cell: Cell, *, meanwhile: Callable[[str], None]) -> Result:
        """Wait for a cell's result; meanwhile, call `meanwhile` with the progress ten times a second."""
        future = self._results[cell]
        while not (future.cancelled() or wait([future], timeout=_TICK_SECONDS).done):
            meanwhile(self.progress.line())
        return future.result()

    def is_done(self, cell: Cell) -> bool:
        """Return whether a cell has its result, or will never have one."""
        return cell in self._results and self._results[cell].done()

    def close(self) -> None:
        """Cancel what is queued; each thread finishes its cell. Results stay available."""
        with self._lock:
            self._closing = True
            for number in self._waiting:
                self._results[self._cells[number]].cancel()
            self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for server in self._servers:
            server.close()
        self._threads.shutdown(wait=True)

    def _start(self, work: Callable[..., None], *arguments: RenderServer) -> None:
        """Do work in a thread. If the thread dies, all open cells fail, so that nobody waits for them forever."""

        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 (it is raised where a cell is asked for)
                with self._lock:
                    self._waiting.clear()
                for future in self._results.values():
                    with suppress(InvalidStateError):
                        future.set_exception(error)

        self._threads.submit(guarded)

    def _serve(self, server: RenderServer) -> None:
        """Render one cell after the other on a server; `AHEAD` threads of each server do so."""
        while True:
            with self._turn(server) as posted:
                number = self._take(server)
                if number is None:
                    return
                cell = self._cells[number]
                try:
                    result = self._work(cell, server, self.progress, posted)
                except (Unreachable, Silent) as error:
                    self._miss(server, error, back=number)
                except BadAnswer as error:
                    self._fail(number, error)
                    self._miss(server, error)
                except BaseException as error:  # noqa: BLE001 (it is raised where the cell is asked for)
                    self._fail(number, error)
                else:
                    self._misses[server] = 0
                    self._made(cell)
                    self._results[cell].set_result(result)
                    self.progress.end(cell)

    @contextmanager
    def _turn(self, server: RenderServer) -> Iterator[Callable[[], None]]:
        """Wait until the server's cell before this one is posted; yield what ends the turn before the block ends."""
        turn = self._turns[server]
        turn.acquire()
        held = [turn]

        def over() -> None:
            with self._lock:
                mine = held.pop() if held else None
            if mine:
                mine.release()

        try:
            yield over
        finally:
            over()

    def _take(self, server: RenderServer) -> int | None:
        """Take the next cell that a server has not given back; None where there is none for it."""
        with self._lock:
            if server in self._lost:
                return None
            open_to_it = (one for one in self._waiting if server not in self._tried.get(one, ()))
            number = next((one for one in open_to_it if self._takes(self._cells[one], server)), None)
            if number is not None:
                self._waiting.remove(number)
            return number

    def _miss(self, server: RenderServer, error: BaseException, *, back: int | None = None) -> None:
        """Count a miss of a server, and let another one render the cell that it gives back, if it does.

        A cell that no server is left for fails as this one did.
        """
        with self._lock:
            self._misses[server] += 1
            if self._misses[server] >= AHEAD and len(self._lost) + 1 < len(self._servers):
                self._lost.add(server)
            if back is not None:
                self._tried.setdefault(back, []).append(server)
                if self._rows:
                    self._rows.give_back(self._cells[back])
                insort(self._waiting, back)
            hopeless = [one for one in self._waiting if self._closing or not self._others(one)]
            self._waiting = [one for one in self._waiting if one not in hopeless]
            if back in self._waiting:
                self.gave_back[server] = str(error)
                for other in self._others(back):
                    self._start(self._serve, other)  # its threads may have ended: nothing was left to do
        for one in hopeless:
            self._fail(one, error)

    def _others(self, number: int) -> list[RenderServer]:
        """Return the servers that may still render a cell."""
        tried, cell = self._tried.get(number, ()), self._cells[number]
        there = [one for one in self._servers if one not in self._lost and one not in tried]
        return [one for one in there if self._rows is None or self._rows.may(cell, one)]

    def _takes(self, cell: Cell, server: RenderServer) -> bool:
        return self._rows is None or self._rows.take(cell, server)

    def _made(self, cell: Cell) -> None:
        if self._rows:
            self._rows.made(cell)

    def _fail(self, number: int, error: BaseException) -> None:
        cell = self._cells[number]
        self._results[cell].set_exception(error)
        self.progress.end(cell)
