"""For everyone and against anyone: screen readers, contrast, keys, hostile plans, large matrices."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from plugins.pictures.check import Check, Outcome
from plugins.plan.plan import Plan
from plugins.review.review import Entry
from tests.browser.axe import violations
from tests.browser.conftest import Open
from tests.browser.still import enlarge
from tests.plugins.review.sample import (
    COPY,
    large_plan,
    make_review,
    spyke,
    training_images,
    write_page,
)

pytestmark = pytest.mark.browser

HOSTILE = (
    """"'></style></script></title><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1"><!--"""
)


def test_axe_finds_no_violation(page: Page) -> None:
    """The page and pytest-html's table pass axe."""
    page.locator('.matrix .marks button[value="no"]').first.click()
    for closed in page.locator("#results summary, .metrics summary").all():
        closed.click()
    assert [] == violations(page)


@pytest.mark.slow
def test_axe_finds_no_violation_in_dialogs_and_in_the_dark(page: Page) -> None:
    """The page's dialogs, blind mode and long logs pass axe, too; so do their colours in the dark."""
    page.locator('.matrix .marks button[value="no"]').first.click()
    for closed in page.locator("#results summary, .metrics summary").all():
        closed.click()
    logs = page.locator("#results .log")
    assert logs.count() > 0
    logs.evaluate_all("logs => logs.forEach(log => log.textContent += '\\n'.repeat(40) + 'the end')")
    assert [] == violations(page)
    page.emulate_media(color_scheme="dark")
    assert [] == violations(page, "", "color-contrast")
    page.locator("#blind").click()
    enlarge(page, "final-novel_pose")
    for key in "1yut":
        page.keyboard.press(key)
    assert [] == violations(page, "#viewer", "color-contrast")
    page.emulate_media(color_scheme="light")
    assert [] == violations(page, "#viewer")
    page.keyboard.press("?")
    assert [] == violations(page, "#keys")


@pytest.mark.slow
def test_axe_finds_no_violation_on_a_phone(page: Page) -> None:
    """The same on a narrow screen."""
    page.set_viewport_size({"width": 390, "height": 844})
    assert [] == violations(page)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(390, 844), (768, 1024), (1024, 768), (1440, 900)], ids=lambda size: str(size[0]))
