"""Five hundred cells with faults at random: each ends as its faults say, is counted once, and memory does not grow."""

import gc
import random
import struct
import tracemalloc
import zlib
from collections import Counter
from typing import Any

import pytest
from aiohttp import web

from plugins.comfyui.timing import Timing
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.generation import Generation
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from stand_in.faults import NodeFailure
from tests.faults.fault_catalogue import is_post, page, reset, restart_apart
from tests.faults.faulty_server import Fault, cell_of, staged

pytestmark = pytest.mark.slow

CELLS = 500
WARM = 300
"""Cells before memory is looked at."""
SEED = 20251122
RARE = 1 / 16
"""How often each kind of fault falls on a cell."""
RESTARTS = frozenset({120, 240, 360})
"""Numbers of the cells at which the server is restarted: so far apart that no cell is lost twice."""
PADDING = 256_000
"""Bytes by which each picture is made larger, as real ones are, so that one that is kept in memory shows."""
GROWTH = 100_000
"""Bytes that each cell may leave behind: its evidence is kept, of some 20 kB."""
TIMING = Timing(poll=0.1, pause=0.02, reconnect=0.02, gone=0.3)


class Weather(Fault):
    """Faults as they were drawn for each cell, each of them once but for errors of a node."""

    def __init__(self, drawn: dict[str, str]) -> None:
        super().__init__(reply=self.reply, before_node=self.act, saved=self.padded)
        self._drawn = drawn
        self._done: set[tuple[str, str]] = set()
        self.happened: Counter[str] = Counter()

    def happens(self, cell: str, *kinds: str) -> str:
        """Return the fault of a cell, where it is one of these kinds and did not happen yet."""
        kind = self._drawn.get(cell, "")
        if kind not in kinds or (cell, kind) in self._done:
            return ""
        self._done.add((cell, kind))
        self.happened[kind] += 1
        return kind

    async def reply(self, _: Fault, request: web.Request) -> Any:
        """Break off what is posted or fetched."""
        if is_post(request):
            cell = cell_of((await request.json())["prompt"])
            kinds = ("POST taken, answer lost", "POST lost", "POST 500", "POST 502")
            kind = self.happens(cell, *kinds)
            if kind == kinds[0]:
                await self.take(request)
            return page(int(kind[-3:])) if kind in kinds[2:] else reset(request) if kind else None
        if request.path == "/view":
            kind = self.happens(request.query["filename"].rpartition("-")[0], "view 404", "view cut")
            return reset(request) if kind == "view cut" else page(404) if kind else None
        return None

    def act(self, _: Fault, prompt_id: str, class_type: str) -> None:
        """Drop, restart or fail before a node."""
        cell = self.cell(prompt_id)
        if class_type != "KSampler":
            return
        if self.happens(cell, "socket dropped"):
            self.drop_sockets()
        if self.happens(cell, "restarted"):
            executor = self.serving.server.executor
            restart_apart(self)
            executor._interrupted.wait(30)
        if self._drawn.get(cell) == "error":
            self.happened["error"] += 1
            raise NodeFailure("RuntimeError", "mat1 and mat2 shapes cannot be multiplied")

    def padded(self, _: Fault, png: bytes) -> bytes:
        """Put a chunk that nobody reads before a picture's last one."""
        body = b"paDd" + bytes(PADDING)
        chunk = struct.pack(">I", PADDING) + body + struct.pack(">I", zlib.crc32(body))
        return png[:-12] + chunk + png[-12:]

    def forget(self, cell: Cell) -> None:
        """Have the server forget a cell: its memory is none of ours."""
        for prompt_id in [key for key, name in self._cells.items() if name == cell.id]:
            self.serving.server.queue.forget(prompt_id)
            del self._cells[prompt_id]


KINDS = (
    "POST taken, answer lost",
    "POST lost",
    "POST 500",
    "POST 502",
    "view 404",
    "view cut",
    "socket dropped",
    "error",
)


def draw(cells: list[Cell]) -> dict[str, str]:
    """Draw a fault for each cell, or none."""
    chance = random.Random(SEED)  # noqa: S311 (no secret)
    weights = [RARE] * len(KINDS) + [1 - RARE * len(KINDS)]
    drawn = {cell.id: chance.choices((*KINDS, ""), weights)[0] for cell in cells}
    return drawn | {cells[number].id: "restarted" for number in RESTARTS}


def test_soak(plan: Plan) -> None:
    """Every cell has its picture unless a node failed on it; what is saved twice was lost in a restart."""
    sampling = plan.sampling.model_copy(update={"seeds": tuple(range(90)), "steps": 1})
    plan = plan.model_copy(update={"sampling": sampling})
    cells = list(matrix(plan))[:CELLS]
    drawn = draw(cells)
    weather = Weather(drawn)
    pictures, failures, before = list[str](), dict[str, str](), 0
    with staged(plan, weather, timeout=30, timing=TIMING, fronted=True) as stage:
        weather.armed.set()
        run = Generation(stage.prepared, cells, regenerate=False)
        try:
            for number, cell in enumerate(cells):
                if number == WARM:
                    gc.collect()
                    tracemalloc.start()
                    before = tracemalloc.get_traced_memory()[0]
                try:
                    run.evidence_of(cell, show=_ignore)
                    pictures.append(cell.id)
                except CellFailedError as error:
                    failures[cell.id] = str(error)
                weather.forget(cell)
            gc.collect()
            growth = (tracemalloc.get_traced_memory()[0] - before) / (len(cells) - WARM)
        finally:
            tracemalloc.stop()
            run.close()
        kept = [cell.id for cell in cells if stage.store.read(cell)]
        sizes = [stage.store.picture_path(cell).stat().st_size for cell in cells if cell.id in kept]
    assert {cell: "mat1 and mat2" in words for cell, words in failures.items()} == {
        cell: True for cell, kind in drawn.items() if kind == "error"
    }
    assert sorted(kept) == sorted(pictures)
    assert len(pictures) == run.rendered == CELLS - len(failures)
    assert sorted({*KINDS, "restarted"}) == sorted(weather.happened)
    assert len(RESTARTS) == weather.happened["restarted"]
    saved = [weather.saved_of[cell] for cell in pictures]
    assert 1 == min(saved)
    assert sum(saved) - len(saved) <= 3 * len(RESTARTS)
    assert PADDING < min(sizes)
    assert growth < GROWTH, f"{growth:.0f} bytes more with each cell"


def _ignore(_: str) -> None:
    """Take no notice of progress."""
