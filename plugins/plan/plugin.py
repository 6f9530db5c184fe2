"""The plan's door to pytest: the command that was typed, the stages' markers, and the plan."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from plugins.plan.command import DEFAULT_PLAN, GROUP, Command
from plugins.plan.fields import misplaced, unreadable
from plugins.plan.messages import UserError, visible
from plugins.plan.plan import Plan
from plugins.plan.program import program, typable
from plugins.plan.reading import PlanError, read_plan
from plugins.plan.stages import STAGES, mistyped, stages_of
from plugins.plan.stash import COMMAND

Overrides = Mapping[str, Mapping[str, Any]]
"""Keys of a plan's tables, by table."""

_SUITE: Final = Path(__file__).parents[2]
"""This checkout, whatever --rootdir says."""
_ACCEPTANCE: Final = _SUITE / "tests" / "acceptance"
_SIGNALS: Final = pytest.StashKey[dict[int, Any]]()
"""The signal handlers to restore."""
_ELSEWHERE: Final = {
    "numprocesses": "-n",
    "distload": "-d",
    "tx": "--tx",
    "looponfail": "-f",
    "forked": "--forked",
    "parallel_threads": "--parallel-threads",
}
"""Options of pytest-xdist and similar plugins that run tests elsewhere than in this thread, and how each is typed."""


class Hooks:
    """Hooks by which the rooms start, and change where a plan is carried out, but never what it tests."""

    @pytest.hookspec
    def pytest_acceptance_begin(self, session: pytest.Session) -> Iterable[str] | None:
        """Prepare what the selected tests need, and return lines for the terminal.

        Called when pytest has finished its configuration and collection without an error and a test is to run: nothing
        is written before that. Raises `UserError`, or `OSError`.
        """

    @pytest.hookspec
    def pytest_acceptance_plan_overrides(self, config: pytest.Config, plan: Plan) -> Overrides | None:
        """Return keys of the plan's tables that this command replaces: `{"comfyui": {"url": "http://..."}}`."""

    @pytest.hookspec
    def pytest_acceptance_plan_written(self, plan: Plan) -> str | None:
        """Return a message about a plan that --new-plan wrote, such as what a server lacks for it."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the hooks of this room."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --plan, --new-plan and --reports."""
    stages = "".join(f"\n  {'-m ' + stage:<21} {meaning}" for stage, meaning in STAGES.items())
    group = parser.getgroup(GROUP, f"{GROUP}{stages}\n\noptions of {GROUP}")
    group.addoption("--plan", metavar="FILE", default=DEFAULT_PLAN, help="the plan (default: %(default)s)")
    group.addoption(
        "--new-plan",
        metavar="FOLDER",
        help="write a plan from a training folder to --plan, and end; never overwrites (default: plans/NAME.toml)",
    )
    group.addoption("--reports", metavar="DIR", help="where a run leaves its files (default: reports/)")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> pytest.ExitCode | None:
    """Create the command before any other room asks for it; with --new-plan, write a plan and end."""
    gc.enable()  # conftest.py disabled it while the rooms were loaded
    option = config.option
    _refuse_misplaced(option)
    markers = option.markexpr or ""
    if meant := mistyped(
        markers, known=[line.partition(":")[0].partition("(")[0] for line in config.getini("markers")]
    ):
        raise pytest.UsageError(f"-m {markers}: there is no such marker. Did you mean -m {meant}?")
    listing = ("collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow", "setupplan", "setuponly")
    command = config.stash[COMMAND] = Command(
        suite=_SUITE,
        typed_in=config.invocation_params.dir,
        stages=stages_of(markers, config.args, _ACCEPTANCE),
        only_lists=any(getattr(option, one, None) for one in listing),
        plan_typed=option.plan,
        reports_typed=option.reports,
        comfyui_dir=option.comfyui_dir,
        comfyui_urls=tuple(option.comfyui_url or ()),
        demo=option.demo,
        program=program(sys.orig_argv, sys.argv[0], os.environ, typed_in=config.invocation_params.dir),
        read=lambda path: _read(config, path),
    )
    if option.new_plan is not None:
        return _write_new_plan(config, option.new_plan)
    if command.stages:
        _refuse_other_processes(config)
        option.setupplan = option.setupplan or option.setuponly  # setting up a stage's fixtures would carry it out
        if config.args_source != pytest.Config.ArgsSource.ARGS:
            config.args = [str(_ACCEPTANCE)]  # also where it is typed in another folder of the suite, such as plans/
    return None


def _refuse_misplaced(option: Any) -> None:  # noqa: ANN401 (argparse's)
    """Refuse options whose value is no path on this machine, naming each."""
    for name in ("plan", "new_plan", "reports", "comfyui_dir", "ballot"):
        given = getattr(option, name)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and (why := misplaced(str(value))):
                raise pytest.UsageError(visible(f"--{name.replace('_', '-')}={value} {why}."))


def _refuse_other_processes(config: pytest.Config) -> None:
    """Refuse to run a stage's tests in other processes: this one renders and waits for the pictures."""
    given = [typed for name, typed in _ELSEWHERE.items() if getattr(config.option, name, None)]
    if getattr(config.option, "dist", "no") != "no":
        given.append(f"--dist={config.option.dist}")
    if given:
        raise pytest.UsageError(
            f"{' '.join(given)} cannot be used with -m generate, deploy or verify: the pictures are rendered by "
            "ComfyUI, not by pytest's processes. Name more servers instead: --comfyui-url=URL --comfyui-url=URL, or "
            "those of many machines: --cluster=ADDRESS"
        )


