"""Judging: marks, the rule's verdict, blind mode, and the ballot that is saved and loaded."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from plugins.plan.tested import Rival
from plugins.plan.wanted import Selection
from plugins.review.ballot import Ballot, Judged, differences
from plugins.review.review import Review
from plugins.review.rivals import compared_with
from tests.browser.conftest import Open, clear
from tests.browser.still import enlarge
from tests.plugins.review.ballots import read_ballot
from tests.plugins.review.sample import make_review, spyke, write_page

pytestmark = pytest.mark.browser

CRITERIA = ("hair", "cloak", "right_bracer", "left_pauldron", "style", "novel_pose_holds")


def mark(page: Page, checkpoint: str, answers: str) -> None:
    """Mark one checkpoint's criteria from the top down: `y`, `n`, `u`, or `-` to leave one open."""
    for criterion, key in zip(CRITERIA, answers, strict=True):
        group = f'.matrix .marks[data-checkpoint="{checkpoint}"][data-criterion="{criterion}"]'
        if key != "-":
            page.locator(f"{group} button").first.press(key)


def saved(page: Page, folder: Path) -> Ballot:
    """Save the ballot as a person does, and read it as a deployment does."""
    with page.expect_download() as download:
        page.locator("#save").click()
    assert "ballot.json" == download.value.suggested_filename
    path = folder / "ballot.json"
    download.value.save_as(path)
    return read_ballot(path)


def verdict(page: Page) -> str:
    """Return the first line of what the rule says."""
    return page.locator("#verdict > :first-child").inner_text()


def test_whole_judgement_by_keys_alone(page: Page, tmp_path: Path) -> None:
    """Without a mouse: open a picture, mark two checkpoints, take the rule's choice, say why, save."""
    page.locator('[data-cell="baseline-trigger_environment"] .picture').focus()
    first = ("ArrowRight", "Enter", *"nnn", "ArrowDown", *"nnnn", "ArrowDown", *"nnnnn")
    for key in (*first, "ArrowRight", *"yyyyy", "ArrowUp", *"yyyy", "ArrowRight", *"yuuu", "Escape"):
        page.keyboard.press(key)
    page.locator("#take").focus()
    page.keyboard.press("Enter")
    page.locator("#reason").focus()
    page.keyboard.type("yes, no? All there.")
    ballot = saved(page, tmp_path)
    assert dict.fromkeys(CRITERIA, "no") == ballot.answers("step200")
    assert dict.fromkeys(CRITERIA, "yes") == ballot.answers("step400")
    assert {
        "hair": "yes",
        "cloak": "unsure",
        "style": "unsure",
        "novel_pose_holds": "unsure",
    } == ballot.answers("step600")
    assert ("step400", "yes, no? All there.") == (ballot.choice, ballot.reason)
    assert ballot.follows_rule
    assert not ballot.judged_blind


def test_closing_a_picture_does_not_take_the_focus_back(page: Page) -> None:
    """The focus goes to the picture at once when it is closed, and never away from where it was put since."""
    enlarge(page, "step600-novel_pose")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(page.locator('[data-cell="step800-novel_pose"] .picture')).to_be_focused()
    page.keyboard.press("Enter")
    page.evaluate("document.querySelector('[data-action=close]').click(); document.getElementById('reason').focus()")
    page.evaluate("new Promise((turn) => setTimeout(turn, 50))")
    expect(page.locator("#reason")).to_be_focused()


def test_ballot_carries_what_was_judged(page: Page, review: Review, tmp_path: Path) -> None:
    """The ballot names the plan and every picture's digest, so that it is known what was judged."""
    ballot = saved(page, tmp_path)
    assert (review.plan.name, review.plan.digest) == (ballot.plan.name, ballot.plan.digest)
    expected = {one.cell.id: Judged(file=one.digest, pixels=one.pixels) for one in review.entries if one.digest}
    assert expected == ballot.pictures
    assert [] == differences(ballot, review.entries)


def test_keys_go_to_a_criterion_and_take_marks_back(page: Page) -> None:
    """A digit goes to a criterion, a letter marks it and goes on to this prompt's next, Backspace takes it back."""
    enlarge(page, "step600-asymmetric_details")
    for key in "3y":
        page.keyboard.press(key)
    pressed = page.locator('#viewer .marks[data-criterion="right_bracer"] [value="yes"]')
    expect(pressed).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#viewer-criteria li.current")).to_contain_text("LEFT knee pauldron")
    for key in ("3", "Backspace"):
        page.keyboard.press(key)
    expect(pressed).to_have_attribute("aria-pressed", "false")


