"""Each scenario is played on the stand-in and, where the environment names one, on a real ComfyUI."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.contract.agreement import Agreement, scenario_of
from tests.contract.servers import REAL, STAND_IN, real, stand_in, why_not_real
from tests.contract.subject import Server, Subject, make_loras

_AGREEMENT = pytest.StashKey[Agreement]()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the LoRA files that scenarios use, once."""
    return make_loras(tmp_path_factory.mktemp("loras"))


@pytest.fixture(scope="session", params=[STAND_IN, REAL])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[Server]:
    """Return a server to play on, the same one for every scenario, as a real one is."""
    with ExitStack() as stack:
        if request.param == STAND_IN:
            yield stack.enter_context(stand_in(tmp_path_factory.mktemp("ComfyUI"), made))
        elif reason := why_not_real():
            pytest.skip(reason)
        else:
            try:
                found = real(made)
            except ValueError as error:
                pytest.fail(str(error), pytrace=False)
            yield found


@pytest.fixture
def subject(server: Server) -> Iterator[Subject]:
    """Return a scenario its own corner of the server."""
    with server.corner() as subject:
        yield subject


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what each scenario says on each server."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and (why_not_real() or "-") in report.longrepr[2]:
        report.longrepr = (__file__, 0, report.longrepr[2])  # one place, so that they are told in one line
    params: Mapping[str, Any] = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    if "server" in params and (report.when == "call" or not report.passed):
        item.config.stash.setdefault(_AGREEMENT, Agreement()).note(
            scenario_of(item.path.stem, item.name, params["server"]), params["server"], report.outcome
        )
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of agreement where a real server was played on."""
    agreement = config.stash.get(_AGREEMENT, None)
    if agreement and not why_not_real():
        terminalreporter.section("agreement of stand-in and real ComfyUI")
        for line in agreement.lines((STAND_IN, REAL)):
            terminalreporter.write_line(line)
