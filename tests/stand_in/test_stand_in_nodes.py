"""Workflows of many kinds run on the stand-in: sizes are exact, LoRAs and texts count wherever they sit."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stand_in.catalogue import Catalogue
from stand_in.folders import Folders
from stand_in.serving import Serving, serve
from stand_in.versions import TODAY
from stand_in.weights import write_weights
from tests.stand_in.custom_nodes import install
from tests.stand_in.raw_client import Client, graph, write_lora

FOLDERS = {
    "checkpoints": "base.safetensors",
    "diffusion_models": "dit.safetensors",
    "unet": "dit.gguf",
    "text_encoders": "te.safetensors",
    "vae": "vae.safetensors",
    "controlnet": "cn.safetensors",
    "upscale_models": "4x.pth",
}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """Write one node."""
    return {"class_type": class_type, "inputs": inputs}


UNET = {
    "1": node("UNETLoader", unet_name="dit.safetensors", weight_dtype="default"),
    "8": node("CLIPLoader", clip_name="te.safetensors", type="qwen_image"),
    "9": node("VAELoader", vae_name="vae.safetensors"),
    "2": node("CLIPTextEncode", clip=["8", 0], text="a lighthouse"),
    "3": node("ConditioningZeroOut", conditioning=["2", 0]),
    "4": node("EmptySD3LatentImage", width=64, height=48, batch_size=1),
    "5": node(
        "KSampler",
        model=["1", 0],
        positive=["2", 0],
        negative=["3", 0],
        latent_image=["4", 0],
        seed=7,
        steps=2,
        cfg=1.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    ),
    "6": node("VAEDecode", samples=["5", 0], vae=["9", 0]),
    "7": node("SaveImage", images=["6", 0], filename_prefix="p"),
}
"""Model, text encoder and VAE of three files, and no negative prompt."""
LORA = {"10": node("LoraLoaderModelOnly", model=["1", 0], lora_name="a.safetensors", strength_model=1.0)}
CUSTOM = {
    "20": node("RandomNoise", noise_seed=7),
    "21": node("BasicGuider", model=["1", 0], conditioning=["2", 0]),
    "22": node("KSamplerSelect", sampler_name="euler"),
    "23": node("BasicScheduler", model=["1", 0], scheduler="simple", steps=4, denoise=1.0),
    "5": node(
        "SamplerCustomAdvanced",
        noise=["20", 0],
        guider=["21", 0],
        sampler=["22", 0],
        sigmas=["23", 0],
        latent_image=["4", 0],
    ),
}
"""The sampler in parts."""


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """Make a ComfyUI folder with a model of each kind and the LoRA `a.safetensors`."""
    for folder, name in FOLDERS.items():
        write_weights(tmp_path / "models" / folder / name, {"w": (4,)}, {"format": "pt"}, seed=name)
    write_lora(tmp_path / "models/loras/a.safetensors", 600)
    (tmp_path / "input").mkdir()
    Image.new("RGB", (64, 64), (1, 2, 3)).save(tmp_path / "input/cond.png")
    return tmp_path


@pytest.fixture
def serving(comfyui: Path) -> Iterator[Serving]:
    """Serve the folder, with a pack of custom nodes."""
    with serve(comfyui) as serving:
        install(serving.server)
        yield serving


def picture(client: Client, workflow: dict[str, Any], saver: str = "7") -> Image.Image:
    """Run a workflow and fetch the picture of its saver."""
    run = client.run(workflow)
    assert "success" == run.history["status"]["status_str"], run.history["status"]["messages"][-1]
    (image,) = run.history["outputs"][saver]["images"]
    return client.picture(image)


def changed(workflow: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """Return a copy in which inputs, written `_ID_NAME`, are others."""
    workflow = copy.deepcopy(workflow)
    for key, value in inputs.items():
        node_id, name = key.removeprefix("_").split("_", 1)
        workflow[node_id]["inputs"][name] = value
    return workflow


@pytest.mark.parametrize("parts", [{}, CUSTOM], ids=["KSampler", "SamplerCustomAdvanced"])
def test_models_of_their_own_loaders(client: Client, parts: dict[str, Any]) -> None:
    """Model, text encoder and VAE may come from three files; text, seed, LoRA and each file change the picture."""
    workflow = {**UNET, **parts}
    seed = {"_20_noise_seed": 8} if parts else {"_5_seed": 8}
    user = "21" if parts else "5"
    variants = [
        workflow,
        changed(workflow, _2_text="a fox"),
        changed(workflow, **seed),
        changed({**workflow, **LORA}, **{f"_{user}_model": ["10", 0]}),
        changed(
            {**workflow, "11": node("ModelSamplingAuraFlow", model=["1", 0], shift=3.0)},
            **{f"_{user}_model": ["11", 0]},
        ),
    ]
    pictures = [picture(client, one) for one in variants]
    assert {(64, 48)} == {one.size for one in pictures}
    assert len(variants) == len({one.tobytes() for one in pictures})
    assert pictures[0].tobytes() == picture(client, changed(workflow, _7_filename_prefix="again")).tobytes()


@pytest.mark.parametrize(
    ("nodes", "size"),
    [
        ({"30": node("LatentUpscaleBy", samples=["5", 0], upscale_method="bislerp", scale_by=1.5)}, (96, 72)),
        (
            {
                "30": node(
                    "LatentUpscale", samples=["5", 0], upscale_method="area", width=100, height=0, crop="disabled"
                )
            },
            (96, 72),
        ),
        (
            {
                "31": node("ImageScaleBy", image=["6", 0], upscale_method="lanczos", scale_by=1.5),
                "30": node("VAEEncode", pixels=["31", 0], vae=["9", 0]),
            },
            (96, 72),
        ),
    ],
    ids=["by factor", "to a size", "as a picture"],
)
def test_second_pass(client: Client, nodes: dict[str, Any], size: tuple[int, int]) -> None:
    """A second pass has the size that it is given, and what the first pass was given counts."""
    second = {**UNET["5"], "inputs": {**UNET["5"]["inputs"], "latent_image": ["30", 0], "denoise": 0.5}}
    workflow = {**UNET, **nodes, "32": second, "33": node("VAEDecode", samples=["32", 0], vae=["9", 0])}
    workflow["7"] = node("SaveImage", images=["33", 0], filename_prefix="p")
    first = picture(client, workflow)
    assert size == first.size
    assert first.tobytes() != picture(client, changed(workflow, _5_seed=8)).tobytes()


@pytest.mark.parametrize(
    ("scaling", "size"),
    [
        (node("ImageScale", upscale_method="bicubic", width=30, height=0, crop="disabled"), (30, 22)),
        (node("ImageScale", upscale_method="area", width=33, height=17, crop="center"), (33, 17)),
        (node("ImageScaleBy", upscale_method="nearest-exact", scale_by=2.0), (128, 96)),
        (node("ImageScaleToTotalPixels", upscale_method="area", megapixels=0.01, resolution_steps=1), (118, 89)),
        (node("ImageScaleToMaxDimension", upscale_method="area", largest_size=32), (32, 24)),
        (node("ImageUpscaleWithModel", upscale_model=["40", 0]), (256, 192)),
        (node("ImageCrop", width=20, height=10, x=60, y=0), (4, 10)),
    ],
    ids=lambda value: value["class_type"] if isinstance(value, dict) else None,
)
def test_scaled_after_sampling(client: Client, scaling: dict[str, Any], size: tuple[int, int]) -> None:
    """What resizes a picture gives the size that ComfyUI would."""
    scaling = {**scaling, "inputs": {"image": ["6", 0], **scaling["inputs"]}}
    workflow = {**UNET, "40": node("UpscaleModelLoader", model_name="4x.pth"), "41": scaling}
    assert size == picture(client, changed(workflow, _7_images=["41", 0])).size


@pytest.mark.parametrize(
    ("latent", "size"),
    [
        (node("EmptyLatentImage", width=71, height=64, batch_size=1), (64, 64)),
        (node("EmptyFlux2LatentImage", width=80, height=56, batch_size=1), (80, 48)),
        (node("EmptyHunyuanImageLatent", width=96, height=64, batch_size=1), (96, 64)),
        (node("EmptyChromaRadianceLatentImage", width=80, height=48, batch_size=1), (80, 48)),
    ],
    ids=lambda value: value["class_type"] if isinstance(value, dict) else None,
)
def test_sizes_of_latents(client: Client, latent: dict[str, Any], size: tuple[int, int]) -> None:
    """A picture has the size that its latent holds."""
    assert size == picture(client, {**UNET, "4": latent}).size


def test_texts_and_numbers_from_nodes(client: Client) -> None:
    """Texts and numbers may come from nodes of their own, joined or chosen."""
    workflow = {
        **UNET,
        "50": node("PrimitiveStringMultiline", value="a light"),
        "51": node("PrimitiveString", value="house"),
        "52": node("StringConcatenate", string_a=["50", 0], string_b=["51", 0], delimiter=""),
        "53": node("PrimitiveBoolean", value=True),
        "54": node("ComfySwitchNode", switch=["53", 0], on_false=["50", 0], on_true=["52", 0]),
        "55": node("PrimitiveInt", value=7),
    }
    linked = changed(workflow, _2_text=["54", 0], _5_seed=["55", 0])
    assert picture(client, UNET).tobytes() == picture(client, linked).tobytes()
    assert picture(client, UNET).tobytes() != picture(client, changed(linked, _53_value=False)).tobytes()


def test_repeated_latents_are_several_pictures(client: Client) -> None:
    """Repeating a latent makes so many pictures, each another one."""
    workflow = {**UNET, "30": node("RepeatLatentBatch", samples=["4", 0], amount=3)}
    images = client.run(changed(workflow, _5_latent_image=["30", 0])).history["outputs"]["7"]["images"]
    assert 3 == len({client.picture(image).tobytes() for image in images})


def test_stages_show_through_a_second_pass(client: Client) -> None:
    """A LoRA on the first pass alone changes what is drawn, not only the marks of its inputs."""
    upscaled = {"30": node("LatentUpscaleBy", samples=["5", 0], upscale_method="bislerp", scale_by=1.0)}
    second = {**UNET["5"], "inputs": {**UNET["5"]["inputs"], "latent_image": ["30", 0], "denoise": 0.5}}
    workflow = {**UNET, **upscaled, "32": second, "6": node("VAEDecode", samples=["32", 0], vae=["9", 0])}
    without, with_lora = (
        picture(client, one).convert("L") for one in (workflow, changed({**workflow, **LORA}, _5_model=["10", 0]))
    )
    differing = sum(a != b for a, b in zip(without.tobytes(), with_lora.tobytes(), strict=True))
    assert differing > 0.05 * 64 * 48


@pytest.mark.parametrize("saver", ["SaveImageAdvanced", "PreviewImage", "Image Save"])
def test_other_savers(client: Client, saver: str) -> None:
    """Other nodes that save or show a picture tell where it is."""
    inputs: dict[str, Any] = {"images": ["6", 0]}
    if saver == "SaveImageAdvanced":
        inputs |= {"filename_prefix": "adv", "format": "png", "format.bit_depth": "8-bit"}
        inputs |= {"format.input_color_space": "sRGB"}
    elif saver == "Image Save":
        inputs |= {"filename_prefix": "was"}
    assert (64, 48) == picture(client, {**UNET, "7": node(saver, **inputs)}).size


def test_an_input_that_a_choice_brings_is_required(client: Client) -> None:
    """What a choice brings along is asked for by its own name."""
    workflow = {**UNET, "7": node("SaveImageAdvanced", images=["6", 0], filename_prefix="adv", format="png")}
    errors = client.post("/prompt", {"prompt": workflow}).json()["node_errors"]["7"]["errors"]
    assert ["format.bit_depth", "format.input_color_space"] == [one["extra_info"]["input_name"] for one in errors]


def test_a_picture_that_is_not_there(client: Client) -> None:
    """LoadImage refuses a name that the input folder does not have, in ComfyUI's words."""
    workflow = {"1": node("LoadImage", image="no.png"), "2": node("PreviewImage", images=["1", 0])}
    (error,) = client.post("/prompt", {"prompt": workflow}).json()["node_errors"]["1"]["errors"]
    assert ("custom_validation_failed", "image - Invalid image file: no.png") == (error["type"], error["details"])


