"""Evidence's door to pytest: preparing a run, and the evidence that each test asks for."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from filelock import BaseFileLock, FileLock, Timeout
from PIL import Image

from plugins.comfyui.errors import ComfyUIError
from plugins.comfyui.plugin import the_servers
from plugins.evidence.evidence import Evidence
from plugins.evidence.files import leads_away
from plugins.evidence.store import EvidenceError
from plugins.generate.disk import check_room
from plugins.generate.generation import Generation
from plugins.generate.making import CellFailedError
from plugins.generate.preparing import Prepared, pictures, prepare
from plugins.loras.copying import folder_lock
from plugins.loras.errors import LoraError
from plugins.loras.header import Header
from plugins.loras.staging import preflight, told
from plugins.plan.cells import Cell
from plugins.plan.plan import Checkpoint, Plan
from plugins.plan.plugin import reports, running, the_plan
from plugins.plan.stages import GENERATE
from plugins.render.plugin import chosen_cells, live_line, the_cluster

_LEFT_OUT: Final = pytest.StashKey[Mapping[str, str]]()
_PREPARED: Final = pytest.StashKey[Prepared]()
_LOCKS: Final = pytest.StashKey[list[BaseFileLock]]()
_GENERATION: Final = pytest.StashKey[Generation]()


class _Hooks:
    """What other rooms may hear of."""

    @pytest.hookspec
    def pytest_picture_kept(self, config: pytest.Config, cell: Cell, picture: Image.Image) -> None:
        """Hear of a picture that was rendered, once it lies in its place.

        Called by the thread that rendered it: what is raised here is told where the cell's test asks for the picture.
        """


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other rooms hear of each picture."""
    pluginmanager.add_hookspecs(_Hooks)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Make everything ready before the first test, so that what is wrong is said once."""
    config = session.config
    if GENERATE not in running(config):
        return
    plan = the_plan(config)
    try:
        headers = preflight(plan)
        hold(config)
        config.stash[_PREPARED] = _prepare(config, plan, headers)
    except (ComfyUIError, LoraError) as error:
        raise pytest.UsageError(str(error)) from None


def _prepare(config: pytest.Config, plan: Plan, headers: Mapping[Checkpoint, Header]) -> Prepared:
    """Make the servers of this command ready: those of the cluster, or those at hand."""
    store, cluster = pictures(reports(config)), the_cluster(config)
    if cluster is None:
        return prepare(plan, the_servers(config), store, headers=headers)
    from plugins.generate.clustered import prepare_on_cluster  # noqa: PLC0415 (Dask is optional)

    clustered = prepare_on_cluster(plan, cluster, store, headers=headers)
    config.stash[_LEFT_OUT] = clustered.left_out
    return clustered.prepared


def pytest_collection_finish(session: pytest.Session) -> None:
    """See that there is room for what the chosen tests will render."""
    prepared = session.config.stash.get(_PREPARED, None)
    if prepared is None:
        return
    chosen = chosen_cells(session)
    cells = {*chosen, *(cell.baseline for cell in chosen)}
    try:
        check_room(prepared.maker.store, cells, the_plan(session.config).sampling)
    except EvidenceError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what will be rendered, where, and what staging did."""
    prepared = config.stash.get(_PREPARED, None)
    if prepared is None:
        return []
    plan = the_plan(config)
    where = " and ".join(str(place.info) for place in prepared.places)
    size = f"{len(plan.checkpoints)} checkpoints x {len(plan.prompts)} prompts"
    header = f"{plan.title}: {size} on {where}"
    left_out = config.stash.get(_LEFT_OUT, None)
    if left_out is None:
        return [header, *prepared.maker.asked.workflow.lines(), told(prepared.staged, plan.paths.loras)]
    return [header, *prepared.maker.asked.workflow.lines(), *(f"left out: {reason}" for reason in left_out.values())]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many pictures were made, how many had evidence already, and whether the server gives the same again."""
    if run := config.stash.get(_GENERATION, None):
        again = "; --regenerate renders them again" if run.reused else ""
        terminalreporter.write_line(
            f"pictures: {run.rendered} rendered, {run.reused} reused with their evidence{again}"
        )
        for place, reason in run.gave_back.items():
            what = reason.partition(". ")[0].rstrip(".")  # what to do about it is told where a cell failed
            terminalreporter.write_line(f"{place.info} gave cells back, for others to render: {what}.")
        if run.stability:
            terminalreporter.write_line(run.stability)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the next run have the folders."""
    for lock in config.stash.get(_LOCKS, ()):
        lock.release()


