"""A LoRA's header is read without its weights, and every broken file is told by name, with what to do."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from plugins.loras.errors import HeaderError
from plugins.loras.header import Header, check_fit, check_header, read_header
from plugins.plan.plan import Checkpoint

NEXT_STEP = "If it is still being written or copied, wait; else take it from the trainer's output again."
TENSOR = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}


def safetensors(header: dict[str, Any], data: bytes = b"\0\0\0\0") -> bytes:
    """Return the bytes of a safetensors file."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


WHOLE = safetensors({"__metadata__": {"ss_steps": "600", "ss_output_name": "spyke"}, "lora_unet_a.alpha": TENSOR})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name the file."""
    return tmp_path / "spyke.safetensors"


def test_header_is_read(path: Path) -> None:
    """The trainer's notes and the tensors' names are read, and the step among them."""
    path.write_bytes(WHOLE)

    header = read_header(path)

    assert header == Header(metadata={"ss_steps": "600", "ss_output_name": "spyke"}, tensors=("lora_unet_a.alpha",))
    assert header.step == 600


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_header_of_types_that_numpy_lacks_is_read(path: Path, dtype: str) -> None:
    """The type of the weights does not matter, since they are not read."""
    size = 4 if dtype == "BF16" else 2
    path.write_bytes(safetensors({"a": TENSOR | {"dtype": dtype, "data_offsets": [0, size]}}, b"\0" * size))

    assert read_header(path).tensors == ("a",)


@pytest.mark.parametrize("step", ["", "many", "-1", "6.5", "²"])
def test_step_that_is_no_number_is_none(step: str) -> None:
    """A step that cannot be read is as good as none."""
    assert Header(metadata={"ss_steps": step}, tensors=("a",)).step is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"abc", "header too small", id="three-bytes"),
        pytest.param(WHOLE[:-1], "incomplete metadata, file not fully covered", id="last-byte-missing"),
        pytest.param(WHOLE[:40], "invalid header length", id="cut-in-the-header"),
        pytest.param(WHOLE + b"\0", "incomplete metadata, file not fully covered", id="one-byte-too-many"),
        pytest.param(b"\0" * 500, "invalid JSON in header", id="zeros"),
        pytest.param(b"<html>404 Not Found</html>" * 9, "header too large", id="a-web-page"),
        pytest.param(struct.pack("<Q", 2**62) + b"{}" * 50, "header too large", id="absurd-header-length"),
        pytest.param(safetensors({"__metadata__": {"ss_steps": 600}, "a": TENSOR}), "invalid type", id="bad-metadata"),
        pytest.param(safetensors({"a": TENSOR | {"data_offsets": [0, 400]}}), "Error while", id="offsets-outside"),
    ],
)
def test_broken_file_is_told(path: Path, content: bytes, why: str) -> None:
    """A file that is not whole is told by name, with the reason and the next step."""
    path.write_bytes(content)

    with pytest.raises(HeaderError) as caught:
        read_header(path)

    assert str(caught.value).startswith(f"{path} is not a whole safetensors file (")
    assert why in str(caught.value)
    assert str(caught.value).endswith(NEXT_STEP)


def test_missing_file_is_told(path: Path) -> None:
    """A file that is not there is told by name."""
    with pytest.raises(HeaderError, match=r"spyke\.safetensors is not a whole safetensors file \(No such file"):
        read_header(path)


@pytest.mark.parametrize(
    "header", [pytest.param({}, id="nothing"), pytest.param({"__metadata__": {"ss_steps": "600"}}, id="notes-only")]
)
def test_file_without_tensors_is_told(path: Path, header: dict[str, Any]) -> None:
    """A safetensors file without a single tensor is no LoRA."""
    path.write_bytes(safetensors(header, b""))

    with pytest.raises(HeaderError) as caught:
        read_header(path)

    assert str(caught.value) == f"{path} holds no tensors, so it is no LoRA. Take it from the trainer's output again."


def test_step_that_contradicts_the_plan_is_told(path: Path) -> None:
    """A file saved at another step than the plan says would be judged under a wrong name."""
    path.write_bytes(WHOLE)

    with pytest.raises(HeaderError) as caught:
        check_header(path, Checkpoint(step=800, file=path.name))

    assert str(caught.value) == (
        f"{path} says that it was saved at step 600 (ss_steps), but the plan calls it step 800. "
        "Correct the plan's [[checkpoint]], or the file."
    )


@pytest.mark.parametrize(
    "metadata", [pytest.param({"ss_steps": "600"}, id="same-step"), pytest.param({}, id="no-step")]
)
def test_step_that_does_not_contradict_the_plan_is_good(path: Path, metadata: dict[str, str]) -> None:
    """The plan's step, or none at all, is no contradiction: not every trainer writes one."""
    path.write_bytes(safetensors({"__metadata__": metadata, "a": TENSOR}))

    assert check_header(path, Checkpoint(step=600, file=path.name)).metadata == metadata


