"""Cells are rendered in order and ahead of who asks for them, each for itself, and stopping takes back ours alone."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import BadAnswer, ComfyUIError, Interrupted, Unreachable
from plugins.comfyui.run import Run
from plugins.comfyui.server import Finished, Server
from plugins.comfyui.workflow import Workflow
from plugins.loras.staging import preflight, stage
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer
from plugins.render.rendering import AHEAD, Rendering
from stand_in.serving import Serving
from tests.small_plan import Posing
from tests.waiting import ignore, until

THEIRS = "7d9a1c52-0f1e-4a57-9d7c-3f0b6a1e2c11"
"""Id of a prompt of somebody else's."""
Posted = Callable[[], None]
Work = Callable[[Cell, Any, Progress, Posted], Any]


class Unused:
    """A server that is only passed on."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.closed = False

    def close(self) -> None:
        """Note it."""
        self.closed = True


@pytest.fixture
def render() -> Iterator[Callable[..., Rendering[Any]]]:
    """Start renderings that are closed in the end."""
    with ExitStack() as stack:

        def start(cells: Sequence[Cell], work: Work, *servers: Any) -> Rendering[Any]:
            rendering = Rendering(cells, servers=servers or (Unused(),), work=work)
            stack.callback(rendering.close)
            return rendering

        yield start


def _has(items: Sequence[object], count: int) -> bool:
    return len(items) == count


def test_cells_begin_in_their_order_and_no_more_than_ahead(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """Cells are begun in the very order given, three ahead on one server, and the next as soon as one is done."""
    cells, begun = matrix(plan), list[Cell]()
    gates = {cell: threading.Event() for cell in cells}

    def work(cell: Cell, server: Any, board: Progress, posted: Posted) -> str:
        del server, board
        begun.append(cell)
        posted()
        gates[cell].wait(30)
        return cell.id

    rendering = render(cells, work)
    until(lambda: len(begun) == AHEAD)
    assert (3, list(cells[:3])) == (AHEAD, begun)
    for index, cell in enumerate(cells):
        gates[cell].set()
        assert cell.id == rendering.result(cell, meanwhile=ignore)
        expected = list(cells[: index + 1 + AHEAD])
        until(partial(_has, begun, len(expected)))
        assert expected == begun


def test_waiting_tells_how_far_it_is(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """While a cell is waited for, the line is told; afterwards the board has counted it."""
    cells, lines = matrix(plan)[:1], list[str]()
    shown = threading.Event()

    def work(cell: Cell, server: Any, board: Progress, posted: Posted) -> str:
        del server, posted
        board.begin(cell, "7")
        shown.wait(30)
        return "picture"

    def show(line: str) -> None:
        lines.append(line)
        shown.set()

    rendering = render(cells, work)
    assert "picture" == rendering.result(cells[0], meanwhile=show)
    assert "cell 1 of 1  baseline x forest  waiting for the server" == lines[0]
    assert "1 of 1 cells done" == rendering.progress.line()


def test_a_cell_fails_alone(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """What one cell raises is raised for that cell; the others give what they give, and all are counted."""
    cells = matrix(plan)

    def work(cell: Cell, server: Any, board: Progress, posted: Posted) -> str:
        del server, board, posted
        if cell == cells[1]:
            raise ComfyUIError("out of memory")
        return cell.id

    rendering = render(cells, work)
    with pytest.raises(ComfyUIError, match="out of memory"):
        rendering.result(cells[1], meanwhile=ignore)
    others = [cell for cell in cells if cell != cells[1]]
    assert [cell.id for cell in others] == [rendering.result(cell, meanwhile=ignore) for cell in others]
    assert "6 of 6 cells done" == rendering.progress.line()


def test_several_servers_share_the_cells(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """Two servers have three cells each at a time, and each thread keeps to its server."""
    cells, servers = matrix(plan), (Unused("a"), Unused("b"))
    all_begun = threading.Barrier(len(cells))

    def work(cell: Cell, server: Unused, board: Progress, posted: Posted) -> str:
        del cell, board
        posted()
        all_begun.wait(30)
        return server.name

    rendering = render(cells, work, *servers)
    assert ["a"] * 3 + ["b"] * 3 == sorted(rendering.result(cell, meanwhile=ignore) for cell in cells)


def test_a_slow_server_takes_fewer_cells(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """Each server takes the next cell when it has room: one that stands still has three, the other all the rest."""
    cells = (*matrix(plan), *(replace(cell, seed=7) for cell in matrix(plan)))
    slow, quick, gate, full = Unused("slow"), Unused("quick"), threading.Event(), threading.Event()
    taken, done = threading.Semaphore(0), list[str]()

    def work(cell: Cell, server: Unused, board: Progress, posted: Posted) -> str:
        del cell, board
        posted()
        if server is slow:
            taken.release()
            gate.wait(30)
        else:
            full.wait(30)
        done.append(server.name)
        return server.name

    rendering = render(cells, work, slow, quick)
    assert all(taken.acquire(timeout=60) for _ in range(AHEAD))
    full.set()
    until(lambda: len(done) == len(cells) - AHEAD)
    assert {"quick"} == set(done)
    gate.set()
    assert AHEAD == [rendering.result(cell, meanwhile=ignore) for cell in cells].count("slow")


def test_each_server_gets_its_cells_in_order(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """A server's next cell is begun only after the one before it is posted, so that they arrive in the given order."""
    cells, waiting, other, gate = matrix(plan), Unused("waiting"), Unused("other"), threading.Event()
    begun: dict[str, list[Cell]] = {"waiting": [], "other": []}
    started, done = threading.Event(), list[Cell]()

    def work(cell: Cell, server: Unused, board: Progress, posted: Posted) -> str:
        del board
        begun[server.name].append(cell)
        (gate if server is waiting else started).wait(30)
        posted()
        done.append(cell)
        return server.name

    rendering = render(cells, work, waiting, other)
    until(lambda: begun["waiting"] and begun["other"])
    started.set()
    until(lambda: len(done) == len(cells) - 1)
    assert 1 == len(begun["waiting"])
    gate.set()
    assert "waiting" == rendering.result(begun["waiting"][0], meanwhile=ignore)
    assert sorted(begun["other"], key=cells.index) == begun["other"]


