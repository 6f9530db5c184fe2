"""The review's door to pytest: where pytest-html writes, and what stands at the top of its page."""

import contextlib
import re
import shlex
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image

from plugins.comfyui.transport import without_credentials
from plugins.generate.plugin import failures, known, the_prepared
from plugins.generate.stability import read_stability
from plugins.pictures.likeness import training_images
from plugins.plan.cells import Cell, matrix
from plugins.plan.messages import visible
from plugins.plan.plugin import DEFAULT_PLAN, reports, running, stages, the_plan
from plugins.plan.stages import DEPLOY, GENERATE
from plugins.render.plugin import cell_of
from plugins.review.contact_sheet import write_contact_sheet
from plugins.review.gathering import gather
from plugins.review.page import render_page, sources
from plugins.review.previews import make_previews, write_preview
from plugins.review.review import Review, source_of

_LISTED_AT_MOST: Final = 200
"""With more cells than this, tests that passed are counted and not listed: their pictures are in the matrix, and
pytest-html would build hundreds of elements for each when the page opens."""
_COMMAND: Final = re.compile(r"pytest (-m (?:generate|deploy|verify)(?: --[a-z-]+(?:=\w+)?)*)")
"""A command as it stands in an advice, with no more than what it is about."""
_REVIEW: Final = pytest.StashKey[Review]()
_SHOWN: Final = pytest.StashKey[int]()
"""About how many pictures the page will show."""
_STYLE: Final = Path(__file__).parent / "template" / "results.css"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have pytest-html write one self-contained page, unless the person said otherwise."""
    config.pluginmanager.register(_Unwritten())
    asked = stages(config)
    page = "report.html" if GENERATE in asked else "deploy.html" if DEPLOY in asked else None
    if page and running(config) and hasattr(config.option, "htmlpath"):
        try:
            reports(config).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise pytest.UsageError(
                f"Nothing can be written to {reports(config)}: {error}. Name another: --reports=DIR"
            ) from None
        config.option.htmlpath = config.option.htmlpath or str(reports(config) / page)
        config.option.self_contained_html = True
        config.option.css = [*config.option.css, str(_STYLE)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the pictures that the page will show: it tells how small their previews must be."""
    config = session.config
    if prepared := the_prepared(config):
        plan = prepared.maker.asked.plan
        cells = len(matrix(plan))
        config.stash[_SHOWN] = cells + min(len(training_images(plan.paths.training_images)), cells)


def pytest_picture_kept(config: pytest.Config, cell: Cell, picture: Image.Image) -> None:
    """Make a picture's preview as soon as it is there, while the next one renders."""
    write_preview(picture, source_of(reports(config), cell), reports(config), among=config.stash[_SHOWN])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Make whatever else the page needs after the last test, while one cell is rendered again."""
    if nextitem is None and cell_of(item) and (review := the_review(item.config)):
        with contextlib.suppress(OSError):  # told when the page is written
            make_previews(sources(review), review.reports)
            write_contact_sheet(review, review.reports / "contact-sheet.png")


@pytest.hookimpl(optionalhook=True)
def pytest_html_report_title(report: Any) -> None:  # noqa: ANN401 (pytest-html has no types)
    """Name the page after the LoRA; of many tests list only those that did not pass."""
    config = report.config
    if asked := stages(config):
        report.title = the_plan(config).title
        if GENERATE in asked and len(matrix(the_plan(config))) > _LISTED_AT_MOST:
            config.pluginmanager.register(_Unlisted(report))


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """Put the matrix on top, and write the contact sheet."""
    if review := the_review(session.config):
        canary = read_stability(review.reports)
        review = replace(review, stability=str(canary) if canary else "")
        prefix.append(render_page(review))
        write_contact_sheet(review, review.reports / "contact-sheet.png")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Say last what to look at, and what to type then."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    review = session.config.stash.get(_REVIEW, None)
    if review and reporter:
        reporter.write_line(
            f"Look at {_shown(session.config, reports(session.config) / 'report.html')}, then: {review.command}"
        )


class _Unlisted:
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


class _Unwritten:
    """Says that the report could not be written, as on a full disk; what was rendered or deployed is kept."""

    @pytest.hookimpl(wrapper=True, trylast=True)  # next to pytest-html, so that all others still have their say
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        try:
            yield
        except OSError as error:
            config = session.config
            reporter = config.pluginmanager.get_plugin("terminalreporter")
            if not running(config) or reporter is None:
                raise
            if _REVIEW in config.stash:
                del config.stash[_REVIEW]
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter.ensure_newline()
            reporter.write_line(
                f"The report could not be written: {visible(str(error))}. What was rendered or deployed is kept. "
                "Make the folder writable, or free some room, and run this again.",
                red=True,
            )


def the_review(config: pytest.Config) -> Review | None:
    """Return what is shown of a generating run; None for any other run."""
    prepared = the_prepared(config)
    if prepared is None:
        return None
    if _REVIEW not in config.stash:
        config.stash[_REVIEW] = gather(
            prepared.maker.asked,
            reports(config),
            failed=failures(config),
            known=known(config),
            command=next_command(config, "-m deploy --selected-step=STEP"),
        )
    return config.stash[_REVIEW]


def next_command(config: pytest.Config, what: str) -> str:
    """Write a command that runs on the same plan and folders as this one. A server's password is left out."""
    option = config.option
    folder = reports(config).parent if option.demo else reports(config)
    reports_typed = None if folder == config.rootpath / "reports" else folder
    given = [("--plan", option.plan if option.plan != DEFAULT_PLAN else None), ("--reports", reports_typed)]
    given += [("--comfyui-dir", option.comfyui_dir)]
    given += [("--comfyui-url", without_credentials(url)) for url in option.comfyui_url or ()]
    words = [shlex.quote(f"{name}={value}") for name, value in given if value]
    return " ".join(["pytest", what, *words, *(["--demo"] if option.demo else [])])


def with_options(config: pytest.Config, told: str) -> str:
    """Complete each command in an advice, so that it can be typed as it is told: see `next_command`."""
    return _COMMAND.sub(lambda found: next_command(config, found[1]), told)


def _shown(config: pytest.Config, path: Path) -> str:
    """Write a path as the person would type it from where they are."""
    folder = config.invocation_params.dir
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
