"""Rendering's door to pytest: one test for each cell, and the live line."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

import pytest

from plugins.plan.cells import Cell, matrix
from plugins.plan.plugin import GROUP, the_plan
from plugins.render.live import LiveLine

_LIVE: Final = pytest.StashKey[LiveLine]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --regenerate."""
    parser.getgroup(GROUP).addoption("--regenerate", action="store_true", help="render again what has evidence already")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each cell that renders a LoRA (`checkpoint_cell`), and for each baseline (`baseline_cell`)."""
    for fixture, with_lora in (("baseline_cell", False), ("checkpoint_cell", True)):
        if fixture in metafunc.fixturenames:
            cells = [cell for cell in matrix(the_plan(metafunc.config)) if (cell.checkpoint is not None) == with_lora]
            ids = [cell.id if with_lora else cell.row for cell in cells]
            metafunc.parametrize(fixture, cells, ids=ids)


@contextmanager
def live_line(config: pytest.Config) -> Iterator[Callable[[str], None]]:
    """Give what shows a line of progress while a test waits; the line is gone when it ends."""
    if _LIVE not in config.stash:
        with _uncaptured(config):
            config.stash[_LIVE] = LiveLine(sys.stderr, width=lambda: shutil.get_terminal_size().columns)
    live = config.stash[_LIVE]

    def show(text: str) -> None:
        with _uncaptured(config):
            sys.stdout.flush()
            live.show(text)

    try:
        yield show
    finally:
        if live.is_shown:
            with _uncaptured(config):
                live.wipe()


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """Lift pytest's capturing for as long as it takes to write a line."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    return nullcontext() if capture is None else capture.global_and_fixture_disabled()


def chosen_cells(session: pytest.Session) -> list[Cell]:
    """List the cells of the tests that will run, in their order."""
    return [cell for item in session.items if (cell := cell_of(item))]


def cell_of(item: pytest.Item) -> Cell | None:
    """Give the cell that a test asks for; None where it asks for none."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    cell = parameters.get("checkpoint_cell") or parameters.get("baseline_cell")
    return cell if isinstance(cell, Cell) else None
