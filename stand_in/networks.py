"""The layers of Stable Diffusion 1.5 that a kohya LoRA changes, by their kohya names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

_TEXT_ENCODER: Final = "lora_te_text_model_encoder_layers_"
_TEXT_LAYERS: Final = 12
_TEXT_WIDTH: Final = 768
_TEXT_INNER: Final = 3072
_BLOCKS: Final = (
    *(
        (f"down_blocks_{index}_attentions_{number}", width)
        for index, width in enumerate((320, 640, 1280))
        for number in range(2)
    ),
    ("mid_block_attentions_0", 1280),
    *(
        (f"up_blocks_{index}_attentions_{number}", width)
        for index, width in ((1, 1280), (2, 640), (3, 320))
        for number in range(3)
    ),
)


@dataclass(frozen=True)
class Layer:
    """One layer: how many numbers go in and come out, and whether it is a 1x1 convolution."""

    name: str
    inputs: int
    outputs: int
    convolution: bool = False

    def shapes(self, rank: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name the three tensors that a LoRA of that rank has for this layer."""
        tail = (1, 1) if self.convolution else ()
        yield f"{self.name}.alpha", ()
        yield f"{self.name}.lora_down.weight", (rank, self.inputs, *tail)
        yield f"{self.name}.lora_up.weight", (self.outputs, rank, *tail)


def sd15_layers() -> Iterator[Layer]:
    """Name every layer, the text encoder's first."""
    for index in range(_TEXT_LAYERS):
        start = f"{_TEXT_ENCODER}{index}"
        for name in ("k_proj", "q_proj", "v_proj", "out_proj"):
            yield Layer(f"{start}_self_attn_{name}", _TEXT_WIDTH, _TEXT_WIDTH)
        yield Layer(f"{start}_mlp_fc1", _TEXT_WIDTH, _TEXT_INNER)
        yield Layer(f"{start}_mlp_fc2", _TEXT_INNER, _TEXT_WIDTH)
    for block, width in _BLOCKS:
        start = f"lora_unet_{block}"
        yield Layer(f"{start}_proj_in", width, width, convolution=True)
        inner = f"{start}_transformer_blocks_0"
        for name in ("to_q", "to_k", "to_v", "to_out_0"):
            yield Layer(f"{inner}_attn1_{name}", width, width)
        for name in ("to_q", "to_k", "to_v", "to_out_0"):
            reads_text = name in {"to_k", "to_v"}
            yield Layer(f"{inner}_attn2_{name}", _TEXT_WIDTH if reads_text else width, width)
        yield Layer(f"{inner}_ff_net_0_proj", width, 8 * width)
        yield Layer(f"{inner}_ff_net_2", 4 * width, width)
        yield Layer(f"{start}_proj_out", width, width, convolution=True)


def lora_shapes(at_least: int, at_most: int, *, text_encoder: bool = True) -> tuple[int, Mapping[str, tuple[int, ...]]]:
    """Return the smallest rank whose F16 tensors take `at_least` bytes, and their names and shapes.

    A LoRA of all layers takes 1.2 MB at rank 1; where `at_most` bytes are fewer, it has fewer layers.
    """
    layers = [layer for layer in sd15_layers() if text_encoder or not layer.name.startswith(_TEXT_ENCODER)]
    per_rank = 2 * sum(layer.inputs + layer.outputs for layer in layers)
    rank = max(1, -(-at_least // per_rank))
    while len(layers) > 1 and 2 * rank * sum(layer.inputs + layer.outputs for layer in layers) > at_most:
        # From the end, and both text encoder and diffusion model lose some.
        layers = layers[: len(layers) // 4] + layers[len(layers) // 2 : -max(1, len(layers) // 4)]
    return rank, dict(shape for layer in layers for shape in layer.shapes(rank))
