"""Take from a ComfyUI what its node classes declare, for the stand-in to declare the same.

    uv run python -m tests.contract.declarations http://127.0.0.1:8188 > stand_in/declarations/0.33.0.json

Facts only: names, types, ranges, defaults and choices. Words for people are left out, and so are the names of files.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import requests

_WANTED: Final = """
CheckpointLoaderSimple UNETLoader CLIPLoader DualCLIPLoader TripleCLIPLoader QuadrupleCLIPLoader VAELoader
LoraLoader LoraLoaderModelOnly LoraLoaderBypass LoraLoaderBypassModelOnly
CLIPVisionLoader StyleModelLoader ControlNetLoader UpscaleModelLoader ModelPatchLoader
CLIPSetLastLayer T5TokenizerOptions CLIPMergeSimple
CLIPTextEncode CLIPTextEncodeSDXL CLIPTextEncodeSDXLRefiner CLIPTextEncodeFlux CLIPTextEncodeSD3
CLIPTextEncodeLumina2 CLIPTextEncodeHiDream CLIPTextEncodeHunyuanDiT CLIPTextEncodePixArtAlpha
TextEncodeQwenImageEdit TextEncodeQwenImageEditPlus
ConditioningZeroOut ConditioningCombine ConditioningConcat ConditioningAverage ConditioningSetArea
ConditioningSetAreaPercentage ConditioningSetMask ConditioningSetTimestepRange FluxGuidance FluxDisableGuidance
FluxKontextMultiReferenceLatentMethod ReferenceLatent ControlNetApply ControlNetApplyAdvanced ControlNetApplySD3
SetUnionControlNetType CLIPVisionEncode StyleModelApply
EmptyLatentImage EmptySD3LatentImage EmptyFlux2LatentImage EmptyHunyuanImageLatent EmptyChromaRadianceLatentImage
LatentUpscale LatentUpscaleBy RepeatLatentBatch LatentFromBatch SetLatentNoiseMask VAEEncode VAEEncodeTiled
KSampler KSamplerAdvanced SamplerCustom SamplerCustomAdvanced BasicGuider CFGGuider DualCFGGuider
BasicScheduler Flux2Scheduler KarrasScheduler ExponentialScheduler SDTurboScheduler AlignYourStepsScheduler
BetaSamplingScheduler OptimalStepsScheduler GITSScheduler SplitSigmas SplitSigmasDenoise FlipSigmas
KSamplerSelect SamplerEulerAncestral SamplerDPMPP_2M_SDE RandomNoise DisableNoise
ModelSamplingAuraFlow ModelSamplingSD3 ModelSamplingFlux ModelSamplingDiscrete ModelSamplingContinuousEDM
CFGNorm CFGZeroStar RescaleCFG RenormCFG FreeU FreeU_V2 PerturbedAttentionGuidance SelfAttentionGuidance
SkipLayerGuidanceSD3 SkipLayerGuidanceDiT DifferentialDiffusion TorchCompileModel EasyCache HyperTile
PatchModelAddDownscale TomePatchModel ModelMergeSimple ModelMergeAdd
VAEDecode VAEDecodeTiled EmptyImage LoadImage ImageScale ImageScaleBy ImageScaleToTotalPixels
ImageScaleToMaxDimension ImageUpscaleWithModel ImageInvert ImageSharpen ImageBlur ImageCrop ImageFromBatch
ImageBatch RepeatImageBatch GetImageSize ImageToMask InvertMask GrowMask Canny
SaveImage SaveImageAdvanced SaveImageWebsocket PreviewImage PreviewAny
PrimitiveString PrimitiveStringMultiline PrimitiveInt PrimitiveFloat PrimitiveBoolean SeedNode
StringConcatenate StringReplace StringTrim ComfySwitchNode ResolutionSelector
"""
CLASSES: Final = tuple(_WANTED.split())
"""Node classes that published text-to-image workflows use."""
_FOLDERS: Final = {
    "ckpt_name": "checkpoints",
    "unet_name": "diffusion_models",
    "clip_name": "text_encoders",
    "clip_name1": "text_encoders",
    "clip_name2": "text_encoders",
    "clip_name3": "text_encoders",
    "clip_name4": "text_encoders",
    "vae_name": "vae",
    "lora_name": "loras",
    "control_net_name": "controlnet",
    "style_model_name": "style_models",
    "CLIPVisionLoader.clip_name": "clip_vision",
    "UpscaleModelLoader.model_name": "upscale_models",
    "ModelPatchLoader.name": "model_patches",
    "LoadImage.image": "input",
}
"""Inputs that list the files of a folder, by name, or by class and name."""


def declarations(everything: dict[str, Any]) -> dict[str, Any]:
    """Return what the classes declare, of all that `/object_info` describes."""
    return {name: declaration(name, everything[name]) for name in CLASSES if name in everything}


def declaration(name: str, described: dict[str, Any]) -> dict[str, Any]:
    """Return what one class declares, of what `/object_info` describes."""
    kept = {key: value for key, value in described.items() if key not in {"input", "input_order", "name"}}
    kept["description"] = ""
    if kept.get("search_aliases"):
        kept["search_aliases"] = []
    if kept.get("output_tooltips"):
        kept["output_tooltips"] = [tooltip and "simulated" for tooltip in kept["output_tooltips"]]
    inputs = {group: dict(entries) for group, entries in described["input"].items()}
    for group in inputs.keys() & {"required", "optional"}:
        for key, entry in inputs[group].items():
            folder = _FOLDERS.get(f"{name}.{key}", _FOLDERS.get(key))
            inputs[group][key] = _without_files(_without_words(entry), folder)
    return {"input": inputs, **kept}


def _without_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_words(inner) for key, inner in value.items() if key != "tooltip"}
    return [_without_words(inner) for inner in value] if isinstance(value, list) else value


def _without_files(entry: list[Any], folder: str | None) -> list[Any]:
    """Put the folder in the place of its files; what is no file stays."""
    if folder is None:
        return entry
    listed = entry[0] if isinstance(entry[0], list) else entry[1]["options"]
    files = {"files": folder, "more": [choice for choice in listed if "." not in choice]}
    return [files, *entry[1:]] if isinstance(entry[0], list) else [entry[0], {**entry[1], "options": files}]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the declarations, a class a line."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.declarations", description=__doc__)
    parser.add_argument("source", help="address of a ComfyUI, or a file that holds its /object_info")
    source = parser.parse_args(arguments).source
    if source.startswith("http"):
        everything = requests.get(f"{source.rstrip('/')}/object_info", timeout=60).json()
    else:
        everything = json.loads(Path(source).read_text(encoding="utf-8"))
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in declarations(everything).items()]
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
