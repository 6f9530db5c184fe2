"""The tensors of the smallest base model that ComfyUI takes for Stable Diffusion 1.5, and of a LoRA that fits it.

SD 1.5's text encoder and VAE as they are; a diffusion model of 320 channels on two levels. 502 MB in F16.
"""

from collections.abc import Iterator
from typing import Final

Shape = tuple[int, ...]
Named = Iterator[tuple[str, Shape]]

_TEXT: Final = 768
_TEXT_INNER: Final = 3072
_TEXT_LAYERS: Final = 12
_WIDTH: Final = 320
_EMBEDDING: Final = 1280
_VAE: Final = (128, 256, 512, 512)
_LORA_RANK: Final = 8
_ATTENTION: Final = ("to_k", "to_out_0", "to_q", "to_v")


def base_shapes() -> dict[str, Shape]:
    """Name every tensor of the base model, sorted by name."""
    groups = (
        ("cond_stage_model.transformer.text_model.", _text_encoder()),
        ("first_stage_model.", _vae()),
        ("model.diffusion_model.", _diffusion_model()),
    )
    return dict(sorted((prefix + name, shape) for prefix, group in groups for name, shape in group))


def lora_shapes() -> dict[str, Shape]:
    """Name every tensor of a LoRA in kohya's way, sorted by name: the attentions of text encoder and model."""
    layers = [
        (f"lora_te_text_model_encoder_layers_{layer}_self_attn_{name}", _TEXT, _TEXT)
        for layer in range(_TEXT_LAYERS)
        for name in ("k_proj", "out_proj", "q_proj", "v_proj")
    ]
    for block in ("down_blocks_0_attentions_0", "down_blocks_1_attentions_0", "mid_block_attentions_0"):
        for attention in ("attn1", "attn2"):
            for name in _ATTENTION:
                reads_text = attention == "attn2" and name in {"to_k", "to_v"}
                layer = f"lora_unet_{block}_transformer_blocks_0_{attention}_{name}"
                layers.append((layer, _TEXT if reads_text else _WIDTH, _WIDTH))
    shapes: dict[str, Shape] = {}
    for name, inputs, outputs in layers:
        shapes[f"{name}.alpha"] = ()
        shapes[f"{name}.lora_down.weight"] = (_LORA_RANK, inputs)
        shapes[f"{name}.lora_up.weight"] = (outputs, _LORA_RANK)
    return dict(sorted(shapes.items()))


def _layer(name: str, *weight: int) -> Named:
    """Return a layer's weight and its bias, as long as the weight's first side."""
    yield f"{name}.weight", weight
    yield f"{name}.bias", weight[:1]


def _text_encoder() -> Named:
    yield "embeddings.position_embedding.weight", (77, _TEXT)
    yield "embeddings.token_embedding.weight", (49408, _TEXT)
    yield from _layer("final_layer_norm", _TEXT)
    for index in range(_TEXT_LAYERS):
        start = f"encoder.layers.{index}"
        for number in (1, 2):
            yield from _layer(f"{start}.layer_norm{number}", _TEXT)
        yield from _layer(f"{start}.mlp.fc1", _TEXT_INNER, _TEXT)
        yield from _layer(f"{start}.mlp.fc2", _TEXT, _TEXT_INNER)
        for name in ("k_proj", "out_proj", "q_proj", "v_proj"):
            yield from _layer(f"{start}.self_attn.{name}", _TEXT, _TEXT)


