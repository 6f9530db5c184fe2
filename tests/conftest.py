"""Plain `pytest` leaves out what is marked `slow`. `CI=1 pytest` runs all, and so does naming a file or folder."""

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the slow tests, and say so, where nobody asked for them."""
    if os.environ.get("CI") or config.args_source is pytest.Config.ArgsSource.ARGS:
        return
    skipped = pytest.mark.skip(reason="takes long: CI=1 pytest runs it, and so does naming its file")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skipped)
