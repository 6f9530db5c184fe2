"""Judging blind, tried by somebody who wants to know which column is step 600."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from plugins.plan.tested import Rival
from tests.browser.conftest import Visits, open_as_new
from tests.browser.still import enlarge
from tests.plugins.review.sample import make_review, spyke, write_page

pytestmark = pytest.mark.browser

DOUBT = "step600 and final hold the same bytes"
NOT_AT_RANDOM = "Math.random = () => 0"
"""The same shuffle each time: step 400, step 600, step 800, final, the rival, step 200."""
TELLING = ("600", "step ", "final", "920", "v0", "rival, ", "overfit", "training copy", "LoRA effect", "sweet", DOUBT)


@pytest.fixture(scope="module")
def visited(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Open a report with a rival and a doubt, once for all tests of this module."""
    visits = Visits(browser)
    plan = spyke()
    plan = plan.model_copy(update={"rivals": (Rival(file="v0.safetensors", label="v0"),)})
    report = write_page(
        make_review(
            tmp_path_factory.mktemp("blind"),
            side=32,
            flags=True,
            plan=plan,
            doubts=(DOUBT,),
            production="step 600, proven 25 Nov 2025",
        )
    )
    yield visits.open(report, script=NOT_AT_RANDOM)
    visits.close()


@pytest.fixture
def report(visited: Page) -> Page:
    """Return the report as a visitor sees it who was never here."""
    open_as_new(visited, visited.url)
    return visited


def order(page: Page) -> list[str]:
    """Return the columns' ids from left to right."""
    ids: list[str] = page.locator(".names [data-column]").evaluate_all(
        "cells => cells.map(cell => cell.dataset.column)"
    )
    return ids


def test_nothing_that_was_done_before_tells(report: Page) -> None:
    """Neither what was written, starred, focused or enlarged before, nor how large a field was drawn."""
    enlarge(report, "step600-novel_pose")
    report.locator("#cell-note").fill("the sweet one")
    report.locator("#stage").focus()
    report.keyboard.press("p")
    report.keyboard.press("Escape")
    notes = report.locator('.matrix textarea[data-id="final"]')
    notes.fill("too stiff")
    notes.evaluate("field => { field.style.height = '200px'; }")
    report.locator("#blind").click()
    assert ["baseline", "step400", "step600", "step800", "final", "v0", "step200"] == order(report)
    assert [""] == list(set(report.locator("textarea").evaluate_all("all => all.map(one => one.value)")))
    assert "sweet" not in report.locator("#review").inner_text()
    expect(notes).not_to_have_attribute("style", "height: 200px;")
    assert ["baseline"] == report.locator('.matrix button[tabindex="0"]').evaluate_all(
        "all => all.map(one => one.closest('td').dataset.column)"
    )
    report.locator(".first").click()
    expect(report.locator("#viewer-column")).to_have_text("checkpoint A")
    report.keyboard.press("Escape")
    report.locator("#blind").click()
    expect(report.locator(".starred")).to_have_count(0)


def test_nothing_is_cleared_without_a_word(report: Page) -> None:
    """Starting blind asks where something was written, and leaves all as it is for a "no"."""
    asked: list[str] = []
    notes = report.locator('.matrix textarea[data-id="final"]')
    notes.fill("too stiff")
    report.evaluate("globalThis.confirm = (question) => { globalThis.asked = question; return false; }")
    report.locator("#blind").click()
    asked.append(report.evaluate("globalThis.asked"))
    assert asked[0].endswith("since you could see the names. To keep it, save the ballot first.")
    expect(notes).to_have_value("too stiff")
    expect(report.locator("#blind")).to_have_text("Judge blind")


def test_what_is_seen_heard_or_printed_tells_nothing(report: Page) -> None:
    """Not the page's words, on paper neither, nor what a screen reader says of a picture, a mark or a list."""
    report.locator("#blind").click()
    report.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    for media in ("screen", "print"):
        report.emulate_media(media=media)
        seen = report.locator("body").inner_text()
        assert [] == [telling for telling in TELLING if telling in seen]
    report.emulate_media(media="screen")
    nodes = report.context.new_cdp_session(report).send("Accessibility.getFullAXTree")["nodes"]
    told = [one.get(key, {}) for one in nodes if not one["ignored"] for key in ("name", "description")]
    heard = [str(one.get("value")) for one in told]
    assert "checkpoint A Trigger word and environment" in heard
    assert [] == [one for one in heard for telling in TELLING if telling in one]


def test_other_window_on_the_report_closes_what_it_shows(report: Page) -> None:
    """A window that has step 600 enlarged when another one goes blind does not show it under its new name."""
    other = report.context.new_page()
    other.goto(report.url)
    enlarge(other, "step600-novel_pose")
    expect(other.locator("#viewer-column")).to_have_text("step 600")
    report.locator("#blind").click()
    expect(other.locator("#blind")).to_have_text("Reveal the checkpoints")
    expect(other.locator("#viewer")).to_be_hidden()
    other.locator(".first").click()
    expect(other.locator("#viewer-column")).to_have_text("checkpoint A")
    other.close()


def test_rival_cannot_be_told_by_what_is_offered(report: Page) -> None:
    """What can be deployed is not listed, since the letter that is missing there would be the rival's."""
    expect(report.locator("#choices")).to_be_visible()
    report.locator("#blind").click()
    expect(report.locator("#choices")).to_be_hidden()
    expect(report.locator("#against-rivals")).to_have_text("")


def test_remark_of_a_changed_picture_names_no_step(report: Page, tmp_path: Path) -> None:
    """A ballot is loaded that chose a checkpoint whose pictures changed: the remark has the blind name."""
    report.locator("#blind").click()
    with report.expect_download() as download:
        report.locator("#save").click()
    path = tmp_path / "ballot.json"
    download.value.save_as(path)
    ballot = path.read_text("utf-8").replace('"choice": null', '"choice": "step600"')
    digest = json.loads(ballot)["pictures"]["step600-novel_pose"]["file"]
    path.write_text(ballot.replace(digest, "0" * 64), "utf-8")
    report.locator("#file").set_input_files(path)
    expect(report.locator("#status")).to_contain_text("The choice of checkpoint B is dropped")
    assert [] == [telling for telling in TELLING if telling in report.locator("#review").inner_text()]
