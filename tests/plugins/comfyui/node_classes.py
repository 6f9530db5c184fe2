"""What a server tells of the classes that the workflows of these tests use, in short: `name TYPE` for each input."""

from typing import Any

_CORE: dict[str, Any] = {
    "CheckpointLoaderSimple": ("ckpt_name FILE", "MODEL CLIP VAE"),
    "UNETLoader": ("unet_name FILE, weight_dtype COMBO", "MODEL"),
    "CLIPLoader": ("clip_name FILE, type COMBO", "CLIP"),
    "VAELoader": ("vae_name FILE", "VAE"),
    "LoraLoader": (
        "model MODEL, clip CLIP, lora_name LORA, strength_model FLOAT, strength_clip FLOAT",
        "MODEL CLIP",
    ),
    "LoraLoaderBypass": (
        "model MODEL, clip CLIP, lora_name LORA, strength_model FLOAT, strength_clip FLOAT",
        "MODEL CLIP",
    ),
    "LoraLoaderModelOnly": ("model MODEL, lora_name LORA, strength_model FLOAT", "MODEL"),
    "ModelSamplingAuraFlow": ("model MODEL, shift FLOAT", "MODEL"),
    "ModelMergeSimple": ("model1 MODEL, model2 MODEL, ratio FLOAT", "MODEL"),
    "CLIPSetLastLayer": ("clip CLIP, stop_at_clip_layer INT", "CLIP"),
    "CLIPTextEncode": ("text TEXT, clip CLIP", "CONDITIONING"),
    "CLIPTextEncodeSDXL": (
        (
            "clip CLIP, width INT, height INT, crop_w INT, crop_h INT, target_width INT, target_height INT, "
            "text_g TEXT, text_l TEXT"
        ),
        "CONDITIONING",
    ),
    "CLIPTextEncodeFlux": ("clip CLIP, clip_l TEXT, t5xxl TEXT, guidance FLOAT", "CONDITIONING"),
    "TextEncodeQwenImage21": ("clip CLIP, prompt TEXT, negative_prompt TEXT", "CONDITIONING CONDITIONING"),
    "ConditioningZeroOut": ("conditioning CONDITIONING", "CONDITIONING"),
    "ConditioningCombine": ("conditioning_1 CONDITIONING, conditioning_2 CONDITIONING", "CONDITIONING"),
    "ConditioningSetArea": (
        "conditioning CONDITIONING, width INT, height INT, x INT, y INT, strength FLOAT",
        "CONDITIONING",
    ),
    "FluxGuidance": ("conditioning CONDITIONING, guidance FLOAT", "CONDITIONING"),
    "ControlNetLoader": ("control_net_name FILE", "CONTROL_NET"),
    "ControlNetApplyAdvanced": (
        (
            "positive CONDITIONING, negative CONDITIONING, control_net CONTROL_NET, image IMAGE, strength FLOAT, "
            "start_percent FLOAT, end_percent FLOAT"
        ),
        "positive:CONDITIONING negative:CONDITIONING",
    ),
    "LoadImage": ("image UPLOAD", "IMAGE MASK"),
    "EmptyLatentImage": ("width INT, height INT, batch_size INT", "LATENT"),
    "EmptySD3LatentImage": ("width INT, height INT, batch_size INT", "LATENT"),
    "EmptyFlux2LatentImage": ("width INT, height INT, batch_size INT", "LATENT"),
    "LatentUpscaleBy": ("samples LATENT, upscale_method COMBO, scale_by FLOAT", "LATENT"),
    "RepeatLatentBatch": ("samples LATENT, amount INT", "LATENT"),
    "KSampler": (
        (
            "model MODEL, seed SEED, steps INT, cfg FLOAT, sampler_name COMBO, scheduler COMBO, positive CONDITIONING, "
            "negative CONDITIONING, latent_image LATENT, denoise FLOAT"
        ),
        "LATENT",
    ),
    "KSamplerAdvanced": (
        (
            "model MODEL, add_noise COMBO, noise_seed SEED, steps INT, cfg FLOAT, sampler_name COMBO, scheduler COMBO, "
            "positive CONDITIONING, negative CONDITIONING, latent_image LATENT, start_at_step INT, end_at_step INT, "
            "return_with_leftover_noise COMBO"
        ),
        "LATENT",
    ),
    "SamplerCustomAdvanced": (
        "noise NOISE, guider GUIDER, sampler SAMPLER, sigmas SIGMAS, latent_image LATENT",
        "LATENT LATENT",
    ),
    "BasicGuider": ("model MODEL, conditioning CONDITIONING", "GUIDER"),
    "CFGGuider": ("model MODEL, positive CONDITIONING, negative CONDITIONING, cfg FLOAT", "GUIDER"),
    "DualCFGGuider": (
        "model MODEL, cond1 CONDITIONING, cond2 CONDITIONING, negative CONDITIONING, cfg_conds FLOAT",
        "GUIDER",
    ),
    "RandomNoise": ("noise_seed SEED", "NOISE"),
    "KSamplerSelect": ("sampler_name COMBO", "SAMPLER"),
    "BasicScheduler": ("model MODEL, scheduler COMBO, steps INT, denoise FLOAT", "SIGMAS"),
    "VAEDecode": ("samples LATENT, vae VAE", "IMAGE"),
    "VAEEncode": ("pixels IMAGE, vae VAE", "LATENT"),
    "ImageScale": ("image IMAGE, upscale_method COMBO, width INT, height INT, crop COMBO", "IMAGE"),
    "PrimitiveInt": ("value INT", "INT"),
    "PrimitiveBoolean": ("value BOOLEAN", "BOOLEAN"),
    "PrimitiveStringMultiline": ("value TEXT", "STRING"),
    "StringConcatenate": ("string_a TEXT, string_b TEXT, delimiter STRING", "STRING"),
    "StringReplace": ("string TEXT, find TEXT, replace TEXT", "STRING"),
    "ComfySwitchNode": (
        "switch BOOLEAN, on_false COMFY_MATCHTYPE_V3, on_true COMFY_MATCHTYPE_V3",
        "COMFY_MATCHTYPE_V3",
    ),
    "SaveImage": ("images IMAGE, filename_prefix STRING", "IMAGE", True),
    "SaveImageAdvanced": ("images IMAGE, filename_prefix STRING, format COMFY_DYNAMICCOMBO_V3", "IMAGE", True),
    "PreviewImage": ("images IMAGE", "IMAGE", True),
    "CreateVideo": ("images IMAGE, fps FLOAT", "VIDEO"),
    "SaveVideo": ("video VIDEO, filename_prefix STRING, format COMBO, codec COMBO", "", True),
    "SaveImageWebsocket": ("images IMAGE", "", True),
}
_LISTS = {"FILE", "COMBO", "LORA", "UPLOAD"}


def object_info(*left_out: str) -> dict[str, Any]:
    """Answer as `/object_info` does, but for classes that are left out; drop-downs offer `a` and `b`."""
    return {name: _told(*told) for name, told in _CORE.items() if name not in left_out}


def _told(inputs: str, outputs: str, is_output: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 (a table)
    pairs = [entry.split(" ") for entry in inputs.split(", ")]
    named = [entry.split(":") for entry in outputs.split()]
    return {
        "input": {"required": {name: _spec(kind) for name, kind in pairs}},
        "output": [entry[-1] for entry in named],
        "output_name": [entry[0] for entry in named],
        "output_node": is_output,
        "python_module": "nodes",
    }


def _spec(kind: str) -> list[Any]:
    if kind == "TEXT":
        return ["STRING", {"multiline": True}]
    if kind == "SEED":
        return ["INT", {"min": 0, "max": 2**64 - 1}]
    if kind == "UPLOAD":
        return [["a.png"], {"image_upload": True}]
    if kind in _LISTS:
        return [["a", "b"], {}]
    return [kind, {}]
