"""For tests that tear connections, or kill who holds one: asyncio leaves some of them half open."""

from typing import Final

import pytest

TORN: Final = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("swept"),
]
"""What was torn may be swept up at any time, and is told then as a warning."""
