"""A LoRA's header is read without its weights, and every broken file is told by name, with what to do."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from plugins.loras.errors import HeaderError
from plugins.loras.header import Header, check_fit, doubts_of_fit, read_header, said
from plugins.plan.tested import Checkpoint
from plugins.plan.training.header import Tensor

NEXT_STEP = "If it is still being written or copied, wait; else copy it from the trainer's output again."
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

    assert str(caught.value).startswith(f"{path} is not a complete safetensors file (")
    assert why in str(caught.value)
    assert str(caught.value).endswith(NEXT_STEP)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\n<!DOCTYPE html><html><title>Sign in</title>", "it is a web page, as a download without a login gives)."),
        (b"<html>404 Not Found</html>" * 9, "it is a web page, as a download without a login gives)."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d", "it is a pointer of Git LFS). Get the file"),
        (b"PK\x03\x04" + b"\0" * 200, "it is an archive, such as torch.save writes). Have the trainer save"),
    ],
    ids=["sign-in", "not-found", "git-lfs", "torch"],
)
def test_file_of_another_kind_is_told(path: Path, content: bytes, told: str) -> None:
    """What people have in a LoRA's place is told for what it is, with what to do about that."""
    path.write_bytes(content)
    with pytest.raises(HeaderError) as caught:
        read_header(path)
    assert str(caught.value).startswith(f"{path} is not a complete safetensors file ({told}")


def test_missing_file_is_told(path: Path) -> None:
    """A file that is not there is told by name."""
    with pytest.raises(HeaderError, match=r"spyke\.safetensors is not a complete safetensors file \(No such file"):
        read_header(path)


@pytest.mark.parametrize(
    "header", [pytest.param({}, id="nothing"), pytest.param({"__metadata__": {"ss_steps": "600"}}, id="notes-only")]
)
def test_file_without_tensors_is_told(path: Path, header: dict[str, Any]) -> None:
    """A safetensors file without a single tensor is no LoRA."""
    path.write_bytes(safetensors(header, b""))

    with pytest.raises(HeaderError) as caught:
        read_header(path)

    assert str(caught.value) == f"{path} holds no tensors, so it is no LoRA. Copy it from the trainer's output again."


def header_of(layout: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str] = MappingProxyType({})) -> Header:
    """Return the header of a file with tensors of these names and shapes."""
    tensors = {name: Tensor(dtype="F16", shape=shape, begin=0, end=0) for name, shape in layout.items()}
    return Header(metadata=metadata, tensors=tuple(tensors), layout=tensors)


def lora(width: int) -> Header:
    """Return the header of a LoRA whose cross-attention reads a text encoding of that width."""
    attention = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
    return header_of({attention: (8, width)}, {"ss_network_dim": "8"})


BASE = header_of({"model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (4, 768)})
CHECKPOINT = Checkpoint(step=600, file="spyke.safetensors")


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
        "  step600: rank 8; made for SDXL; keys lora_unet* (1)\n"
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
    """What the headers do not say is no reason to refuse."""
    check_fit({CHECKPOINT: lora(width)}, base, base_model="base")


def test_lora_of_a_related_family_is_a_doubt() -> None:
    """A Flux.1 LoRA on Chroma, which was made from Flux.1, is not refused; that it may fit in part is said."""
    chroma = header_of({"double_blocks.0.img_attn.qkv.weight": (4, 4), "distilled_guidance_layer.norms.0.scale": (4,)})
    notes = {"ss_base_model_version": "flux1"}
    headers = {CHECKPOINT: header_of({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072)}, notes)}

    check_fit(headers, chroma, base_model="chroma")

    assert list(doubts_of_fit(headers, chroma, base_model="chroma")) == [
        "checkpoint step600 is made for Flux.1, and the base model chroma is Chroma: only part of it may take effect"
    ]


def test_file_says_itself_in_one_line() -> None:
    """A file's notes, family and keys are one line, and what cannot be printed does not steer the terminal."""
    header = header_of({"lora_unet_joint_blocks_0_x.alpha": ()}, {"ss_network_module": "networks\x1b[2J"})

    assert said(header) == "module networks\N{REPLACEMENT CHARACTER}[2J; made for SD 3.x; keys lora_unet* (1)"


def test_lora_of_another_size_is_refused() -> None:
    """A LoRA of a family's smaller model is refused on the larger one, with the layer that tells."""
    headers = {CHECKPOINT: header_of({"diffusion_model.blocks.0.self_attn.q.lora_A.weight": (8, 1536)})}

    with pytest.raises(HeaderError) as caught:
        check_fit(headers, header_of({"blocks.0.self_attn.q.weight": (5120, 5120)}), base_model="wan14b")

    assert str(caught.value) == (
        "The base model wan14b is of another size than these LoRAs were made for:\n"
        "  step600: blocks_0_self_attn_q has 1536 inputs, and 5120 in the base model\n"
        "  Correct `base_model` under [sampling] in the plan: it must be the one that they were trained on."
    )