def _vae() -> Named:
    yield from _layer("quant_conv", 8, 8, 1, 1)
    yield from _layer("post_quant_conv", 4, 4, 1, 1)
    yield from _layer("encoder.conv_in", _VAE[0], 3, 3, 3)
    yield from _layer("encoder.norm_out", _VAE[-1])
    yield from _layer("encoder.conv_out", 8, _VAE[-1], 3, 3)
    yield from _layer("decoder.conv_in", _VAE[-1], 4, 3, 3)
    yield from _layer("decoder.norm_out", _VAE[0])
    yield from _layer("decoder.conv_out", 3, _VAE[0], 3, 3)
    for part in ("encoder", "decoder"):
        for number in (1, 2):
            yield from _vae_block(f"{part}.mid.block_{number}", _VAE[-1], _VAE[-1])
        yield from _layer(f"{part}.mid.attn_1.norm", _VAE[-1])
        for name in ("k", "proj_out", "q", "v"):
            yield from _layer(f"{part}.mid.attn_1.{name}", _VAE[-1], _VAE[-1], 1, 1)
    for level, width in enumerate(_VAE):
        before = _VAE[max(0, level - 1)]
        for index in range(2):
            yield from _vae_block(f"encoder.down.{level}.block.{index}", width if index else before, width)
        if level < len(_VAE) - 1:
            yield from _layer(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
        above = _VAE[min(level + 1, len(_VAE) - 1)]
        for index in range(3):
            yield from _vae_block(f"decoder.up.{level}.block.{index}", width if index else above, width)
        if level:
            yield from _layer(f"decoder.up.{level}.upsample.conv", width, width, 3, 3)


def _vae_block(name: str, inputs: int, outputs: int) -> Named:
    yield from _layer(f"{name}.norm1", inputs)
    yield from _layer(f"{name}.conv1", outputs, inputs, 3, 3)
    yield from _layer(f"{name}.norm2", outputs)
    yield from _layer(f"{name}.conv2", outputs, outputs, 3, 3)
    if inputs != outputs:
        yield from _layer(f"{name}.nin_shortcut", outputs, inputs, 1, 1)


def _diffusion_model() -> Named:
    yield from _layer("time_embed.0", _EMBEDDING, _WIDTH)
    yield from _layer("time_embed.2", _EMBEDDING, _EMBEDDING)
    yield from _layer("out.0", _WIDTH)
    yield from _layer("out.2", 4, _WIDTH, 3, 3)
    yield from _layer("input_blocks.0.0", _WIDTH, 4, 3, 3)
    yield from _layer("input_blocks.2.0.op", _WIDTH, _WIDTH, 3, 3)
    yield from _layer("output_blocks.1.2.conv", _WIDTH, _WIDTH, 3, 3)
    for block in ("input_blocks.1", "input_blocks.3"):
        yield from _residual(f"{block}.0", _WIDTH)
        yield from _transformer(f"{block}.1")
    yield from _residual("middle_block.0", _WIDTH)
    yield from _transformer("middle_block.1")
    yield from _residual("middle_block.2", _WIDTH)
    for index in range(4):
        yield from _residual(f"output_blocks.{index}.0", 2 * _WIDTH)
        yield from _transformer(f"output_blocks.{index}.1")


def _residual(name: str, inputs: int) -> Named:
    yield from _layer(f"{name}.emb_layers.1", _WIDTH, _EMBEDDING)
    yield from _layer(f"{name}.in_layers.0", inputs)
    yield from _layer(f"{name}.in_layers.2", _WIDTH, inputs, 3, 3)
    yield from _layer(f"{name}.out_layers.0", _WIDTH)
    yield from _layer(f"{name}.out_layers.3", _WIDTH, _WIDTH, 3, 3)
    if inputs != _WIDTH:
        yield from _layer(f"{name}.skip_connection", _WIDTH, inputs, 1, 1)


def _transformer(name: str) -> Named:
    yield from _layer(f"{name}.norm", _WIDTH)
    yield from _layer(f"{name}.proj_in", _WIDTH, _WIDTH, 1, 1)
    yield from _layer(f"{name}.proj_out", _WIDTH, _WIDTH, 1, 1)
    inner = f"{name}.transformer_blocks.0"
    for number in (1, 2, 3):
        yield from _layer(f"{inner}.norm{number}", _WIDTH)
    for attention, reads in (("attn1", _WIDTH), ("attn2", _TEXT)):
        yield f"{inner}.{attention}.to_q.weight", (_WIDTH, _WIDTH)
        yield f"{inner}.{attention}.to_k.weight", (_WIDTH, reads)
        yield f"{inner}.{attention}.to_v.weight", (_WIDTH, reads)
        yield from _layer(f"{inner}.{attention}.to_out.0", _WIDTH, _WIDTH)
    yield from _layer(f"{inner}.ff.net.0.proj", 8 * _WIDTH, _WIDTH)
    yield from _layer(f"{inner}.ff.net.2", _WIDTH, 4 * _WIDTH)
