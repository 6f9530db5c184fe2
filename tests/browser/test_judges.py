"""Several judges on the page: their ballots side by side, how far they agree, and what is in dispute."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from plugins.review.agreement import agreements, alpha
from plugins.review.ballot import parse_ballot
from plugins.review.review import Review
from tests.browser.axe import violations
from tests.plugins.review.published import EXAMPLES, units
from tests.plugins.review.sample import ROOT, spyke

pytestmark = pytest.mark.browser

TEMPLATES = ROOT / "plugins" / "review" / "template"


def test_alpha_is_the_published_one_on_the_page_too(page: Page) -> None:
    """The page's alpha is the published one, and the same as the summary's; all marks alike have none."""
    source = (TEMPLATES / "agreement.js").read_text("utf-8")
    tables = [[list(answers) for answers in units(table)] for table, _ in EXAMPLES.values()]
    tables += [[["yes", "yes"], ["yes", "yes"]], [["yes"], ["no"]], []]
    counted = page.evaluate(
        "([source, tables]) => tables.map(new Function(`${source}; return (table) => alpha(table);`)())",
        [source, tables],
    )
    assert [alpha(table) for table in tables] == pytest.approx(counted)
    assert [published for _, published in EXAMPLES.values()] == pytest.approx(counted[:4], abs=0.0006)
    assert [None, None, None] == counted[4:]


def ballot(review: Review, judge: str, marks: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return a ballot as the page saves it, with marks on pictures in the novel pose: by checkpoint, then criterion."""
    plan = review.plan
    given = {
        checkpoint: {"novel_pose": {name: {"answer": answer, "blind": True} for name, answer in answers.items()}}
        for checkpoint, answers in marks.items()
    }
    return {
        "format": 2,
        "plan": {"name": plan.name, "digest": plan.digest},
        "simulated": False,
        "saved": "2025-11-22T20:30:00Z",
        "judge": judge,
        "marks": given,
        "notes": {},
        "choice": None,
        "reason": "",
        "suggestion": {"checkpoint": None, "reason": ""},
        "blind": None,
        "pictures": {one.cell.id: {"file": one.digest, "pixels": one.pixels} for one in review.entries if one.digest},
    }


def test_ballots_of_others_are_compared(page: Page, review: Review, tmp_path: Path) -> None:
    """Each criterion has its agreement, as the summary counts it; a required "no" in dispute is on top, and opens."""
    given = [
        ballot(review, "Ana", {"step600": {"hair": "yes", "cloak": "yes", "style": "no"}, "step800": {"cloak": "yes"}}),
        ballot(review, "", {"step600": {"hair": "yes", "cloak": "no", "style": "yes"}, "step800": {"cloak": "yes"}}),
    ]
    files = [tmp_path / "ana.json", tmp_path / "ben.json", tmp_path / "broken.json"]
    for path, one in zip(files, given, strict=False):
        path.write_text(json.dumps(one), "utf-8")
    files[2].write_text("{", "utf-8")
    page.locator("#ballots").set_input_files(files)
    expect(page.locator("#status")).to_contain_text("broken.json is not compared: it is not JSON")
    expect(page.locator("#judges-status")).to_have_text("Judges: you, Ana (blind), ben.json (blind).")
    told = page.locator("#agreements td").all_inner_texts()
    assert [str(one) for one in agreements([parse_ballot(one) for one in given], spyke())] == told
    disputes = page.locator("#disputes li")
    where = "step 600, A novel pose, not in the training set"
    style = "Art style as in the training images, not generic anime (not required)"
    assert [
        f"{where} White cloak or coat visible: Ana yes, ben.json no",
        f"{where} {style}: Ana no, ben.json yes",
    ] == disputes.all_inner_texts()
    assert [] == violations(page, ".decide")
    expect(page.locator("#progress")).to_have_text("0 of 30 marked")  # one's own ballot stays as it is
    disputes.first.locator("button").click()
    expect(page.locator("#viewer-title")).to_have_text("step 600 A novel pose, not in the training set")
    page.keyboard.press("Escape")
    page.locator("#blind").click()
    expect(page.locator("#agreement")).to_be_hidden()
    assert "Ana" not in page.locator(".judges").inner_text()
