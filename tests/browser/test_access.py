"""For everyone and against anyone: screen readers, contrast, keys, hostile plans, large matrices."""

from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from plugins.pictures.check import Check, Outcome
from plugins.plan.plan import Plan
from plugins.review.review import Entry
from tests.browser.conftest import Open
from tests.plugins.review.sample import large_plan, make_review, spyke, training_images, write_page, write_report

pytestmark = pytest.mark.browser

HOSTILE = (
    """"'></style></script></title><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1"><!--"""
)


def violations(page: Page) -> list[str]:
    """Give what axe finds, one line for each element."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(open_page: Open, report: Path, scheme: str) -> None:
    """The page, its dialogs, blind mode and pytest-html's table pass axe in light and dark."""
    page = open_page(report, color_scheme=scheme)
    page.locator('.matrix .marks button[value="no"]').first.click()
    page.locator("#results summary").click()
    assert [] == violations(page)
    page.locator("#blind").click()
    page.locator('[data-cell="final-novel_pose"] .picture').click()
    for key in "1yub":
        page.keyboard.press(key)
    assert [] == violations(page)
    page.keyboard.press("?")
    assert [] == violations(page)


def test_axe_finds_no_violation_on_a_phone(open_page: Open, report: Path) -> None:
    """The same on a narrow screen."""
    page = open_page(report, viewport={"width": 390, "height": 844})
    assert [] == violations(page)


def test_keys_are_listed(page: Page) -> None:
    """`?` lists the keys, in the matrix and beside a large picture; Escape closes the list alone."""
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator('[data-cell="step200-novel_pose"] .picture').click()
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    expect(page.locator("#viewer")).to_be_visible()


def test_keys_do_nothing_while_text_is_typed(page: Page) -> None:
    """Writing a note with any letter in it neither marks nor flips."""
    page.locator('[data-cell="step200-novel_pose"] .picture').click()
    page.locator("#cell-note").press_sequentially("yes? no, buttery m=0")
    expect(page.locator("#cell-note")).to_have_value("yes? no, buttery m=0")
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("not marked yet")


def test_expectations_can_be_hidden(page: Page) -> None:
    """What to expect of each step is there at first, and goes and comes with a key."""
    told = page.locator('.expect [data-column="step600"]')
    expect(told).to_contain_text("Often the sweet spot")
    page.keyboard.press("e")
    expect(told).to_be_hidden()
    page.keyboard.press("e")
    expect(told).to_be_visible()


def test_pictures_have_names_for_screen_readers(page: Page) -> None:
    """A picture is named by its checkpoint and prompt, and described by its flags; a mark by what it marks."""
    picture = page.get_by_role("button", name="final, step 920 A novel pose, not in the training set", exact=True)
    expect(picture).to_have_accessible_description("copy close to training image spyke_07.png (distance 3 of 64)")
    expect(page.get_by_role("group", name="Ginger or orange hair step 600", exact=True)).to_have_count(1)


def test_print_shows_marks_and_no_controls(page: Page) -> None:
    """On paper are pictures and marks, and no buttons to press."""
    page.emulate_media(media="print")
    expect(page.locator("#blind")).to_be_hidden()
    expect(page.locator("#results")).to_be_hidden()
    expect(page.locator('[data-cell="step600-novel_pose"] img')).to_be_visible()
    page.emulate_media(media="screen")


def hostile_plan() -> Plan:
    """Give the Spyke plan with markup in every text that may hold some."""
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
    page = open_page(write_report(replace(review, entries=tuple(entries))))
    assert HOSTILE == page.locator("#review h1").inner_text()
    page.locator(".picture").nth(1).click()
    for key in ("b", "r", "t", "1", "y", "ArrowRight", "n", "ArrowDown", "Escape"):
        page.keyboard.press(key)
    page.locator("#choices input").first.check()
    expect(page.locator('.score[data-checkpoint="constructor"]')).to_have_text("1 yes; chosen")
    page.locator("#blind").click()
    page.locator("#results summary").click()
    assert page.evaluate("window.hacked") is None
    assert 0 == page.locator("#review script, #review img[onerror]").count()


def test_large_matrix_loads_only_what_is_in_sight(open_page: Open, tmp_path: Path) -> None:
    """A matrix of 3 x 30 is written small, with previews beside it, and loads only what can be seen."""
    report = write_page(make_review(tmp_path / "reports", side=32, plan=large_plan(3, 30), flags=False))
    assert report.stat().st_size < 500_000
    page = open_page(report)
    expect(page.locator(".tally")).to_have_text("90 of 90 pictures rendered")
    loaded = page.locator(".picture img").evaluate_all("images => images.filter(image => image.naturalWidth).length")
    assert 0 < loaded < 45
    page.locator('[data-cell="step200-prompt29"] .picture').click()
    expect(page.locator("#viewer-column")).to_have_text("step 200")
