"""Duels: where marks tie, pictures are compared two by two without names, and what that says of the best."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Open
from tests.plugins.review.ballots import read_ballot
from tests.plugins.review.sample import ROOT, make_review, spyke, write_page

pytestmark = pytest.mark.browser

SOURCES = [(ROOT / "plugins/review/template" / name).read_text("utf-8") for name in ("agreement.js", "odds.js")]
BASEBALL = [  # American League 1987, rows over columns: A. Agresti, Categorical Data Analysis (1990), table 10.10
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]


def counted(page: Page, expression: str, *given: object) -> list[float]:
    """Return what the page's own functions make of this."""
    found: list[float] = page.evaluate(
        "([source, given]) => new Function('given', source)(given)",
        ["\n".join([*SOURCES, f"return {expression}"]), given],
    )
    return found


def test_abilities_are_the_published_ones(page: Page) -> None:
    """Bradley and Terry's model: without a prior as printed, with one as the package choix 0.4.1 has it."""
    free = counted(page, "abilities(given[0], 0)", BASEBALL)
    assert [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0] == pytest.approx(
        [one - free[6] for one in free], abs=1e-4
    )
    choix = [0.503344, 0.368539, 0.235092, 0.190766, 0.057822, -0.348541, -1.007021]
    assert choix == pytest.approx(counted(page, "abilities(given[0], 1)", BASEBALL), abs=1e-5)
    circle = [[0, 3, 0], [0, 0, 2], [1, 0, 0]]
    assert [0.533104, -0.160044, -0.37306] == pytest.approx(counted(page, "abilities(given[0], 0.5)", circle), abs=1e-5)


def test_few_duels_leave_doubt(page: Page) -> None:
    """Of two, how likely one is the better is the chance that a share with a uniform prior exceeds a half (Bayes)."""
    for won, lost, expected in ((3, 0, 0.9375), (7, 3, 0.8867), (2, 2, 0.5), (0, 0, 0.5)):
        duels = [{"one": 0, "other": 1, "share": 1}] * won + [{"one": 1, "other": 0, "share": 1}] * lost
        found = counted(page, "bests(2, given[0], 4000).map(({ best }) => best)", duels)
        assert [expected, 1 - expected] == pytest.approx(found, abs=0.03), (won, lost)


def test_tied_checkpoints_are_compared_without_names(page: Page, tmp_path: Path) -> None:
    """Offered where marks tie; by keys; side and prompt by chance; undone; kept, saved and told in words."""
    expect(page.locator("#duels")).to_be_hidden()
    for checkpoint, answer in (("step600", "yes"), ("final", "yes"), ("step400", "no")):
        # not a click, which a page that still scrolls may get elsewhere
        page.locator(f'.judge .rest .marks[data-checkpoint="{checkpoint}"] [value="{answer}"]').press("Enter")
    expect(page.locator("#duels-why")).to_contain_text("step 600 and final, step 920 tie on the marks.")
    page.locator("#start-duels").click()
    dialog = page.locator("#duel")
    seen = []
    for _ in range(6):
        expect(dialog.locator('img[src*="/pictures/"]')).to_have_count(2)
        sides = dialog.locator("img").evaluate_all("images => images.map(image => image.src)")
        seen.append(sides[0].rpartition("/")[2])
        page.keyboard.press("ArrowLeft" if "/step600/" in sides[0] else "ArrowRight")
    assert 3 == len(set(seen[:3])) == len(set(seen[3:]))  # each prompt before one comes again
    assert "step" not in dialog.inner_text()
    expect(page.locator("#duel-status")).to_contain_text("6 decided.")
    assert [] == violations(page, "#duel")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Backspace")
    expect(page.locator("#duel-status")).to_contain_text("6 decided.")
    page.keyboard.press("Escape")
    expect(page.locator("#start-duels")).to_be_focused()
    lines = page.locator("#preference span").all_inner_texts()
    assert "After 6 duels:" == lines[0]
    assert lines[1].startswith("step 600: 9"), lines
    page.reload()
    expect(page.locator("#preference span")).to_have_text(lines)
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(tmp_path / "ballot.json")
    ballot = read_ballot(tmp_path / "ballot.json")
    assert 6 == len(ballot.duels)
    assert "\n".join(lines) == ballot.preference
    page.locator('.judge .marks[data-checkpoint="final"][data-criterion="hair"] [value="no"]').click()
    expect(page.locator("#duels")).to_be_hidden()


@pytest.mark.slow
def test_duels_are_of_what_is_looked_for(open_page: Open, tmp_path: Path) -> None:
    """A prompt on which no criterion is looked for, as one without the trigger word, is never asked about."""
    plan = spyke()
    bleeding, *others = plan.prompts
    plan = plan.model_copy(update={"prompts": (bleeding.model_copy(update={"bleed": True}), *others)})
    page = open_page(write_page(make_review(tmp_path, side=16, flags=False, plan=plan)))
    for checkpoint in ("step600", "final"):
        page.locator(f'.judge .rest .marks[data-checkpoint="{checkpoint}"] [value="yes"]').press("Enter")
    page.locator("#start-duels").click()
    seen = set()
    for _ in range(6):
        seen.add(page.locator("#duel-status").inner_text().partition(". ")[2])
        page.keyboard.press("ArrowLeft")
    assert {prompt.purpose for prompt in others} == seen
