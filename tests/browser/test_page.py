"""The page as a place to judge: where to begin, how far it is, what stays in view, what can be put away."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import DESKTOP, Open
from tests.browser.still import enlarge, wait_until_still
from tests.plugins.review.sample import large_plan, make_review, spyke, training_images, write_page
from tests.waiting import until

pytestmark = pytest.mark.browser

TABLET = {"width": 1024, "height": 768}
UPRIGHT = {"width": 768, "height": 1024}
PHONE = {"width": 390, "height": 844}


def in_view(page: Page, selector: str, *, below: float = 0) -> bool:
    """Say whether an element is whole within the window and the matrix, and nothing of it is covered at its middle."""
    whole: bool = page.locator(selector).first.evaluate(
        """(element, below) => {
          const box = element.getBoundingClientRect();
          const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
          return box.top >= below && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth
            && (element.contains(top) || top.contains(element));
        }""",
        below,
    )
    return whole


def scrolled_to_the_last_mark(page: Page) -> None:
    """Scroll as somebody does who judges the last column's last criterion."""
    wait_until_still(page)
    page.locator(".judge .marks").last.evaluate(
        "marks => { marks.scrollIntoView({block: 'center', inline: 'end'}); marks.closest('.matrix').scrollBy(0, 1); }"
    )
    wait_until_still(page)


def test_first_screen_says_what_to_do_and_how_far_it_is(page: Page) -> None:
    """Without scrolling: one line of what to do with three places to go, how far it is, and where to begin."""
    expect(page.locator(".howto")).to_have_text("Look at the pictures, mark what each checkpoint shows, then decide.")
    expect(page.locator("#progress")).to_have_text("0 of 30 marked")
    for place in (".howto", "#progress", ".first", ".bar .places"):
        assert in_view(page, place)
    page.locator(".bar a", has_text="Mark").click()
    assert in_view(page, ".judge .band")
    page.locator(".judge .marks button").first.click()
    expect(page.locator("#progress")).to_have_text("1 of 30 marked")
    page.locator(".bar [data-action=undo]").click()
    expect(page.locator("#progress")).to_have_text("0 of 30 marked")
    page.locator(".bar [data-action=redo]").click()
    expect(page.locator("#progress")).to_have_text("1 of 30 marked")
    page.locator(".bar a", has_text="Decide").click()
    assert in_view(page, "#decide")


def test_engineering_is_out_of_prime_space(page: Page) -> None:
    """Digests and bit-stability are a click away, and expectations are off; charts come after the decision."""
    top = page.locator(".top").inner_text()
    assert "bit-stable" not in top
    page.locator(".top .facts summary").click()
    assert "bit-stable" in page.locator(".top").inner_text()
    assert 0 == page.locator(".matrix code, .matrix a").count()
    expect(page.locator("#expectations")).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(
        "document.querySelector('.decide').compareDocumentPosition(document.querySelector('.metrics')) & 4"
    )


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(DESKTOP, id="1440"),
        pytest.param(TABLET, id="1024", marks=pytest.mark.slow),
        pytest.param(UPRIGHT, id="768", marks=pytest.mark.slow),
        pytest.param(PHONE, id="390"),
    ],
)
def test_names_and_what_to_compare_with_stay_in_view(page: Page, size: dict[str, int]) -> None:
    """Down and to the right of the matrix, the columns' names, the training images and the baseline are in view."""
    page.set_viewport_size(size)  # type: ignore[arg-type]
    scrolled_to_the_last_mark(page)
    for name in ("#name-final", "#name-baseline", "#name-reference .name-reference", ".judge .rest th"):
        assert in_view(page, name), name
    page.locator('[data-cell="final-novel_pose"] .picture').evaluate(
        "picture => picture.scrollIntoView({block: 'center', inline: 'end'})"
    )
    wait_until_still(page)
    for name in ('[data-cell="baseline-novel_pose"] .picture', '[data-cell="final-novel_pose"] .picture'):
        assert in_view(page, name), name
    assert size["width"] == page.evaluate("document.documentElement.scrollWidth")
    assert [] == violations(page)


