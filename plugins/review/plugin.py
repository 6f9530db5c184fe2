"""The review's door to pytest: where pytest-html writes, and what stands at the top of its page."""

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
from PIL import Image

from plugins.generate.session import GenerateSession
from plugins.plan.cells import Cell, matrix
from plugins.plan.messages import visible
from plugins.plan.stages import DEPLOY, GENERATE
from plugins.plan.stash import COMMAND
from plugins.review.figures import unprovable_rate
from plugins.review.session import ReviewSession

_LISTED_AT_MOST: Final = 200
"""With more cells than this, tests that passed are counted and not listed: their pictures are in the matrix, and
pytest-html would build hundreds of elements for each when the page opens."""
_SAID: Final = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}
"""How a run may end that has a next step; an internal error speaks for itself."""
_SESSION: Final = pytest.StashKey[ReviewSession]()
_STYLE: Final = Path(__file__).parent / "template" / "results.css"


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Load pytest-html also where PYTEST_DISABLE_PLUGIN_AUTOLOAD is set: without a page there is nothing to judge."""
    for name in ("metadata", "html"):  # pytest-html needs pytest-metadata
        if not pluginmanager.has_plugin(name):  # not where -p no:html blocks it
            pluginmanager.load_setuptools_entrypoints("pytest11", name=name)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have pytest-html write one self-contained page, unless the person said otherwise."""
    command = config.stash[COMMAND]
    config.pluginmanager.register(_Unwritten())
    config.pluginmanager.register(_Unbegun())
    page = "report.html" if GENERATE in command.stages else "deploy.html" if DEPLOY in command.stages else None
    if command.stages and hasattr(config.option, "htmlpath") and config.pluginmanager.is_blocked("metadata"):
        raise pytest.UsageError(
            "-p no:metadata: pytest-html, which writes the page, needs pytest-metadata. Leave it out, or add -p no:html"
        )
    if page and command.runs and hasattr(config.option, "htmlpath"):
        try:
            command.reports.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise pytest.UsageError(
                f"Nothing can be written to {command.reports}: {error}. Name another: --reports=DIR"
            ) from None
        config.option.htmlpath = config.option.htmlpath or str(command.reports / page)
        config.option.self_contained_html = True
        config.option.css = [*config.option.css, str(_STYLE)]


@pytest.hookimpl(trylast=True)
def pytest_acceptance_begin(session: pytest.Session) -> list[str]:
    """Take note of what will be shown, once it is ready and before the first picture is made. Returns what is odd."""
    config = session.config
    generating: GenerateSession | None = config.hook.pytest_acceptance_generating(config=config)
    if not generating:
        return []
    config.stash[_SESSION] = review = ReviewSession(config.stash[COMMAND], generating)
    config.pluginmanager.register(_Announcing(config, review))
    threading.Thread(target=review.warm_up, daemon=True).start()
    return [f"warning: {line}" for line in unprovable_rate(config.stash[COMMAND].plan)]


def pytest_picture_kept(config: pytest.Config, cell: Cell, picture: Image.Image) -> None:
    """Show a picture as soon as it is there, while the next one renders."""
    command = config.stash[COMMAND]
    page = getattr(config.option, "htmlpath", None)
    config.stash[_SESSION].take_up(cell, picture, live=page == str(command.reports / "report.html"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Make whatever else the page needs after the last test, while one cell is rendered again."""
    review = item.config.stash.get(_SESSION, None)
    if review and nextitem is None and "evidence_of" in getattr(item, "fixturenames", ()):
        review.make_ready()


@pytest.hookimpl(optionalhook=True)
def pytest_html_report_title(report: Any) -> None:  # noqa: ANN401 (pytest-html has no types)
    """Name the page after the LoRA; of many tests list only those that did not pass."""
    config = report.config
    command = config.stash[COMMAND]
    if command.stages:
        report.title = command.plan.title
        if GENERATE in command.stages and len(matrix(command.plan)) > _LISTED_AT_MOST:
            config.pluginmanager.register(_Unlisted(report))


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """Put the matrix on top, and write the contact sheet."""
    if review := session.config.stash.get(_SESSION, None):
        prefix.append(review.page())


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Show last what to look at, and what to type then."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    review = session.config.stash.get(_SESSION, None)
    if review:
        review.finish()
    if review and reporter and session.exitstatus in _SAID:
        plugins = session.config.pluginmanager
        page = (
            Path(session.config.option.htmlpath).absolute() if any(map(_makes_a_page, plugins.get_plugins())) else None
        )
        line = review.last_line(
            page,
            stopped=bool(session.shouldstop or session.shouldfail) or session.exitstatus == pytest.ExitCode.INTERRUPTED,
            tests_failed=session.testsfailed,
            failed_only=" --lf" if plugins.has_plugin("cacheprovider") else "",
        )
        reporter.write_line(line)


class _Announcing:
    """A plugin that says once where the report is, as soon as its first picture is there."""

    def __init__(self, config: pytest.Config, review: ReviewSession) -> None:
        self._config = config
        self._review = review

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """Show the line after the test of the first picture, not in the midst of another line."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if line := self._review.live_line():
            self._config.pluginmanager.unregister(self)
            if reporter:
                reporter.ensure_newline()
                reporter.write_line(line)


class _Unbegun:
    """A plugin that keeps an earlier page until a test of this run begins: pytest-html's reports are out until then."""

    def __init__(self) -> None:
        self._reports: list[object] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Take the reports out."""
        plugins = session.config.pluginmanager
        if session.config.stash[COMMAND].stages:
            self._reports = [one for one in plugins.get_plugins() if _makes_a_page(one)]
        for report in self._reports:
            plugins.unregister(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Put them back."""
        while self._reports and not item.config.stash[COMMAND].only_lists:
            item.config.pluginmanager.register(self._reports.pop())


def _makes_a_page(plugin: object) -> bool:
    """Return whether a plugin is one of pytest-html's reports, which have no name."""
    return type(plugin).__module__.startswith("pytest_html.")


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
    """A plugin that reports a page that could not be written, as on a full disk; what was made is kept."""

    @pytest.hookimpl(wrapper=True, trylast=True)  # next to pytest-html, so that all others still have their say
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        try:
            yield
        except OSError as error:
            config = session.config
            reporter = config.pluginmanager.get_plugin("terminalreporter")
            if not config.stash[COMMAND].runs or reporter is None:
                raise
            if _SESSION in config.stash:
                del config.stash[_SESSION]  # there is nothing to look at
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter.ensure_newline()
            reporter.write_line(
                f"The report could not be written: {visible(str(error))}. What was rendered or deployed is kept. "
                "Make the folder writable, or free some room, and run this again.",
                red=True,
            )
