"""The plan's door to pytest: which plan, which stages, and where a run leaves its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from plugins.plan import hooks
from plugins.plan.plan import Plan
from plugins.plan.reading import PlanError, read_plan
from plugins.plan.stages import STAGES, asked

GROUP: Final = "checkpoint acceptance"
_PLAN: Final = pytest.StashKey[Plan]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other rooms have a say in the plan."""
    pluginmanager.add_hookspecs(hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --plan and --reports."""
    group = parser.getgroup(GROUP)
    group.addoption("--plan", metavar="FILE", default="plans/spyke.toml", help="the plan (default: %(default)s)")
    group.addoption("--reports", metavar="DIR", help="where a run leaves its files (default: reports/)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Declare the stages' markers. A picture takes as long as it takes: no test's time-out holds for a stage."""
    for stage, meaning in STAGES.items():
        config.addinivalue_line("markers", f"{stage}: {meaning}")
    if stages(config):
        config.option.timeout = 0  # pytest-timeout's, meant for the suite's own tests


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Read the plan before anything that depends on it, so that its mistakes are all that is said."""
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


def the_plan(config: pytest.Config) -> Plan:
    """Give the plan of this command, read once. Raises `pytest.UsageError` naming every mistake in it."""
    if _PLAN not in config.stash:
        path = Path(config.getoption("plan"))
        if not path.is_absolute() and not path.exists() and (config.rootpath / path).exists():
            path = config.rootpath / path
        try:
            plan = read_plan(path)
            overrides: list[Mapping[str, Mapping[str, Any]]]
            overrides = config.hook.pytest_acceptance_plan_overrides(config=config, plan=plan)
            merged: dict[str, dict[str, Any]] = {}
            for override in overrides:
                for table, values in override.items():
                    merged.setdefault(table, {}).update(values)
            config.stash[_PLAN] = read_plan(path, merged) if merged else plan
        except PlanError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_PLAN]


def reports(config: pytest.Config) -> Path:
    """Give the folder where this run leaves its files."""
    given = config.getoption("reports")
    return config.invocation_params.dir / Path(given).expanduser() if given else config.rootpath / "reports"


@pytest.fixture(scope="session")
def plan(request: pytest.FixtureRequest) -> Plan:
    """Give the plan of this run."""
    return the_plan(request.config)


def _acceptance(config: pytest.Config) -> Path:
    return config.rootpath / "tests" / "acceptance"
