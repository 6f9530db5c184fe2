"""Looking closely: the matrix, the large picture, the flipbook, the divider."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from plugins.review.review import Review
from tests.browser.conftest import Open
from tests.browser.still import enlarge
from tests.plugins.review.sample import COPY

pytestmark = pytest.mark.browser

CHECKPOINTS = ["step 200", "step 400", "step 600", "step 800", "final, step 920"]


def transform(page: Page) -> str:
    """Return where the large picture stands."""
    return str(page.locator("#picture").evaluate("image => image.style.transform"))


def split(page: Page) -> float:
    """Return the divider's place in percent."""
    return float(page.locator("#divider").input_value())


def test_columns_read_from_references_to_the_last_step(page: Page) -> None:
    """Training images come first, then the baseline, then the checkpoints by step."""
    assert ["Training images", "baseline, no LoRA", *CHECKPOINTS] == page.locator(
        ".names :is(.name, .name-reference)"
    ).all_inner_texts()
    assert "3 of 7 shown" in page.locator(".names").inner_text()


def test_what_is_wrong_stands_on_the_picture(page: Page) -> None:
    """A failed check, a warning and a missing picture are told on the picture itself, and counted on top."""
    assert "nearly one colour" in page.locator('[data-cell="step200-asymmetric_details"] .flag.failed').inner_text()
    assert "CUDA out of memory" in page.locator('[data-cell="step800-trigger_environment"] .picture').inner_text()
    expect(page.locator(".tally")).to_have_text(
        "17 of 18 pictures rendered, 1 missing, 1 failed a check, 1 with a warning"
    )


def test_flag_covers_little_until_it_is_pointed_at(page: Page) -> None:
    """A warning lies on its picture in a word; pointed at or reached by keys, the picture tells all of it."""
    picture = page.locator('[data-cell="final-novel_pose"] .picture')
    flag, short = picture.locator(".flag"), picture.locator(".short")
    expect(short).to_have_text(": likely")
    low = flag.evaluate("flag => flag.clientHeight")
    picture.hover()
    expect(short).to_be_hidden()
    expect(flag).to_contain_text(COPY.message)
    assert flag.evaluate("flag => flag.clientHeight") > low
    page.mouse.move(0, 0)
    expect(short).to_be_visible()


def test_headers_stay_in_view(page: Page) -> None:
    """Scrolled down, the columns' names are still at the top of the window."""
    page.evaluate("scrollTo(0, 600)")
    expect(page.locator("#name-step600")).to_be_in_viewport()


def test_columns_swipe_on_a_phone(open_page: Open, report: Path) -> None:
    """On a phone the page is as wide as the screen, and the matrix scrolls within it, headers in view."""
    page = open_page(report, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    assert 390 == page.evaluate("document.documentElement.scrollWidth")
    matrix = page.locator(".matrix")
    matrix.evaluate("matrix => matrix.scrollTo(700, 500)")
    expect(page.locator("#name-step600")).to_be_in_viewport()
    assert matrix.evaluate("matrix => matrix.scrollWidth > 2 * matrix.clientWidth")


def test_pytests_own_results_wait_below(page: Page) -> None:
    """pytest-html's table is folded away under its outcome, and works once it is opened."""
    summary = page.locator("#results summary")
    assert "What pytest ran, 1 Failed, 1 Passed" == summary.inner_text()
    expect(page.locator("#results-table")).not_to_be_visible()
    summary.click()
    expect(page.locator("#results-table")).to_contain_text("test_bad")
    assert ["failed", "passed"] == sorted(
        page.locator("#results input.filter:visible").evaluate_all("boxes => boxes.map(box => box.dataset.testResult)")
    )
    assert "Links" not in page.locator("#results-table").inner_text()
    assert "" not in [told.strip() for told in page.locator("#results li:visible").all_inner_texts()]


def test_enter_opens_and_escape_returns(page: Page) -> None:
    """Enter opens the focused picture; Escape returns to the one that was looked at last."""
    page.locator('[data-cell="step200-novel_pose"] .picture').focus()
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-title")).to_contain_text("step 200")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(page.locator('[data-cell="step400-novel_pose"] .picture')).to_be_focused()


def test_arrows_flip_at_the_same_place_and_zoom(page: Page) -> None:
    """Left and right flip between checkpoints, up and down between prompts; zoom, place and mirror are kept."""
    enlarge(page, "step400-novel_pose")
    for key in ("+", "+", "+", "Shift+ArrowLeft", "Shift+ArrowUp", "m"):
        page.keyboard.press(key)
    before = transform(page)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-column")).to_have_text("step 600")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#viewer-row")).to_have_text("Asymmetric details stay on their side")
    expect(page.locator("#picture")).to_have_attribute(
        "src", page.evaluate("new URL('pictures/step600/asymmetric_details.png', location).href")
    )
    assert before == transform(page)
    assert "translate(60px, 60px) scale(1.953" in before
    assert "scaleX(-1)" in before


def test_flipping_goes_round(page: Page) -> None:
    """Right of the last checkpoint is the baseline, and above the first prompt the last."""
    enlarge(page, "final-trigger_environment")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#viewer-title")).to_have_text("baseline, no LoRA Asymmetric details stay on their side")


