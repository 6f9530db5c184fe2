"""A made-up pack of custom nodes, declared as well-known packs declare theirs, for a server that runs in a test."""

# ruff: noqa: D102  (the one method of a node does what its class says)

from dataclasses import replace
from typing import Any, Final

from stand_in.nodes.images import IMAGES
from stand_in.nodes.loaders import LoraNode
from stand_in.nodes.node import Node, Ui, Values
from stand_in.nodes.sampling import KSampler
from stand_in.nodes.saving import SaveImage
from stand_in.server import Server
from stand_in.values import Clip, Conditioning, Latent, Model, Vae

LORAS: Final = {"files": "loras", "more": ["None"]}
_STRENGTH: Final = ["FLOAT", {"default": 1.0, "min": -10.0, "max": 10.0, "step": 0.01}]
_INT: Final = ["INT", {"default": 512, "min": 1, "max": 16384}]
_TEXT: Final = ["STRING", {"multiline": True, "dynamicPrompts": True}]
_HIDDEN: Final = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


class PowerLoraLoader(LoraNode):
    """Applies each LoRA of a dictionary input that is switched on."""

    def __call__(self, *, model: Model, clip: Clip | None = None, **slots: Any) -> tuple[Values, Ui]:
        for value in slots.values():
            if isinstance(value, dict) and value.get("on") and value.get("lora") not in {None, "None"}:
                strength = value["strength"]
                model, clip = self.apply(model, clip, value["lora"], strength, value.get("strengthTwo") or strength)
        return (model, clip), {}


class LoraStack(Node):
    """Collects the LoRAs whose switch is on."""

    def __call__(self, **inputs: Any) -> tuple[Values, Ui]:
        numbers = [name.removeprefix("switch_") for name in inputs if name.startswith("switch_")]
        stack = [
            (inputs[f"lora_name_{one}"], inputs[f"model_weight_{one}"], inputs[f"clip_weight_{one}"])
            for one in numbers
            if inputs[f"switch_{one}"] == "On" and inputs[f"lora_name_{one}"] != "None"
        ]
        return ([*(inputs.get("lora_stack") or []), *stack],), {}


class ApplyLoraStack(LoraNode):
    """Applies a stack of LoRAs."""

    def __call__(self, *, model: Model, clip: Clip | None, lora_stack: Any = None) -> tuple[Values, Ui]:
        for name, strength_model, strength_clip in lora_stack or ():
            model, clip = self.apply(model, clip, name, strength_model, strength_clip)
        return (model, clip, ""), {}


