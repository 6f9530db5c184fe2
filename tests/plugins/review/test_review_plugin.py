"""What the review adds to a run: nothing is loaded in vain, and pytest-html lists what did not pass."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from plugins.review.plugin import _Unlisted
from stand_in.serving import Serving
from tests.small_plan import ROOT, Suite

_LISTING = """
import sys, pytest
pytest.main(["-m", "generate", "--collect-only", "-q", "-p", "no:cacheprovider"])
print("loaded:", [name for name in ("hypothesis", "psutil", "aiohttp", "yaml") if name in sys.modules])
"""


def test_listing_loads_nothing_in_vain() -> None:
    """A stage loads neither what tests the suite alone, nor what starts a server or reads a trainer's settings."""
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [sys.executable, "-c", _LISTING], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True
    )
    assert "18/" in done.stdout
    assert done.stdout.endswith("loaded: []\n")


_NO_PAGE = """
def pytest_configure(config):
    import plugins.review.session as review
    review.make_previews = lambda *_: {}
    review.render_page = lambda *_: ""
"""
"""A plugin: nothing makes previews at the end."""


@pytest.mark.slow
def test_previews_come_with_their_pictures(plan_file: Path, stand_in: Callable[..., Serving]) -> None:
    """Each picture has a preview beside the page before the page is made, and where to look is said with the first."""
    folder = plan_file.parent
    (folder / "no_page.py").write_text(_NO_PAGE, encoding="utf-8")
    suite = Suite(plan_file=plan_file, environment={"PYTHONPATH": str(folder)})
    result = suite.run("-p", "no_page", "-m", "generate", f"--comfyui-url={stand_in().url}")

    assert 0 == result.returncode
    pictures = {path.relative_to(folder / "reports/pictures") for path in folder.glob("reports/pictures/*/*.png")}
    previews = {path.relative_to(folder / "reports/previews") for path in folder.glob("reports/previews/[!t]*/*")}
    assert 6 == len(pictures)
    assert 1 == result.stdout.count("report.html now: each picture appears on it once it is rendered.")
    assert previews == {path.with_suffix(".webp") for path in pictures}


@pytest.mark.parametrize(
    ("outcome", "when", "listed", "counted"),
    [
        ("passed", "call", False, ["Passed"]),
        ("passed", "setup", False, []),
        ("failed", "call", True, []),
        ("skipped", "setup", True, []),
    ],
)
def test_of_many_only_what_did_not_pass_is_listed(outcome: str, when: str, listed: bool, counted: list[str]) -> None:  # noqa: FBT001
    """A test that passed is counted and has no row; any other has one."""

    class Html:
        def __init__(self) -> None:
            self.counted: list[str] = []

        def __setattr__(self, name: str, value: object) -> None:
            if name == "outcomes":
                self.counted.append(str(value))
            else:
                super().__setattr__(name, value)

    html, cells = Html(), ["<td>a</td>"]
    report = SimpleNamespace(passed=outcome == "passed", when=when)
    _Unlisted(html).pytest_html_results_table_row(report, cells)  # type: ignore[arg-type]
    assert (listed, counted) == (bool(cells), html.counted)


@pytest.mark.slow
def test_large_matrix_lists_no_test_that_passed(
    plan_file: Path,
    stand_in: Callable[..., Serving],
    run_suite: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Past 200 cells the report counts all tests, and lists none that passed."""
    seeds = ", ".join(str(seed) for seed in range(40))
    text = plan_file.read_text("utf-8").replace("seeds = [42]", f"seeds = [{seeds}]")
    plan_file.write_text(text, "utf-8")
    run_suite("-m", "generate", "-k", "step600 and forest and seed7", f"--comfyui-url={stand_in().url}")
    page = (plan_file.parent / "reports/report.html").read_text("utf-8")
    assert "1 Passed," in page
    assert "col-testId" not in page.split('data-jsonblob="')[1].split('"')[0]
