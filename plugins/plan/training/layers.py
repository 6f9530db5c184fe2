"""The layers that a file's tensors belong to, in one spelling for all trainers."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from plugins.plan.training.header import Header, Shapes

_PREFIX: Final = re.compile(
    r"^(?:(?:base_model[._]model|model|lycoris|lora_unet|lora_transformer|lora_prior_unet|diffusion_model|unet|net|lora"
    r"|transformer(?!_blocks))[._]+)+"
)
_TEXT_ENCODER: Final = re.compile(
    r"^(?:lora_te\d?_|lora_prior_te_|lycoris_te\d?_|text_encoders?(?:_\d)?\.|cond_stage_model\.|conditioner\."
    r"|first_stage_model\.|vae\.|clip_[lgh]\.|t5xxl\.|te\d?\.|model_ema\.|text_encoders\.)"
)
_CLIP: Final = re.compile(
    r"^(?:lora_te\d?_|lora_prior_te_|lycoris_te\d?_|text_encoders?(?:_\d)?\.|cond_stage_model\.|conditioner\."
    r"|clip_[lgh]\.|t5xxl\.|te\d?\.)"
)
"""A text encoder's own keys."""
_PART: Final = re.compile(
    r"[._](?:lora_(?:down|up|mid|A|B)|lora[._](?:down|up)|lora_linear_layer[._](?:down|up)|lokr_\w+|hada_\w+|oft_\w+|boft_\w+"
    r"|processor|dora_scale|on_input|diff_b|diff|w_norm|b_norm|rescale|alpha|magnitude_vector"
    r"|[ab][12])(?=[._]|$).*$"
)
_LAST: Final = re.compile(r"[._](?:weight|bias|scale|default)$")
_INNER: Final = re.compile(
    r"[._](?:lora(?:_down|_A|[._]down|_linear_layer[._]down)(?:\.default)?\.weight|hada_w[12]_b|lokr_(?P<factor>w[12])(?:_b)?)$"
)
"""A tensor whose second dimension is the number of inputs of the layer that it changes; LoKr's is a product of two."""

_LEAST_INPUTS: Final = 256
"""Layers with fewer inputs are no attention or MLP, and are not compared."""


@dataclass(frozen=True)
class Layer:
    """A layer of the diffusion model, in one spelling for all trainers, and its number of inputs where known."""

    name: str
    inputs: int | None


@cache
def layers_of(shapes: Shapes) -> tuple[Layer, ...]:
    """Return the layers of the diffusion model that these tensors belong to; text encoders are left out."""
    factors: dict[str, dict[str, int]] = {}
    for tensor, shape in shapes:
        if _TEXT_ENCODER.match(tensor):
            continue
        name = _PREFIX.sub("", _LAST.sub("", _PART.sub("", _LAST.sub("", tensor)))).replace(".", "_")
        found = factors.setdefault(name, {})
        if len(shape) > 1 and (inner := _INNER.search(tensor)):
            found[inner["factor"] or ""] = shape[1]
        elif len(shape) > 1 and not _PART.search(tensor):
            found[""] = shape[1]
    return tuple(
        Layer(name, found.get("", found["w1"] * found["w2"] if {"w1", "w2"} <= found.keys() else None))
        for name, found in factors.items()
    )


def other_size(lora: Header, base: Header) -> tuple[str, int, int] | None:
    """Return a layer that has another number of inputs in the base model than the LoRA is made for, with both numbers.

    None where one layer of the same name fits, or none can be compared.
    """
    whole = {layer.name: layer.inputs for layer in layers_of(base.shapes)}
    both = [(one.name, one.inputs or 0, whole[one.name] or 0) for one in layers_of(lora.shapes) if one.name in whole]
    known = [one for one in both if min(one[1:]) >= _LEAST_INPUTS]
    return None if any(ours == theirs for _, ours, theirs in known) else next(iter(known), None)


def has_text_encoder(header: Header) -> bool:
    """Say whether a LoRA changes a text encoder, as far as the names of its tensors tell."""
    return any(_CLIP.match(name) for name in header.tensors)
