"""What the core nodes of today's workflows make: sizes, texts, files; and how their inputs are checked."""

from typing import Any

import pytest

from tests.contract.answers import plain
from tests.contract.subject import Subject
from tests.contract.wire import Wire


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """Write one node."""
    return {"class_type": class_type, "inputs": inputs}


def errors_of(wire: Wire, graph: dict[str, Any], node_id: str) -> list[tuple[str, str, str]]:
    """Return type, details and input of each error that a refused workflow has for a node."""
    answer = wire.queue(graph)
    assert 400 == answer.status, answer.body
    errors = answer.body["node_errors"][node_id]["errors"]
    return [(one["type"], one["details"], one["extra_info"].get("input_name")) for one in errors]


@pytest.mark.parametrize(
    "scaling",
    [
        node("ImageScale", upscale_method="bicubic", width=30, height=0, crop="disabled"),
        node("ImageScale", upscale_method="area", width=0, height=31, crop="disabled"),
        node("ImageScale", upscale_method="area", width=33, height=17, crop="center"),
        node("ImageScale", upscale_method="area", width=0, height=0, crop="disabled"),
        node("ImageScaleBy", upscale_method="nearest-exact", scale_by=1.3),
        node("ImageScaleToTotalPixels", upscale_method="area", megapixels=0.013, resolution_steps=1),
        node("ImageScaleToTotalPixels", upscale_method="area", megapixels=0.013, resolution_steps=16),
        node("ImageScaleToMaxDimension", upscale_method="area", largest_size=37),
        node("ImageCrop", width=20, height=10, x=60, y=0),
        node("ImageCrop", width=20, height=10, x=600, y=40),
        node("ImageInvert"),
    ],
    ids=lambda scaling: " ".join([scaling["class_type"], *(f"{value}" for value in scaling["inputs"].values())]),
)
def test_sizes_of_pictures(subject: Subject, scaling: dict[str, Any]) -> None:
    """A node that resizes a picture of 64x48 makes it the size that is listed."""
    wire = subject.connect()
    scaling["inputs"]["image"] = ["1", 0]
    graph = {
        "1": node("EmptyImage", width=64, height=48, batch_size=1, color=0x336699),
        "2": scaling,
        "3": node("SaveImage", images=["2", 0], filename_prefix=subject.prefix("size")),
    }
    sizes = {
        "ImageScale bicubic 30 0 disabled": (30, 22),
        "ImageScale area 0 31 disabled": (41, 31),
        "ImageScale area 33 17 center": (33, 17),
        "ImageScale area 0 0 disabled": (64, 48),
        "ImageScaleBy nearest-exact 1.3": (83, 62),
        "ImageScaleToTotalPixels area 0.013 1": (135, 101),
        "ImageScaleToTotalPixels area 0.013 16": (128, 96),
        "ImageScaleToMaxDimension area 37": (37, 28),
        "ImageCrop 20 10 60 0": (4, 10),
        "ImageCrop 20 10 600 40": (1, 8),
        "ImageInvert": (64, 48),
    }
    words = [str(value) for name, value in scaling["inputs"].items() if name != "image"]
    assert sizes[" ".join([scaling["class_type"], *words])] == wire.picture(wire.run(graph).images("3")[0]).size


@pytest.mark.parametrize(
    ("nodes", "size", "count"),
    [
        ({"5": node("EmptyLatentImage", width=71, height=64, batch_size=1)}, (64, 64), 1),
        ({"5": node("EmptyLatentImage", width=64, height=64, batch_size=2)}, (64, 64), 2),
        ({"5": node("LatentUpscaleBy", samples=["1", 0], upscale_method="bislerp", scale_by=1.3)}, (80, 64), 1),
        (
            {"5": node("LatentUpscale", samples=["1", 0], upscale_method="area", width=100, height=90, crop="center")},
            (96, 88),
            1,
        ),
        (
            {"5": node("LatentUpscale", samples=["1", 0], upscale_method="area", width=0, height=72, crop="disabled")},
            (96, 72),
            1,
        ),
        (
            {"5": node("LatentUpscale", samples=["1", 0], upscale_method="area", width=24, height=16, crop="disabled")},
            (64, 64),
            1,
        ),
        ({"5": node("RepeatLatentBatch", samples=["1", 0], amount=3)}, (64, 48), 3),
        (
            {
                "6": node("RepeatLatentBatch", samples=["1", 0], amount=3),
                "5": node("LatentFromBatch", samples=["6", 0], batch_index=1, length=5),
            },
            (64, 48),
            2,
        ),
        (
            {
                "6": node("EmptyImage", width=71, height=52, batch_size=1, color=0),
                "5": node("VAEEncode", pixels=["6", 0], vae=["4", 2]),
            },
            (64, 48),
            1,
        ),
    ],
    ids=["odd", "batch", "by", "to", "one side", "too small", "repeated", "part of a batch", "encoded"],
)
def test_sizes_of_latents(subject: Subject, nodes: dict[str, Any], size: tuple[int, int], count: int) -> None:
    """Latents are resized by whole latents, and decoded into so many pictures."""
    wire = subject.connect()
    graph = {
        "4": node("CheckpointLoaderSimple", ckpt_name=subject.base),
        "1": node("EmptyLatentImage", width=64, height=48, batch_size=1),
        **nodes,
        "8": node("VAEDecode", samples=["5", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix=subject.prefix("latent")),
    }
    images = wire.run(graph).images()
    assert count == len(images)
    assert size == wire.picture(images[0]).size


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ({"1": node("PrimitiveStringMultiline", value="a\nb")}, "a\nb"),
        ({"1": node("PrimitiveInt", value=7)}, "7"),
        ({"1": node("PrimitiveBoolean", value=True)}, "True"),
        ({"1": node("SeedNode", seed=7)}, "7"),
        ({"1": node("StringConcatenate", string_a="a", string_b="b", delimiter=", ")}, "a, b"),
        ({"1": node("StringReplace", string="a fox", find="fox", replace="cat")}, "a cat"),
        ({"1": node("StringTrim", string=" a ", mode="Left")}, "a "),
        ({"1": node("ResolutionSelector", aspect_ratio="3:2 (Photo)", megapixels=1.0, multiple=8)}, "1256"),
        (
            {
                "2": node("PrimitiveString", value="on"),
                "1": node("ComfySwitchNode", switch=True, on_false=["2", 0], on_true=["2", 0]),
            },
            "on",
        ),
        (
            {
                "2": node("EmptyImage", width=40, height=24, batch_size=1, color=0),
                "1": node("GetImageSize", image=["2", 0]),
            },
            "40",
        ),
    ],
    ids=["lines", "number", "truth", "seed", "joined", "replaced", "trimmed", "resolution", "switch", "measured"],
)
def test_texts_and_numbers(subject: Subject, nodes: dict[str, Any], text: str) -> None:
    """Nodes that hold and join texts and numbers hand them on; PreviewAny shows them."""
    graph = {**nodes, "9": node("PreviewAny", source=["1", 0])}
    wire = subject.connect()
    assert {"9": {"text": [text]}} == wire.run(graph).history["outputs"]


