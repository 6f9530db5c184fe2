"""A fault in one of two servers: what becomes of each cell, of both queues, and of other people's prompts."""

import threading
from collections.abc import Callable
from enum import Enum, auto

import pytest

from plugins.comfyui.errors import Silent, Unreachable
from plugins.evidence.evidence import Evidence
from plugins.plan.cells import Cell
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer
from tests.faults.fault_catalogue import TARGET
from tests.faults.faulty_server import Stage, Work
from tests.faults.server_faults import TABLE

_LONGEST_SECONDS = 60.0


class Comes(Enum):
    """What comes of a fault in one of two servers."""

    NOTHING = auto()
    """Each server renders what it began."""
    TARGET_ELSEWHERE = auto()
    """The target alone is given back, and the other server renders it."""
    REST_ELSEWHERE = auto()
    """The server is given up: what it has by then is given back, and the other one renders it."""
    TARGET_FAILS = auto()
    """The target alone fails, in the words of the table; no other server is asked for it."""
    BEGUN_FAILS = auto()
    """What the server has begun fails, in the words of the table, and it gets no more: the other renders the rest."""


BECOMES = {
    "socket dropped for good": Comes.NOTHING,
    "POST taken, connection reset": Comes.NOTHING,
    "POST taken, answered 200 with a page": Comes.NOTHING,
    "POST answered 502 with a page twice": Comes.NOTHING,
    "POST answered 503 for ever": Comes.REST_ELSEWHERE,
    "POST answered 500 for ever": Comes.BEGUN_FAILS,
    "POST answered 403": Comes.BEGUN_FAILS,
    "POST refused in an odd shape": Comes.TARGET_FAILS,
    "out of memory on one cell": Comes.TARGET_FAILS,
    "error without words": Comes.TARGET_FAILS,
    "worker dead, and accepts": Comes.REST_ELSEWHERE,
    "one cell hangs, others wait behind it": Comes.TARGET_ELSEWHERE,
    "restarted once, queue and history lost": Comes.NOTHING,
    "restarted at one cell each time": Comes.TARGET_FAILS,
    "away between two cells, and back": Comes.NOTHING,
    "away for good": Comes.REST_ELSEWHERE,
    "never answers any more": Comes.REST_ELSEWHERE,
    "history with two pictures": Comes.TARGET_FAILS,
    "picture cut once": Comes.NOTHING,
    "picture cut for ever": Comes.TARGET_ELSEWHERE,
    "picture is a page for ever": Comes.TARGET_FAILS,
    "somebody interrupts ours": Comes.TARGET_FAILS,
}
"""What comes of rows of the table where a healthy server, or worker, is there beside the faulty one."""


class TwoServers:
    """Renders so that the faulty server begins the target: the healthy one holds its first cell until then.

    The matrix begins with two baselines, of which each server has one before either goes on.
    """

    def __init__(self, make: Work, faulty: RenderServer) -> None:
        self.begun: list[str] = []
        """Cells that the faulty server began."""
        self.given_back: list[str] = []
        """Cells that the faulty server gave back."""
        self._make = make
        self._faulty = faulty
        self._began = {True: threading.Event(), False: threading.Event()}
        self._go_on = threading.Event()

    def __call__(self, cell: Cell, place: RenderServer, board: Progress, posted: Callable[[], None]) -> Evidence:
        """Render a cell in its turn."""
        is_faulty = place is self._faulty
        self._began[is_faulty].set()
        assert self._began[not is_faulty].wait(_LONGEST_SECONDS), "one of two servers was given nothing"
        if not is_faulty:
            assert self._go_on.wait(_LONGEST_SECONDS), "the faulty server did not come to the target"
            return self._make(cell, place, board, posted)
        self.begun.append(cell.id)
        if cell.id == TARGET:
            self._go_on.set()
        try:
            return self._make(cell, place, board, posted)
        except Exception as error:
            if isinstance(error, Unreachable | Silent):
                self.given_back.append(cell.id)
            self._go_on.set()
            raise


def check(name: str, comes: Comes, stage: Stage, patch: pytest.MonkeyPatch) -> None:
    """Render before two servers of which the first has a fault of the table, and see that nothing is lost."""
    row = TABLE[name]
    faulty, healthy = stage.prepared.servers
    pair = TwoServers(stage.make, faulty)
    ended = stage.run(at_once=row.at_once, left=row.left, patch=patch, work=pair)

    failing = {Comes.TARGET_FAILS: (TARGET,), Comes.BEGUN_FAILS: tuple(pair.begun)}.get(comes, ())
    fine = tuple(cell.id for cell in stage.cells if cell.id not in failing)
    assert (fine, failing) == (ended.pictures, tuple(ended.failures)), ended.failures
    for cell in failing:
        assert [] == [word for word in row.fails[TARGET] if word not in ended.failures[cell]], ended.failures
    assert comes is not Comes.BEGUN_FAILS or row.at_once == len(failing), f"{len(failing)} of {len(stage.cells)} cells"
    assert fine == tuple(ended.kept)
    files = [path.suffix for path in stage.store.folder.rglob("*") if path.is_file()]
    assert {".json": len(fine), ".png": len(fine)} == {suffix: files.count(suffix) for suffix in files}

    if comes is Comes.REST_ELSEWHERE:
        assert pair.given_back
    else:
        assert ([TARGET] if comes is Comes.TARGET_ELSEWHERE else []) == pair.given_back
    made_by = {cell: evidence.server.url for cell, evidence in ended.kept.items()}
    assert {healthy.info.url} >= {made_by[cell] for cell in pair.given_back}
    assert len(ended.kept) == len({evidence.run.prompt_id for evidence in ended.kept.values()})
    for place, fault, rest in zip((faulty, healthy), stage.faults, ({*pair.given_back, *failing}, set()), strict=True):
        here = {cell for cell, url in made_by.items() if url == place.info.url}
        assert dict.fromkeys(here, 1) == {cell: fault.saved_of[cell] for cell in here}
        assert here | rest >= {*fault.saved_of}
        assert {1} >= {*fault.saved_of.values()}
        assert [] == fault.elsewhere
    assert row.theirs >= stage.faults[0].ends_of_theirs()
    assert {"success"} == stage.faults[1].ends_of_theirs()
