"""LoRAs and base models as trainers write them: real names, real widths where these tell families apart, few bytes."""

import json
import random
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from plugins.plan.training.header import read_header

BYTES: Final = {"F16": 2, "BF16": 2, "F32": 4, "I64": 8, "U8": 1}
RANK: Final = 2
SIDE: Final = 32

Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor."""
Layers = dict[str, tuple[int, int]]
"""Outputs and inputs of each layer."""


def write_file(
    path: Path, tensors: Shapes, metadata: Mapping[str, str] | None = None, *, seed: str = "x", size: int = 0
) -> Path:
    """Write a safetensors file of small random numbers, at least `size` bytes long."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    data, dice = bytearray(), random.Random(seed)  # noqa: S311 (weights)
    for name, (dtype, shape) in tensors.items():
        count = 1
        for side in shape:
            count *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + count * BYTES[dtype]]}
        for _ in range(count):
            data += bytes(BYTES[dtype] - 1) + bytes([dice.randrange(0x20, 0x38)])
    more = max(0, (size - len(data)) // 2 * 2)
    if more:
        place = [len(data), len(data) + more]
        header["lora_unet_padding.lora_up.weight"] = {"dtype": "F16", "shape": [more // 2, 1], "data_offsets": place}
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw + data)
        file.truncate(8 + len(raw) + len(data) + more)
    return path


def kohya(layers: Layers, down: str = "lora_down.weight", up: str = "lora_up.weight") -> Shapes:
    """Return the tensors of a LoRA as kohya's trainer names them."""
    made: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer, (outputs, inputs) in layers.items():
        made |= {f"{layer}.{down}": ("F16", (RANK, inputs)), f"{layer}.{up}": ("F16", (outputs, RANK))}
        made[f"{layer}.alpha"] = ("F16", ())
    return made


def peft(layers: Layers) -> Shapes:
    """Return the tensors of a LoRA as PEFT names them."""
    return {name: one for name, one in kohya(layers, "lora_A.weight", "lora_B.weight").items() if "alpha" not in name}


def script(layers: Layers, middle: str = "lora") -> Shapes:
    """Return the tensors of a LoRA as Diffusers' scripts name them."""
    made = kohya(layers, f"{middle}.down.weight", f"{middle}.up.weight")
    return {name: one for name, one in made.items() if "alpha" not in name}


def lokr(layers: Layers) -> Shapes:
    """Return the tensors of a LoKr."""
    made: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer, (outputs, inputs) in layers.items():
        made |= {f"{layer}.lokr_w1": ("F16", (4, 4)), f"{layer}.lokr_w2": ("F16", (outputs // 4, inputs // 4))}
        made[f"{layer}.alpha"] = ("F16", ())
    return made


def loha(layers: Layers) -> Shapes:
    """Return the tensors of a LoHa."""
    made: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer, (outputs, inputs) in layers.items():
        for number in (1, 2):
            made[f"{layer}.hada_w{number}_a"] = ("F16", (outputs, RANK))
            made[f"{layer}.hada_w{number}_b"] = ("F16", (RANK, inputs))
    return made


def oft(layers: Layers) -> Shapes:
    """Return the tensors of an OFT."""
    return {f"{layer}.oft_blocks": ("F16", (4, 8, 8)) for layer in layers}


def dora(layers: Layers) -> Shapes:
    """Return the tensors of a DoRA."""
    scales = {f"{layer}.dora_scale": ("F16", (outputs, 1)) for layer, (outputs, _) in layers.items()}
    return {**kohya(layers), **scales}


def ia3(layers: Layers) -> Shapes:
    """Return the tensors of an IA3."""
    made: dict[str, tuple[str, tuple[int, ...]]] = {}
    for layer, (outputs, _) in layers.items():
        made |= {f"{layer}.weight": ("F16", (outputs,)), f"{layer}.on_input": ("I64", ())}
    return made


def unet(prefix: str, sep: str, width: int) -> Layers:
    """Name the attention of a UNet's block, whose text encoding has that width."""
    at = f"{prefix}{sep}transformer_blocks{sep}0{sep}"
    wide = {f"{at}attn2{sep}to_{part}": (SIDE, width) for part in "kv"}
    return {
        f"{at}attn1{sep}to_q": (SIDE, SIDE), f"{at}attn1{sep}to_k": (SIDE, SIDE), f"{at}attn2{sep}to_q": (SIDE, SIDE)
    } | wide  # fmt: skip


def clip(prefix: str, sep: str) -> Layers:
    """Name the attention of a CLIP text encoder's first layer."""
    at = f"{prefix}{sep}text_model{sep}encoder{sep}layers{sep}0{sep}self_attn{sep}"
    return {f"{at}{part}_proj": (SIDE, SIDE) for part in "qkv"}


def native(prefix: str, sep: str, width: int = SIDE) -> Layers:
    """Name blocks as Flux.1, Flux.2, Chroma and HunyuanVideo have them alike."""
    return {
        f"{prefix}double_blocks{sep}0{sep}img_attn{sep}qkv": (3 * SIDE, width),
        f"{prefix}single_blocks{sep}0{sep}linear1": (7 * SIDE, width),
    }


XL: Final = unet("lora_unet_input_blocks_4_1", "_", 2048)
SD1: Final = unet("lora_unet_down_blocks_0_attentions_0", "_", 768)
SD2: Final = unet("lora_unet_down_blocks_0_attentions_0", "_", 1024)
XL_SCRIPT: Final = unet("unet.down_blocks.1.attentions.0", ".", 2048)
XL_TE: Final = {**clip("lora_te1", "_"), **clip("lora_te2", "_")}
XL_SCRIPT_TE: Final = {**clip("text_encoder", "."), **clip("text_encoder_2", ".")}
FLUX: Final = {
    f"transformer.{block}.0.attn.{part}": (SIDE, SIDE)
    for block in ("transformer_blocks", "single_transformer_blocks")
    for part in ("to_q", "to_k")
}
LTX: Final = {
    f"diffusion_model.transformer_blocks.0.{way}.{part}": (SIDE, 2048)
    for way in ("attn1", "attn2")
    for part in ("to_q", "to_k")
}
SD3: Final = {"lora_unet_joint_blocks_0_x_block_attn_qkv": (3 * SIDE, SIDE)}
QWEN: Final = {"transformer.transformer_blocks.0.img_mlp.net.0.proj": (SIDE, SIDE)}
WAN: Final = {f"diffusion_model.blocks.0.cross_attn.{part}": (SIDE, SIDE) for part in "qkvo"}
ZIMAGE: Final = {"diffusion_model.layers.0.attention.to_q": (SIDE, SIDE)}
HIDREAM: Final = {"transformer.double_stream_blocks.0.block.attn1.to_q": (SIDE, SIDE)}


def base(*names: str, width: int = 0) -> Shapes:
    """Return a base model with tensors of these names, and with a UNet's for a text encoding of that width."""
    made: dict[str, tuple[str, tuple[int, ...]]] = {f"model.diffusion_model.{name}": ("F16", (4, 4)) for name in names}
    if width:
        made["model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"] = ("F16", (4, width))
    return made


BASES: Final[Mapping[str, Shapes]] = {
    "SD 1.x": base(width=768),
    "SD 2.x": base(width=1024),
    "SDXL": base(width=2048),
    "SD 3.x": base("joint_blocks.0.context_block.attn.qkv.weight"),
    "Flux.1": base("double_blocks.0.img_attn.qkv.weight", "vector_in.in_layer.weight", "guidance_in.in_layer.weight"),
    "Flux.2": base("double_blocks.0.img_attn.qkv.weight", "double_stream_modulation_img.lin.weight"),
    "Chroma": base("double_blocks.0.img_attn.qkv.weight", "distilled_guidance_layer.norms.0.scale"),
    "HunyuanVideo": base(
        "double_blocks.0.img_attn.qkv.weight",
        "vector_in.in_layer.weight",
        "txt_in.individual_token_refiner.blocks.0.norm1.weight",
    ),
    "Qwen-Image": base("transformer_blocks.0.img_mlp.net.0.proj.weight", "transformer_blocks.0.attn.to_q.weight"),
    "Wan": base("blocks.0.self_attn.q.weight", "head.modulation"),
    "LTX-Video": base("transformer_blocks.0.attn1.to_q.weight", "adaln_single.emb.timestep_embedder.linear_1.bias"),
    "HiDream": base("double_stream_blocks.0.block.attn1.to_q.weight", "caption_projection.0.linear.weight"),
    "Z-Image": {"model.diffusion_model.layers.0.attention.qkv.weight": ("F16", (4, 3840))},
    "Lumina 2": {"model.diffusion_model.layers.0.attention.qkv.weight": ("F16", (4, 2304))},
}


def overwrite(path: Path, value: bytes, *, only: str = "") -> None:
    """Overwrite the weights whose names end in `only` with a repeated value."""
    header, content = read_header(path), bytearray(path.read_bytes())
    start = 8 + struct.unpack("<Q", content[:8])[0]
    for name, tensor in header.layout.items():
        if name.endswith(only):
            size = tensor.end - tensor.begin
            content[start + tensor.begin : start + tensor.end] = (value * size)[:size]
    path.write_bytes(content)
