"""Take the README's picture of a report: `python -m tests.browser.screenshot reports/demo/report.html report.jpg`."""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.chromium import start_chromium


def take(report: Path, picture: Path) -> None:
    """Open a report on a desktop, and write what is seen first as a JPEG below 300 kB."""
    with sync_playwright() as playwright:
        browser = start_chromium(playwright)
        page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme="light")
        page.goto(report.absolute().as_uri())
        page.wait_for_load_state("networkidle")
        for quality in (85, 75, 65, 50):
            if len(page.screenshot(path=picture, type="jpeg", quality=quality)) < 300_000:
                break
        browser.close()


if __name__ == "__main__":
    take(*map(Path, sys.argv[1:3]))
