"""The report while pictures are still rendered: a page that takes up each picture as it comes, from disk.

report.html is written with the first picture. Each later one goes into a script file below `live/`, which the open page
loads again and again; a full file is left behind for the next one. The finished page needs none of them.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import Final
from urllib.parse import quote

from markupsafe import escape

from plugins.evidence.evidence import Evidence
from plugins.evidence.files import write_atomically
from plugins.plan.cells import Cell
from plugins.review.page import TEMPLATES, cell_data, environment, render_page
from plugins.review.previews import Preview, beside
from plugins.review.review import Entry, Review, source_of

FOLDER: Final = PurePosixPath("live")
"""Where the script files lie, seen from the report: `0.js`, `1.js`, and in the end `end.js` alone."""

_CALL: Final = "acceptanceFill"
_HEAD: Final = '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'


class LiveReport:
    """Writes a run's report from its first picture on. Safe to use from several threads.

    `gather` returns the review of what is known when the first picture is there. `known` and `failures` are the run's
    own, and grow.
    """

    def __init__(
        self,
        report: Path,
        *,
        gather: Callable[[], Review],
        known: Callable[[], Mapping[Cell, Evidence]],
        failures: Callable[[], Mapping[Cell, str]],
        per_file: int = 40,
    ) -> None:
        self._report = report
        self._gather = gather
        self._known = known
        self._failures = failures
        self._per_file: Final = per_file
        """Pictures in one file. It is written anew for each of them, and loaded by the page twice a second."""
        self._run: Final = f"live {token_hex(8)}"
        self._lock = threading.Lock()
        self._begun = False
        self._number = 0
        self._cells: dict[str, str] = {}
        """The cells of the current file, as the page's script knows them, in JSON."""
        self._alike: dict[str, dict[Cell, Evidence]] = {}
        """What the page shows, by the digest of its pixels: a twin changes what is known of the first."""
        self._failed: set[Cell] = set()

    @property
    def is_begun(self) -> bool:
        """Whether the report is there to look at."""
        return self._begun

    def add(self, cell: Cell) -> None:
        """Show a picture that was just kept, and what else changed: its twins, and cells that failed.

        Raises `OSError`.
        """
        with self._lock:
            if self._begun:
                self._tell(list(self._news(cell)))
            else:
                self._begin()

    def end(self) -> None:
        """Say that the finished report is there, and take away what it does not need. Raises `OSError`."""
        with self._lock:
            if self._begun:
                write_atomically(self._file("end"), f"{_CALL}({json.dumps({'run': self._run, 'finished': True})});\n")
                self._clear(but="end.js")

    def _begin(self) -> None:
        self._clear()
        review = self._gather()
        page = render_page(replace(review, filling=self._run, metrics=()))
        for entry in review.entries:
            self._note(entry)
        title = escape(review.plan.title)
        write_atomically(self._report, f"{_HEAD}<title>{title}</title></head><body><div>{page}</div></body></html>\n")
        self._begun = True

    def _news(self, cell: Cell) -> Iterator[Entry]:
        known = self._known()
        if evidence := known.get(cell):
            yield Entry(cell=cell, evidence=evidence)
            for other, shown in self._alike.get(evidence.picture.pixels_sha256, {}).items():
                if other != cell and known[other] is not shown:
                    yield Entry(cell=other, evidence=known[other])
        for failed, problem in list(self._failures().items()):
            if failed not in self._failed:
                yield Entry(cell=failed, evidence=None, problem=problem)

    def _tell(self, entries: list[Entry]) -> None:
        picture = environment(TEMPLATES).get_template("picture.html")  # which keeps it
        for entry in entries:
            html = picture.module.picture(entry, self._preview(entry))  # type: ignore[attr-defined]
            self._cells[entry.cell.id] = json.dumps({**cell_data(entry, {}), "html": str(html)})
            self._note(entry)
        full = len(self._cells) >= self._per_file
        rest = json.dumps({"run": self._run, "full": full, "at": datetime.now(UTC).isoformat()})
        cells = ", ".join(f"{json.dumps(name)}: {one}" for name, one in self._cells.items())
        script = f'{_CALL}({rest[:-1]}, "cells": {{{cells}}}}});\n'  # only what is new is put into JSON
        write_atomically(self._file(str(self._number)), script, flushed=False)
        if full:
            self._number, self._cells = self._number + 1, {}

    def _note(self, entry: Entry) -> None:
        if entry.evidence:
            self._alike.setdefault(entry.pixels, {})[entry.cell] = entry.evidence
        elif entry.problem:
            self._failed.add(entry.cell)

    def _preview(self, entry: Entry) -> Preview | None:
        """Return a preview that is linked: what lies beside the page, or the picture itself."""
        if entry.evidence is None:
            return None
        reports, size = self._report.parent, entry.evidence.picture
        there = beside(source_of(reports, entry.cell), reports)
        address = quote(there.relative_to(reports).as_posix() if there else entry.picture.as_posix())
        return Preview(f"{address}?{entry.digest[:8]}", size.width, size.height)

    def _file(self, name: str) -> Path:
        return self._report.parent / FOLDER / f"{name}.js"

    def _clear(self, but: str = "") -> None:
        for path in (self._report.parent / FOLDER).glob("*.js"):
            if path.name != but:
                path.unlink(missing_ok=True)
