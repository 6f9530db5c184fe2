"""Measure a report of any size: `python -m tests.browser.measure COLUMNS ROWS` (baseline and checkpoints, prompts).

Prints how long the page and the contact sheet took to write, for the first time and again, their sizes, and how long
Chromium took to open the page: until its `load` event, and of processor time, which says more on a busy machine.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from plugins.plan.cells import matrix
from plugins.review.contact_sheet import write_contact_sheet
from plugins.review.review import Entry, Review
from tests.browser.chromium import start_chromium
from tests.plugins.review.sample import drawing, evidence, large_plan, spyke, write_page


def make(reports: Path, columns: int, rows: int) -> Review:
    """Lay out a matrix of 512 px pictures; 18 different ones, linked again and again."""
    plan = large_plan(columns, rows)
    pictures = [drawing(cell, 512) for cell in matrix(spyke())]
    for number, png in enumerate(pictures):
        (reports / f"{number}.png").write_bytes(png)
    entries = []
    for number, cell in enumerate(matrix(plan)):
        path = reports / "pictures" / cell.picture
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(reports / f"{number % len(pictures)}.png")
        entries.append(Entry(cell=cell, evidence=evidence(plan, cell, pictures[number % len(pictures)])))
    return Review(plan=plan, reports=reports, entries=tuple(entries))


def opened(page: Page, report: Path) -> tuple[float, float]:
    """Open the report; give seconds until it was loaded, and of the page's processor time."""
    metrics = page.context.new_cdp_session(page)
    metrics.send("Performance.enable")
    start = time.perf_counter()
    page.goto(report.as_uri())
    loaded = time.perf_counter() - start
    told = {metric["name"]: metric["value"] for metric in metrics.send("Performance.getMetrics")["metrics"]}
    return loaded, told["TaskDuration"]


def written(what: str, path: Path, write: Callable[[], object]) -> None:
    """Write a file, and print how long that took and how large it is."""
    start, busy = time.perf_counter(), time.process_time()
    write()
    took, busy = time.perf_counter() - start, time.process_time() - busy
    size = path.stat().st_size / 1e6
    print(f"  {what}: written in {took:.1f} s, {busy:.1f} s of processor time, {size:.2f} MB")  # noqa: T201


def measure(columns: int, rows: int) -> None:
    """Print what one size costs."""
    print(f"{columns} x {rows}")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        review = make(Path(folder), columns, rows)
        report, sheet = review.reports / "report.html", review.reports / "contact-sheet.png"
        written("page", report, lambda: write_page(review))
        written("page again", report, lambda: write_page(review))
        written("contact sheet", sheet, lambda: write_contact_sheet(review, sheet))
        browser = start_chromium(playwright)
        for _ in range(4):
            loaded, busy = opened(browser.new_page(viewport={"width": 1440, "height": 900}), report)
            print(f"  opened in {loaded:.2f} s, {busy:.2f} s of processor time")  # noqa: T201
        browser.close()


if __name__ == "__main__":
    measure(*map(int, sys.argv[1:3]))