def test_sampler_in_parts(subject: Subject) -> None:
    """Noise, guider, method and schedule of nodes of their own sample as they are told."""
    wire = subject.connect()
    graph = subject.graph(stem="parts")
    graph |= {
        "20": node("RandomNoise", noise_seed=1),
        "21": node("CFGGuider", model=["4", 0], positive=["6", 0], negative=["7", 0], cfg=7.0),
        "22": node("KSamplerSelect", sampler_name="euler"),
        "23": node("BasicScheduler", model=["4", 0], scheduler="normal", steps=3, denoise=1.0),
        "3": node(
            "SamplerCustomAdvanced",
            noise=["20", 0],
            guider=["21", 0],
            sampler=["22", 0],
            sigmas=["23", 0],
            latent_image=["5", 0],
        ),
    }
    run = wire.run(graph)
    steps = [data["value"] for kind, data in run.frames if kind == "progress" and data["node"] == "3"]
    assert (1, 3) == (steps[0], steps[-1])
    assert (64, 64) == wire.picture(run.images()[0]).size


def test_advanced_saver(subject: Subject) -> None:
    """SaveImageAdvanced counts its files as SaveImage does, with another name."""
    wire = subject.connect()
    names = []
    for colour in (1, 2):
        graph = subject.plain(colour)
        graph["2"] = node("SaveImageAdvanced", images=["1", 0], filename_prefix=subject.prefix("adv"), format="png")
        graph["2"]["inputs"] |= {"format.bit_depth": "8-bit", "format.input_color_space": "sRGB"}
        names += [image["filename"] for image in wire.run(graph).images("2")]
    assert ["adv_00001.png", "adv_00002.png"] == names


def test_inputs_that_a_choice_brings(subject: Subject) -> None:
    """A choice brings inputs of its own; they are asked for, and checked, under its name."""
    wire = subject.wire()
    graph = subject.plain()
    graph["2"] = node("SaveImageAdvanced", images=["1", 0], filename_prefix=subject.prefix("adv"), format="png")
    assert [
        ("required_input_missing", "bit_depth", "format.bit_depth"),
        ("required_input_missing", "input_color_space", "format.input_color_space"),
    ] == sorted(errors_of(wire, graph, "2"))
    graph["2"]["inputs"] |= {"format.bit_depth": "9-bit", "format.input_color_space": "sRGB"}
    (error,) = errors_of(wire, graph, "2")
    assert ("value_not_in_list", "format.bit_depth: '9-bit' not in ['8-bit', '16-bit']", "format.bit_depth") == error


def test_picture_that_is_not_there(subject: Subject) -> None:
    """LoadImage refuses a name that the input folder does not have."""
    graph = subject.plain()
    graph["1"] = node("LoadImage", image="no such picture.png")
    expected = ("custom_validation_failed", "image - Invalid image file: no such picture.png", "image")
    assert [expected] == errors_of(subject.wire(), graph, "1")


def test_anything_may_be_linked_to_anything(subject: Subject) -> None:
    """An input of any type takes every link; others take the types that they name."""
    wire = subject.wire()
    graph = {"1": node("PrimitiveInt", value=7), "2": node("PreviewAny", source=["1", 0])}
    assert 200 == wire.queue(graph).status
    graph = {**subject.plain(), "3": node("PrimitiveFloat", value=7.0)}
    graph["1"]["inputs"]["width"] = ["3", 0]
    expected = ("return_type_mismatch", "width, received_type(FLOAT) mismatch input_type(INT)", "width")
    assert [expected] == errors_of(wire, graph, "1")


def test_links_in_a_circle(subject: Subject) -> None:
    """Nodes that feed each other are refused, and the circle is named."""
    wire = subject.wire()
    graph = subject.plain()
    graph["1"] = node("ImageInvert", image=["3", 0])
    graph["3"] = node("ImageInvert", image=["1", 0])
    status, _, body = plain(wire.queue(graph))
    assert (400, "prompt_outputs_failed_validation") == (status, body["error"]["type"])
    assert {
        "type": "dependency_cycle",
        "message": "Dependency cycle detected",
        "details": "1 (ImageInvert) -> 3 (ImageInvert) -> 1 (ImageInvert)",
        "extra_info": {"node_id": "1", "cycle_nodes": ["1", "3"]},
    } == body["node_errors"]["1"]["errors"][0]
    assert {"1", "3"} == body["node_errors"].keys()
