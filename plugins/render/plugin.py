"""Rendering's door to pytest: one test for each cell, and the live line."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

import pytest

from plugins.comfyui.errors import ComfyUIError
from plugins.plan.cells import Cell, matrix
from plugins.plan.plugin import GROUP, running, stages, the_plan
from plugins.plan.stages import GENERATE
from plugins.render.live import LiveLine

if TYPE_CHECKING:
    from plugins.render.cluster import Cluster

_LIVE: Final = pytest.StashKey[LiveLine]()
_CLUSTER: "Final[pytest.StashKey[Cluster]]" = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --regenerate and --cluster."""
    group = parser.getgroup(GROUP)
    group.addoption("--regenerate", action="store_true", help="render again what has evidence already")
    group.addoption(
        "--cluster",
        metavar="ADDRESS",
        help="with -m generate: a Dask scheduler whose workers render, tcp://10.0.0.5:8786",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse --cluster where it would do nothing, or something else than was meant."""
    if config.getoption("cluster") is None:
        return
    if stages(config) != {GENERATE}:
        raise pytest.UsageError(
            "--cluster goes with -m generate alone: a deployment is proved on the plan's own ComfyUI, which loads the "
            "production file. Leave out --cluster."
        )
    if config.getoption("demo"):
        raise pytest.UsageError("--demo brings its own ComfyUI. Leave out --cluster, or --demo.")
    if len(config.getoption("comfyui_url") or ()) > 1:
        raise pytest.UsageError(
            "With --cluster every worker drives the one ComfyUI beside it. Leave out --comfyui-url, and tell a worker "
            "another address by COMFYUI_URL in its environment."
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of the cluster."""
    if cluster := config.stash.get(_CLUSTER, None):
        cluster.close()


def the_cluster(config: pytest.Config) -> "Cluster | None":
    """Return the cluster of this command, once its scheduler answers; None where none is asked for.

    Raises `pytest.UsageError`.
    """
    address = config.getoption("cluster")
    if address is None or GENERATE not in running(config):
        return None
    if _CLUSTER not in config.stash:
        try:
            from plugins.render.cluster import Cluster  # noqa: PLC0415 (Dask is optional, and takes a while to import)
        except ModuleNotFoundError as error:
            raise pytest.UsageError(
                f"--cluster needs Dask, and {error.name} is not installed. Install it: uv sync --group cluster "
                '(or: pip install "distributed>=2025.1")'
            ) from None
        try:
            config.stash[_CLUSTER] = Cluster(address, the_plan(config))
        except ComfyUIError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_CLUSTER]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each cell that renders a LoRA (`checkpoint_cell`), and for each baseline (`baseline_cell`)."""
    for fixture, with_lora in (("baseline_cell", False), ("checkpoint_cell", True)):
        if fixture in metafunc.fixturenames:
            cells = [cell for cell in matrix(the_plan(metafunc.config)) if (cell.checkpoint is not None) == with_lora]
            ids = [cell.id if with_lora else cell.row for cell in cells]
            metafunc.parametrize(fixture, cells, ids=ids)


@contextmanager
def live_line(config: pytest.Config) -> Iterator[Callable[[str], None]]:
    """Return what shows a line of progress while a test waits; the line is gone when it ends."""
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
    """Return the cell that a test asks for; None where it asks for none."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    cell = parameters.get("checkpoint_cell") or parameters.get("baseline_cell")
    return cell if isinstance(cell, Cell) else None
