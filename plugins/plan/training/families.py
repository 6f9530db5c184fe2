"""Which families of base models a file can belong to, by the names and widths of its tensors and the trainer's notes.

A LoRA's tensors are named after the base model's, so both are read by the same rules. Every rule narrows the families
that are possible; a family that no rule excludes stays possible, and nothing is guessed.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache
from typing import Final

from plugins.plan.training.header import Header, Shapes
from plugins.plan.training.layers import Layer, layers_of


class Family(StrEnum):
    """A family of base models: a LoRA of one does not fit another."""

    SD1 = "SD 1.x"
    SD2 = "SD 2.x"
    SDXL = "SDXL"
    REFINER = "SDXL refiner"
    SD3 = "SD 3.x"
    FLUX1 = "Flux.1"
    FLUX2 = "Flux.2"
    CHROMA = "Chroma"
    HUNYUAN = "HunyuanVideo"
    QWEN = "Qwen-Image"
    ZIMAGE = "Z-Image"
    LUMINA = "Lumina 2"
    WAN = "Wan"
    LTX = "LTX-Video"
    HIDREAM = "HiDream"
    OTHER = "another family"
    """One that this suite does not know by name."""


Families = frozenset[Family]
_F = Family
ANY: Final[Families] = frozenset(Family)
_UNETS: Final[Families] = frozenset({_F.SD1, _F.SD2, _F.SDXL, _F.REFINER})
_OLD_UNETS: Final[Families] = frozenset({_F.SD1, _F.SD2})
_DOUBLE: Final[Families] = frozenset({_F.FLUX1, _F.FLUX2, _F.CHROMA, _F.HUNYUAN, _F.OTHER})
_JOINT: Final[Families] = frozenset({_F.SD3, _F.FLUX1, _F.FLUX2, _F.CHROMA, _F.QWEN, _F.OTHER})
_WITH_CLIP: Final[Families] = frozenset({_F.SD1, _F.SD2, _F.SDXL, _F.REFINER, _F.SD3, _F.FLUX1, _F.HUNYUAN, _F.HIDREAM})
RELATED: Final = (frozenset({_F.FLUX1, _F.CHROMA}),)
"""Families of which one was made from the other: LoRAs of one load on the other, and may do something there."""

_NAMES: Final[tuple[tuple[re.Pattern[str], Families], ...]] = tuple(
    (re.compile(pattern), families)
    for pattern, families in (
        # UNets; the levels that have attention tell SD 1 and 2 from SDXL.
        (r"^(?:input|output)_blocks_\d|^middle_block_\d|^(?:down|up)_blocks_\d|^mid_block_", _UNETS),
        (r"^input_blocks_(?:1|2)_1_|^down_blocks_0_attentions_|^up_blocks_3_attentions_", _OLD_UNETS),
        (r"^output_blocks_(?:9|10|11)_1_", _UNETS - {_F.SDXL}),
        (r"^output_blocks_[0-2]_1_transformer_|^up_blocks_0_attentions_", _UNETS - {_F.SD1, _F.SD2}),
        (r"_attentions_\d+_transformer_blocks_[1-9]|_blocks_\d+_1_transformer_blocks_[1-9]", _UNETS - {_F.SD1, _F.SD2}),
        # Transformers, each by names that it alone has, or shares with few.
        (r"^joint_blocks_\d", frozenset({_F.SD3})),
        (r"^(?:double|single)_blocks_\d", _DOUBLE),
        (r"^double_stream_modulation_|^single_transformer_blocks_\d+_attn_to_qkv_mlp", frozenset({_F.FLUX2})),
        (r"^distilled_guidance_layer_", frozenset({_F.CHROMA})),
        (r"^txt_in_individual_token_refiner", frozenset({_F.HUNYUAN, _F.OTHER})),
        (r"_(?:img|txt)_mlp_fc[12]$|_(?:img|txt)_mod_linear$", frozenset({_F.HUNYUAN, _F.OTHER})),
        (r"^single_blocks_\d+_modulation_|^double_blocks_\d+_(?:img|txt)_mod_", _DOUBLE - {_F.FLUX2, _F.CHROMA}),
        (r"^vector_in_", _DOUBLE - {_F.FLUX2, _F.CHROMA}),
        (r"^guidance_in_", _DOUBLE - {_F.CHROMA}),
        (r"^single_transformer_blocks_\d", _JOINT - {_F.SD3, _F.QWEN}),
        (r"^transformer_blocks_\d+_attn_", _JOINT),
        (r"^transformer_blocks_\d+_(?:img|txt)_(?:mlp|mod)_", frozenset({_F.QWEN, _F.OTHER})),
        (r"^transformer_blocks_\d+_(?:audio_)?attn1_", frozenset({_F.LTX, _F.OTHER})),
        (r"^transformer_blocks_\d+_attn2_", frozenset({_F.LTX, _F.SD3, _F.OTHER})),
        (
            r"^(?:layers|noise_refiner|context_refiner)_\d+_(?:attention|feed_forward|adaLN_modulation)_",
            frozenset({_F.ZIMAGE, _F.LUMINA, _F.OTHER}),
        ),
        (r"^(?:x|cap)_pad_token$", frozenset({_F.ZIMAGE, _F.OTHER})),
        (r"^blocks_\d", frozenset({_F.WAN, _F.OTHER})),
        (r"^blocks_\d+_(?:(?:self|cross)_attn_(?:q|k|v|o|k_img|v_img|norm_q|norm_k)$|ffn_\d)", frozenset({_F.WAN})),
        (r"^blocks_\d+_(?:(?:self|cross)_attn_\w+_proj|mlp_layer\d|adaln_modulation_\w+)$", frozenset({_F.OTHER})),
        (r"^(?:double|single)_stream_blocks_\d", frozenset({_F.HIDREAM})),
        (r"^(?:joint_transformer_blocks|double_layers|single_layers)_\d", frozenset({_F.OTHER})),
        (r"^(?:visual|text)_transformer_blocks_\d", frozenset({_F.OTHER})),
        (r"^layers_\d+_(?:attn|self_attn|self_attention|cross_attn|mlp)_", frozenset({_F.OTHER})),
    )
)  # fmt: skip
_OF_QWEN: Final = re.compile(r"^(?:diffusion_model\.|lora_unet_)transformer_blocks[._]\d+[._]attn[._]")
"""Blocks of names that several families have, under a prefix that ComfyUI reads for Qwen-Image alone."""
_BY_CONTEXT: Final = {768: _F.SD1, 1024: _F.SD2, 1280: _F.REFINER, 2048: _F.SDXL}
_ATTENDS_TO_TEXT: Final = re.compile(r"attn2_to_[kv]$")
_WIDTHS: Final[tuple[tuple[re.Pattern[str], dict[int, Families]], ...]] = tuple(
    (re.compile(pattern), widths)
    for pattern, widths in (
        (
            r"^double_blocks_\d+_(?:img|txt)_(?:attn_qkv|mlp_0|mod_lin)$|^single_blocks_\d+_linear1$",
            {
                2048: frozenset({_F.HUNYUAN, _F.OTHER}),
                3072: frozenset(_DOUBLE),
                4096: frozenset({_F.FLUX2, _F.OTHER}),
                6144: frozenset({_F.FLUX2, _F.OTHER}),
            },
        ),
        (
            r"^transformer_blocks_\d+_attn_(?:to|add)_[qkv](?:_proj)?$",
            {
                1536: frozenset({_F.SD3, _F.OTHER}),
                2432: frozenset({_F.SD3, _F.OTHER}),
                3072: _JOINT - {_F.SD3},
                4096: frozenset({_F.FLUX2, _F.OTHER}),
                6144: frozenset({_F.FLUX2, _F.OTHER}),
            },
        ),
        (
            r"^layers_\d+_attention_(?:qkv|to_[qkv])$|^layers_\d+_feed_forward_w[13]$",
            {2304: frozenset({_F.LUMINA, _F.OTHER}), 3840: frozenset({_F.ZIMAGE, _F.OTHER})},
        ),
    )
)
"""The numbers of inputs that tell families of the same names apart; other numbers tell nothing."""
_BLOCK: Final = re.compile(
    r"^(double_blocks|single_blocks|transformer_blocks|single_transformer_blocks)_(\d+)_(?!attn[12])"
)
_BLOCKS: Final = {
    "double_blocks": {_F.FLUX1: 19, _F.CHROMA: 19, _F.FLUX2: 8, _F.HUNYUAN: 54},
    "single_blocks": {_F.FLUX1: 38, _F.CHROMA: 38, _F.FLUX2: 48, _F.HUNYUAN: 40},
    "transformer_blocks": {_F.FLUX1: 19, _F.CHROMA: 19, _F.FLUX2: 8, _F.SD3: 38, _F.QWEN: 60},
    "single_transformer_blocks": {_F.FLUX1: 38, _F.CHROMA: 38, _F.FLUX2: 48},
}
"""How many blocks the largest model of each family has: a file with more is not of that family."""
_TEXT_ENCODERS: Final[tuple[tuple[re.Pattern[str], Families], ...]] = (
    (re.compile(r"^(?:lora_te\d?_|text_encoder(?:_2)?\.)text_model"), _WITH_CLIP),
    (re.compile(r"^(?:lora_te2_|text_encoder_2\.)text_model"), frozenset({_F.SDXL, _F.SD3, _F.HIDREAM})),
    (re.compile(r"^lora_te2_encoder_block"), frozenset({_F.FLUX1})),
    (re.compile(r"^conditioner\.embedders\.1\."), frozenset({_F.SDXL})),
)
_NOTED: Final[tuple[tuple[str, Family], ...]] = (
    ("hunyuanvideo", _F.HUNYUAN), ("framepack", _F.HUNYUAN), ("hunyuan", _F.OTHER), ("flux2", _F.FLUX2),
    ("chroma", _F.CHROMA), ("flux", _F.FLUX1), ("qwenimage", _F.QWEN), ("zimage", _F.ZIMAGE), ("lumina", _F.LUMINA),
    ("hidream", _F.HIDREAM), ("ltx", _F.LTX), ("wan2", _F.WAN), ("refiner", _F.REFINER), ("sdxl", _F.SDXL),
    ("stablediffusionxl", _F.SDXL), ("sd3", _F.SD3), ("stablediffusion3", _F.SD3), ("stablediffusionv3", _F.SD3),
    ("stablediffusionv1", _F.SD1), ("sdv1", _F.SD1), ("sd1", _F.SD1), ("stablediffusionv2", _F.SD2), ("sdv2", _F.SD2),
    ("sd2", _F.SD2),
)  # fmt: skip
"""What trainers write as the base model's version; the first that is part of it holds."""
_NOTES: Final = ("ss_base_model_version", "modelspec.architecture")


