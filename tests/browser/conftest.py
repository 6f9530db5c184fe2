"""A real Chromium, and reports to open in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

from plugins.review.review import Review
from tests.browser.chromium import NoChromiumError, start_chromium
from tests.plugins.review.sample import make_review, numbers, spyke, training_images, write_report
from tests.small_plan import made_plan, plan, plan_file, run_suite, stand_in

__all__ = ["made_plan", "plan", "plan_file", "run_suite", "stand_in"]

Open = Callable[..., Page]
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
_LONGEST_MS = 30_000
expect.set_options(timeout=_LONGEST_MS)
COUNT_KEPT = "try { globalThis.keptAtOpening = localStorage.length; } catch { /* about:blank has no storage */ }"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Start Chromium, or skip where there is none. Closed when this folder is left: its event loop blocks others."""
    with sync_playwright() as playwright:
        try:
            chromium = start_chromium(playwright)
        except NoChromiumError as error:
            pytest.skip(str(error))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def review(tmp_path_factory: pytest.TempPathFactory) -> Review:
    """Review the Spyke plan: one picture failed, one has a warning, one is missing."""
    folder = tmp_path_factory.mktemp("spyke")
    references = training_images(folder / "training", 7, side=96)
    return make_review(
        folder / "reports", side=96, references=references, metrics=numbers(spyke()), stability=("it is bit-stable",)
    )


@pytest.fixture(scope="session")
def report(review: Review) -> Path:
    """Write the report of that review, by pytest-html."""
    return write_report(review)


class Visits:
    """Pages that were opened, and what went wrong in them or was asked of the network."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.wrong: list[str] = []

    def open(self, report: Path, *, script: str = "", **options: Any) -> Page:
        """Open a report as a new visitor, whose `script` runs before the page's own."""
        context = self.browser.new_context(**{"viewport": DESKTOP, **options})
        self.contexts.append(context)
        context.add_init_script(COUNT_KEPT)
        page = context.new_page()
        page.set_default_timeout(_LONGEST_MS)
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
    """Return a function that opens a report as a new visitor; no page may fail or ask anything of the network."""
    visits = Visits(browser)
    yield visits.open
    visits.close()


@pytest.fixture(scope="package")
def desktop(browser: Browser, report: Path) -> Iterator[tuple[Page, Visits]]:
    """Open the Spyke report on a desktop, once for all tests."""
    visits = Visits(browser)
    yield visits.open(report, permissions=["clipboard-read", "clipboard-write"]), visits
    visits.close()


@pytest.fixture
def page(desktop: tuple[Page, Visits], report: Path) -> Iterator[Page]:
    """Return the Spyke report on a desktop, opened anew by a visitor who was never here."""
    page, visits = desktop
    if page.viewport_size != DESKTOP:
        page.set_viewport_size(DESKTOP)
    open_as_new(page, report.as_uri())
    yield page
    wrong, visits.wrong = visits.wrong, []
    assert [] == wrong


def open_as_new(page: Page, url: str) -> None:
    """Open a report as a visitor does who was never here: what pages from disk kept is cleared.

    Chromium's processes have their own copies of localStorage: a page may still see what was cleared just before.
    """
    found = True
    while found:
        clear(page, "local_storage", "indexeddb")
        page.goto(url)
        found = page.evaluate("keptAtOpening > 0")


def clear(page: Page, *kinds: str) -> None:
    """Clear what pages from disk kept, by Chromium's names of the places."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Storage.clearDataForOrigin", {"origin": "file://", "storageTypes": ",".join(kinds)})
    devtools.detach()
