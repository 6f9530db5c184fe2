"""A real Chromium, and reports to open in it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests.plugins.review.sample import make_review, training_images, write_report

NO_NETWORK = (
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
)
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, or skip where there is none. Closed after each module: Playwright's event loop blocks others."""
    named = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    with sync_playwright() as playwright:
        path = named or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium here: install one (.ci/run does), or name it with CHROMIUM=/path/to/chromium")
        try:
            chromium = playwright.chromium.launch(executable_path=path, args=NO_NETWORK)
        except Error as error:
            pytest.skip(f"Chromium at {path} does not start: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of the Spyke plan: one picture failed, one to look at twice, one missing, three references."""
    folder = tmp_path_factory.mktemp("spyke")
    references = training_images(folder / "training", 7, side=96)
    return write_report(make_review(folder / "reports", side=96, references=references))


class Visits:
    """Pages that were opened, and what went wrong in them or was asked of the network."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.wrong: list[str] = []

    def open(self, report: Path, *, script: str = "", **options: object) -> Page:
        """Open a report as a new visitor, whose `script` runs before the page's own."""
        context = self.browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5_000)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self.requested(request.url))
        page.on("dialog", lambda dialog: dialog.accept())
        if script:
            page.add_init_script(script)
        page.goto(report.as_uri())
        return page

    def requested(self, url: str) -> None:
        """Note a request that leaves this machine's disk."""
        if not url.startswith(("file:", "data:", "blob:")):
            self.wrong.append(f"asked for {url}")

    def close(self) -> None:
        """End all visits; none may have gone wrong."""
        for context in self.contexts:
            context.close()
        assert [] == self.wrong


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Give a function that opens a report as a new visitor; no page may fail or ask anything of the network."""
    visits = Visits(browser)
    yield visits.open
    visits.close()


@pytest.fixture(scope="module")
def desktop(browser: Browser, report: Path) -> Iterator[tuple[Page, Visits]]:
    """Open the Spyke report on a desktop, once for all tests of a module."""
    visits = Visits(browser)
    yield visits.open(report, permissions=["clipboard-read", "clipboard-write"]), visits
    visits.close()


@pytest.fixture
def page(desktop: tuple[Page, Visits], report: Path) -> Iterator[Page]:
    """Give the Spyke report on a desktop, opened anew by a visitor who was never here."""
    page, visits = desktop
    page.evaluate("localStorage.clear()")
    page.goto(report.as_uri())
    yield page
    assert [] == visits.wrong