def hold(config: pytest.Config) -> None:
    """Keep a second run out of these reports and this loras folder until this one ends. Raises `pytest.UsageError`."""
    if _LOCKS in config.stash:
        return
    folder, loras = reports(config), the_plan(config).paths.loras
    if away := leads_away(folder):
        raise pytest.UsageError(
            f"{away} is a link to {away.resolve()}, outside of {folder}, and a run replaces files there. "
            "Remove the link, or name a folder for all that a run leaves: --reports=DIR"
        )
    held: list[BaseFileLock] = []
    config.stash[_LOCKS] = held
    places: list[tuple[Path, BaseFileLock]] = [(folder, FileLock(folder / ".lock"))]
    if config.getoption("cluster") is None:  # its workers hold their own loras folders while they write
        places.append((loras, folder_lock(loras)))
    for place, lock in places:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise pytest.UsageError(f"Another run is using {place}. Wait for it to end, then run this again.") from None
        except OSError as error:
            raise pytest.UsageError(
                f"{lock.lock_file} cannot be locked: {error}. Remove it, or its owner can."
            ) from None
        held.append(lock)
    others = pictures(folder).plan_name()
    if others and others != the_plan(config).name:
        raise pytest.UsageError(
            f"{folder} holds the pictures of another plan, {others!r}. Give this one a folder of its own: "
            f"--reports={folder.parent / the_plan(config).name}"
        )


def the_prepared(config: pytest.Config) -> Prepared | None:
    """Return what a generating run works with; None in any other run."""
    return config.stash.get(_PREPARED, None)


def failures(config: pytest.Config) -> Mapping[Cell, str]:
    """Return the cells that gave no picture in this run, with the reason."""
    generation = config.stash.get(_GENERATION, None)
    return generation.failures if generation else {}


def known(config: pytest.Config) -> Mapping[Cell, Evidence]:
    """Return the evidence that this run made or held against the plan: no need to read it again."""
    generation = config.stash.get(_GENERATION, None)
    return generation.known if generation else {}


@pytest.fixture(scope="session")
def generation(request: pytest.FixtureRequest) -> Iterator[Generation]:
    """Render the cells of all chosen tests ahead of them, in their order."""
    config = request.config

    def kept(cell: Cell, picture: Image.Image) -> None:
        config.hook.pytest_picture_kept(config=config, cell=cell, picture=picture)

    regenerate = config.getoption("regenerate")
    run = Generation(config.stash[_PREPARED], chosen_cells(request.session), regenerate=regenerate, on_kept=kept)
    config.stash[_GENERATION] = run
    yield run
    session = request.session
    if not (session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED):
        with live_line(config) as show:
            run.measure_stability(show)
    run.close()


@pytest.fixture
def evidence_of(generation: Generation, request: pytest.FixtureRequest) -> Callable[[Cell], Evidence]:
    """Return the evidence of a cell: kept from an earlier run where it still holds, else rendered now.

    A cell without a picture fails its own test.
    """

    def evidence(cell: Cell) -> Evidence:
        try:
            with live_line(request.config) as show:
                return generation.evidence(cell, show=show)
        except CellFailedError as error:
            raise pytest.fail.Exception(f"{cell} gave no picture. {error}", pytrace=False) from None

    return evidence
