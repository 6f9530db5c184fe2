"""One line tells how far the rendering is, and how long it will take."""

from dataclasses import replace

import pytest

from plugins.comfyui.run import Phase, Run
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.render.progress import Progress


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def cells(plan: Plan) -> tuple[Cell, ...]:
    """Return the small plan's six cells."""
    return matrix(plan)


def run(phase: Phase = Phase.RUNNING, node: str | None = None, *, value: int = 0, maximum: int = 0) -> Run:
    """Write a run."""
    return Run(prompt_id="p", phase=phase, node=node, value=value, maximum=maximum)


def test_a_cell_is_told_from_the_queue_to_its_end(clock: Clock, cells: tuple[Cell, ...]) -> None:
    """The line names the cell and what is happening to it: waiting, loading, sampling, saving, checking."""
    board = Progress(6, clock=clock)
    lines = [board.line()]
    board.begin(cells[2], "7")
    lines.append(board.line())
    news = [
        run(),
        run(node="1"),
        run(node="7"),
        run(node="7", value=12, maximum=20),
        run(node="8"),
        run(node="9"),
        run(Phase.SUCCEEDED, "9"),
    ]
    for told in news:
        board.move(cells[2], told)
        lines.append(board.line())
    start = "cell 1 of 6  step600 x forest  "
    assert [
        "cell 1 of 6",
        f"{start}waiting for the server",
        f"{start}loading models",
        f"{start}loading models",
        f"{start}sampling",
        f"{start}sampling 12/20",
        f"{start}saving",
        f"{start}saving",
        f"{start}checking the picture",
    ] == lines


def test_time_left_is_from_this_runs_own_cells(clock: Clock, cells: tuple[Cell, ...]) -> None:
    """The time left is the mean of the cells that are done, times those that are not."""
    board = Progress(6, clock=clock)
    for cell in cells[:3]:
        board.begin(cell, "7")
    clock.now += 30
    board.end(cells[0])
    assert "cell 2 of 6  baseline x novel_pose  waiting for the server  2:30 left" == board.line()
    clock.now += 2
    board.end(cells[1])
    assert "cell 3 of 6  step600 x forest  waiting for the server  1:04 left" == board.line()
    board.end(cells[2])
    assert "cell 4 of 6  0:32 left" == board.line()


def test_all_done(clock: Clock, cells: tuple[Cell, ...]) -> None:
    """A run that is done says so, and so does one that had nothing to do."""
    board = Progress(2, clock=clock)
    board.end(cells[0])
    board.end(cells[1])
    assert "2 of 2 cells done" == board.line()
    assert "0 of 0 cells done" == Progress(0, clock=clock).line()


def test_the_first_that_is_not_done_is_shown(clock: Clock, cells: tuple[Cell, ...]) -> None:
    """News of a cell that is queued behind does not take the line; late news of one that is done is nobody's."""
    board = Progress(6, clock=clock)
    board.begin(cells[0], "7")
    board.begin(cells[1], "7")
    board.move(cells[1], run(node="7", value=1, maximum=2))
    assert "cell 1 of 6  baseline x forest  waiting for the server" == board.line()
    board.end(cells[0])
    board.move(cells[0], run(node="7", value=2, maximum=2))
    assert "cell 2 of 6  baseline x novel_pose  sampling 1/2  0:00 left" == board.line()


def test_server_that_does_not_answer_is_said_and_nothing_is_foretold(clock: Clock, cells: tuple[Cell, ...]) -> None:
    """While a server does not answer the line says so, without a time; when it does again, it goes on as before."""
    board = Progress(6, clock=clock)
    board.begin(cells[0], "7")
    board.begin(cells[1], "7")
    clock.now += 10
    board.end(cells[0])
    silent = replace(run(Phase.QUEUED), answers=False)
    board.move(cells[1], silent)
    assert "cell 2 of 6  baseline x novel_pose  the server does not answer" == board.line()
    board.move(cells[1], run(Phase.QUEUED))
    assert "cell 2 of 6  baseline x novel_pose  waiting for the server  0:50 left" == board.line()


def test_time_left_counts_down_and_never_up(clock: Clock, cells: tuple[Cell, ...]) -> None:
    """While a cell takes its time, what is left grows less; once that is overdue, no time is foretold."""
    board = Progress(6, clock=clock)
    clock.now += 10
    board.end(cells[0])
    clock.now += 20
    assert "cell 2 of 6  0:30 left" == board.line()
    clock.now += 31
    assert "cell 2 of 6" == board.line()
