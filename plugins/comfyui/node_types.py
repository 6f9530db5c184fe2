"""What classes of nodes take and give, as a server's `/object_info` describes them; else by the names of inputs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

MODEL: Final = "MODEL"
CLIP: Final = "CLIP"
CONDITIONING: Final = "CONDITIONING"
LATENT: Final = "LATENT"
IMAGE: Final = "IMAGE"
VIDEO: Final = "VIDEO"
GUIDER: Final = "GUIDER"
SIGMAS: Final = "SIGMAS"
STRING: Final = "STRING"
COMBO: Final = "COMBO"
ANY: Final = "*"

_BY_NAME: Final = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"pipe|context|ctx|(^|_)basic_|stack|hooks?$|options?$|strength|weight", ""),
        (r"upscale_?model|style_model|control|vision|detector|sam_|lora_model|model_patch|motion|audio|_name$", ""),
        (r"(^|_)(model|unet)(\d*|_[a-z0-9]+)$", MODEL),
        (r"^clip_[lg]$", STRING),
        (r"^clip(\d*|_[a-z0-9]{1,5})$|_clip$", CLIP),
        (r"positive|negative|conditioning|(^|_)(un)?cond_?\d*$", CONDITIONING),
        (r"^samples?\d*$|latent", LATENT),
        (r"^(images?|pixels|image_[a-z0-9]+|[a-z]+_images?)\d*$", IMAGE),
        (r"(^|_)vae$", "VAE"),
        (r"^video$", VIDEO),
        (r"^guider$", GUIDER),
        (r"^noise$", "NOISE"),
        (r"^sampler$", "SAMPLER"),
        (r"^sigmas$", SIGMAS),
        (r"text|prompt|string|caption|^m?t5xx?l|^bert$", STRING),
    )
)
_TEXT_NAMES: Final = re.compile(
    r"text|prompt|positive|negative|string|caption|^clip_[lg]$|^m?t5xx?l|^bert$|llama|^value$|^tags$|^replace$|^str(ing)?_?[a-z0-9]?$"
)
_NO_PROMPT: Final = re.compile(
    r"system|template|instruct|delimiter|separator|_mode$|^mode|_type$|encoding|normali[sz]ation|interpretation|filename"
    r"|_path$|^find$|regex|pattern|language|device|method|_name$|prefix_only|^log_|populated_by|context_?window"
)


@dataclass(frozen=True, kw_only=True)
class InputType:
    """What an input takes. `options` are a drop-down's entries; None where it is none, or does not list them."""

    kind: str
    required: bool = True
    options: tuple[str, ...] | None = None
    uploads: bool = False
    """Whether what is not listed may be taken all the same: an upload, a remote list, several entries."""
    is_long: bool = False
    """Whether it is a text of several lines, as prompts are."""
    low: float | None = None
    high: float | None = None
    default: float | None = None
    """What a number is where the graph leaves it out."""


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """What one class of nodes takes and gives."""

    inputs: Mapping[str, InputType] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    is_output: bool = False
    is_core: bool = True


NodeTypes = Mapping[str, NodeType]
"""By class. A class that is absent is not known to the server; an empty mapping means that no server was asked."""


def read_types(object_info: Any) -> dict[str, NodeType]:  # noqa: ANN401 (JSON)
    """Read what `/object_info` answered, leaving out what is not as ComfyUI describes a class."""
    found = {}
    for name, described in object_info.items() if isinstance(object_info, dict) else ():
        try:
            found[str(name)] = _node_type(described)
        except (AttributeError, TypeError, KeyError, IndexError, ValueError):
            continue
    return found


def _node_type(described: Mapping[str, Any]) -> NodeType:
    inputs: dict[str, InputType] = {}
    for group in ("required", "optional"):
        for name, spec in (described["input"].get(group) or {}).items():
            inputs[str(name)] = _input_type(spec, required=group == "required")
    outputs = tuple(kind if isinstance(kind, str) else COMBO for kind in described.get("output") or ())
    return NodeType(
        inputs=inputs,
        outputs=outputs,
        output_names=tuple(str(name) for name in described.get("output_name") or outputs),
        is_output=bool(described.get("output_node")),
        is_core=not str(described.get("python_module", "")).startswith("custom_nodes"),
    )


def _input_type(spec: Any, *, required: bool) -> InputType:  # noqa: ANN401 (JSON)
    kind = spec[0] if isinstance(spec, list | tuple) else spec
    config = spec[1] if isinstance(spec, list | tuple) and len(spec) > 1 and isinstance(spec[1], dict) else {}
    listed = kind if isinstance(kind, list) else config.get("options") if kind == COMBO else None
    uploads = any(name.endswith("_upload") and value for name, value in config.items()) or "remote" in config
    return InputType(
        kind=kind if isinstance(kind, str) else COMBO,
        required=required and not config.get("lazy", False),
        options=tuple(str(entry) for entry in listed) if isinstance(listed, list) else None,
        uploads=uploads or bool(config.get("multiselect")),
        is_long=bool(config.get("multiline") or config.get("dynamicPrompts")),
        low=_number(config.get("min")),
        high=_number(config.get("max")),
        default=_number(config.get("default")),
    )


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def is_open(kind: str) -> bool:
    """Say whether a type leaves open what is linked: `*`, one that matches another, one that depends on a choice."""
    return ANY in kind.split(",") or kind.startswith("COMFY_") or kind == ""


@cache
def kind_by_name(name: str) -> str:
    """Return the type of link that an input of this name usually takes; empty where the name says nothing."""
    last = name.rpartition(".")[2].lower()
    return next((kind for pattern, kind in _BY_NAME if pattern.search(last)), "")


def may_hold_prompt(name: str, known: InputType | None) -> bool:
    """Say whether a text input may be what is shown, not how: a prompt, rather than a mode, a path or a delimiter."""
    if is_no_prompt(name) or (known and known.kind not in {STRING, ANY}):
        return False
    return (known is not None and known.is_long) or bool(_TEXT_NAMES.search(name.rpartition(".")[2].lower()))


@cache
def is_no_prompt(name: str) -> bool:
    """Say whether a text input's name tells how something is done rather than what is shown."""
    return bool(_NO_PROMPT.search(name.rpartition(".")[2].lower()))