def lora(width: int) -> Header:
    """Return the header of a LoRA whose cross-attention reads a text encoding of that width."""
    return Header(metadata={"ss_network_dim": "8"}, tensors=("lora_unet_attn2_to_k.lora_down.weight",), context=width)


BASE = Header(metadata={}, tensors=("model.attn2.to_k.weight",), context=768)
CHECKPOINT = Checkpoint(step=600, file="spyke.safetensors")


@pytest.mark.parametrize(
    ("tensors", "context", "expected"),
    [
        pytest.param(("lora_unet_x",), 768, "SD 1.x", id="sd1"),
        pytest.param(("lora_unet_x",), 1024, "SD 2.x", id="sd2"),
        pytest.param(("lora_unet_x",), 2048, "SDXL", id="sdxl-by-width"),
        pytest.param(("lora_te2_text_model",), None, "SDXL", id="sdxl-by-its-second-text-encoder"),
        pytest.param(("lora_unet_double_blocks_0",), None, "Flux", id="flux"),
        pytest.param(("lora_unet_x",), None, None, id="unknown"),
        pytest.param(("lora_unet_x",), 5, None, id="unknown-width"),
    ],
)
def test_kind_of_base_model_is_told(tensors: tuple[str, ...], context: int | None, expected: str | None) -> None:
    """The kind of base model that a file is shaped for is told from its tensors, where it can be."""
    assert Header(metadata={}, tensors=tensors, context=context).architecture == expected


def test_width_of_the_text_encoding_is_read(path: Path) -> None:
    """The width is the second dimension of the cross-attention's keys."""
    tensor = {"dtype": "F16", "shape": [1, 768], "data_offsets": [0, 1536]}
    path.write_bytes(safetensors({"lora_unet_x_attn2_to_k.lora_down.weight": tensor}, b"\0" * 1536))

    assert read_header(path).context == 768


def test_lora_of_another_kind_is_told() -> None:
    """A LoRA for another kind of base model is told before anything is rendered, with what both are."""
    with pytest.raises(HeaderError) as caught:
        check_fit({CHECKPOINT: lora(2048)}, BASE, base_model="AnythingXL_inkBase.safetensors")

    assert str(caught.value) == (
        "The base model AnythingXL_inkBase.safetensors is SD 1.x, and these LoRAs are not:\n"
        "  step600: rank 8; shaped for SDXL; keys lora_unet* (1)\n"
        "  Correct `base_model` under [sampling] in the plan: it must be of the kind that they were trained on."
    )


@pytest.mark.parametrize(
    ("width", "base"),
    [
        pytest.param(768, BASE, id="same-kind"),
        pytest.param(5, BASE, id="unknown-lora"),
        pytest.param(2048, Header(metadata={}, tensors=("x",)), id="unknown-base"),
        pytest.param(2048, None, id="base-that-cannot-be-read"),
    ],
)
def test_lora_that_may_fit_is_good(width: int, base: Header | None) -> None:
    """What cannot be told from the headers is no reason to refuse."""
    check_fit({CHECKPOINT: lora(width)}, base, base_model="base")
