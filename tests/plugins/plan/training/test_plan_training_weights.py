"""Weights that give no picture worth looking at are found in a sample, and files of the same weights are one."""

import random
import struct
from pathlib import Path

import pytest

from plugins.plan.training.header import read_header
from plugins.plan.training.weights import same_weights, sample_of
from tests.lora_files import XL, dora, kohya, overwrite, peft, write_file

NAN = {"F16": 0x7E00, "BF16": 0x7FC0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a LoRA of small random numbers."""
    return write_file(tmp_path / "kira.safetensors", kohya(XL))


def test_good_weights_are_good(path: Path) -> None:
    """Ordinary numbers are neither zero nor broken; all tensors but the alphas are looked into."""
    sample = sample_of(path, read_header(path))

    assert (10, 0, False) == (sample.tensors, sample.not_finite, sample.is_zero)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(struct.pack("<H", 0x7E00), id="nan"),
        pytest.param(struct.pack("<H", 0x7C00), id="infinity"),
        pytest.param(struct.pack("<H", 0xFC00), id="minus-infinity"),
    ],
)
def test_broken_weights_are_found(path: Path, value: bytes) -> None:
    """Numbers that are NaN or infinite are counted by tensor."""
    overwrite(path, value)

    assert 10 == sample_of(path, read_header(path)).not_finite


def test_broken_bf16_weights_are_found(tmp_path: Path) -> None:
    """BF16 has another exponent, and is read as such."""
    path = write_file(
        tmp_path / "a.safetensors", {"x.lora_A.weight": ("BF16", (4, 64)), "x.lora_B.weight": ("BF16", (64, 4))}
    )
    overwrite(path, struct.pack("<H", 0x7FC0), only="lora_A.weight")

    assert 1 == sample_of(path, read_header(path)).not_finite


def test_random_bytes_are_not_called_broken(tmp_path: Path) -> None:
    """A few patterns of NaN among random bytes say nothing: a training that failed leaves nothing else."""
    path = write_file(tmp_path / "a.safetensors", kohya(XL))
    content = path.read_bytes()
    start = 8 + struct.unpack("<Q", content[:8])[0]
    path.write_bytes(content[:start] + random.Random(1).randbytes(len(content) - start))  # noqa: S311 (weights)

    assert 0 == sample_of(path, read_header(path)).not_finite


@pytest.mark.parametrize("only", ["", "lora_up.weight"])
def test_weights_that_change_nothing_are_found(path: Path, only: str) -> None:
    """A LoRA of zeros changes nothing, and so does one whose last factors still are what training began with."""
    overwrite(path, b"\0", only=only)

    assert sample_of(path, read_header(path)).is_zero


def test_first_factor_of_zeros_alone_is_no_reason(path: Path) -> None:
    """What is only half zero is not called zero."""
    overwrite(path, b"\0", only="q.lora_up.weight")

    assert not sample_of(path, read_header(path)).is_zero


def test_one_number_anywhere_makes_the_difference(tmp_path: Path) -> None:
    """That all is zero is confirmed in full: one number outside of the sample is enough."""
    path = write_file(tmp_path / "a.safetensors", {"x.lora_up.weight": ("F16", (3000, 4))})
    overwrite(path, b"\0")
    content = bytearray(path.read_bytes())
    content[-9000] = 1
    path.write_bytes(content)

    assert not sample_of(path, read_header(path)).is_zero


def test_files_of_the_same_weights_are_one(tmp_path: Path) -> None:
    """Files are compared by the bytes after their headers, whatever these say."""
    names = {
        "a": ("x", {"ss_steps": "1000"}),
        "b": ("x", {"ss_steps": "1000", "ss_training_finished_at": "1"}),
        "c": ("y", {}),
    }
    paths = [write_file(tmp_path / name, peft(XL), notes, seed=seed) for name, (seed, notes) in names.items()]

    assert [(paths[0], paths[1])] == same_weights({path: sample_of(path, read_header(path)) for path in paths})


def test_same_bytes_by_other_names_are_other_weights(tmp_path: Path) -> None:
    """A file whose tensors were renamed loads otherwise, though its bytes after the header are the same."""
    paths = [write_file(tmp_path / name, {f"{name}.lora_up.weight": ("F16", (3000, 4))}) for name in ("one", "two")]

    assert [] == same_weights({path: sample_of(path, read_header(path)) for path in paths})


def test_files_that_differ_outside_of_the_sample_are_two(tmp_path: Path) -> None:
    """What looks alike in the sample is compared in full."""
    paths = [write_file(tmp_path / name, {"x.lora_up.weight": ("F16", (3000, 4))}) for name in "ab"]
    content = bytearray(paths[1].read_bytes())
    content[-9000] ^= 1
    paths[1].write_bytes(content)

    assert [] == same_weights({path: sample_of(path, read_header(path)) for path in paths})


def test_dora_whose_magnitudes_were_trained_is_not_zero(tmp_path: Path) -> None:
    """A DoRA may change magnitudes alone."""
    path = write_file(tmp_path / "a.safetensors", dora(XL))
    overwrite(path, b"\0", only="lora_up.weight")

    assert not sample_of(path, read_header(path)).is_zero