def test_wheel_zooms_where_it_points_and_drag_pans(page: Page) -> None:
    """The wheel enlarges around the pointer; dragging moves the picture; 0 shows all of it again."""
    enlarge(page, "step600-novel_pose")
    page.mouse.move(200, 200)
    page.mouse.wheel(0, -500)
    page.wait_for_function("document.getElementById('picture').style.transform.includes('scale(2.718')")
    zoomed = transform(page)
    page.mouse.down()
    page.mouse.move(150, 260, steps=3)
    page.mouse.up()
    assert zoomed != transform(page)
    page.keyboard.press("0")
    assert transform(page).startswith("translate(0px, 0px) scale(1)")


@pytest.mark.slow
def test_two_fingers_zoom_and_one_flips(open_page: Open, report: Path) -> None:
    """On a touch screen pinching zooms, and a swipe turns to the next checkpoint."""
    page = open_page(report, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    enlarge(page, "step400-novel_pose")
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: tuple[int, int]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (300, 200))
    fingers("touchMove", (100, 205))
    fingers("touchEnd")
    expect(page.locator("#viewer-column")).to_have_text("step 600")
    fingers("touchStart", (180, 200), (220, 200))
    fingers("touchMove", (120, 200), (280, 200))
    fingers("touchEnd")
    expect(page.locator("#zoom")).to_have_text("1625%")  # of its 96 pixels, four times what the screen shows of 390


def test_divider_compares_with_the_baseline(page: Page) -> None:
    """`b` lays the baseline of the same prompt beneath, which follows the flipping; `,` and `.` move the divider."""
    enlarge(page, "step600-novel_pose")
    page.keyboard.press("b")
    expect(page.locator("#other-tag")).to_have_text("baseline, no LoRA")
    expect(page.locator("#other-picture")).to_be_visible()
    for _ in range(5):
        page.keyboard.press(",")
    assert 40 == split(page)
    page.keyboard.press("ArrowDown")
    assert "baseline-asymmetric_details" == page.locator("#other-picture").get_attribute("data-cell")
    page.keyboard.press("b")
    expect(page.locator("#divider")).to_be_hidden()


def test_divider_is_drawn_with_the_mouse(page: Page) -> None:
    """Dragging the divider's line moves it, and not the picture."""
    enlarge(page, "step600-novel_pose")
    page.keyboard.press("d")
    stage = page.locator("#stage").bounding_box()
    assert stage
    middle = stage["x"] + stage["width"] / 2
    page.mouse.move(middle, 300)
    page.mouse.down()
    page.mouse.move(middle - stage["width"] / 4, 320, steps=4)
    page.mouse.up()
    assert pytest.approx(25, abs=0.5) == split(page)
    assert transform(page).startswith("translate(0px, 0px)")


def test_divider_compares_with_training_images_and_any_cell(page: Page) -> None:
    """`r` goes through the training images; the list offers every other picture."""
    enlarge(page, "step600-novel_pose")
    page.keyboard.press("r")
    expect(page.locator("#other-tag")).to_have_text("training image 1")
    page.keyboard.press("r")
    expect(page.locator("#other-tag")).to_have_text("training image 2")
    page.locator("#other").select_option("cell step200-trigger_environment")
    expect(page.locator("#other-tag")).to_have_text("step 200")
    assert "step200-trigger_environment" == page.locator("#other-picture").get_attribute("data-cell")


def test_nearest_training_image_is_named_and_compared(page: Page) -> None:
    """Beside a picture stands the training image nearest to it, with its distance; `t` lays it beneath, and follows."""
    enlarge(page, "step600-novel_pose")
    expect(page.locator("#viewer-nearest")).to_contain_text(
        "Nearest training image: spyke_03.png, distance 0.50; training images are usually 0.50 from each other"
    )
    page.keyboard.press("t")
    expect(page.locator("#other-tag")).to_have_text("nearest: spyke_03.png")
    expect(page.locator("#nearest")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#other-tag")).to_have_text("nearest: spyke_04.png")
    page.locator("#nearest").click()
    expect(page.locator("#divider")).to_be_hidden()


def test_settings_and_digest_stand_beside_the_picture(page: Page, review: Review) -> None:
    """Beside the large picture are its seed, LoRA, digests, server and checks, and a link to the PNG."""
    enlarge(page, "final-novel_pose")
    page.locator("#made summary").click()
    told = page.locator("#settings").inner_text()
    for part in ("42", "spyke_plasma_v1_final.safetensors, strength 1", "96 x 96", "ComfyUI 0.3.64"):
        assert part in told
    assert review.by_id["final-novel_pose"].digest in told
    assert "pictures/final/novel_pose.png" == page.locator("#png").get_attribute("href")
    expect(page.locator("#viewer-flags")).to_contain_text(COPY.message)


def test_missing_picture_can_be_visited(page: Page) -> None:
    """Flipping comes past a picture that was not rendered, and says why it is not there."""
    enlarge(page, "step600-trigger_environment")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.locator("#viewer-flags")).to_contain_text("CUDA out of memory")


@pytest.mark.slow
def test_preview_serves_where_the_png_is_not(open_page: Open, report: Path, tmp_path: Path) -> None:
    """A report that was mailed without its folder still shows every picture large."""
    alone = tmp_path / "report.html"
    alone.write_bytes(report.read_bytes())
    page = open_page(alone)
    enlarge(page, "step600-novel_pose")
    page.wait_for_function("document.getElementById('picture').naturalWidth === 96")
    assert (page.locator("#picture").get_attribute("src") or "").startswith("data:image/webp")