def test_axe_finds_no_violation_at_any_width(open_page: Open, report: Path, size: tuple[int, int], scheme: str) -> None:
    """Page, large picture and duel pass axe at four widths, light and dark, with everything unfolded."""
    page = open_page(report, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    for checkpoint, answer in (("step600", "yes"), ("final", "yes"), ("step400", "no")):
        button = page.locator(f'.judge .rest .marks[data-checkpoint="{checkpoint}"] [value="{answer}"]')
        button.press("Enter")  # not a click, which a page that still scrolls may get elsewhere
    page.evaluate("for (const one of document.querySelectorAll('details:not(.menu)')) one.open = true")
    assert [] == violations(page)
    page.locator("#start-duels").click()
    page.keyboard.press("ArrowLeft")
    assert [] == violations(page, "#duel")
    page.keyboard.press("Escape")
    page.locator('[data-cell="step600-novel_pose"] .picture').click()
    assert [] == violations(page, "#viewer")


def test_numbers_by_step_are_plotted_and_readable(page: Page) -> None:
    """Each measure is a picture with a name and its numbers in words, a sentence of what it means, and a table."""
    plot = page.get_by_role("img", name="Distance to the training images, by step")
    expect(plot).to_have_accessible_description("step 200: 0.80; step 600: 0.60; step 800: 0.50; final, step 920: 0.40")
    assert 3 == page.locator(".plots figcaption").count()
    expect(page.locator(".metrics")).to_contain_text("They advise; they never select.")
    page.locator(".metrics summary").click()
    assert "step 400 7.0 – 0.50" == " ".join(page.locator(".metrics tbody tr").nth(1).inner_text().split())  # noqa: RUF001


def test_stability_is_said_near_the_facts(page: Page) -> None:
    """Whether the server gives the same picture again stands on top, where the settings are."""
    expect(page.locator(".top")).to_contain_text("it is bit-stable")


def test_keys_are_listed(page: Page) -> None:
    """`?` lists the keys, in the matrix and beside a large picture; Escape closes the list alone."""
    page.keyboard.press("?")
    expect(page.locator("#keys-title")).to_be_in_viewport()
    page.keyboard.press("Escape")
    enlarge(page, "step200-novel_pose")
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    expect(page.locator("#viewer")).to_be_visible()


def test_keys_do_nothing_while_text_is_typed(page: Page) -> None:
    """Writing a note with any letter in it neither marks nor flips."""
    enlarge(page, "step200-novel_pose")
    page.locator("#cell-note").press_sequentially("yes? no, buttery m=0")
    expect(page.locator("#cell-note")).to_have_value("yes? no, buttery m=0")
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("not marked yet")


def test_expectations_can_be_hidden(page: Page) -> None:
    """What to expect of a step is read after looking: on demand, and not before something of it is marked."""
    told = page.locator('.expect [data-column="step600"]')
    expect(told).to_be_hidden()
    page.keyboard.press("e")
    expect(told).to_be_hidden()
    page.locator('.judge .marks[data-checkpoint="step600"] [value="yes"]').first.click()
    expect(told).to_be_visible()
    expect(told).to_contain_text("Often the sweet spot")
    expect(page.locator('.expect [data-column="step800"]')).to_be_hidden()
    page.keyboard.press("e")
    expect(told).to_be_hidden()


def test_pictures_have_names_for_screen_readers(page: Page) -> None:
    """A picture is named by its checkpoint and prompt, and described by its flags; a mark by what it marks."""
    picture = page.get_by_role("button", name="final, step 920 A novel pose, not in the training set", exact=True)
    expect(picture).to_have_accessible_description(re.compile(f"^training copy ?: {re.escape(COPY.message)}"))
    expect(page.get_by_role("group", name="Ginger or orange hair step 600", exact=True)).to_have_count(1)


def test_print_shows_marks_and_no_controls(page: Page) -> None:
    """On paper are pictures and marks, and no buttons to press."""
    page.emulate_media(media="print")
    expect(page.locator("#blind")).to_be_hidden()
    expect(page.locator("#results")).to_be_hidden()
    expect(page.locator('[data-cell="step600-novel_pose"] img')).to_be_visible()
    page.emulate_media(media="screen")


def hostile_plan() -> Plan:
    """Return the Spyke plan with markup in every text that may hold some."""
    plan = spyke()
    return plan.model_copy(
        update={
            "title": HOSTILE,
            "selection_rule": HOSTILE,
            "sampling": plan.sampling.model_copy(
                update=dict.fromkeys(("base_model", "sampler", "scheduler", "negative"), HOSTILE)
            ),
            "checkpoints": tuple(
                c.model_copy(update={"expect": HOSTILE, "label": label})
                for c, label in zip(plan.checkpoints, ("constructor", "toString"), strict=False)
            ),
            "prompts": tuple(p.model_copy(update={"purpose": HOSTILE, "text": HOSTILE}) for p in plan.prompts[:2]),
            "criteria": tuple(c.model_copy(update={"text": HOSTILE}) for c in plan.criteria[:2]),
        }
    )


def test_hostile_plan_runs_no_script(open_page: Open, tmp_path: Path) -> None:
    """Markup in the plan, the server's words, problems and file names is shown as it is written, and never runs."""
    evil = Check(name=HOSTILE, outcome=Outcome.FAILED, message=HOSTILE)
    references = training_images(tmp_path / "training", 1, side=64)
    named = references[0].rename(tmp_path / "training" / "<img src=x onerror=window.hacked=1>.png")
    review = make_review(
        tmp_path / "reports", side=64, flags=False, plan=hostile_plan(), references=(named,), command=HOSTILE
    )
    entries = []
    for entry in review.entries:
        assert entry.evidence
        server = entry.evidence.server.model_copy(update=dict.fromkeys(("url", "comfyui_version", "device"), HOSTILE))
        evidence = entry.evidence.model_copy(update={"server": server, "checks": (evil,), "base_model": HOSTILE})
        entries.append(Entry(cell=entry.cell, evidence=evidence, problem=HOSTILE, nearest=named))
    entries[-1] = Entry(cell=entries[-1].cell, evidence=None, problem=HOSTILE)
    page = open_page(write_page(replace(review, entries=tuple(entries))))
    assert HOSTILE == page.locator("#review h1").inner_text()
    page.locator(".picture").nth(1).click()
    for key in ("b", "r", "t", "1", "y", "ArrowRight", "n", "ArrowDown", "Escape"):
        page.keyboard.press(key)
    page.locator("#choices input").first.check()
    expect(page.locator('.score[data-checkpoint="constructor"]')).to_have_text("1 yes; chosen")
    page.locator("#results summary").click()
    page.locator("#blind").click()
    assert page.evaluate("window.hacked") is None
    assert 0 == page.locator("#review script, #review img[onerror]").count()


@pytest.mark.slow
def test_large_matrix_loads_only_what_is_in_sight(open_page: Open, tmp_path: Path) -> None:
    """A matrix of 3 x 30 is written small, with previews beside it, and loads only what can be seen."""
    report = write_page(make_review(tmp_path / "reports", side=32, plan=large_plan(3, 30), flags=False))
    assert report.stat().st_size < 500_000
    page = open_page(report)
    expect(page.locator(".tally")).to_have_text("90 of 90 pictures rendered")
    loaded = page.locator(".picture img").evaluate_all("images => images.filter(image => image.naturalWidth).length")
    assert 0 < loaded < 45
    enlarge(page, "step200-prompt29")
    expect(page.locator("#viewer-column")).to_have_text("step 200")


@pytest.mark.slow
def test_many_pictures_read_like_few(open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are laid out by themselves have the columns, headers in view, keys and roles of a table's."""
    review = make_review(tmp_path / "reports", side=32, references=training_images(tmp_path / "training", 3, side=32))
    few = open_page(write_page(review))
    monkeypatch.setattr("plugins.review.page.MANY", 1)
    many = open_page(write_page(review))
    cells = ("#name-final", '[data-cell="final-novel_pose"]', '.judge [data-column="final"]')
    for place in cells:
        expected, got = few.locator(place).first.bounding_box(), many.locator(place).first.bounding_box()
        assert expected
        assert got
        assert (expected["x"], expected["width"]) == pytest.approx((got["x"], got["width"]), abs=3)
    told = []
    for page in (few, many):
        page.evaluate("scrollTo(0, 600)")
        expect(page.locator("#name-step600")).to_be_in_viewport()
        page.locator('[data-cell="step200-novel_pose"] .picture').focus()
        page.keyboard.press("ArrowUp")
        focused = page.evaluate("document.activeElement.closest('td').dataset.cell")
        roles = [page.get_by_role(role).count() for role in ("table", "columnheader", "rowheader", "row", "cell")]
        told.append((focused, roles))
    assert told[0] == told[1]