def test_a_cell_that_is_named_twice_is_rendered_once(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """Two tests of one cell, as plugins that repeat tests make them, have one picture."""
    cells, begun = matrix(plan), list[Cell]()

    def work(cell: Cell, server: Any, board: Progress, posted: Posted) -> str:
        del server, board, posted
        begun.append(cell)
        return cell.id

    rendering = render([*cells, *cells], work)
    assert [cell.id for cell in cells] == [rendering.result(cell, meanwhile=ignore) for cell in cells]
    assert list(cells) == begun
    assert "6 of 6 cells done" == rendering.progress.line()


def test_a_thread_that_dies_leaves_nobody_waiting(
    plan: Plan, render: Callable[..., Rendering[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends a rendering thread is raised for every cell that is not done."""
    cells = matrix(plan)
    monkeypatch.setattr(Rendering, "_take", lambda _, __: 1 // 0)
    rendering = render(cells, lambda *_: "never")
    for cell in cells:
        with pytest.raises(ZeroDivisionError):
            rendering.result(cell, meanwhile=ignore)


def test_a_dead_server_gives_its_cells_back(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """A server that is out of reach loses no cell, though it fails fast; after three in a row it gets no more."""
    cells = (*matrix(plan), *(replace(cell, seed=7) for cell in matrix(plan)))
    dead: Any = Unused("dead")
    alive, asked, gate = Unused("alive"), list[str](), threading.Event()

    def work(cell: Cell, server: Unused, board: Progress, posted: Posted) -> str:
        del cell, board
        asked.append(server.name)
        if server is dead:
            raise Unreachable("nobody is there")
        posted()
        gate.wait(30)
        return server.name

    rendering = render(cells, work, dead, alive)
    until(lambda: rendering._lost == {dead})
    gate.set()
    assert ["alive"] * len(cells) == [rendering.result(cell, meanwhile=ignore) for cell in cells]
    assert AHEAD + 2 >= asked.count("dead")
    assert {dead: "nobody is there"} == rendering.gave_back
    assert "12 of 12 cells done" == rendering.progress.line()


def test_a_server_that_answers_as_none_does_gets_no_more(
    plan: Plan, render: Callable[..., Rendering[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answers as no ComfyUI does fails what it has, and not the matrix, however fast it does so.

    A cell that the other server gave back before has nobody left, and fails, too.
    """
    monkeypatch.setattr("plugins.render.rendering.AHEAD", 2)
    cells = matrix(plan)
    odd, fine = Unused("odd"), Unused("fine")
    begun: dict[Unused, list[Cell]] = {odd: [], fine: []}
    given_back = threading.Event()

    def work(cell: Cell, server: Unused, board: Progress, posted: Posted) -> str:
        del board, posted
        begun[server].append(cell)
        if server is odd:
            assert len(begun[odd]) == 1 or given_back.wait(30)
            raise BadAnswer("it has a door, and no key")
        until(lambda: len(begun[odd]) == 2)
        if cell is begun[fine][0]:
            raise Unreachable("it is away for a moment")
        given_back.set()
        return server.name

    rendering = render(cells, work, odd, fine)
    failed = []
    for cell in cells:
        try:
            assert "fine" == rendering.result(cell, meanwhile=ignore)
        except BadAnswer:
            failed.append(cell)
    assert {*begun[odd], begun[fine][0]} == {*failed}
    assert 2 == len(begun[odd])


def test_the_last_server_is_not_given_up(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """With nobody else to turn to, every cell is tried, and fails with its own reason; the server may come back."""
    cells, tried = matrix(plan), list[Cell]()

    def work(cell: Cell, server: Any, board: Progress, posted: Posted) -> str:
        del server, board, posted
        tried.append(cell)
        if cell != cells[-1]:
            raise Unreachable(f"nobody is there for {cell}")
        return "picture"

    rendering = render(cells, work)
    for cell in cells[:-1]:
        with pytest.raises(Unreachable, match=f"nobody is there for {cell}"):
            rendering.result(cell, meanwhile=ignore)
    assert "picture" == rendering.result(cells[-1], meanwhile=ignore)
    assert list(cells) == tried


def test_no_cell_hangs_where_all_servers_fail(plan: Plan, render: Callable[..., Rendering[str]]) -> None:
    """Where every server is out of reach, each cell fails; none waits for a server that will not come."""
    cells = matrix(plan)

    def work(cell: Cell, server: Unused, board: Progress, posted: Posted) -> str:
        del cell, board, posted
        raise Unreachable(f"{server.name} is gone")

    rendering = render(cells, work, Unused("a"), Unused("b"), Unused("c"))
    for cell in cells:
        with pytest.raises(Unreachable, match="is gone"):
            rendering.result(cell, meanwhile=ignore)


def test_closing_begins_nothing_more(plan: Plan) -> None:
    """Closing closes the servers, begins no further cell, and keeps what is done."""
    cells, begun, server, gate = matrix(plan), list[Cell](), Unused(), threading.Event()

    def work(cell: Cell, of: Any, board: Progress, posted: Posted) -> str:
        del of, board
        begun.append(cell)
        posted()
        if cell != cells[0]:
            gate.wait(30)
        return cell.id

    rendering: Rendering[str] = Rendering(cells, servers=(server,), work=work)  # type: ignore[arg-type]
    rendering.result(cells[0], meanwhile=ignore)
    until(lambda: len(begun) == 1 + AHEAD)
    server.close = gate.set  # type: ignore[method-assign]  # as a server's own does: what is at work ends
    rendering.close()
    assert set(cells[: 1 + AHEAD]) == set(begun)
    assert cells[0].id == rendering.result(cells[0], meanwhile=ignore)
    with pytest.raises(CancelledError):
        rendering.result(cells[-1], meanwhile=ignore)


def rendering_on(serving: Serving, plan: Plan, cells: Sequence[Cell]) -> Rendering[Finished]:
    """Render cells on a stand-in."""
    stage(plan, preflight(plan))
    client = ComfyUI(serving.url)
    server = Server(client, client.info(), timeout=10)
    base = f"{plan.sampling.base_model}.safetensors"

    def work(cell: Cell, on: RenderServer, board: Progress, posted: Posted) -> Finished:
        lora = plan.staged_file(cell.checkpoint) if cell.checkpoint else None
        filled = Workflow.built_in().fill(cell, plan.sampling, base_model=base, lora_file=lora, prefix=cell.id)
        board.begin(cell, filled.sampler)

        def tell(run: Run) -> None:
            posted()
            board.move(cell, run)

        return on.render(filled, tell)

    return Rendering(cells, servers=(server,), work=work)


def test_the_next_is_posted_before_the_current_ends(plan: Plan, stand_in: Callable[..., Serving]) -> None:
    """While the server renders a cell, the next waits in its queue, so that it never idles."""
    cells, ended = matrix(plan)[:4], list[str]()

    class Holding(Posing):
        """Ends no prompt before the next one waits behind it."""

        def before_history(self, prompt_id: str) -> None:
            ended.append(prompt_id)
            until(lambda: serving.server.queue.current()[1] or len(ended) == len(cells))

    serving = stand_in(faults=Holding())
    rendering = rendering_on(serving, plan, cells)
    try:
        pictures = [rendering.result(cell, meanwhile=ignore) for cell in cells]
    finally:
        rendering.close()
    assert ended == [picture.prompt_id for picture in pictures]


def test_closing_takes_back_ours_alone(plan: Plan, stand_in: Callable[..., Serving]) -> None:
    """Closing in the middle empties the queue of our prompts, and leaves somebody else's where it was."""

    class Hanging(Posing):
        def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
            del prompt_id, node_id, step
            serving.server.executor._interrupted.wait(120)

    serving = stand_in(faults=Hanging())
    rendering = rendering_on(serving, plan, matrix(plan))
    until(lambda: [1, AHEAD - 1] == list(map(len, serving.server.queue.current())))
    graph = serving.server.queue.current()[0][0][2]
    client = ComfyUI(serving.url)
    client.post(graph, client_id="somebody", prompt_id=THEIRS)
    client.close()
    begun = time.monotonic()
    rendering.close()
    assert 60 > time.monotonic() - begun
    until(lambda: [item[1] for item in serving.server.queue.current()[0]] == [THEIRS])
    assert [] == serving.server.queue.current()[1]
    with pytest.raises(Interrupted):
        rendering.result(matrix(plan)[0], meanwhile=ignore)
