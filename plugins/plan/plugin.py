"""The plan's door to pytest: which plan, which stages, and where a run leaves its files."""

import gc
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from plugins.plan.messages import visible
from plugins.plan.new_plan.creating import new_plan
from plugins.plan.new_plan.runs import NewPlanError
from plugins.plan.plan import Plan
from plugins.plan.reading import PlanError, read_plan
from plugins.plan.stages import STAGES, asked

GROUP: Final = "checkpoint acceptance"
DEFAULT_PLAN: Final = "plans/spyke.toml"

Overrides = Mapping[str, Mapping[str, Any]]
"""Keys of a plan's tables, by table."""

_PLAN: Final = pytest.StashKey[Plan]()
_FORMER: Final = pytest.StashKey[dict[int, Any]]()


class Hooks:
    """The hook through which a room changes where a plan is carried out, never what it tests."""

    @pytest.hookspec
    def pytest_acceptance_plan_overrides(self, config: pytest.Config, plan: Plan) -> Overrides | None:
        """Return keys of the plan's tables that this command replaces: `{"comfyui": {"url": "http://..."}}`."""

    @pytest.hookspec
    def pytest_acceptance_plan_written(self, config: pytest.Config, plan: Plan) -> str | None:
        """Return what is to be said of a plan that --new-plan wrote, such as what a server lacks for it."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other rooms have a say in where the plan is carried out."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --plan and --reports."""
    group = parser.getgroup(GROUP)
    group.addoption("--plan", metavar="FILE", default=DEFAULT_PLAN, help="the plan (default: %(default)s)")
    group.addoption(
        "--new-plan", metavar="FOLDER", help="write a plan from a training folder to --plan (default: plans/NAME.toml)"
    )
    group.addoption("--reports", metavar="DIR", help="where a run leaves its files (default: reports/)")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> pytest.ExitCode | None:
    """With --new-plan, write a plan and end. Raises `pytest.UsageError`."""
    given: str | None = config.getoption("new_plan")
    if given is None:
        return None
    plan, comfyui, urls = (config.getoption(one, None) for one in ("plan", "comfyui_dir", "comfyui_url"))
    try:
        written = new_plan(
            typed_path(config, given),
            None if plan == DEFAULT_PLAN else typed_path(config, plan),
            plans=config.rootpath / "plans",
            comfyui=typed_path(config, comfyui) if comfyui else None,
            url=urls[0] if urls else "",
        )
    except NewPlanError as error:
        raise pytest.UsageError(str(error)) from None
    checked: list[str] = config.hook.pytest_acceptance_plan_written(config=config, plan=written.plan)
    print(visible("\n".join([*checked, written.told])))  # noqa: T201 (all that this command does)
    return pytest.ExitCode.OK


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the stages' markers. A picture takes as long as it takes: no test's time-out holds for a stage."""
    for stage, meaning in STAGES.items():
        config.addinivalue_line("markers", f"{stage}: {meaning}")
    if not stages(config):
        return
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError(
            "-n cannot be used with -m generate, deploy or verify: the pictures are rendered by ComfyUI, not by "
            "pytest's processes. Name more servers instead: --comfyui-url=URL --comfyui-url=URL, or those of many "
            "machines: --cluster=ADDRESS"
        )
    gc.freeze()  # what is loaded by now stays: no need to look through it again and again
    if config.pluginmanager.has_plugin("hypothesispytest"):
        config.pluginmanager.unregister(name="hypothesispytest")  # it would load Hypothesis when the run ends: 0.2 s
    if getattr(config.option, "timeout", None) is None:
        config.option.timeout = 0  # pytest-timeout's, meant for the suite's own tests
    config.addinivalue_line("filterwarnings", "default")  # a library's warning must not fail a picture
    if threading.current_thread() is threading.main_thread():
        # A service manager's stop, or a closed terminal, is a person's Ctrl-C: withdraw what is queued, put
        # production back, write the report.
        wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        config.stash[_FORMER] = {one: signal.signal(one, signal.default_int_handler) for one in wanted}


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let signals mean what they did."""
    for number, handler in config.stash.get(_FORMER, {}).items():
        signal.signal(number, handler)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Read the plan, so that its mistakes are said once, before the first test."""
    config, option = session.config, session.config.option
    ours = getattr(option, "demo", False) or option.plan != DEFAULT_PLAN
    if ours and not option.markexpr and config.args_source != pytest.Config.ArgsSource.ARGS:
        raise pytest.UsageError(
            "What is to be done? Add -m generate, -m deploy or -m verify. (pytest alone runs the suite's own tests.)"
        )
    if stages(session.config):
        the_plan(session.config)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep the acceptance suite and the suite's own tests apart: a command runs one or the other."""
    acceptance = _acceptance(config)
    if collection_path.is_relative_to(acceptance):
        return None if stages(config) else True
    if stages(config) and collection_path.is_relative_to(acceptance.parent):
        return None if acceptance.is_relative_to(collection_path) else True
    return None


def stages(config: pytest.Config) -> frozenset[str]:
    """Name the stages that this command asks for; empty means the suite's own tests."""
    return asked(config.option.markexpr or "", config.args, _acceptance(config))


def running(config: pytest.Config) -> frozenset[str]:
    """Name the stages that this command carries out: none where it only lists tests or fixtures."""
    listing = ("collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow")
    return frozenset() if any(getattr(config.option, one, None) for one in listing) else stages(config)


def typed_path(config: pytest.Config, text: str) -> Path:
    """Return the place that a person typed; a shell leaves `~` as it is after `--option=`."""
    return config.invocation_params.dir / Path(text).expanduser()


def plan_file(config: pytest.Config) -> Path:
    """Return the plan's file: as typed, or seen from the suite's folder."""
    typed = typed_path(config, config.getoption("plan"))
    ours = config.rootpath / config.getoption("plan")
    return ours if ours.exists() and not typed.exists() else typed


def the_plan(config: pytest.Config) -> Plan:
    """Return the plan of this command, read once. Raises `pytest.UsageError` naming every mistake in it."""
    if _PLAN not in config.stash:
        path = plan_file(config)
        try:
            plan = read_plan(path)
            overrides: list[Overrides] = config.hook.pytest_acceptance_plan_overrides(config=config, plan=plan)
            merged: dict[str, dict[str, Any]] = {}
            for override in overrides:
                for table, values in override.items():
                    merged.setdefault(table, {}).update(values)
            config.stash[_PLAN] = read_plan(path, merged) if merged else plan
        except PlanError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_PLAN]


def reports(config: pytest.Config) -> Path:
    """Return the folder where this run leaves its files."""
    given = config.getoption("reports")
    return typed_path(config, given) if given else config.rootpath / "reports"


@pytest.fixture(scope="session")
def plan(request: pytest.FixtureRequest) -> Plan:
    """Return the plan of this run."""
    return the_plan(request.config)


def _acceptance(config: pytest.Config) -> Path:
    return config.rootpath / "tests" / "acceptance"
