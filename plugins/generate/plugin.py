"""Generating's door to pytest: one test for each cell, and the evidence that each test asks for."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from math import inf
from typing import Final

import pytest
from PIL import Image

from plugins.evidence.evidence import Evidence
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.cost import row_by_row
from plugins.generate.generation import Generation
from plugins.generate.listing import cost_line
from plugins.generate.reasons import Reasons
from plugins.generate.session import GenerateSession
from plugins.plan.cells import Cell, also_chosen, matrix
from plugins.plan.command import GROUP
from plugins.plan.stages import GENERATE
from plugins.plan.stash import COMMAND

LiveLine = Callable[[], AbstractContextManager[Callable[[str], None]]]


@dataclass
class _State:
    """What this room keeps of a command that generates."""

    locks: ExitStack = field(default_factory=ExitStack)
    session: GenerateSession | None = None


_STATE: Final = pytest.StashKey[_State]()


class Hooks:
    """The hooks through which other rooms hear of a run."""

    @pytest.hookspec(firstresult=True)
    def pytest_acceptance_generating(self, config: pytest.Config) -> GenerateSession | None:
        """Return what a generating run works with; None in any other run."""

    @pytest.hookspec
    def pytest_picture_kept(self, config: pytest.Config, cell: Cell, picture: Image.Image) -> None:
        """Hear of a picture that was rendered, once it lies in its place.

        Called by the thread that rendered it; an exception fails the test of the cell.
        """


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other rooms hear of the run, and of each picture."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --regenerate and --max-minutes."""
    group = parser.getgroup(GROUP)
    group.addoption("--regenerate", action="store_true", help="render every picture again, reuse none")
    group.addoption(
        "--max-minutes",
        metavar="N",
        type=float,
        help="with -m generate: stop after N minutes and keep what is finished, row by row; run it again to go on",
    )


def pytest_acceptance_begin(session: pytest.Session) -> list[str]:
    """Make everything ready before the first test, so that what is wrong is reported once. Returns what was done."""
    config, command = session.config, session.config.stash[COMMAND]
    if GENERATE not in command.runs:
        return []
    state = config.stash[_STATE] = _State()
    on_cluster = config.getoption("cluster") is not None
    state.session = GenerateSession(
        command,
        locks=state.locks,
        servers=lambda: config.hook.pytest_acceptance_servers(config=config),
        cluster=(lambda: config.hook.pytest_acceptance_cluster(config=config)) if on_cluster else None,
    )
    state.session.check_room(_chosen_cells(session))
    also = also_chosen(config.option.keyword, [one.id for one in command.plan.checkpoints])
    return [*state.session.header(), *(f"warning: {line}" for line in also)]


