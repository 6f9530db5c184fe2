"""Evidence's door to pytest: preparing a run, and the evidence that each test asks for."""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import pytest
from filelock import FileLock, Timeout

from plugins.comfyui.errors import ComfyUIError
from plugins.comfyui.plugin import the_servers
from plugins.evidence.canary import Canary, write_canary
from plugins.evidence.comparing import Comparing
from plugins.evidence.evidence import Evidence
from plugins.evidence.making import CellFailedError
from plugins.evidence.preparing import Prepared, pictures, prepare
from plugins.loras.errors import LoraError
from plugins.loras.staging import preflight, told
from plugins.plan.cells import Cell
from plugins.plan.plugin import reports, stages, the_plan
from plugins.plan.stages import GENERATE
from plugins.render.plugin import chosen_cells, live_line
from plugins.render.rendering import Rendering

_PREPARED: Final = pytest.StashKey[Prepared]()
_LOCK: Final = pytest.StashKey[FileLock]()
_FAILED: Final = pytest.StashKey[dict[Cell, str]]()
_COUNTS: Final = pytest.StashKey[Counter[str]]()
_CANARY: Final = pytest.StashKey[Canary | None]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Make everything ready before the first test, so that what is wrong is said once."""
    config = session.config
    if GENERATE not in stages(config) or config.option.collectonly:
        return
    plan = the_plan(config)
    try:
        preflight(plan)
        servers = the_servers(config)
        if any(server.info.simulated for server in servers) and not config.getoption("demo"):
            raise pytest.UsageError(
                f"{servers[0].client.url} is a stand-in: its pictures are SIMULATED, and would not tell anything "
                "of your LoRA. Start a real ComfyUI there, or say that you want a demonstration: --demo."
            )
        hold(config)
        config.stash[_PREPARED] = prepare(plan, servers, pictures(reports(config)))
    except (ComfyUIError, LoraError) as error:
        raise pytest.UsageError(str(error)) from None
    if threading.current_thread() is threading.main_thread():
        # A service manager's stop is a person's Ctrl-C: withdraw what is queued, and write the report.
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what will be rendered, where, and what staging did."""
    prepared = config.stash.get(_PREPARED, None)
    if prepared is None:
        return []
    plan = the_plan(config)
    where = " and ".join(str(server.info) for server in prepared.servers)
    size = f"{len(plan.checkpoints)} checkpoints x {len(plan.prompts)} prompts"
    return [f"{plan.title}: {size} on {where}", told(prepared.staged, plan.paths.loras)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many pictures were made, and how many had evidence already."""
    if counts := config.stash.get(_COUNTS, None):
        again = "; --regenerate renders them again" if counts["reused"] else ""
        told = f"{counts['rendered']} pictures rendered, {counts['reused']} reused with their evidence{again}"
        terminalreporter.write_line(told)
    if canary := config.stash.get(_CANARY, None):
        terminalreporter.write_line(str(canary))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the next run have the reports folder."""
    if lock := config.stash.get(_LOCK, None):
        lock.release()


def hold(config: pytest.Config) -> None:
    """Keep a second run out of this reports folder until this one ends. Raises `pytest.UsageError`."""
    folder = reports(config)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise pytest.UsageError(
            f"Another run is using {folder}. Wait for it to end, or give this one a folder of its own: --reports DIR."
        ) from None
    config.stash[_LOCK] = lock


def the_prepared(config: pytest.Config) -> Prepared | None:
    """Give what a generating run works with; None in any other run."""
    return config.stash.get(_PREPARED, None)


def failures(config: pytest.Config) -> dict[Cell, str]:
    """Give the cells that gave no picture in this run, with the reason."""
    return config.stash.setdefault(_FAILED, {})


@pytest.fixture(scope="session")
def evidence_of(request: pytest.FixtureRequest) -> Iterator[Callable[[Cell], Evidence]]:
    """Give the evidence of a cell: kept from an earlier run where it still holds, else rendered now.

    The cells of all chosen tests are rendered ahead, in their order, after the baselines that they are compared with.
    A cell without a picture fails its own test.
    """
    config = request.config
    prepared = config.stash[_PREPARED]
    maker = prepared.maker
    chosen = chosen_cells(request.session)
    cells = [*dict.fromkeys([cell.baseline for cell in chosen]), *(cell for cell in chosen if cell.checkpoint)]
    kept = {} if config.option.regenerate else {cell: maker.recall(cell) for cell in cells}
    wanted = [cell for cell in cells if kept.get(cell) is None]
    rendering = Rendering(wanted, servers=prepared.servers, work=maker.make)
    comparing = Comparing(store=maker.store)
    done = config.stash[_COUNTS] = Counter(reused=len(cells) - len(wanted))
    if wanted:
        recompute = len(wanted) <= len(prepared.servers)
        again = rendering.afterwards(lambda: maker.make_again(wanted[0], prepared.servers, recompute=recompute))

    @cache
    def judged(cell: Cell) -> Evidence | Exception:
        """Give a cell's evidence with what the comparison says, or why there is none."""
        evidence = kept.get(cell)
        if evidence is None:
            try:
                with live_line(config) as show:
                    evidence = rendering.result(cell, meanwhile=show)
            except (ComfyUIError, CellFailedError, OSError) as error:
                failures(config)[cell] = str(error)
                return error
            done["rendered"] += 1
        if cell.checkpoint is None:
            return comparing.judge(cell, evidence, baseline=None, staged=None)
        baseline = judged(cell.baseline)
        return comparing.judge(
            cell,
            evidence,
            baseline=baseline if isinstance(baseline, Evidence) else None,
            staged=maker.staged[cell.checkpoint.id],
        )

    def evidence(cell: Cell) -> Evidence:
        made = judged(cell)
        if wanted and cell == chosen[-1]:
            with live_line(config) as show:
                show("rendering one picture again, to see whether the server gives the same")
                canary = again.result() if again.exception() is None else None
            config.stash[_CANARY] = canary
            if canary:
                write_canary(canary, reports(config))
        if isinstance(made, Exception):
            pytest.fail(f"{cell} gave no picture. {made}", pytrace=False)
        return made

    yield evidence
    rendering.close()
