"""The contact sheet: the matrix as one picture."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from plugins.review import contact_sheet, previews
from plugins.review.contact_sheet import write_contact_sheet
from plugins.review.page import render_page
from tests.plugins.review.sample import BLANK, make_review, spyke, training_images

RED, YELLOW, BANNER, PURPLE = (163, 27, 20), (255, 201, 77), (255, 216, 77), (160, 0, 160)


def sheet(path: Path) -> Image.Image:
    """Read a sheet into memory."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    """Return every colour that a sheet has."""
    return {colour for _, colour in picture.getcolors(picture.width * picture.height) or ()}  # type: ignore[misc]


def test_shows_all_columns_and_flags(tmp_path: Path) -> None:
    """References, baseline and checkpoints stand side by side; failed and suspicious pictures are marked."""
    review = make_review(tmp_path / "reports", side=64, references=training_images(tmp_path / "training", 3, side=64))
    write_contact_sheet(review, tmp_path / "contact-sheet.png")
    picture = sheet(tmp_path / "contact-sheet.png")
    assert 16 * 2 + 7 * (320 + 8) - 8 == picture.width
    assert picture.height > 3 * 320
    assert {RED, YELLOW} <= colours(picture)
    assert BANNER not in colours(picture)


def test_simulated_is_drawn_on_it(tmp_path: Path) -> None:
    """A simulated sheet carries a banner, so that it cannot pass for a real one."""
    review = make_review(tmp_path / "reports", side=64, simulated=True)
    write_contact_sheet(review, tmp_path / "contact-sheet.png")
    assert BANNER == sheet(tmp_path / "contact-sheet.png").getpixel((2, 2))


def test_sheet_is_drawn_once(tmp_path: Path) -> None:
    """A sheet that shows what would be drawn is left as it is; another flag on one picture draws it anew."""
    path = tmp_path / "contact-sheet.png"
    review = make_review(tmp_path / "reports", side=32, flags=False)
    write_contact_sheet(review, path)
    os.utime(path, (1, 1))
    write_contact_sheet(review, path)
    assert 1 == path.stat().st_mtime
    first = review.entries[0]
    assert first.evidence
    flagged = replace(first, evidence=first.evidence.with_check(BLANK))
    write_contact_sheet(replace(review, entries=(flagged, *review.entries[1:])), path)
    assert 1 != path.stat().st_mtime
    assert RED in colours(sheet(path))


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_broken_sheet_is_drawn_anew(tmp_path: Path, content: bytes) -> None:
    """A file that is no sheet is replaced by one."""
    path = tmp_path / "contact-sheet.png"
    path.write_bytes(content)
    write_contact_sheet(make_review(tmp_path / "reports", side=32), path)
    assert RED in colours(sheet(path))


def test_large_matrix_gives_a_sheet_that_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures shrink with the matrix, so that no sheet grows past what a chat window can show."""
    monkeypatch.setattr(contact_sheet, "_PIXELS", 500_000)
    write_contact_sheet(make_review(tmp_path / "reports", side=32), tmp_path / "contact-sheet.png")
    assert 16 * 2 + 6 * (128 + 8) - 8 == sheet(tmp_path / "contact-sheet.png").width


def test_what_has_no_room_is_left_to_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the size at which pictures tell nothing, the sheet ends after some rows, and says so."""
    monkeypatch.setattr(contact_sheet, "_PIXELS", 100_000)
    review = make_review(tmp_path / "reports", side=32, flags=False)
    write_contact_sheet(review, tmp_path / "contact-sheet.png")
    picture = sheet(tmp_path / "contact-sheet.png")
    assert YELLOW in colours(picture)
    assert picture.height < 400


def test_previews_serve_where_they_are_of_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile is read from the small picture beside the page, and from the PNG where that was written again since."""
    monkeypatch.setattr(previews, "EMBED_AT_MOST", 1)
    review = make_review(tmp_path / "reports", side=32, flags=False)
    picture = review.source(review.by_id["step600-novel_pose"]).path
    preview = tmp_path / "reports/previews/step600/novel_pose.jpg"
    render_page(review)
    made = preview.stat().st_mtime_ns
    Image.new("RGB", (32, 32), PURPLE).save(preview, "WEBP", lossless=True)
    os.utime(preview, ns=(made, made))
    write_contact_sheet(review, tmp_path / "contact-sheet.png")
    assert PURPLE in colours(sheet(tmp_path / "contact-sheet.png"))
    os.utime(picture, (1, 1))
    write_contact_sheet(review, tmp_path / "other.png")
    assert PURPLE not in colours(sheet(tmp_path / "other.png"))


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_broken_preview_does_not_hide_its_picture(tmp_path: Path, content: bytes) -> None:
    """Where the small picture cannot be read, the PNG is, and nothing is marked as broken."""
    review = make_review(tmp_path / "reports", side=32, flags=False)
    render_page(review)
    preview = tmp_path / "reports/previews/step600/novel_pose.webp"
    made = preview.stat().st_mtime_ns
    preview.write_bytes(content)
    os.utime(preview, ns=(made, made))
    write_contact_sheet(review, tmp_path / "contact-sheet.png")
    assert RED not in colours(sheet(tmp_path / "contact-sheet.png"))


@pytest.mark.parametrize("text", ["x" * 5000, "word " * 2000, "\x00\n\r\t", "日本語 ñ \N{PILE OF POO}", "<b>"])
def test_any_text_can_be_drawn(tmp_path: Path, text: str) -> None:
    """Long, odd and foreign texts are wrapped and cut, and never stop the sheet."""
    plan = spyke()
    plan = plan.model_copy(
        update={
            "title": text,
            "prompts": tuple(prompt.model_copy(update={"text": text, "purpose": text}) for prompt in plan.prompts[:1]),
            "checkpoints": tuple(c.model_copy(update={"expect": text}) for c in plan.checkpoints[:1]),
        }
    )
    review = make_review(tmp_path / "reports", side=32, flags=False, plan=plan)
    write_contact_sheet(review, tmp_path / "contact-sheet.png")
    assert sheet(tmp_path / "contact-sheet.png").height < 2000


def test_unreadable_picture_is_marked(tmp_path: Path) -> None:
    """A picture that is no picture is marked as one, and the sheet is there."""
    review = make_review(tmp_path / "reports", side=32, flags=False)
    (tmp_path / "reports/pictures/step600/novel_pose.png").write_bytes(b"not a PNG")
    write_contact_sheet(review, tmp_path / "contact-sheet.png")
    assert RED in colours(sheet(tmp_path / "contact-sheet.png"))
