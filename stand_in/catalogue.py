"""The nodes that the stand-in knows: what each takes and gives, as `/object_info` describes it.

Ranges, defaults and choices are ComfyUI 0.3.64's, so that a workflow passes or fails validation here as there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from stand_in.folders import Folders
from stand_in.versions import Version

SAMPLERS: Final = (
    *("euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "dpm_2"),
    *("dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral", "dpmpp_2s_ancestral_cfg_pp"),
    *("dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu"),
    *("dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm", "lcm", "ipndm"),
    *("ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral"),
    *("res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde"),
    *("seeds_2", "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2"),
)
SCHEDULERS: Final = (
    *("simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal"),
    *("linear_quadratic", "kl_optimal"),
)
_RESOLUTION: Final = 16384
_STRENGTH: Final = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}


@dataclass(frozen=True)
class Files:
    """A choice among the files of a model folder."""

    kind: str
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class Input:
    """One input: the type of a link, a plain value, or a choice; and its options."""

    kind: str | Files | tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False
    """Whether `/object_info` has no options at all for it, not even `{}`."""


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """What one kind of node declares."""

    name: str
    display_name: str
    category: str
    required: Mapping[str, Input]
    outputs: tuple[str, ...]
    hidden: Mapping[str, str] = field(default_factory=dict)
    is_output: bool = False
    output_tooltips: tuple[str, ...] | None = None


_PICTURE_HIDDEN: Final = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}

NODE_TYPES: Final = {
    node.name: node
    for node in (
        NodeType(
            name="KSampler",
            display_name="KSampler",
            category="sampling",
            required={
                "model": Input("MODEL"),
                "seed": Input("INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}),
                "steps": Input("INT", {"default": 20, "min": 1, "max": 10000}),
                "cfg": Input("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01}),
                "sampler_name": Input(SAMPLERS),
                "scheduler": Input(SCHEDULERS),
                "positive": Input("CONDITIONING"),
                "negative": Input("CONDITIONING"),
                "latent_image": Input("LATENT"),
                "denoise": Input("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
            },
            outputs=("LATENT",),
            output_tooltips=("Latents after sampling.",),
        ),
        NodeType(
            name="CheckpointLoaderSimple",
            display_name="Load Checkpoint",
            category="loaders",
            required={"ckpt_name": Input(Files("checkpoints"))},
            outputs=("MODEL", "CLIP", "VAE"),
            output_tooltips=("Diffusion model.", "Text encoder.", "Decoder."),
        ),
        NodeType(
            name="CLIPTextEncode",
            display_name="CLIP Text Encode (Prompt)",
            category="conditioning",
            required={
                "text": Input("STRING", {"multiline": True, "dynamicPrompts": True}),
                "clip": Input("CLIP"),
            },
            outputs=("CONDITIONING",),
            output_tooltips=("The text, encoded.",),
        ),
        NodeType(
            name="CLIPSetLastLayer",
            display_name="CLIP Set Last Layer",
            category="conditioning",
            required={
                "clip": Input("CLIP", bare=True),
                "stop_at_clip_layer": Input("INT", {"default": -1, "min": -24, "max": -1, "step": 1}),
            },
            outputs=("CLIP",),
        ),
        NodeType(
            name="VAEDecode",
            display_name="VAE Decode",
            category="latent",
            required={"samples": Input("LATENT"), "vae": Input("VAE")},
            outputs=("IMAGE",),
            output_tooltips=("Decoded pictures.",),
        ),
        NodeType(
            name="VAELoader",
            display_name="Load VAE",
            category="loaders",
            required={"vae_name": Input(Files("vae", ("pixel_space",)), bare=True)},
            outputs=("VAE",),
        ),
        NodeType(
            name="EmptyLatentImage",
            display_name="Empty Latent Image",
            category="latent",
            required={
                "width": Input("INT", {"default": 512, "min": 16, "max": _RESOLUTION, "step": 8}),
                "height": Input("INT", {"default": 512, "min": 16, "max": _RESOLUTION, "step": 8}),
                "batch_size": Input("INT", {"default": 1, "min": 1, "max": 4096}),
            },
            outputs=("LATENT",),
            output_tooltips=("Empty latents.",),
        ),
        NodeType(
            name="EmptyImage",
            display_name="EmptyImage",
            category="image",
            required={
                "width": Input("INT", {"default": 512, "min": 1, "max": _RESOLUTION, "step": 1}),
                "height": Input("INT", {"default": 512, "min": 1, "max": _RESOLUTION, "step": 1}),
                "batch_size": Input("INT", {"default": 1, "min": 1, "max": 4096}),
                "color": Input("INT", {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}),
            },
            outputs=("IMAGE",),
        ),
        NodeType(
            name="LoraLoader",
            display_name="Load LoRA",
            category="loaders",
            required={
                "model": Input("MODEL"),
                "clip": Input("CLIP"),
                "lora_name": Input(Files("loras")),
                "strength_model": Input("FLOAT", _STRENGTH),
                "strength_clip": Input("FLOAT", _STRENGTH),
            },
            outputs=("MODEL", "CLIP"),
            output_tooltips=("Model with the LoRA.", "Text encoder with the LoRA."),
        ),
        NodeType(
            name="LoraLoaderModelOnly",
            display_name="LoraLoaderModelOnly",
            category="loaders",
            required={
                "model": Input("MODEL", bare=True),
                "lora_name": Input(Files("loras"), bare=True),
                "strength_model": Input("FLOAT", _STRENGTH),
            },
            outputs=("MODEL",),
            # Inherited from LoraLoader in the real server too: two tooltips for one output.
            output_tooltips=("Model with the LoRA.", "Text encoder with the LoRA."),
        ),
        NodeType(
            name="SaveImage",
            display_name="Save Image",
            category="image",
            required={
                "images": Input("IMAGE"),
                "filename_prefix": Input("STRING", {"default": "ComfyUI"}),
            },
            hidden=_PICTURE_HIDDEN,
            outputs=(),
            is_output=True,
        ),
        NodeType(
            name="PreviewImage",
            display_name="Preview Image",
            category="image",
            required={"images": Input("IMAGE", bare=True)},
            hidden=_PICTURE_HIDDEN,
            outputs=(),
            is_output=True,
        ),
    )
}


class Catalogue:
    """The node types over one ComfyUI folder, whose files fill the pickers."""

    def __init__(self, folders: Folders, dialect: Version) -> None:
        self._folders = folders
        self._dialect = dialect

    def config(self, entry: Input) -> list[Any]:
        """Return an input's `[type, options]` as the API spells it; a choice's type is the list itself."""
        if isinstance(entry.kind, str):
            return [entry.kind, dict(entry.options)]
        choices = list(entry.kind) if isinstance(entry.kind, tuple) else self._files(entry.kind)
        if self._dialect.combo_lists:
            return ["COMBO", {**entry.options, "options": choices}]
        return [choices, dict(entry.options)]

    def _described(self, entry: Input) -> list[Any]:
        config = self.config(entry)
        return config[:1] if entry.bare and not config[1] else config

    def info(self, name: str) -> dict[str, Any]:
        """Describe one node type as `/object_info/{name}` does; the name must be known."""
        node = NODE_TYPES[name]
        inputs: dict[str, Any] = {"required": {key: self._described(entry) for key, entry in node.required.items()}}
        if node.hidden:
            inputs["hidden"] = dict(node.hidden)
        info: dict[str, Any] = {
            "input": inputs,
            "input_order": {group: list(entries) for group, entries in inputs.items()},
            "output": list(node.outputs),
            "output_is_list": [False] * len(node.outputs),
            "output_name": list(node.outputs),
            "name": name,
            "display_name": node.display_name,
            "description": f"{node.display_name}, simulated.",
            "python_module": "nodes",
            "category": node.category,
            "output_node": node.is_output,
        }
        if node.output_tooltips is not None:
            info["output_tooltips"] = list(node.output_tooltips)
        return info

    def _files(self, files: Files) -> list[str]:
        return [*self._folders.names(files.kind), *files.extra]
