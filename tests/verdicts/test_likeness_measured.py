"""The benchmark that justifies the threshold for copies, on small drawings: it still separates them from others."""

from pathlib import Path

import pytest

from benchmarks.likeness import CHANGES, Found, measure_demo
from plugins.pictures.likeness import COPY


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Found], list[Found]]:
    """Measure on drawings of 128x128 pixels."""
    folder: Path = tmp_path_factory.mktemp("training")
    copies, others, _ = measure_demo(folder, side=128)
    return copies, others


@pytest.mark.parametrize("kind", CHANGES)
def test_every_copy_is_found(measured: tuple[list[Found], list[Found]], kind: str) -> None:
    """Every training image is found, however it was cropped, mirrored, recompressed or recoloured."""
    row = next(one for one in measured[0] if one.kind == kind)

    assert row.found == row.pictures


def test_other_pictures_are_left_alone(measured: tuple[list[Found], list[Found]]) -> None:
    """No other picture of the same character is taken for a copy."""
    assert {one.kind: one.found for one in measured[1]} == {
        "other pictures, step400": 0,
        "other pictures, step600": 0,
        "other pictures, step800": 0,
    }


def test_threshold_lies_between_copies_and_others(measured: tuple[list[Found], list[Found]]) -> None:
    """The threshold keeps a tenth of its size away from the farthest copy and from the nearest other picture."""
    copies, others = measured

    assert max(one.farthest for one in copies) < 0.9 * COPY
    assert min(one.nearest for one in others) > 1.1 * COPY
