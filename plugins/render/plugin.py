"""Rendering's door to pytest: the cluster, and the live line."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

import pytest

from plugins.comfyui.errors import ComfyUIError
from plugins.plan.command import GROUP
from plugins.plan.stages import GENERATE
from plugins.plan.stash import COMMAND
from plugins.render.live import LiveLine

if TYPE_CHECKING:
    from plugins.render.cluster import Cluster

_CLUSTER: "Final[pytest.StashKey[Cluster]]" = pytest.StashKey()


class Hooks:
    """The hook through which other rooms reach the cluster."""

    @pytest.hookspec(firstresult=True)
    def pytest_acceptance_cluster(self, config: pytest.Config) -> "Cluster | None":
        """Return the cluster that was asked for, once its scheduler answers. Raises `pytest.UsageError`."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other rooms reach the cluster."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --cluster."""
    parser.getgroup(GROUP).addoption(
        "--cluster",
        metavar="ADDRESS",
        help="with -m generate: a Dask scheduler whose workers render, such as tcp://10.0.0.5:8786",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse --cluster where it would do nothing, or not what was meant."""
    command = config.stash[COMMAND]
    if config.getoption("cluster") is None:
        return
    if command.stages != {GENERATE}:
        raise pytest.UsageError(
            "--cluster is only for -m generate: a deployment is proven on the plan's own ComfyUI, which loads the "
            "production file. Leave out --cluster."
        )
    if command.demo:
        raise pytest.UsageError("--demo brings its own ComfyUI. Leave out --cluster, or --demo.")
    if len(command.comfyui_urls) > 1:
        raise pytest.UsageError(
            "With --cluster every worker drives the one ComfyUI beside it. Leave out --comfyui-url, and give a worker "
            "another address with COMFYUI_URL in its environment."
        )


def pytest_acceptance_cluster(config: pytest.Config) -> "Cluster | None":
    """Connect to the cluster, once."""
    address = config.getoption("cluster")
    if address is None:
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
            config.stash[_CLUSTER] = Cluster(address, config.stash[COMMAND].plan)
        except ComfyUIError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_CLUSTER]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Disconnect from the cluster."""
    if cluster := config.stash.get(_CLUSTER, None):
        cluster.close()


@pytest.fixture(scope="session")
def live_line(pytestconfig: pytest.Config) -> Callable[[], AbstractContextManager[Callable[[str], None]]]:
    """Return what shows a line of progress for as long as a test waits.

    with live_line() as show:
        show("cell 1 of 18")
    """
    with _uncaptured(pytestconfig):
        live = LiveLine(sys.stderr, width=lambda: shutil.get_terminal_size().columns)

    @contextmanager
    def shown() -> Iterator[Callable[[str], None]]:
        def show(text: str) -> None:
            with _uncaptured(pytestconfig):
                sys.stdout.flush()
                live.show(text)

        try:
            yield show
        finally:
            if live.is_shown:
                with _uncaptured(pytestconfig):
                    live.wipe()

    return shown


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """Lift pytest's capturing for as long as it takes to write a line."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    return nullcontext() if capture is None else capture.global_and_fixture_disabled()