def pytest_configure(config: pytest.Config) -> None:
    """Refuse --max-minutes where it would do nothing."""
    minutes = config.getoption("max_minutes")
    if minutes is not None and GENERATE not in config.stash[COMMAND].stages:
        raise pytest.UsageError("--max-minutes is for rendering: pytest -m generate --max-minutes=N")
    if minutes is not None and not 0 < minutes < inf:
        raise pytest.UsageError(
            f"--max-minutes={minutes:g} is not a number of minutes above 0; write it like --max-minutes=30"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where the time is limited, render what compares: whole rows, each of all columns, one seed before the next."""
    if config.getoption("max_minutes") is None or GENERATE not in config.stash[COMMAND].stages:
        return
    place = row_by_row(config.stash[COMMAND].plan)
    items.sort(key=lambda item: place(_cell_of(item)))  # stable: baseline first, then the columns


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each cell that renders a LoRA (`checkpoint_cell`), and for each baseline (`baseline_cell`)."""
    for fixture, with_lora in (("baseline_cell", False), ("checkpoint_cell", True)):
        if fixture in metafunc.fixturenames:
            plan = metafunc.config.stash[COMMAND].plan
            cells = [cell for cell in matrix(plan) if (cell.checkpoint is not None) == with_lora]
            ids = [cell.id if with_lora else cell.row for cell in cells]
            metafunc.parametrize(fixture, cells, ids=ids)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say what the listed tests would cost to run, where --collect-only lists them."""
    config, command = session.config, session.config.stash[COMMAND]
    chosen = _chosen_cells(session)
    if GENERATE in command.stages and config.option.collectonly and chosen:
        reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
        if reporter:
            reporter.write_line(cost_line(command, chosen, regenerate=config.getoption("regenerate")))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show how many pictures were made, how many were reused, and whether the server gives the same again."""
    if run := pytest_acceptance_generating(config):
        for line in run.last_lines():
            terminalreporter.write_line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the next run have the folders."""
    if state := config.stash.get(_STATE, None):
        state.locks.close()


def pytest_acceptance_generating(config: pytest.Config) -> GenerateSession | None:
    """Return the run of this command, once it is prepared."""
    state = config.stash.get(_STATE, None)
    return state.session if state else None


@pytest.fixture(scope="session")
def generation(request: pytest.FixtureRequest) -> Iterator[Generation]:
    """Render the cells of all chosen tests ahead of them, in their order."""
    config, session = request.config, request.session

    def on_kept(cell: Cell, picture: Image.Image) -> None:
        config.hook.pytest_picture_kept(config=config, cell=cell, picture=picture)

    run = pytest_acceptance_generating(config)
    assert run is not None, "a picture is asked for where -m generate is not"  # noqa: S101 (a mistake of ours)
    generation = run.begin(
        _chosen_cells(session),
        regenerate=config.getoption("regenerate"),
        row_by_row=config.getoption("max_minutes") is not None,
        on_kept=on_kept,
    )
    _say(config, str(generation.cost))
    yield generation
    generation.close()


@pytest.fixture(scope="session")
def evidence_of(request: pytest.FixtureRequest) -> Callable[[Cell], Evidence]:
    """Return the evidence of a cell: kept from an earlier run where it still holds, else rendered now.

    A cell without a picture fails its own test. Once the time is over, nothing more is waited for.
    """
    # Asked for here, once: what a fixture names, pytest sets up for each test, which takes longer than looking at it.
    generation: Generation = request.getfixturevalue("generation")
    live_line: LiveLine = request.getfixturevalue("live_line")
    deadline: float = request.getfixturevalue("deadline")
    reasons: Reasons = request.getfixturevalue("reasons")

    def evidence(cell: Cell) -> Evidence:
        if time.monotonic() > deadline and not generation.is_ready(cell):
            request.session.shouldstop = _over(request.config, generation)
            pytest.skip("not rendered: the time of --max-minutes is over")
        try:
            with live_line() as show:
                return generation.evidence_of(cell, show=show)
        except CellFailedError as error:
            raise pytest.fail.Exception(reasons.said(cell, str(error)), pytrace=False) from None

    return evidence


@pytest.fixture(scope="session")
def reasons() -> Reasons:
    """Return what this run's tests said so far of pictures that were not made."""
    return Reasons()


@pytest.fixture(scope="session")
def deadline(pytestconfig: pytest.Config) -> float:
    """Return when no picture is waited for any more, by the monotonic clock."""
    minutes: float | None = pytestconfig.getoption("max_minutes")
    return inf if minutes is None else time.monotonic() + minutes * 60


def _say(config: pytest.Config, line: str) -> None:
    """Show a line between the tests' dots, where headers are shown."""
    reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter and reporter.showheader:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            reporter.ensure_newline()
            reporter.write_line(line)


def _over(config: pytest.Config, generation: Generation) -> str:
    left = generation.cost.wanted - generation.rendered
    return (
        f"--max-minutes={config.getoption('max_minutes'):g} is over: {left} of {generation.cost.cells} pictures are "
        "not rendered yet. Run the same command again to go on; what is finished is kept"
    )


def _cell_of(item: pytest.Item) -> Cell | None:
    spec = getattr(item, "callspec", None)
    found = (spec.params.get("checkpoint_cell") or spec.params.get("baseline_cell")) if spec else None
    return found if isinstance(found, Cell) else None


def _chosen_cells(session: pytest.Session) -> list[Cell]:
    """Return the cells of the tests that will run, in their order."""
    return [cell for item in session.items if (cell := _cell_of(item))]
