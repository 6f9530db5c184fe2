"""pytest-html's own list of results, below our page: where there are many cells, only what did not pass."""

from typing import Any, Final

import pytest

LISTED_AT_MOST: Final = 200
"""With more cells than this, tests that passed are counted and not listed: their pictures are in the matrix, and
pytest-html would build hundreds of elements for each when the page opens."""


class Unlisted:
    """A plugin that leaves tests that passed out of pytest-html's list. `html` is what it gathers results in."""

    def __init__(self, html: Any) -> None:  # noqa: ANN401 (pytest-html has no types)
        self._html = html

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Count a test that passed, and leave its row out."""
        if report.passed:
            cells.clear()
            if report.when == "call":
                self._html.outcomes = "Passed"  # its setter counts one more