_OF_A_WHOLE_MODEL: Final = {
    _F.FLUX1: "vector_in_",
    _F.FLUX2: "double_stream_modulation_",
    _F.CHROMA: "distilled_guidance_layer_",
    _F.HUNYUAN: "txt_in_individual_token_refiner_",
}
"""Tensors that every base model of a family has, and no other whose blocks have the same names."""
_OF_DIFFUSERS: Final = ("single_transformer_blocks_", "context_embedder")
"""What SD 3.x and Flux.1 have where a whole model has Diffusers' names; Qwen-Image has such names of its own."""


def families_of(header: Header) -> Families:
    """Return the families that a LoRA or a base model can belong to: all where nothing is known."""
    return _by_notes(header, _by_tensors(header.shapes))


def families_of_base(header: Header) -> Families:
    """Return the families that a whole base model can belong to: all where nothing is known.

    A whole model has all its tensors, so a missing one excludes families, too.
    """
    names = {layer.name for layer in layers_of(header.shapes)}
    found = families_of(header)
    if found <= _JOINT and not any(name.startswith(_OF_DIFFUSERS) for name in names):
        found = _narrowed(found, frozenset({Family.QWEN, Family.OTHER}))
    if found <= _DOUBLE:
        lacking = {
            family for family, start in _OF_A_WHOLE_MODEL.items() if not any(name.startswith(start) for name in names)
        }
        found = _narrowed(found, found - lacking)
    return found - {Family.OTHER} or ANY


