"""The files of a report that fills itself: what each tells, and that none tells too little."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugins.evidence.evidence import Evidence
from plugins.plan.cells import Cell
from plugins.review.live import LiveReport
from plugins.review.review import Review
from tests.plugins.review.sample import BLANK, make_review


@pytest.fixture
def review(tmp_path: Path) -> Review:
    """Review Spyke's matrix."""
    return make_review(tmp_path / "reports", side=16, flags=False)


def told(review: Review, name: str = "0") -> dict[str, Any]:
    """Return what a file tells the page."""
    text = (review.reports / "live" / f"{name}.js").read_text("utf-8")
    found: dict[str, Any] = json.loads(text.removeprefix("acceptanceFill(").removesuffix(");\n"))
    return found


def test_what_changes_an_earlier_picture_is_told_too(review: Review) -> None:
    """A picture's twin, whose check fails only now, and a cell that failed meanwhile come with it, each once."""
    known: dict[Cell, Evidence] = {}
    failures: dict[Cell, str] = {}
    empty = replace(review, entries=tuple(replace(entry, evidence=None) for entry in review.entries))
    report = review.reports / "report.html"
    live = LiveReport(report, gather=lambda: empty, known=lambda: known, failures=lambda: failures, per_file=3)
    first, second, third, failed = review.entries[3:7]
    assert first.evidence
    assert second.evidence
    assert third.evidence
    known[review.entries[0].cell] = review.entries[0].evidence or first.evidence
    live.add(review.entries[0].cell)
    assert live.is_begun
    assert report.read_text("utf-8").startswith("<!DOCTYPE html>")
    known[first.cell] = first.evidence
    live.add(first.cell)
    assert [first.cell.id] == list(told(review)["cells"])

    twin = second.evidence.model_copy(update={"picture": first.evidence.picture})
    known |= {second.cell: twin, first.cell: first.evidence.with_check(BLANK)}
    failures[failed.cell] = "out of memory"
    live.add(second.cell)
    found = told(review)
    assert {first.cell.id, second.cell.id, failed.cell.id} == set(found["cells"])
    assert found["full"]
    assert "nearly one colour" in found["cells"][first.cell.id]["html"]
    assert "out of memory" in found["cells"][failed.cell.id]["html"]

    known[third.cell] = third.evidence
    live.add(third.cell)
    assert [third.cell.id] == list(told(review, "1")["cells"])
    live.end()
    assert ["end.js"] == [path.name for path in (review.reports / "live").iterdir()]
    assert told(review, "end")["finished"]