class EfficientLoader(LoraNode):
    """Loads model and LoRA, reads both texts and makes the latent."""

    def __call__(self, **inputs: Any) -> tuple[Values, Ui]:
        base = self.note({"ckpt_name": inputs["ckpt_name"]})
        model, clip = Model(base=base), Clip(base=base, last_layer=inputs["clip_skip"])
        if inputs["lora_name"] != "None":
            strengths = inputs["lora_model_strength"], inputs["lora_clip_strength"]
            model, clip = self.apply(model, clip, inputs["lora_name"], *strengths)  # type: ignore[assignment]
        sides = (Conditioning(text=inputs[side], clip=clip) for side in ("positive", "negative"))
        size = inputs["empty_latent_width"], inputs["empty_latent_height"]
        latent = Latent(width=size[0] // 8 * 8, height=size[1] // 8 * 8, batch=inputs["batch_size"])
        return (model, *sides, latent, Vae(base=base), clip, None), {}


class KSamplerEfficient(KSampler):
    """Samples and decodes."""

    def __call__(self, *, optional_vae: Vae, **inputs: Any) -> tuple[Values, Ui]:  # type: ignore[override]  # a node's inputs come by name
        ((latent,), _) = super().__call__(**inputs)
        decode = IMAGES["VAEDecode"](self.kit, self.declared)
        (pictures, _) = decode(samples=latent, vae=optional_vae)
        sides = (inputs[name] for name in ("model", "positive", "negative"))
        return (*sides, replace(latent), optional_vae, *pictures), {}


def install(server: Server) -> None:
    """Register the pack on a server."""
    server.folders.kinds["unet_gguf"] = (("unet", "diffusion_models"), frozenset({".gguf"}))
    numbered = {
        name: entry
        for one in (1, 2, 3)
        for name, entry in (
            (f"switch_{one}", [["Off", "On"]]),
            (f"lora_name_{one}", [LORAS]),
            (f"model_weight_{one}", _STRENGTH),
            (f"clip_weight_{one}", _STRENGTH),
        )
    }
    first = {name: entry for name, entry in numbered.items() if name.endswith("_1")}
    rest = {name: entry for name, entry in numbered.items() if name not in first}
    server.register(
        "Power Lora Loader (rgthree)",
        {
            "input": {"required": {}, "optional": {"model": ["MODEL"], "clip": ["CLIP"]}, "hidden": {}},
            "output": ["MODEL", "CLIP"],
            "takes_anything": True,
        },
        PowerLoraLoader,
    )
    server.register(
        "CR LoRA Stack",
        {"input": {"required": first, "optional": {**rest, "lora_stack": ["LORA_STACK"]}}, "output": ["LORA_STACK"]},
        LoraStack,
    )
    server.register(
        "CR Apply LoRA Stack",
        {
            "input": {"required": {"model": ["MODEL"], "clip": ["CLIP"], "lora_stack": ["LORA_STACK"]}},
            "output": ["MODEL", "CLIP", "STRING"],
        },
        ApplyLoraStack,
    )
    core = {name: server.catalogue["KSampler"].required[name] for name in ("sampler_name", "scheduler")}
    server.register(
        "Efficient Loader",
        {
            "input": {
                "required": {
                    "ckpt_name": [{"files": "checkpoints", "more": []}],
                    "vae_name": [{"files": "vae", "more": ["Baked VAE"]}],
                    "clip_skip": ["INT", {"default": -1, "min": -24, "max": -1}],
                    "lora_name": [LORAS],
                    "lora_model_strength": _STRENGTH,
                    "lora_clip_strength": _STRENGTH,
                    "positive": _TEXT,
                    "negative": _TEXT,
                    "empty_latent_width": _INT,
                    "empty_latent_height": _INT,
                    "batch_size": _INT,
                },
                "optional": {"lora_stack": ["LORA_STACK"], "cnet_stack": ["CONTROL_NET_STACK"]},
            },
            "output": ["MODEL", "CONDITIONING", "CONDITIONING", "LATENT", "VAE", "CLIP", "DEPENDENCIES"],
            "output_name": ["MODEL", "CONDITIONING+", "CONDITIONING-", "LATENT", "VAE", "CLIP", "DEPENDENCIES"],
        },
        EfficientLoader,
    )
    server.register(
        "KSampler (Efficient)",
        {
            "input": {
                "required": {
                    "model": ["MODEL"],
                    "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
                    "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
                    "cfg": ["FLOAT", {"default": 7.0, "min": 0.0, "max": 100.0}],
                    **core,
                    "positive": ["CONDITIONING"],
                    "negative": ["CONDITIONING"],
                    "latent_image": ["LATENT"],
                    "denoise": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0}],
                },
                "optional": {"optional_vae": ["VAE"]},
            },
            "output": ["MODEL", "CONDITIONING", "CONDITIONING", "LATENT", "VAE", "IMAGE"],
        },
        KSamplerEfficient,
    )
    server.register(
        "Image Save",
        {
            "input": {
                "required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
                "hidden": _HIDDEN,
            },
            "output": ["IMAGE", "STRING"],
            "output_name": ["images", "files"],
            "output_node": True,
            "takes_anything": False,
        },
        SaveImage,
    )
    server.register(
        "UnetLoaderGGUF",
        {"input": {"required": {"unet_name": [{"files": "unet_gguf", "more": []}]}}, "output": ["MODEL"]},
    )
    server.register(
        "TextEncodeQwenImage21",
        {
            "input": {"required": {"clip": ["CLIP"], "prompt": _TEXT, "negative_prompt": _TEXT}},
            "output": ["CONDITIONING", "CONDITIONING"],
            "output_name": ["positive", "negative"],
        },
    )
