"""Previews: small enough to embed, or written once beside the page."""

import base64
import os
from io import BytesIO
from pathlib import Path, PurePosixPath

import pytest
from PIL import Image, PngImagePlugin

from plugins.review import previews
from plugins.review.previews import Preview, Source, beside, make_preview, make_previews, training_source, write_preview


def source(folder: Path, name: str, size: tuple[int, int] = (640, 320), colour: str = "#886644") -> Source:
    """Put a PNG with metadata into the folder."""
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = PngImagePlugin.PngInfo()
    metadata.add_text("workflow", "a secret workflow")
    Image.new("RGB", size, colour).save(path, pnginfo=metadata)
    return Source(path, PurePosixPath("step600", name))


def embedded(preview: Preview) -> bytes:
    """Return the WebP inside an address."""
    return base64.b64decode(preview.src.removeprefix("data:image/webp;base64,"))


def test_embeds_webp_at_most_512_wide(tmp_path: Path) -> None:
    """A preview is WebP with its longest side at 512 px, its shape kept, and none of the PNG's metadata."""
    given = source(tmp_path, "novel_pose")
    preview = make_previews([given], tmp_path)[given.path]
    webp = embedded(preview)
    with Image.open(BytesIO(webp)) as picture:
        assert ("WEBP", (512, 256)) == (picture.format, picture.size)
    assert (512, 256) == (preview.width, preview.height)
    assert b"secret" not in webp


def test_small_pictures_are_not_enlarged(tmp_path: Path) -> None:
    """A 64 px picture stays 64 px."""
    given = source(tmp_path, "small", (64, 64))
    preview = make_previews([given], tmp_path)[given.path]
    assert (64, 64) == (preview.width, preview.height)


def test_noise_is_made_to_fit_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that do not shrink well lose quality and size, until all fit in the page together."""
    monkeypatch.setattr(previews, "EMBEDDED_BYTES", 30_000)
    sources = [Source(tmp_path / f"{n}.png", PurePosixPath(str(n))) for n in range(3)]
    for given in sources:
        Image.effect_noise((512, 512), 80).save(given.path)
    made = make_previews(sources, tmp_path)
    assert sum(len(embedded(preview)) for preview in made.values()) <= 30_000


def test_many_are_linked_and_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit previews are JPEG files beside the page, written again only where the picture was."""
    monkeypatch.setattr(previews, "EMBED_AT_MOST", 1)
    first, other = source(tmp_path / "pictures", "a"), source(tmp_path / "pictures", "b")
    for given in (first, other):
        os.utime(given.path, (1, 1))
    made = make_previews([first, other], tmp_path)
    assert "previews/step600/a.jpg" == made[first.path].src
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "previews/step600").iterdir()}
    source(tmp_path / "pictures", "b", (100, 200))
    os.utime(other.path, (1, 2))
    again = make_previews([first, other], tmp_path)
    assert made[first.path] == again[first.path]
    assert Preview("previews/step600/b.jpg", 100, 200) == again[other.path]
    changed = [path.name for path, then in before.items() if path.stat().st_mtime_ns != then]
    assert ["b.jpg"] == changed


def test_embedded_ones_are_made_once_too(tmp_path: Path) -> None:
    """A preview of the picture as it is now is embedded as it lies beside the page."""
    given = source(tmp_path / "pictures", "a")
    made = make_previews([given], tmp_path)
    path = tmp_path / "previews/step600/a.webp"
    before = path.stat().st_mtime_ns
    assert path.read_bytes() == embedded(made[given.path])
    assert made == make_previews([given], tmp_path)
    assert before == path.stat().st_mtime_ns