@pytest.mark.slow
def test_twelve_columns_keep_their_names(open_page: Open, tmp_path: Path) -> None:
    """With 12 checkpoints the same holds at 1440 px; columns can be put away, and thumbnails sized."""
    references = training_images(tmp_path / "training", 2, side=32)
    review = make_review(tmp_path / "reports", side=32, plan=large_plan(13, 3), flags=False, references=references)
    page = open_page(write_page(review))
    scrolled_to_the_last_mark(page)
    for name in ("#name-step1200", "#name-baseline", "#name-reference .name-reference"):
        assert in_view(page, name), name
    page.locator(".menu summary").click()
    for step in range(300, 1000, 100):
        page.locator(f'#columns input[value="step{step}"]').uncheck()
    page.locator(".menu summary").click()
    expect(page.locator("#name-step300")).to_be_hidden()
    assert page.evaluate("document.querySelector('.matrix').scrollWidth") <= DESKTOP["width"]
    enlarge(page, "step200-prompt0")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-column")).to_have_text("step 1000")
    page.keyboard.press("Escape")
    width = "picture => picture.getBoundingClientRect().width"
    picture = page.locator('[data-cell="step200-prompt0"] .picture')
    page.locator("#size").select_option("small")
    small = picture.evaluate(width)
    page.locator("#size").select_option("large")
    assert picture.evaluate(width) > 3 * small
    page.evaluate("document.querySelectorAll('.judge .rest [value=no]').forEach((button) => button.click())")
    told = page.locator("#verdict span").all_inner_texts()
    assert "No checkpoint has every required criterion marked yes." == told[0]
    assert ["step 700 is ruled out.", "5 more are ruled out:"] == [line[:22].strip() for line in told[-2:]]


def test_rows_are_filtered_by_what_was_flagged(page: Page) -> None:
    """Only rows with something flagged, or all without their warnings."""
    page.locator("#rows").select_option("quiet")
    expect(page.locator('[data-cell="final-novel_pose"] .flag')).to_be_hidden()
    expect(page.locator('[data-cell="step200-asymmetric_details"] .flag')).to_be_visible()
    page.locator("#rows").select_option("flagged")
    assert 3 == page.locator(".matrix tbody:not(.judge):visible").count()
    page.locator("#rows").select_option("all")


@pytest.mark.parametrize(
    "size", [pytest.param(DESKTOP, id="1440"), pytest.param(TABLET, id="1024", marks=pytest.mark.slow)]
)
def test_criteria_are_whole_beside_a_large_picture(page: Page, size: dict[str, int]) -> None:
    """Every criterion of the prompt is in view, first and whole; those of other prompts are not offered."""
    page.set_viewport_size(size)  # type: ignore[arg-type]
    enlarge(page, "step600-asymmetric_details")
    assert [0, 1, 2, 3, 4] == page.locator("#viewer-criteria li").evaluate_all(
        "items => items.flatMap((item, index) => item.hidden ? [] : [index])"
    )
    assert in_view(page, "#viewer-criteria li:nth-child(5) .marks")
    expect(page.locator("#elsewhere")).to_have_text("1 more applies to other prompts.")
    for key in "yyyyy":
        page.keyboard.press(key)
    expect(page.locator("#viewer-status")).to_have_text("All is marked here. j: the next unmarked picture.")
    page.locator("#viewer-next").click()
    expect(page.locator("#viewer-title")).to_have_text("step 600 Trigger word and environment")
    page.keyboard.press("Escape")


def test_whole_pictures_lie_side_by_side_with_one_zoom(page: Page) -> None:
    """`s` lays two, three, four whole pictures beside each other, which zoom and pan as one; then one again."""
    enlarge(page, "step200-novel_pose")
    page.keyboard.press("b")
    tags = page.locator("#stage .pane:visible .tag")
    for count in (2, 3, 4):
        page.keyboard.press("s")
        assert ["baseline, no LoRA", "step 200", "step 400", "step 600"][:count] == tags.all_inner_texts()
    page.keyboard.press("+")
    moved = page.locator("#stage .pane:visible img").evaluate_all("images => images.map(one => one.style.transform)")
    assert 4 == len(moved)
    assert 1 == len(set(moved))
    assert "scale(1.25)" in moved[0]
    page.keyboard.press("s")
    assert ["baseline, no LoRA", "step 200"] == tags.all_inner_texts()
    page.keyboard.press("Escape")


def test_difference_is_black_where_both_are_the_same(page: Page) -> None:
    """`x` shows what differs: nothing between a picture and itself, something to the baseline."""
    enlarge(page, "step600-novel_pose")
    page.locator("#other").select_option("column step600")
    page.locator("#stage").focus()
    page.keyboard.press("x")
    page.mouse.move(0, 0)
    stage = page.locator("#stage")
    until(lambda: brightest(stage.screenshot()) < 10)  # of 255, made three times as bright
    page.locator("#other").select_option("column baseline")
    until(lambda: brightest(stage.screenshot()) > 60)
    page.locator("#other").select_option("column step600")
    until(lambda: brightest(stage.screenshot()) < 10)
    page.keyboard.press("Escape")