def test_control_net_hands_on_both_sides(client: Client) -> None:
    """A ControlNet changes the picture and hands on positive and negative."""
    workflow = {
        **UNET,
        "60": node("ControlNetLoader", control_net_name="cn.safetensors"),
        "61": node("LoadImage", image="cond.png"),
        "62": node(
            "ControlNetApplyAdvanced",
            positive=["2", 0],
            negative=["3", 0],
            control_net=["60", 0],
            image=["61", 0],
            strength=1.0,
            start_percent=0.0,
            end_percent=1.0,
        ),
    }
    controlled = changed(workflow, _5_positive=["62", 0], _5_negative=["62", 1])
    assert picture(client, UNET).tobytes() != picture(client, controlled).tobytes()
    assert picture(client, controlled).tobytes() != picture(client, changed(controlled, _62_strength=0.5)).tobytes()


CUSTOM_LORAS = {
    "Power Lora Loader (rgthree)": {
        "10": node(
            "Power Lora Loader (rgthree)",
            model=["1", 0],
            clip=["8", 0],
            lora_1={"on": True, "lora": "a.safetensors", "strength": 1.0},
        )
    },
    "CR LoRA Stack": {
        "11": node("CR LoRA Stack", switch_1="On", lora_name_1="a.safetensors", model_weight_1=1.0, clip_weight_1=1.0),
        "10": node("CR Apply LoRA Stack", model=["1", 0], clip=["8", 0], lora_stack=["11", 0]),
    },
}