def test_one_key_too_many_changes_nothing(page: Page) -> None:
    """Where all that a prompt is to show is marked, a letter marks nothing and says so; a digit names a criterion."""
    enlarge(page, "step600-trigger_environment")
    for key in "yyynn":
        page.keyboard.press(key)
    score = page.locator('.score[data-checkpoint="step600"]')
    expect(score).to_have_text("3 yes")
    expect(page.locator("#viewer-status")).to_contain_text("j: the next unmarked picture. Type a number to go back")
    for key in "2n":
        page.keyboard.press(key)
    expect(score).to_have_text("2 yes, 1 no; ruled out")
    page.keyboard.press("4")
    expect(page.locator("#viewer-status")).to_have_text("There is no criterion 4 on this prompt.")
    page.keyboard.press("j")
    expect(page.locator("#viewer-title")).to_have_text("step 800 A novel pose, not in the training set")
    for key in ("ArrowUp", "y"):
        page.keyboard.press(key)
    expect(page.locator("#viewer-status")).to_have_text("There is no picture here to mark.")
    for key in ("b", "ArrowRight", "ArrowRight", "y"):
        page.keyboard.press(key)
    expect(page.locator("#viewer-title")).to_contain_text("baseline")


def test_what_is_ruled_out_comes_last(page: Page) -> None:
    """`j` leads past the pictures of what one "no" ruled out, and comes back to them when all else is marked."""
    mark(page, "step200", "n-----")
    for checkpoint in ("step400", "step800", "final"):
        mark(page, checkpoint, "yyyyyy")
    enlarge(page, "step200-trigger_environment")
    page.keyboard.press("j")
    title = page.locator("#viewer-title")
    for row in ("Trigger word", "A novel pose", "Asymmetric details"):
        expect(title).to_contain_text(f"step 600 {row}")
        for key in "yyyyyj":
            page.keyboard.press(key)
    expect(title).to_contain_text("step 200")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("y")
    expect(page.locator("#viewer-status")).to_contain_text("Everything is marked but what is ruled out. Esc")
    expect(page.locator("#viewer-progress")).to_have_text("25 of 30 marked.")


def test_mark_is_of_one_picture(page: Page, tmp_path: Path) -> None:
    """Beside a picture a letter marks that one, with Shift all of its checkpoint's; the figure says what is proven."""
    enlarge(page, "step600-novel_pose")
    for key in ("y", "N", "Escape"):
        page.keyboard.press(key)
    hair, cloak = (
        page.locator(f'.judge .marks[data-checkpoint="step600"][data-criterion="{criterion}"]')
        for criterion in ("hair", "cloak")
    )
    expect(hair.locator("xpath=following-sibling::small")).to_have_text("1 of 1: at least 21 %")
    expect(cloak.locator("xpath=following-sibling::small")).to_have_text("0 of 3: at most 56 %")
    enlarge(page, "step600-asymmetric_details")
    for key in ("n", "Escape"):
        page.keyboard.press(key)
    expect(hair.locator('[value="yes"]')).to_have_attribute("aria-pressed", "mixed")
    expect(hair.locator("xpath=following-sibling::small")).to_have_text("1 of 2: 9 to 91 %")
    marks = saved(page, tmp_path).marks["step600"]
    assert {"asymmetric_details": "no", "novel_pose": "yes"} == {
        row: given["hair"].answer for row, given in marks.items() if "hair" in given
    }
    assert ["no", "no", "no"] == [given["cloak"].answer for given in marks.values()]


def test_what_is_done_is_undone_and_done_again(page: Page) -> None:
    """Ctrl+Z takes back one thing after the other, also a whole clearing; Ctrl+Y and Ctrl+Shift+Z do it again."""
    score = page.locator('.score[data-checkpoint="step200"]')
    mark(page, "step200", "yn----")
    page.locator("#clear").click()
    expect(score).to_have_text("not marked yet")
    for key, told in (
        ("Control+z", "1 yes, 1 no; ruled out"),
        ("Control+z", "1 yes"),
        ("Control+z", "not marked yet"),
        ("Control+Shift+Z", "1 yes"),
        ("Control+y", "1 yes, 1 no; ruled out"),
    ):
        page.keyboard.press(key)
        expect(score).to_have_text(told)
    for _ in range(3):
        page.keyboard.press("Control+z")
    expect(page.locator("#status")).to_have_text("There is nothing to undo.")