def brightest(png: bytes) -> int:
    """Return the brightest value in the middle of a screenshot."""
    with Image.open(BytesIO(png)) as picture:
        width, height = picture.size
        box = (width // 4, height // 4, width * 3 // 4, height * 3 // 4)
        return picture.convert("L").crop(box).getextrema()[1]  # type: ignore[return-value]


def test_one_pixel_of_the_picture_is_called_100_percent(page: Page) -> None:
    """`z` shows one pixel of the picture as one of the screen, and that is 100 %; `0` shows all of it."""
    enlarge(page, "step600-novel_pose")
    zoom = page.locator("#zoom")
    page.keyboard.press("z")
    expect(zoom).to_have_text("100%")
    assert 96 == pytest.approx(
        page.locator("#picture").evaluate(
            "image => Math.min(image.getBoundingClientRect().width, image.getBoundingClientRect().height)"
        ),
        abs=1,
    )
    page.keyboard.press("0")
    expect(zoom).not_to_have_text("100%")
    page.keyboard.press("Escape")


def test_phone_judges_with_large_buttons_and_swipes(open_page: Open, report: Path) -> None:
    """At 390 px: begin with one tap; picture, question and three large buttons are in view; the next one follows."""
    page = open_page(report, viewport=PHONE, is_mobile=True, has_touch=True)
    page.locator(".first").tap()
    for question in ("Ginger", "White cloak", "Art style"):
        current = page.locator("#viewer-criteria li.current")
        expect(current).to_contain_text(question)
        assert in_view(page, "#viewer-criteria li.current")
        assert in_view(page, "#picture")
        assert all(
            box["height"] >= 44 and box["width"] >= 90
            for button in current.locator("button").all()
            if (box := button.bounding_box())
        )
        current.locator('[value="yes"]').tap()
    assert in_view(page, "#viewer-next")
    page.locator("#viewer-next").tap()
    expect(page.locator("#viewer-title")).to_have_text("step 200 A novel pose, not in the training set")
    assert [] == violations(page, "#viewer")


def test_all_marks_by_keys_alone(page: Page) -> None:
    """From opening to a saved ballot with all 30 marks in at most 45 keys."""
    keys = ["j", *("nunnynyyuyyyyyyyyyyyyyyyyyyyyn"), "c", "s"]
    with page.expect_download():
        for key in keys:
            page.keyboard.press(key)
    assert len(keys) <= 45
    expect(page.locator("#progress")).to_have_text("30 of 30 marked")
    expect(page.locator('#choices input[value="step600"]')).to_be_checked()


def test_all_marks_by_mouse_alone(page: Page) -> None:
    """The same judgement in at most 20 clicks: what is not yes, then yes for the rest of a column."""
    clicks = 0

    def click(selector: str) -> None:
        nonlocal clicks
        page.locator(selector).click()
        clicks += 1

    marks = [("step200", "style", "yes"), ("step400", "right_bracer", "unsure"), ("final", "novel_pose_holds", "no")]
    for step, criterion, answer in marks:
        click(f'.judge .marks[data-checkpoint="{step}"][data-criterion="{criterion}"] [value="{answer}"]')
    for step in ("step200", "step400", "step600", "step800", "final"):
        rest = "no" if step == "step200" else "yes"
        click(f'.judge .rest .marks[data-checkpoint="{step}"] [value="{rest}"]')
    click("#take")
    with page.expect_download():
        click("#save")
    assert clicks <= 20
    expect(page.locator("#progress")).to_have_text("30 of 30 marked")
    expect(page.locator('#choices input[value="step600"]')).to_be_checked()


def test_step_600_cannot_be_found_blind(page: Page) -> None:
    """Whoever tries finds no column by name, order, warning, link, expectation, list, or what was compared before."""
    page.keyboard.press("e")
    page.locator('.judge .marks[data-checkpoint="step600"] [value="yes"]').first.click()
    enlarge(page, "step600-novel_pose")
    page.locator("#other").select_option("column step600")
    page.keyboard.press("Escape")
    page.locator(".menu summary").click()
    page.locator('#columns input[value="step200"]').uncheck()
    page.locator("#rows").select_option("flagged")
    page.locator("#blind").click()
    expect(page.locator("#rows")).to_be_disabled()
    expect(page.locator("#expectations")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#results")).to_be_hidden()
    expect(page.locator(".plots")).to_be_hidden()
    enlarge(page, "step600-novel_pose")
    expect(page.locator("#other")).to_have_value("")
    page.locator("#made summary").click()
    for key in ("t", "e", "?"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    named = page.locator("[title], [alt], [aria-label]").evaluate_all(
        "all => all.map(one => `${one.title} ${one.alt} ${one.getAttribute('aria-label')}`)"
    )
    listed = page.locator("option").all_inner_texts()
    seen = " ".join([page.locator("body").inner_text(), page.title(), *listed, *named])
    for telling in ("600", "step ", "final", "920", "overfit", "copy:", "effect", "Nearest", "spyke_0", "sweet"):
        assert telling not in seen, telling
    visible = page.locator("a:visible, img:visible").evaluate_all(
        "all => all.filter(one => one.matches('a') && /step|final/.test(one.href)).length"
    )
    assert 0 == visible
    assert "none" == page.locator("#picture").evaluate("image => getComputedStyle(image).pointerEvents")
    assert [] == page.locator(".picture").evaluate_all(
        "all => all.map(one => getComputedStyle(one).boxShadow).filter(shadow => shadow !== 'none')"
    )
    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")
    assert 6 == page.locator(".names .name:visible").count()
    assert "step" not in page.locator(".names").inner_text()


@pytest.mark.slow
def test_words_of_any_length_stay_in_their_place(open_page: Open, tmp_path: Path) -> None:
    """A title, name, prompt or criterion that cannot be broken anywhere is broken somewhere: nothing is cut off."""
    plan, word = spyke(), "an_identifier_that_somebody_wrote_with_underscores_and_that_goes_on_and_on_v1_final_2"
    plan = plan.model_copy(
        update={
            "title": word,
            "checkpoints": tuple(one.model_copy(update={"label": word + str(one.step)}) for one in plan.checkpoints),
            "prompts": tuple(one.model_copy(update={"purpose": word, "text": word}) for one in plan.prompts),
            "criteria": tuple(one.model_copy(update={"text": word}) for one in plan.criteria),
        }
    )
    page = open_page(write_page(make_review(tmp_path, side=32, plan=plan, flags=False)), viewport=PHONE)
    cut = """() => [...document.querySelectorAll(
      "#review :is(h1, h2, .name, .purpose, th, li, label, #verdict span, .duelists, .marks button)")]
      .filter((one) => one.offsetParent && getComputedStyle(one).display !== "inline")
      .filter((one) => one.scrollWidth > one.clientWidth + 1)
      .map((one) => one.outerHTML.slice(0, 90))"""
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        assert size["width"] == page.evaluate("document.documentElement.scrollWidth")
        page.locator(".first").click()
        assert in_view(page, "#viewer-criteria li.current [value=unsure]")
        assert [] == page.evaluate(cut)
        page.keyboard.press("Escape")


def test_nothing_rendered_is_nothing_to_mark(open_page: Open, tmp_path: Path) -> None:
    """Without a picture the page asks for pictures, not for marks, and never says that all is marked."""
    review = make_review(tmp_path, side=32, flags=False)
    entries = tuple(replace(entry, evidence=None, problem="the server ended") for entry in review.entries)
    page = open_page(write_page(replace(review, entries=entries)))
    expect(page.locator("#progress")).to_have_text("Nothing to mark")
    expect(page.locator("#verdict")).to_have_text("Still to render: step 200 has no picture for 5 required criteria.")
    page.locator(".first").click()
    expect(page.locator("#status")).to_have_text("There is nothing to mark: no picture, or no criterion.")
    enlarge(page, "step200-novel_pose")
    page.keyboard.press("j")
    expect(page.locator("#viewer-status")).to_have_text("There is nothing to mark: no picture, or no criterion.")


def test_what_the_page_says_is_in_view(page: Page) -> None:
    """What a key or a click led to is said where it is seen: in the bar, or beside a large picture; until a change."""
    page.keyboard.press("c")
    expect(page.locator("#status")).to_have_text("The rule has no checkpoint to choose yet.")
    assert in_view(page, "#status")
    page.locator(".judge .marks button").first.click()
    expect(page.locator("#status")).to_be_hidden()
    enlarge(page, "step600-novel_pose")
    for _ in range(2):
        page.keyboard.press("Control+z")
    expect(page.locator("#viewer-status")).to_have_text("There is nothing to undo.")
    assert in_view(page, "#viewer-status")