@pytest.mark.parametrize("nodes", CUSTOM_LORAS.values(), ids=CUSTOM_LORAS.keys())
def test_loras_of_custom_nodes(client: Client, nodes: dict[str, Any]) -> None:
    """A LoRA counts the same in whatever node a pack of custom nodes loads it."""
    core = {"10": node("LoraLoader", model=["1", 0], clip=["8", 0], lora_name="a.safetensors", strength_model=1.0)}
    core["10"]["inputs"]["strength_clip"] = 1.0
    links = {"_5_model": ["10", 0], "_2_clip": ["10", 1]}
    expected = picture(client, changed({**UNET, **core}, **links))
    assert expected.tobytes() == picture(client, changed({**UNET, **nodes}, **links)).tobytes()


def test_efficient_nodes(client: Client) -> None:
    """A node that loads, encodes and sizes at once works, LoRA and text included."""
    loader = node(
        "Efficient Loader",
        ckpt_name="base.safetensors",
        vae_name="Baked VAE",
        clip_skip=-1,
        lora_name="a.safetensors",
        lora_model_strength=1.0,
        lora_clip_strength=1.0,
        positive="a lighthouse",
        negative="blurry",
        empty_latent_width=64,
        empty_latent_height=64,
        batch_size=1,
    )
    sampler = node(
        "KSampler (Efficient)",
        model=["1", 0],
        positive=["1", 1],
        negative=["1", 2],
        latent_image=["1", 3],
        optional_vae=["1", 4],
        seed=1,
        steps=2,
        cfg=7.0,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
    )
    workflow = {"1": loader, "2": sampler, "7": node("SaveImage", images=["2", 5], filename_prefix="p")}
    pictures = [
        picture(client, one)
        for one in (workflow, changed(workflow, _1_lora_name="None"), changed(workflow, _1_positive="a fox"))
    ]
    assert 3 == len({one.tobytes() for one in pictures})


