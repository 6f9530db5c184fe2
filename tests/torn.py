"""For tests that tear connections, or kill who holds one: asyncio leaves some of them half open."""

import gc
from collections.abc import Iterator
from typing import Final

import pytest

TORN: Final = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""What was torn may be swept up at any time, and is told then as a warning."""


@pytest.fixture(scope="module", autouse=True)
def swept() -> Iterator[None]:
    """Sweep up what a module's tests have torn while that is expected."""
    yield
    gc.collect()
