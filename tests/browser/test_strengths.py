"""Several strengths on the page: a strip in each column, flipped by a key, judged and chosen with the checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from plugins.plan.cells import matrix
from plugins.review.ballot import figures
from plugins.review.review import Entry, Review
from tests.browser.axe import violations
from tests.browser.conftest import Open
from tests.browser.still import enlarge
from tests.plugins.review.ballots import read_ballot
from tests.plugins.review.sample import COPY, PASSED, make_review, spyke, write_page

pytestmark = pytest.mark.browser


@pytest.fixture
def strengths(tmp_path: Path) -> Review:
    """Review the Spyke plan at three strengths; the last checkpoint is warned of."""
    plan = spyke()
    sampling = plan.sampling.model_copy(update={"lora_strengths": (0.8, 1.0, 0.6)})
    review = make_review(tmp_path, side=64, flags=False, plan=plan.model_copy(update={"sampling": sampling}))
    return replace(review, entries=tuple(map(warned, review.entries)))


def warned(entry: Entry) -> Entry:
    """Warn of a copy on the pictures of one checkpoint."""
    if entry.evidence is None or entry.cell.column != "final":
        return entry
    return replace(entry, evidence=entry.evidence.model_copy(update={"checks": (PASSED, COPY)}))


def mark(page: Page, checkpoint: str, criterion: str, answer: str) -> None:
    """Mark a criterion below the pictures, at the strength that is looked at."""
    group = f'.judge .marks[data-checkpoint="{checkpoint}"][data-criterion="{criterion}"]'
    page.locator(f'{group} button[value="{answer}"]').click()


def test_strength_is_judged_and_chosen_with_the_checkpoint(strengths: Review, open_page: Open, tmp_path: Path) -> None:
    """A key flips all columns; marks, rule, choice and ballot are of the strength that is looked at."""
    page, ballot = open_page(write_page(strengths)), tmp_path / "ballot.json"
    large = page.locator(".looked-at[data-cell]")
    assert [True] * 9 == page.locator(".strip .flag").evaluate_all(
        "all => all.map(one => one.scrollWidth <= one.clientWidth && one.scrollHeight <= one.clientHeight)"
    )
    assert "step200-trigger_environment-strength0.8" == large.first.get_attribute("data-cell")
    mark(page, "step200", "hair", "no")
    page.keyboard.press("l")
    assert "step200-trigger_environment-strength1" == large.first.get_attribute("data-cell")
    for criterion in [one.id for one in strengths.plan.criteria if one.required]:
        mark(page, "step200", criterion, "yes")
    assert "step 200 at strength 1 is the earliest checkpoint" in page.locator("#verdict").inner_text()
    assert "step 200 at strength 0.8 is ruled out. Ginger or orange hair: no." in page.locator("#verdict").inner_text()
    page.locator("#take").click()
    page.keyboard.press("L")  # what is chosen stays, whatever is looked at
    page.reload()
    expect(page.locator('.score[data-checkpoint="step200"]')).to_contain_text("chosen")
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(ballot)
    saved = read_ballot(ballot)
    assert ("step200", 1.0, True) == (saved.choice, saved.strength, saved.follows_rule)
    assert "no" == figures(saved, strengths.plan, 0.8)["step200"]["hair"].answer
    assert "yes" == figures(saved, strengths.plan, 1.0)["step200"]["hair"].answer
    assert {cell.id for cell in matrix(strengths.plan)} == set(saved.pictures)


@pytest.mark.slow
def test_large_picture_flips_through_the_strengths(strengths: Review, open_page: Open) -> None:
    """A large picture is flipped by the same keys, says its strength, and is compared with another one."""
    page = open_page(write_page(strengths), viewport={"width": 390, "height": 844}, color_scheme="dark")
    enlarge(page, "step600-novel_pose-strength1")
    title = page.locator("#viewer-title")
    assert (
        page.locator(".at-strength").evaluate(
            "label => label.offsetHeight - label.querySelector('select').offsetHeight"
        )
        < 9
    )
    assert "step 600 at strength 1" in title.inner_text()
    page.keyboard.press("L")
    assert "step 600 at strength 0.8" in title.inner_text()
    page.locator("#other").select_option("strength 1")
    assert "step 600 at strength 1" == page.locator("#other-tag").inner_text()
    assert [] == violations(page)
    page.keyboard.press("Escape")
    assert 390 == page.evaluate("document.documentElement.scrollWidth")
