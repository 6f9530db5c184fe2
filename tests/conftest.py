"""What the suite's own tests need: their settings, and the small plan with its stand-in.

Plain `pytest` leaves out what is marked `slow`. `CI=1 pytest` runs all, and so does naming a file or folder.

pytest reads this file in a user's run too, `tests/acceptance` being below it. Nothing here may change such a run, or
need what is installed for the suite's own tests alone. In pyproject.toml these settings would be everybody's.
"""

import contextlib
import os
from importlib import import_module

import pytest

from plugins.plan.stash import COMMAND

_LONGEST_SECONDS = 900
"""A test that takes longer hangs."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have a warning fail a test, a test that hangs end, and Hypothesis need no quick machine."""
    if config.stash[COMMAND].stages:
        return
    config.pluginmanager.import_plugin("tests.no_power_cut")
    small_plan = import_module("tests.small_plan")
    if not config.pluginmanager.is_registered(small_plan):
        config.pluginmanager.register(small_plan, "small_plan")
    config.addinivalue_line("filterwarnings", "error")
    if getattr(config.option, "timeout", None) is None:
        config.option.timeout = _LONGEST_SECONDS
    config.option.loadscopereorder = False  # pytest-xdist: files with few tests, but long ones, would come last
    with contextlib.suppress(ModuleNotFoundError):
        from hypothesis import HealthCheck, settings  # noqa: PLC0415 (a user's run has no need of it)

        settings.register_profile(
            "any machine",
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            max_examples=100 if os.environ.get("CI") else 40,
        )
        settings.load_profile("any machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that none runs last, alone; skip those tests where nobody asked for them."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
    if os.environ.get("CI") or config.args_source is pytest.Config.ArgsSource.ARGS:
        return
    skipped = pytest.mark.skip(reason="takes long: CI=1 pytest runs it, and so does naming its file")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skipped)
