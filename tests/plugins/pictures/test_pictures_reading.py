"""A picture's bytes decode wholly, or it is told what they are instead."""

import hashlib
import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from plugins.pictures.picture import PictureError, read_picture
from tests.plugins.pictures.pictures_made import LARGEST, flat, noise, png

WHOLE = png(noise(128, 40), prompt={"1": {"class_type": "SaveImage", "inputs": {}}})


def jpeg() -> bytes:
    """Return a JPEG."""
    buffer = BytesIO()
    noise(128, 40).save(buffer, "JPEG")
    return buffer.getvalue()


def test_whole_png_is_read() -> None:
    """A PNG gives its pixels, its digest, and the workflow that ComfyUI wrote into it."""
    found = read_picture(WHOLE, largest=LARGEST)

    assert (found.image.mode, found.image.size) == ("RGB", (128, 128))
    assert found.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert found.workflow == {"1": {"class_type": "SaveImage", "inputs": {}}}


def test_largest_picture_is_read() -> None:
    """A picture of as many pixels as the plan can ask for is no larger than that."""
    assert read_picture(png(flat((1, 2, 3))), largest=64 * 64).image.size == (64, 64)


def test_pixels_have_a_digest_of_their_own() -> None:
    """The same pixels have one digest, whatever is written beside them; other pixels, sizes or modes have another."""
    image = flat((1, 2, 3))
    prompts: list[dict[str, Any] | None] = [None, {"1": {}}]
    same = [read_picture(png(image, prompt=prompt), largest=LARGEST) for prompt in prompts]
    others = [flat((1, 2, 4)), image.resize((32, 128)), image.convert("RGBA")]
    digests = {read_picture(png(one), largest=LARGEST).pixels_sha256 for one in others}

    assert same[0].pixels_sha256 == same[1].pixels_sha256
    assert same[0].sha256 != same[1].sha256
    assert len(digests | {same[0].pixels_sha256}) == 4


@pytest.mark.parametrize(
    ("is_seen_through", "mode"),
    [pytest.param(False, "RGB", id="opaque"), pytest.param(True, "RGBA", id="with-transparency")],
)
def test_palette_is_resolved_and_said(mode: str, *, is_seen_through: bool) -> None:
    """Of a PNG that numbers its colours the digest is of the colours, not of the numbers, and the palette is known."""
    colours = flat((200, 30, 90))
    numbered = colours.quantize(4)
    content = png(numbered)
    if is_seen_through:
        buffer = BytesIO()
        numbered.save(buffer, "PNG", transparency=0)
        content = buffer.getvalue()
    found, whole = read_picture(content, largest=LARGEST), read_picture(png(colours), largest=LARGEST)

    assert (True, mode) == (found.has_palette, found.image.mode)
    assert (False, not is_seen_through) == (whole.has_palette, whole.pixels_sha256 == found.pixels_sha256)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "it is not a PNG: 0 bytes that begin with b''", id="nothing"),
        pytest.param(b"<html>500", "it is not a PNG: 9 bytes that begin with b'<html>500'", id="a-web-page"),
        pytest.param(jpeg(), f"it is not a PNG: {len(jpeg())} bytes that begin with {jpeg()[:12]!r}", id="a-jpeg"),
        pytest.param(WHOLE[: len(WHOLE) // 2], "it is not a complete PNG: image file is truncated", id="half"),
        pytest.param(WHOLE[:-500], "it is not a complete PNG: image file is truncated", id="the-end-missing"),
        pytest.param(WHOLE[:-12], "it is not a complete PNG: its end is missing", id="the-last-chunk-missing"),
        pytest.param(WHOLE[:20], "it is not a complete PNG: Truncated File Read", id="the-start-only"),
        pytest.param(WHOLE[:8] + b"junk" * 20, "it is not a", id="junk-after-the-signature"),
    ],
)
def test_other_bytes_are_told(content: bytes, message: str) -> None:
    """What is not a whole PNG of a sensible size is told for what it is."""
    with pytest.raises(PictureError) as caught:
        read_picture(content, largest=LARGEST)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        pytest.param(2001, 2000, "it is 2001x2000, larger than any picture of this plan", id="too-large"),
        pytest.param(20_000, 10_000, "could be decompression bomb DOS attack", id="a-bomb"),
    ],
)
def test_picture_too_large_is_refused(width: int, height: int, message: str) -> None:
    """A picture of more pixels than any of this plan is refused by its size."""
    content = png(Image.new("1", (width, height)))

    with pytest.raises(PictureError) as caught:
        read_picture(content, largest=LARGEST)

    assert message in str(caught.value)


def test_swollen_text_is_refused() -> None:
    """A text chunk that swells to many times its size is refused like any other bomb."""
    content = b"prompt\0\0" + zlib.compress(b"x" * 10_000_000)
    chunk = b"zTXt" + content
    swollen = WHOLE[:33] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + WHOLE[33:]

    with pytest.raises(PictureError, match="it is not a complete PNG: Decompressed data too large"):
        read_picture(swollen, largest=LARGEST)


def test_corrupt_pixels_are_told() -> None:
    """Pixel data that was damaged on the way is not taken for a picture."""
    middle = len(WHOLE) // 2
    damaged = WHOLE[:middle] + bytes(32) + WHOLE[middle + 32 :]

    with pytest.raises(PictureError, match="it is not a complete PNG"):
        read_picture(damaged, largest=LARGEST)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut"),
        pytest.param("a prompt in words", id="words"),
        pytest.param("[" * 100_000, id="endless"),
    ],
)
def test_workflow_that_is_not_json_is_none(text: str) -> None:
    """Text that is no workflow is as good as none; the picture is read all the same."""
    assert read_picture(png(flat((1, 2, 3)), prompt=text), largest=LARGEST).workflow is None


def test_picture_without_text_has_no_workflow() -> None:
    """A server that writes no metadata gives a picture without a workflow."""
    assert read_picture(png(flat((1, 2, 3))), largest=LARGEST).workflow is None