def test_an_encoder_of_both_texts(client: Client) -> None:
    """A node that encodes two texts gives the positive one first."""
    both = node("TextEncodeQwenImage21", clip=["8", 0], prompt="a lighthouse", negative_prompt="blurry")
    workflow = changed({**UNET, "2": both}, _5_negative=["2", 1])
    assert picture(client, workflow).tobytes() != picture(client, changed(workflow, _2_prompt="a fox")).tobytes()
    assert picture(client, workflow).tobytes() != picture(client, changed(workflow, _2_negative_prompt="")).tobytes()


def test_a_model_of_another_format(client: Client) -> None:
    """A custom loader of another file format gives a model like any other."""
    assert (64, 48) == picture(client, {**UNET, "1": node("UnetLoaderGGUF", unet_name="dit.gguf")}).size


def test_custom_nodes_are_described(client: Client) -> None:
    """/object_info describes a registered class with its types, and lists files in its pickers."""
    described = client.get("/object_info/CR LoRA Stack").json()["CR LoRA Stack"]
    assert ["LORA_STACK"] == described["output"]
    assert ["None", "a.safetensors"] == sorted(described["input"]["required"]["lora_name_1"][0])
    assert "takes_anything" not in client.get("/object_info/Power%20Lora%20Loader%20(rgthree)").text


def test_an_unregistered_class_is_refused(comfyui: Path) -> None:
    """A server without the pack refuses its nodes, by class."""
    workflow = {**UNET, "10": CUSTOM_LORAS["Power Lora Loader (rgthree)"]["10"]}
    with serve(comfyui) as serving, Client(serving.url) as client:
        answer = client.post("/prompt", {"prompt": workflow})
    assert 400 == answer.status_code
    assert "Power Lora Loader (rgthree)" in answer.text


def test_every_class_does_something(comfyui: Path) -> None:
    """Every declared class has a behaviour whose outputs are as many as it declares."""
    catalogue = Catalogue(Folders(comfyui), TODAY)
    assert len(list(catalogue)) > 130
    for name in catalogue:
        node_type = catalogue[name]
        assert len(node_type.outputs) == len(node_type.output_names), name
        assert catalogue.info(name)["input"].keys() >= node_type.described["input"].keys()


def test_a_mark_of_every_patch(client: Client) -> None:
    """Patching the model changes the picture, and so does each value of the patch."""
    seen = set()
    for shift in (1.0, 2.0):
        patch = {"11": node("ModelSamplingSD3", model=["1", 0], shift=shift)}
        seen.add(picture(client, changed({**UNET, **patch}, _5_model=["11", 0])).tobytes())
    assert 2 == len(seen)


def test_the_recorded_workflow_still_runs(client: Client, comfyui: Path) -> None:
    """The SD 1.5 workflow of one checkpoint file runs beside all of these."""
    write_weights(
        comfyui / "models/checkpoints/AnythingXL_inkBase.safetensors", {"w": (4,)}, {"format": "pt"}, seed="base"
    )
    assert (64, 64) == picture(client, graph(), "9").size