def _write_new_plan(config: pytest.Config, folder: str) -> pytest.ExitCode:
    """Write a plan from a training folder, and show what was found. Raises `pytest.UsageError`."""
    from plugins.plan.new_plan.creating import new_plan  # noqa: PLC0415 (no other command waits for what reads a training)
    from plugins.plan.new_plan.runs import NewPlanError  # noqa: PLC0415 (same)

    command = config.stash[COMMAND]
    try:
        written = new_plan(command, folder)
    except NewPlanError as error:
        raise pytest.UsageError(str(error)) from None
    checked: list[str] = config.hook.pytest_acceptance_plan_written(plan=written.plan)
    print(visible("\n".join([*checked, written.report])))  # noqa: T201 (all that this command does)
    return pytest.ExitCode.OK


def _read(config: pytest.Config, path: Path) -> Plan:
    """Read the plan, with what the other rooms replace in it. Raises `pytest.UsageError` naming every mistake."""
    try:
        plan = read_plan(path)
        overrides: list[Overrides] = config.hook.pytest_acceptance_plan_overrides(config=config, plan=plan)
        merged: dict[str, dict[str, Any]] = {}
        for override in overrides:
            for table, values in override.items():
                merged.setdefault(table, {}).update(values)
    except PlanError as error:
        raise pytest.UsageError(str(error)) from None
    try:
        return read_plan(path, merged) if merged else plan
    except PlanError as error:
        raise pytest.UsageError(f"{error}\nThat is not the plan's own value, but an option's that was typed.") from None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the stages' markers, and configure pytest for a stage."""
    for stage, meaning in STAGES.items():
        config.addinivalue_line("markers", f"{stage}: {meaning}")
    if not config.stash[COMMAND].stages:
        return
    gc.freeze()  # what is loaded by now stays: no need to look through it again and again
    if config.pluginmanager.has_plugin("hypothesispytest"):
        config.pluginmanager.unregister(name="hypothesispytest")  # it would load Hypothesis when the run ends: 0.8 s
    if getattr(config.option, "timeout", None) is None:
        config.option.timeout = 0  # PYTEST_TIMEOUT is for other tests; a picture takes as long as it takes
    if threading.current_thread() is threading.main_thread():
        # A service manager's stop, or a closed terminal, is a person's Ctrl-C: withdraw what is queued, put
        # production back, write the report.
        # What is ignored stays so: nohup ignores a closed terminal.
        known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        wanted = [one for one in known if signal.getsignal(one) not in (signal.SIG_IGN, None)]
        config.stash[_SIGNALS] = {one: signal.signal(one, signal.default_int_handler) for one in wanted}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Restore the signal handlers."""
    for number, handler in config.stash.get(_SIGNALS, {}).items():
        signal.signal(number, handler)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Read the plan, so that its mistakes are reported once, before the first test."""
    config, command = session.config, session.config.stash[COMMAND]
    ours = command.demo or command.plan_typed != DEFAULT_PLAN
    if ours and not config.option.markexpr and config.args_source != pytest.Config.ArgsSource.ARGS:
        raise pytest.UsageError(
            "Which stage? Add -m generate, -m deploy or -m verify. (pytest alone runs the suite's own tests.)"
        )
    if command.stages:
        paths = command.plan.paths
        for path in (command.reports, paths.project, paths.checkpoints, paths.comfyui, paths.loras):
            if unreadable(path):
                raise pytest.UsageError(visible(f"{path} {misplaced(str(path))}."))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Start the rooms, now that pytest has finished its configuration and a test is to run."""
    config, command = session.config, session.config.stash[COMMAND]
    broken = session.testsfailed and not config.option.continue_on_collection_errors
    if not command.runs or not session.items or broken:
        return
    try:
        said: list[Iterable[str]] = config.hook.pytest_acceptance_begin(session=session)
    except (UserError, OSError) as error:
        raise pytest.UsageError(command.completed(visible(str(error)))) from None
    reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    for line in [line for lines in said for line in lines]:
        if reporter and (reporter.showheader or line.startswith("warning: ")):
            reporter.write_line(line)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Say at the end that nothing was done, if no test was selected, and how to list the tests."""
    yield
    config, command = session.config, session.config.stash[COMMAND]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if command.runs and reporter and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        chosen = f"-k {typable(config.option.keyword)}" if config.option.keyword else "The command"
        lists = command.next(f"-m {typable(config.option.markexpr)} --collect-only -q")
        reporter.write_line(f"{chosen} selects no test: nothing was made or changed. To list the tests: {lists}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep the acceptance suite and the suite's own tests apart: a command runs one or the other."""
    acceptance, stages = _ACCEPTANCE, config.stash[COMMAND].stages
    if collection_path.is_relative_to(acceptance):
        return None if stages else True
    if stages and collection_path.is_relative_to(acceptance.parent):
        return None if acceptance.is_relative_to(collection_path) else True
    return None


@pytest.fixture(scope="session")
def plan(pytestconfig: pytest.Config) -> Plan:
    """Return the plan of this run."""
    return pytestconfig.stash[COMMAND].plan