def test_preview_picture_is_starred_and_taken_back(page: Page, tmp_path: Path) -> None:
    """`p` stars one picture of a checkpoint, for publishing; the ballot keeps it, and Ctrl+Z takes it back."""
    enlarge(page, "step600-novel_pose")
    page.keyboard.press("p")
    for key in ("ArrowRight", "p"):
        page.keyboard.press(key)
    expect(page.locator("#star")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    enlarge(page, "baseline-novel_pose")
    expect(page.locator("#star")).to_be_hidden()
    page.keyboard.press("p")
    page.keyboard.press("Escape")
    expect(page.locator(".starred")).to_have_attribute("data-cell", "step800-novel_pose")
    assert "step800-novel_pose" == saved(page, tmp_path).starred
    page.keyboard.press("Control+z")
    expect(page.locator(".starred")).to_have_attribute("data-cell", "step600-novel_pose")
    page.reload()
    expect(page.locator(".starred")).to_have_attribute("data-cell", "step600-novel_pose")
    page.locator("#blind").click()
    expect(page.locator(".starred")).to_have_count(0)


def test_nothing_is_undone_across_a_shuffle(page: Page) -> None:
    """After the checkpoints were hidden, undoing shows them no more, nor does it hide them after the reveal."""
    mark(page, "step200", "y-----")
    page.locator("#blind").click()
    page.keyboard.press("Control+z")
    expect(page.locator("#blind")).to_have_text("Reveal the checkpoints")
    page.locator("#clear").click()
    expect(page.locator("#blind")).to_have_text("Reveal the checkpoints")
    page.locator("#blind").click()
    page.keyboard.press("Control+z")
    expect(page.locator("#blind")).to_have_text("Judge blind")


def test_empty_ballot_is_said_to_be_empty(page: Page, tmp_path: Path) -> None:
    """Saving without a single mark says so, and so does the file."""
    assert saved(page, tmp_path).is_empty
    expect(page.locator("#status")).to_contain_text("It has no marks")
    page.locator("#judge-name").fill("Ana")
    mark(page, "step200", "y-----")
    assert "Ana" == saved(page, tmp_path).judge
    expect(page.locator("#status")).not_to_contain_text("It has no marks")


def test_arrow_keys_walk_over_pictures_and_marks(page: Page) -> None:
    """Arrow keys go from the pictures down to the marks of the same column; a letter marks, and goes on."""
    page.locator('[data-cell="step600-asymmetric_details"] .picture').focus()
    for key in ("ArrowDown", "ArrowRight", "n", "Enter"):
        page.keyboard.press(key)
    expect(page.locator('.score[data-checkpoint="step600"]')).to_have_text("1 yes, 1 no; ruled out")


def test_rule_wants_enough_marked(page: Page) -> None:
    """While an earlier checkpoint could still win, the rule names no later one."""
    assert "Still to mark: step 200, 5 required criteria. One “no” rules it out." == verdict(page)
    mark(page, "step200", "n-----")
    mark(page, "step600", "yyyyyy")
    assert "Still to mark: step 400, 5 required criteria. One “no” rules it out." == verdict(page)
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("1 no; ruled out")


def test_rule_takes_the_earliest_with_every_required_yes(page: Page) -> None:
    """`unsure` is no yes; a criterion that is not required does not count."""
    mark(page, "step200", "n-----")
    mark(page, "step400", "yyyy-u")
    mark(page, "step600", "yyyyny")
    mark(page, "step800", "yyyyyy")
    assert "step 600 is the earliest checkpoint with every required criterion marked yes." == verdict(page)
    assert (
        "step 400 is ruled out. The novel pose works, without collapsing into a copy of a training image: unsure."
        in (page.locator("#verdict").inner_text())
    )


@pytest.mark.slow
def test_rate_is_what_the_interval_must_reach(open_page: Open, tmp_path: Path) -> None:
    """Where the plan asks for a rate, a yes on all pictures passes only where enough pictures show it; a no may not."""
    plan = spyke()
    hair, *_ = plan.criteria
    plan = plan.model_copy(update={"criteria": (hair,), "selection": Selection.model_validate({"pass": 0.4})})
    page = open_page(write_page(make_review(tmp_path, side=16, flags=False, plan=plan)))
    assert "Still to mark: step 200, 1 required criterion." == verdict(page)
    group = '.matrix .marks[data-checkpoint="{}"] button'
    page.locator(group.format("step200")).first.press("n")
    page.locator(group.format("step400")).first.press("y")
    lines = page.locator("#verdict span").all_inner_texts()
    assert lines[0] == (
        "step 400 is the earliest checkpoint with every required criterion seen on at least 40 % of pictures, "
        "by the interval's lower end."
    )
    assert (
        "Least proven: Ginger or orange hair, on 3 of 3 pictures. So few prove only that at least 44 % of pictures "
        "show it."
    ) == lines[1]
    assert "step 200 is ruled out. Ginger or orange hair: 0 of 3: at most 56 %." == lines[2]
    enlarge(page, "step400-novel_pose")
    for key in ("1", "n"):
        page.keyboard.press(key)
    assert "Still to mark: step 600, 1 required criterion." == verdict(page)
    assert "step 400 is ruled out. Ginger or orange hair: 2 of 3: 21 to 94 %." in page.locator("#verdict").inner_text()


@pytest.mark.slow
def test_marks_say_whether_it_is_better_than_a_rival(open_page: Open, tmp_path: Path) -> None:
    """The page answers as the summary does whether the rule's checkpoint is better than what is in production."""
    rival = Rival(file="production", label="now")
    plan = spyke().model_copy(update={"rivals": (rival,)})
    page = open_page(write_page(make_review(tmp_path, side=16, flags=False, plan=plan)))
    told = page.locator("#against-rivals")
    mark(page, "step200", "yyyyyy")
    expect(told).to_have_text(
        "Is step 200 better than now, in production? Not answered: 5 of 5 criteria are not marked on both."
    )
    for answers in ("yyyyyy", "nyyyyy", "yyyyny"):
        mark(page, "now", answers)
        said = compared_with(rival, saved(page, tmp_path), plan, selected="step200", strength=None)
        expect(told).to_have_text(said.replace("step200", "step 200").replace("than now?", "than now, in production?"))
    page.locator("#blind").click()
    expect(told).to_be_empty()


def test_pass_on_some_pictures_is_said_to_be_one(page: Page) -> None:
    """Where the rule finds its checkpoint by some of its pictures alone, it says how many lack a mark."""
    enlarge(page, "step200-asymmetric_details")
    for key in "yyyy":
        page.keyboard.press(key)
    for key in ("ArrowUp", "y", "y", "5", "4", "y", "Escape"):
        page.keyboard.press(key)
    told = page.locator("#verdict")
    expect(told).to_contain_text("step 200 is the earliest checkpoint")
    expect(told).to_contain_text("But 1 of its 3 pictures lacks a mark for a required criterion.")
    mark(page, "step200", "yyyy-y")
    expect(told).not_to_contain_text("lack")


def test_choosing_otherwise_asks_for_a_reason(page: Page, tmp_path: Path) -> None:
    """A choice against the rule is free, and asks why until something is written."""
    mark(page, "step200", "yyyyyy")
    expect(page.locator("#against")).to_be_hidden()
    page.locator('#choices input[value="final"]').check()
    expect(page.locator("#against")).to_be_visible()
    page.locator("#reason").fill("Sharper cloak")
    expect(page.locator("#against")).to_be_hidden()
    ballot = saved(page, tmp_path)
    assert ("final", "step200") == (ballot.choice, ballot.suggestion.checkpoint)
    assert not ballot.follows_rule


def test_command_names_the_choice_and_is_copied(page: Page) -> None:
    """The command to type next holds the chosen checkpoint, and a button copies it."""
    command = page.locator("#command")
    expect(command).to_have_text("pytest -m deploy --selected-step=STEP")
    page.locator('#choices input[value="final"]').check()
    expect(command).to_have_text("pytest -m deploy --selected-step=final")
    page.locator('#choices input[value="step600"]').check()
    page.locator("#copy").click()
    expect(page.locator("#status")).to_have_text("Copied.")
    assert "pytest -m deploy --selected-step=600" == page.evaluate("navigator.clipboard.readText()")


def test_blind_hides_and_reveal_shows(page: Page, tmp_path: Path) -> None:
    """Blind, nothing tells the checkpoints apart; the same shuffle holds in every row; revealed, all is back."""
    page.locator("#blind").click()
    shuffle = page.locator(".names [data-column]").evaluate_all("cells => cells.map(cell => cell.dataset.column)")
    for line in page.locator("tr.pictures").all():
        assert shuffle == line.locator("td[data-column]").evaluate_all(
            "cells => cells.map(cell => cell.dataset.column)"
        )
    enlarge(page, "step600-novel_pose")
    seen = page.locator("#review").inner_text()
    for telling in (
        "600",
        "final",
        "920",
        "sweet spot",
        "Likely overfit",
        "LoRA effect",
        "training copy",
        "Nearest training image",
        "spyke_0",
        "0.55",
        "undefined",
    ):
        assert telling not in seen
    expect(page.locator(".plots")).to_be_hidden()
    expect(page.locator("#viewer-column")).to_have_text("checkpoint " + "ABCDE"[shuffle.index("step600") - 1])
    assert "step" not in " ".join(page.locator("#other option").all_inner_texts())
    page.keyboard.press("y")
    page.keyboard.press("Escape")
    expect(page.locator("#command")).to_have_text("pytest -m deploy --selected-step=STEP")
    assert "Judging blind: 1 of 30 marked." in verdict(page)
    page.locator("#blind").click()
    assert ["baseline", "step200", "step400", "step600", "step800", "final"] == page.locator(
        ".names [data-column]"
    ).evaluate_all("cells => cells.map(cell => cell.dataset.column)")
    ballot = saved(page, tmp_path)
    assert ballot.judged_blind
    assert ballot.blind
    assert (tuple(shuffle[1:]), True) == (ballot.blind.order, ballot.blind.revealed)


def test_mark_after_the_reveal_is_not_blind(page: Page, tmp_path: Path) -> None:
    """One mark given in the open, and the judgement is no longer blind."""
    page.locator("#blind").click()
    mark(page, "step200", "yyyyyy")
    page.locator("#blind").click()
    mark(page, "step400", "n-----")
    assert not saved(page, tmp_path).judged_blind


def test_starting_blind_clears_open_marks(page: Page) -> None:
    """Marks that were made with the names in view do not count as blind, so they go."""
    mark(page, "step200", "yyyyyy")
    page.locator("#blind").click()
    assert "Judging blind: 0 of 30 marked." in verdict(page)


def test_closed_tab_loses_nothing(page: Page, report: Path) -> None:
    """What was marked, noted and chosen is there again after the page was closed, also in the middle of blind."""
    page.locator("#blind").click()
    order = page.locator(".names .name").all_inner_texts()
    columns = page.locator(".names [data-column]").evaluate_all("cells => cells.map(cell => cell.dataset.column)")
    mark(page, "step200", "yynnuu")
    page.locator('textarea[data-note="checkpoints"][data-id="final"]').first.fill("too <b>stiff</b>")
    enlarge(page, "step600-novel_pose")
    page.locator("#cell-note").fill("good hands")
    page.goto("about:blank")
    page.goto(report.as_uri())
    expect(page.locator(".names .name")).to_have_text(order)
    assert columns == page.locator(".names [data-column]").evaluate_all(
        "cells => cells.map(cell => cell.dataset.column)"
    )
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("2 yes, 2 no, 2 unsure; ruled out")
    expect(page.locator('textarea[data-note="checkpoints"][data-id="final"]').first).to_have_value("too <b>stiff</b>")
    expect(page.locator('.cell-note[data-id="step600-novel_pose"]')).to_have_text("good hands")


CUT_OFF = """
const own = new Map();
Storage.prototype.getItem = (key) => own.get(key) ?? null;
Storage.prototype.setItem = (key, value) => { own.set(key, String(value)); };
Storage.prototype.removeItem = (key) => { own.delete(key); };
const keys = Object.keys;
Object.keys = (given) => given === localStorage ? [...own.keys()] : keys(given);
"""
"""As Chromium now and then opens a page: localStorage reads as empty, and forgets what it is given without an error."""
LATE_COPIES = """
const getAll = IDBObjectStore.prototype.getAll;
IDBObjectStore.prototype.getAll = function (...range) {
  const late = {}, asked = getAll.apply(this, range);
  asked.onsuccess = () => { late.result = asked.result; globalThis.answer = () => late.onsuccess(); };
  return late;
};
"""


def cut_off(page: Page, report: Path, script: str = "") -> Page:
    """Open a report in another window of the same visitor, cut off from localStorage."""
    other = page.context.new_page()
    other.add_init_script(CUT_OFF + script)
    other.goto(report.as_uri())
    return other


def open_connected(page: Page, report: Path) -> None:
    """Open a report until the page reaches localStorage, which another one shows: Chromium cuts some off."""
    written, read = "", None
    while written != read:
        page.goto(report.as_uri())
        written = page.evaluate("localStorage.tried = String(Math.random())")
        with closing(page.context.new_page()) as other:
            other.goto(report.as_uri())
            read = other.evaluate("localStorage.tried")
    page.evaluate("localStorage.removeItem('tried')")


def test_page_that_is_cut_off_from_its_storage_loses_nothing(page: Page, report: Path) -> None:
    """What was marked before is there, and what is marked now is there at the next visit."""
    mark(page, "step200", "y-----")
    page.goto("about:blank")
    with closing(cut_off(page, report)) as other:
        expect(other.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes")
        mark(other, "step200", "-n----")
    page.goto(report.as_uri())
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes, 1 no; ruled out")


def test_mark_that_is_given_before_the_last_visit_is_read_stays(page: Page, report: Path) -> None:
    """It is laid on top of what was marked then."""
    mark(page, "step200", "yy----")
    page.goto("about:blank")
    with closing(cut_off(page, report, LATE_COPIES)) as other:
        mark(other, "step200", "-n----")
        expect(other.locator('.score[data-checkpoint="step200"]')).to_have_text("1 no; ruled out")
        other.wait_for_function("() => 'answer' in globalThis")
        other.evaluate("answer()")
        expect(other.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes, 1 no; ruled out")
    page.goto(report.as_uri())
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes, 1 no; ruled out")


def test_window_that_is_cut_off_from_its_storage_agrees(page: Page, report: Path) -> None:
    """What is marked in one window shows in the other, whether it reaches the storage or not."""
    with closing(cut_off(page, report)) as other:
        mark(page, "step200", "y-----")
        expect(other.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes")
        mark(other, "step200", "-n----")
        expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes, 1 no; ruled out")


@pytest.mark.slow
def test_marks_of_before_there_were_copies_are_copied_at_the_first_visit(page: Page, report: Path) -> None:
    """A page that is cut off later shows them."""
    open_connected(page, report)
    mark(page, "step200", "y-----")
    clear(page, "indexeddb")
    open_connected(page, report)
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes")
    page.goto("about:blank")
    with closing(cut_off(page, report)) as other:
        expect(other.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes")


@pytest.mark.slow
def test_windows_agree_after_the_clock_was_set_back(page: Page, report: Path) -> None:
    """A ballot that was kept an hour ahead does not make windows ignore what is marked now."""
    ahead = page.context.new_page()
    with closing(ahead):
        ahead.add_init_script("const now = Date.now; Date.now = () => now() + 3_600_000;")
        ahead.goto(report.as_uri())
        mark(ahead, "step200", "y-----")
        expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes")
    with closing(page.context.new_page()) as other:
        other.goto(report.as_uri())
        mark(other, "step200", "-n----")
        expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes, 1 no; ruled out")
        mark(page, "step200", "--u---")
        expect(other.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes, 1 no, 1 unsure; ruled out")


@pytest.mark.slow
@pytest.mark.parametrize(
    "missing",
    [
        pytest.param("delete globalThis.BroadcastChannel;", id="no-channel"),
        pytest.param("BroadcastChannel = class { constructor() { throw new DOMException('no'); } };", id="refused"),
        pytest.param("BroadcastChannel.prototype.postMessage = () => { throw new DOMException('no'); };", id="mute"),
        pytest.param("Object.defineProperty(globalThis, 'indexedDB', { value: undefined });", id="no-copies"),
        pytest.param("IDBFactory.prototype.open = () => ({});", id="copies-that-never-answer"),
    ],
)
def test_browser_without_the_second_place_keeps_marks_in_the_first(open_page: Open, report: Path, missing: str) -> None:
    """The page works, and what was marked is there at the next visit."""
    page = open_page(report, script=missing)
    open_connected(page, report)
    mark(page, "step200", "y-----")
    expect(page.locator("#unkept")).to_be_hidden()
    open_connected(page, report)
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes")


def test_saved_ballot_restores_another_visit(page: Page, open_page: Open, report: Path, tmp_path: Path) -> None:
    """A ballot that was saved here fills in the page somewhere else, and saves as the same again."""
    mark(page, "step200", "nnnnnn")
    mark(page, "step400", "yyyyyy")
    page.locator("#take").click()
    page.locator("#reason").fill("All there")
    first = saved(page, tmp_path)
    other = open_page(report)
    other.locator("#file").set_input_files(tmp_path / "ballot.json")
    expect(other.locator("#status")).to_contain_text("Loaded.")
    second = saved(other, tmp_path)
    assert first == second.model_copy(update={"saved": first.saved})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param("{", "it is not JSON", id="broken"),
        pytest.param("null", "This is not a ballot", id="null"),
        pytest.param('{"format": 3, "marks": {}}', "This is not a ballot", id="other-format"),
        pytest.param(
            '{"format": 1, "marks": {}, "plan": {"name": "june"}}', "for june, not for spyke", id="other-plan"
        ),
    ],
)
def test_bad_ballot_changes_nothing(page: Page, tmp_path: Path, content: str, told: str) -> None:
    """A file that is no ballot for this page is refused in words, and what was marked stays."""
    mark(page, "step200", "yyyyyy")
    (tmp_path / "ballot.json").write_text(content, "utf-8")
    page.locator("#file").set_input_files(tmp_path / "ballot.json")
    expect(page.locator("#status")).to_contain_text(told)
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("6 yes")


def test_marks_of_other_pictures_are_dropped(page: Page, tmp_path: Path) -> None:
    """Marks on pictures that changed are dropped, and listed one by one on top until that was seen; others hold."""
    mark(page, "step200", "yyyyyy")
    mark(page, "step400", "nnnnnn")
    saved(page, tmp_path)
    raw = json.loads((tmp_path / "ballot.json").read_text("utf-8"))
    for again in raw["pictures"].values():
        again["file"] = "0" * 64  # the same pixels in other files
    raw["pictures"]["step200-novel_pose"]["pixels"] = "0" * 64
    (tmp_path / "ballot.json").write_text(json.dumps(raw), "utf-8")
    page.locator("#file").set_input_files(tmp_path / "ballot.json")
    expect(page.locator("#status")).to_contain_text("4 marks are dropped, since the pictures changed: listed on top.")
    pose = "step 200, A novel pose, not in the training set: "
    assert [
        f"{pose}Ginger or orange hair: yes",
        f"{pose}White cloak or coat visible: yes",
        f"{pose}Art style as in the training images, not generic anime: yes",
        f"{pose}The novel pose works, without collapsing into a copy of a training image: yes",
    ] == page.locator("#dropped li").all_inner_texts()
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("5 yes")
    page.reload()
    expect(page.locator("#dropped li")).to_have_count(4)
    page.locator("#dismiss").click()
    page.reload()
    expect(page.locator("#dropped")).to_be_hidden()
    expect(page.locator('.score[data-checkpoint="step400"]')).to_have_text("6 no; ruled out")


@pytest.mark.slow
def test_browser_that_keeps_nothing_is_told(open_page: Open, report: Path, tmp_path: Path) -> None:
    """Where a page from disk has no storage, everything works but the keeping, and the page says so."""
    script = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no storage'); }});"
    page = open_page(report, script=script)
    expect(page.locator("#unkept")).to_contain_text("Save the ballot before you close the page")
    mark(page, "step200", "yyyyyy")
    assert dict.fromkeys(CRITERIA, "yes") == saved(page, tmp_path).answers("step200")


def test_full_storage_is_told(page: Page, tmp_path: Path) -> None:
    """A storage that has no room any more is told on top at once, and what was marked can still be saved."""
    mark(page, "step200", "y-----")
    expect(page.locator("#unkept")).to_be_hidden()
    page.evaluate("void (Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); })")
    mark(page, "step200", "-y----")
    expect(page.locator("#unkept")).to_be_visible()
    assert {"hair": "yes", "cloak": "yes"} == saved(page, tmp_path).answers("step200")


def test_first_format_is_shown_as_marks_on_all_pictures(page: Page, review: Review, tmp_path: Path) -> None:
    """A ballot that was saved before marks belonged to pictures fills in each of its checkpoint's pictures."""
    raw = {
        "format": 1,
        "plan": {"name": review.plan.name, "digest": review.plan.digest},
        "marks": {
            "step600": {"hair": {"answer": "yes", "blind": True}, "right_bracer": {"answer": "no", "blind": True}}
        },
        "choice": "step600",
        "pictures": {entry.cell.id: entry.digest for entry in review.entries if entry.digest},
    }
    (tmp_path / "ballot.json").write_text(json.dumps(raw), "utf-8")
    page.locator("#file").set_input_files(tmp_path / "ballot.json")
    expect(page.locator('.score[data-checkpoint="step600"]')).to_have_text("1 yes, 1 no; ruled out; chosen")
    ballot = saved(page, tmp_path)
    assert {"hair": 3, "right_bracer": 1} == {
        criterion: sum(criterion in marks for marks in ballot.marks["step600"].values())
        for criterion in ("hair", "right_bracer")
    }
    assert ballot.judged_blind


def other_report(review: Review, folder: Path, changed: str = "") -> Path:
    """Write the same report into another folder, one picture of it drawn anew."""
    entries = []
    for entry in review.entries:
        evidence = entry.evidence
        if evidence:
            digest = {"sha256": "f" * 64}
            if entry.cell.id == changed:
                digest = {"sha256": "d" * 64, "pixels_sha256": "e" * 64}
            evidence = evidence.model_copy(update={"picture": evidence.picture.model_copy(update=digest)})
        entries.append(replace(entry, evidence=evidence))
    shutil.copytree(review.reports / "pictures", folder / "pictures", dirs_exist_ok=True)
    return write_page(replace(review, reports=folder, entries=tuple(entries)))


def test_generating_again_keeps_every_mark_on_the_same_pixels(page: Page, review: Review, tmp_path: Path) -> None:
    """Other files with the same pixels keep all marks; where one picture changed, its marks are listed as dropped."""
    place = other_report(review, tmp_path)
    page.goto(place.as_uri())
    mark(page, "step600", "yyyyyy")
    other_report(review, tmp_path, changed="step600-asymmetric_details")
    page.reload()
    expect(page.locator("#dropped li")).to_have_count(5)
    expect(page.locator('.score[data-checkpoint="step600"]')).to_have_text("4 yes")


@pytest.mark.slow
def test_report_that_was_only_opened_brings_its_marks_along(page: Page, review: Review, tmp_path: Path) -> None:
    """Marks that are shown after pictures were rendered anew are there again where that report is moved to."""
    place = other_report(review, tmp_path / "here")
    page.goto(place.as_uri())
    mark(page, "step600", "yyyyyy")
    other_report(review, tmp_path / "here", changed="step600-asymmetric_details")
    page.reload()
    expect(page.locator('.score[data-checkpoint="step600"]')).to_have_text("4 yes")
    page.goto((tmp_path / "here").rename(tmp_path / "there").joinpath(place.name).as_uri())
    expect(page.locator('.score[data-checkpoint="step600"]')).to_have_text("4 yes")


def test_two_reports_of_one_plan_never_touch_each_other(page: Page, review: Review, tmp_path: Path) -> None:
    """Another report of the same plan, on other pictures, begins empty and leaves the first as it is."""
    mark(page, "step200", "yyyyyy")
    page.locator('textarea[data-note="checkpoints"][data-id="final"]').first.fill("stiff")
    first = page.url
    page.goto(other_report(review, tmp_path, changed="step200-novel_pose").as_uri())
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("not marked yet")
    expect(page.locator('textarea[data-note="checkpoints"][data-id="final"]').first).to_have_value("")
    mark(page, "step200", "nnnnnn")
    page.goto(first)
    expect(page.locator('.score[data-checkpoint="step200"]')).to_have_text("6 yes")


def test_two_windows_on_one_report_agree(open_page: Open, report: Path) -> None:
    """What is marked in one window shows in the other, so that neither overwrites the other."""
    one = open_page(report)
    other = one.context.new_page()
    other.goto(report.as_uri())
    mark(one, "step200", "y-----")
    expect(other.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes")
    mark(other, "step200", "-n----")
    expect(one.locator('.score[data-checkpoint="step200"]')).to_have_text("1 yes, 1 no; ruled out")