def test_one_that_is_too_large_to_embed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more pictures share the page than before, a preview is made anew to fit its share."""
    given = Source(tmp_path / "a.png", PurePosixPath("a"))
    Image.effect_noise((512, 512), 80).save(given.path)
    os.utime(given.path, (1, 1))
    first = make_preview(given, tmp_path, total=1)
    monkeypatch.setattr(previews, "EMBEDDED_BYTES", 30_000)
    second = make_preview(given, tmp_path, total=2)
    assert first
    assert second
    assert len(embedded(second)) <= 15_000 < len(embedded(first))


def test_older_picture_has_a_preview_of_its_own(tmp_path: Path) -> None:
    """A picture that was put back from a backup, older than the preview that lies there, is not shown as the former."""
    given = source(tmp_path / "pictures", "a")
    make_preview(given, tmp_path, total=1)
    source(tmp_path / "pictures", "a", (100, 200))
    os.utime(given.path, (1, 1))
    assert beside(given, tmp_path) is None
    preview = make_preview(given, tmp_path, total=1)
    assert preview
    assert (100, 200) == (preview.width, preview.height)


def test_picture_at_hand_is_not_decoded_again(tmp_path: Path) -> None:
    """The preview of a picture that was just written is made from its pixels, whatever lies there."""
    given = source(tmp_path / "pictures", "a")
    make_preview(given, tmp_path, total=1)
    write_preview(Image.new("RGBA", (100, 200), "#ff000080"), given, tmp_path, total=1)
    there = beside(given, tmp_path)
    assert there == tmp_path / "previews/step600/a.webp"
    with Image.open(there) as picture:
        assert (100, 200) == picture.size


@pytest.mark.parametrize("content", [b"", b"no picture"])
@pytest.mark.parametrize("embed", [1, 0], ids=["embedded", "linked"])
def test_broken_preview_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embed: int, content: bytes
) -> None:
    """A preview that cannot be read does not hide its picture, though it has its time."""
    monkeypatch.setattr(previews, "EMBED_AT_MOST", embed)
    given = source(tmp_path / "pictures", "a")
    made = make_preview(given, tmp_path, total=1)
    path = beside(given, tmp_path)
    assert path
    then = path.stat().st_mtime_ns
    path.write_bytes(content)
    os.utime(path, ns=(then, then))
    assert made
    assert made == make_preview(given, tmp_path, total=1)


def test_embedded_one_is_shown_where_it_cannot_be_written(tmp_path: Path) -> None:
    """What goes into the page needs no folder beside it."""
    given = source(tmp_path / "pictures", "a")
    (tmp_path / "previews").write_bytes(b"")
    preview = make_preview(given, tmp_path, total=1)
    assert preview
    assert embedded(preview)


def test_linked_one_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without its pictures is not written as if all were well."""
    monkeypatch.setattr(previews, "EMBED_AT_MOST", 0)
    given = source(tmp_path / "pictures", "a")
    (tmp_path / "previews").write_bytes(b"")
    with pytest.raises(OSError, match="previews"):
        make_preview(given, tmp_path, total=1)


def test_other_training_image_of_the_same_name_has_its_own_preview(tmp_path: Path) -> None:
    """A training image that was replaced by an older file is not shown as the former one."""
    path = source(tmp_path, "training").path
    former = training_source(path)
    make_preview(former, tmp_path, total=1)
    source(tmp_path, "training", (100, 200))
    os.utime(path, (1, 1))
    preview = make_preview(training_source(path), tmp_path, total=1)
    assert preview
    assert (100, 200) == (preview.width, preview.height)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"<svg/>"], ids=["empty", "truncated", "other"])
def test_unreadable_picture_is_left_out(tmp_path: Path, content: bytes) -> None:
    """A file that is no picture has no preview, and the others do."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(content)
    good = source(tmp_path, "good")
    made = make_previews([Source(broken, PurePosixPath("x")), good], tmp_path)
    assert [good.path] == list(made)


def test_same_picture_is_embedded_once(tmp_path: Path) -> None:
    """A training image that is nearest to many pictures is made once."""
    given = source(tmp_path, "training")
    assert 1 == len(make_previews([given] * 5, tmp_path))