def family_names(families: Families) -> str:
    """Name the families that are possible: `Flux.1 or Chroma`; empty where that says nothing."""
    if families in (ANY, {Family.OTHER}):
        return ""
    *others, last = (str(one) for one in Family if one in families and one is not Family.OTHER)
    return f"{', '.join(others)} or {last}" if others else last


def are_related(first: Families, second: Families) -> bool:
    """Say whether LoRAs of one may do something on the other, though it is another family."""
    return any(first & pair and second & pair for pair in RELATED)


@cache  # the checkpoints of one training have the same shapes, and each is asked for several times
def _by_tensors(shapes: Shapes) -> Families:
    names = [name for name, _ in shapes]
    found = _by_names(layers_of(shapes))
    if found <= _JOINT and any(_OF_QWEN.match(name) for name in names):
        found = _narrowed(found, frozenset({Family.QWEN, Family.OTHER}))
    return _by_text_encoders(names, found)


def _by_names(layers: Iterable[Layer]) -> Families:
    """Narrow by names, then by what tells apart the families that share names."""
    layers = set(layers)
    found = ANY
    for pattern, families in _NAMES:
        if any(pattern.search(layer.name) for layer in layers):
            found = _narrowed(found, families)
    if found <= _UNETS:
        widths = {layer.inputs for layer in layers if _ATTENDS_TO_TEXT.search(layer.name)}
        by_width = {_BY_CONTEXT[width] for width in widths if width in _BY_CONTEXT}
        return frozenset(by_width) if len(by_width) == 1 else found
    for pattern, widths_ in _WIDTHS:
        for layer in layers:
            if layer.inputs in widths_ and pattern.search(layer.name):
                found = _narrowed(found, widths_[layer.inputs])
    for layer in layers:
        if block := _BLOCK.match(layer.name):
            limits = _BLOCKS[block[1]]
            found = _narrowed(found, frozenset(one for one in found if int(block[2]) < limits.get(one, 1 << 30)))
    return found


def _by_text_encoders(tensors: Sequence[str], found: Families) -> Families:
    """Narrow by the text encoders, which may be all that a LoRA changes."""
    for pattern, families in _TEXT_ENCODERS:
        if any(pattern.search(name) for name in tensors):
            found = _narrowed(found, families)
    return found


def _by_notes(header: Header, found: Families) -> Families:
    """Narrow by the base model's version that the trainer noted, where the tensors allow it."""
    for key in _NOTES:
        note = re.sub(r"[^a-z0-9]", "", header.metadata.get(key, "").lower())
        noted = next((family for words, family in _NOTED if words in note), None) if note else None
        if noted in found and noted is not None:
            return frozenset({noted})
    return found


def _narrowed(found: Families, families: Families) -> Families:
    """Keep the families that both allow; rules that contradict each other are ignored."""
    return found & families or found
