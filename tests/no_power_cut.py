"""A plugin that lets files stay in memory: waiting for the disk takes a third of the time of the suite's own tests.

Nobody cuts the power of a test; a user's run never loads this.
"""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def no_power_cut() -> Iterator[None]:
    """Have nothing wait for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
