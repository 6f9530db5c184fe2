"""Keys that ComfyUI does not load, whatever the base model: known from their spelling, before anything is rendered."""

import re
from functools import cache
from typing import Final

from plugins.plan.training.header import Header

_IA3: Final = ".on_input"
_KINDS: Final = (
    (
        re.compile(r"^unet\..*\.attn[12]\.to_(?:q|k|v|out\.0)\.lora"),
        "the UNet's attention, as Diffusers' training script names it",
        "convert it with Diffusers' scripts/convert_diffusers_sdxl_lora_to_webui.py",
    ),
    (
        re.compile(r"^(?:double|single)_blocks\.\d+\.processor\."),
        "as XLabs names them",
        "convert it to ComfyUI's names",
    ),
    (
        re.compile(
            r"^(?:transformer\.|diffusion_model\.|lora_unet_|lycoris_)?blocks[._]\d+[._]attn[12][._](?:to|add)_"
        ),
        "Wan's attention, as Diffusers names it",
        "convert it to Wan's own names (self_attn, cross_attn)",
    ),
    (
        re.compile(r"^transformer\.transformer_blocks\.\d+\.attn[12]\."),
        "LTX-Video's attention, as Diffusers names it",
        "rename the prefix `transformer.` to `diffusion_model.`",
    ),
    (
        re.compile(r"^lora_unet_(?:layers|noise_refiner|context_refiner)_\d+_attention_to_(?:q|k|v|out_0)\."),
        "the attention, as musubi-tuner names Z-Image's",
        "convert it with musubi-tuner's convert_z_image_lora_to_comfy.py",
    ),
    (
        re.compile(
            r"^lora_unet_(?:double|single)_blocks_\d+_(?:(?:img|txt)_(?:mlp_fc[12]|mod_linear)|modulation_linear)\."
        ),
        "as musubi-tuner names HunyuanVideo's",
        "convert it with musubi-tuner's convert_lora.py --target other",
    ),
)


def unread(header: Header) -> tuple[str, ...]:
    """Return a sentence for each kind of keys that ComfyUI skips: how many of how many, which, and what to do."""
    return _unread(header.tensors)


@cache  # the checkpoints of one training have the same names
def _unread(names: tuple[str, ...]) -> tuple[str, ...]:
    ia3 = {name.removesuffix(_IA3) for name in names if name.endswith(_IA3)}
    counted = [
        *((sum(bool(pattern.search(name)) for name in names), kind, advice) for pattern, kind, advice in _KINDS),
        (
            sum(name.removesuffix(_IA3).removesuffix(".weight") in ia3 for name in names),
            "IA3",
            "train a LoRA, LoHa or LoKr instead",
        ),
    ]
    return tuple(_warning(skipped, len(names), kind, advice) for skipped, kind, advice in counted if skipped)


def _warning(skipped: int, every: int, kind: str, advice: str) -> str:
    effect = "it has no effect" if skipped == every else "only the others have an effect"
    return f"ComfyUI does not load {skipped} of its {every} keys ({kind}), so that {effect}: {advice}"
