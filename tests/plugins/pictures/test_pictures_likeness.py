"""A copy of a training image is found though it was cropped, mirrored, recoloured or recompressed."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from plugins.pictures.likeness import COPY, TrainingSet, diversity, fingerprint, training_images
from stand_in.drawing import draw_training_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw a few training images, as a trainer's folder has them."""
    folder = tmp_path_factory.mktemp("training")
    for number in range(4):
        draw_training_image(number, (128, 128)).save(folder / f"spyke_{number}.png")
    return folder


@pytest.fixture(scope="module")
def training(folder: Path) -> TrainingSet:
    """Read them."""
    return TrainingSet(training_images(folder))


def recompressed(image: Image.Image) -> Image.Image:
    """Return an image as a poor JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    return Image.open(buffer)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: image, id="the-same"),
        pytest.param(ImageOps.mirror, id="mirrored"),
        pytest.param(lambda image: image.resize((512, 512)), id="enlarged"),
        pytest.param(lambda image: image.crop((6, 6, 122, 122)), id="cropped"),
        pytest.param(lambda image: ImageEnhance.Brightness(image).enhance(0.6), id="darker"),
        pytest.param(lambda image: ImageEnhance.Contrast(image).enhance(0.6), id="paler"),
        pytest.param(lambda image: image.convert("L"), id="grey"),
        pytest.param(recompressed, id="recompressed"),
    ],
)
def test_copy_is_near_its_original(
    training: TrainingSet, folder: Path, change: Callable[[Image.Image], Image.Image]
) -> None:
    """What was done to a copy hides neither that it is one, nor of which image."""
    nearest = training.nearest(change(draw_training_image(2, (128, 128))))

    assert nearest.image == folder / "spyke_2.png"
    assert nearest.distance < COPY


def test_same_picture_is_at_no_distance(training: TrainingSet) -> None:
    """The very image is at distance 0."""
    assert training.nearest(draw_training_image(2, (128, 128))).distance == pytest.approx(0, abs=0.001)


def test_another_picture_is_far(training: TrainingSet) -> None:
    """A picture of something else is no copy of anything."""
    other = Image.radial_gradient("L").resize((128, 128)).rotate(30)

    assert training.nearest(other).distance > COPY


def test_flat_picture_is_no_copy(training: TrainingSet) -> None:
    """A picture without any contrast is like nothing."""
    assert training.nearest(Image.new("RGB", (64, 64), (90, 90, 90))).distance == 1.0


def test_usual_distance_is_between_training_images(training: TrainingSet) -> None:
    """How far training images usually are from each other is told beside, to judge a distance by."""
    assert training.usual is not None
    assert 0 < training.usual < 1


def test_one_training_image_has_no_usual_distance(folder: Path) -> None:
    """A single image is usually no distance from another."""
    assert TrainingSet([folder / "spyke_0.png"]).usual is None


def test_files_that_are_no_images_are_named(tmp_path: Path, folder: Path) -> None:
    """A file that only looks like an image is named, and the others are compared with."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"junk")
    cut = tmp_path / "cut.png"
    cut.write_bytes((folder / "spyke_0.png").read_bytes()[:500])
    training = TrainingSet([broken, folder / "spyke_1.png", cut])

    assert training.unreadable == (broken, cut)
    assert training.nearest(draw_training_image(0, (64, 64))).image == folder / "spyke_1.png"


def test_no_images_are_no_training_set() -> None:
    """Without images there is nothing to compare with."""
    assert not TrainingSet([])


def test_training_images_are_found_as_trainers_lay_them_out(tmp_path: Path) -> None:
    """Images are found in subfolders and by any ending in any case; captions and folders are not images."""
    for name in ("10_spyke/01.png", "10_spyke/01.txt", "10_spyke/02.JPG", "cover.webp", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()

    assert [str(path.relative_to(tmp_path)) for path in training_images(tmp_path)] == [
        str(Path("10_spyke", "01.png")),
        str(Path("10_spyke", "02.JPG")),
        "cover.webp",
    ]


@pytest.mark.parametrize("place", [pytest.param(None, id="not-named"), pytest.param("none", id="not-there")])
def test_training_folder_may_be_missing(tmp_path: Path, place: str | None) -> None:
    """A plan need not name training images, and the folder need not be there."""
    assert training_images(tmp_path / place if place else None) == ()


def test_fingerprint_tells_pictures_apart() -> None:
    """A fingerprint is 16x16 brightnesses: the same for the same picture at any size, another for another."""
    image = draw_training_image(0, (64, 64))

    assert len(fingerprint(image)) == 256
    assert fingerprint(image) == fingerprint(image.copy())
    assert fingerprint(image) != fingerprint(draw_training_image(1, (64, 64)))


def test_diversity_is_the_distance_between_pictures() -> None:
    """A column whose pictures are all the same has none; one picture alone cannot be told."""
    same, other = (fingerprint(draw_training_image(number, (64, 64))) for number in (0, 1))

    assert diversity([same]) is None
    assert diversity([same, same]) == pytest.approx(0, abs=0.001)
    assert (diversity([same, other]) or 0) > 0.05
