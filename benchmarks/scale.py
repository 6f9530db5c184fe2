"""What a cell costs, from 100 to 10,000 of them: own processor time, memory, collection, report.

Run `python -m benchmarks.scale`, which takes some minutes; `--sizes 100 1000 10000` takes longer, and so does
`--sizes 102 1020 10200`, of 10 checkpoints at five strengths and several seeds. Matrices of these
sizes are generated on a stand-in that takes no time to sample, with pictures of 64x64 that are not compared with
training images: what is left is about what a cell costs apart from its picture. Then two of 120 and 240 cells are
generated, with pictures of 512x512, every check and a preview. The cost of a cell is the difference between two sizes,
so that the start does not count: at most 15 ms of own processor time apart from the picture, 40 ms with it, and 40 kB
of memory. Nothing of it may grow with the size.

Of each matrix the page is opened in Chromium: seconds until its `load` event, and of the page's own processor time.
"""

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

from benchmarks.common import Ground, Spent, stand_ins, write_plan
from plugins.plan.reading import read_plan
from tests.browser.chromium import start_chromium
from tests.browser.measure import opened

APART_MS: Final = 15.0
WITH_PICTURE_MS: Final = 40.0
MEMORY_KB: Final = 40.0
SHAPES: Final = {
    100: (9, 10, 1, 1),
    102: (10, 2, 1, 5),
    120: (5, 20, 1, 1),
    240: (11, 20, 1, 1),
    1000: (19, 50, 1, 1),
    1020: (10, 5, 4, 5),
    10_000: (49, 200, 1, 1),
    10_200: (10, 20, 10, 5),
}
"""Checkpoints, prompts, seeds and strengths of a matrix of so many cells; the baseline is a column too."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one matrix took."""

    cells: int
    collecting: Spent
    generating: Spent
    resuming: Spent
    report: float
    """MB of report.html."""
    opened: tuple[float, float]
    """Seconds until the page was loaded, and of its processor time."""


def measure(cells: int, *, small: bool) -> Measured:
    """List, generate and resume one matrix, and open its report."""
    checkpoints, prompts, seeds, strengths = SHAPES[cells]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = write_plan(folder, checkpoints=checkpoints, prompts=prompts, small=small)
        if strengths > 1:
            listed = [round(0.6 + number / 10, 1) for number in range(strengths)]
            axes = f"seeds = {[*range(1, seeds + 1)]}\nlora_strengths = {listed}\n"
            text = re.sub(r"^seeds = .*\n", axes, file.read_text("utf-8"), flags=re.MULTILINE)
            file.write_text(text, "utf-8")
        with stand_ins(read_plan(file), seconds_per_image=0.0) as urls:
            place = Ground(plan_file=file, urls=urls, reports=folder / "reports")
            collecting = place.pytest("-m", "generate", "--collect-only", "-q")
            generating = place.pytest("-m", "generate")
            resuming = place.pytest("-m", "generate")
        report = place.reports / "report.html"
        with sync_playwright() as playwright:
            browser = start_chromium(playwright)
            took = opened(browser.new_page(viewport={"width": 1440, "height": 900}), report)
            browser.close()
        return Measured(
            cells=cells,
            collecting=collecting,
            generating=generating,
            resuming=resuming,
            report=report.stat().st_size / 1e6,
            opened=took,
        )


def tell(found: Measured) -> None:
    """Print one matrix."""
    print(
        f"  {found.cells} cells: listed in {found.collecting.wall:.1f} s; generated in {found.generating.wall:.1f} s "
        f"({found.generating.cpu:.1f} s own), {found.generating.peak / 1024:.0f} MB; "
        f"again in {found.resuming.wall:.1f} s; report {found.report:.2f} MB, opened in {found.opened[0]:.2f} s "
        f"({found.opened[1]:.2f} s busy)",
        flush=True,
    )


def per_cell(less: Measured, more: Measured) -> tuple[float, float]:
    """Return ms of own processor time, and kB of memory, of each cell that the larger matrix has more."""
    cells = more.cells - less.cells
    milliseconds = 1000 * (more.generating.cpu - less.generating.cpu) / cells
    return milliseconds, (more.generating.peak - less.generating.peak) / cells


def compare(found: list[Measured], allowed: float) -> bool:
    """Print what a cell costs from each size to the next; gives whether all are within the bounds."""
    good = True
    for less, more in pairwise(found):
        milliseconds, memory = per_cell(less, more)
        good = good and milliseconds <= allowed and memory <= MEMORY_KB
        print(
            f"  from {less.cells} to {more.cells}: {milliseconds:.2f} ms a cell, ratio {milliseconds / allowed:.2f} to "
            f"the bound; {memory:.1f} kB, ratio {memory / MEMORY_KB:.2f}"
        )
    return good


def main() -> int:
    """Print what was measured."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", type=int, nargs="+", choices=sorted(SHAPES), default=[100, 1000])
    sizes = options.parse_args().sizes
    good = True
    for small, matrices, allowed in ((True, sizes, APART_MS), (False, [120, 240], WITH_PICTURE_MS)):
        print("pictures of 64x64:" if small else "pictures of 512x512:")
        found = []
        for cells in matrices:
            found.append(measure(cells, small=small))
            tell(found[-1])
        good = compare(found, allowed) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
