"""Take the README's pictures of a report: `python -m tests.browser.screenshots reports/demo/report.html docs`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from tests.browser.chromium import start_chromium

LARGEST: Final = 300_000
"""Bytes of a picture."""


def first_screen(page: Page) -> None:
    """Leave the page as it opens."""
    page.wait_for_load_state("networkidle")


def one_picture(page: Page) -> None:
    """Open one picture, with its first mark made."""
    page.locator('[data-cell="step600-asymmetric_details"] .picture').click()
    page.keyboard.press("y")


def decision(page: Page) -> None:
    """Mark what step 600 has and the others lack, and go to where one decides."""
    page.keyboard.press("Escape")
    for checkpoint, answer in (("step200", "n"), ("step400", "n"), ("step600", "y"), ("step800", "n"), ("final", "n")):
        for marks in page.locator(f'.matrix .marks[data-checkpoint="{checkpoint}"]').all():
            marks.locator("button").first.press(answer)
            if answer == "n":
                break
    page.locator("#decide").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('decide').scrollIntoView()")


PICTURES: Final[Mapping[str, Callable[[Page], None]]] = {
    "report.jpg": first_screen,
    "viewer.jpg": one_picture,
    "decide.jpg": decision,
}


def take(report: Path, folder: Path) -> None:
    """Open a report on a desktop, and write what is seen on the way as JPEGs."""
    with sync_playwright() as playwright:
        browser = start_chromium(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="light")
        page.goto(report.absolute().as_uri())
        for name, prepare in PICTURES.items():
            prepare(page)
            page.wait_for_timeout(500)
            for quality in (85, 75, 65, 50):
                if len(page.screenshot(path=folder / name, type="jpeg", quality=quality)) < LARGEST:
                    break
        browser.close()


if __name__ == "__main__":
    take(*map(Path, sys.argv[1:3]))
