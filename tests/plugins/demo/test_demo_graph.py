"""The picture follows from the graph, and from nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from raw_client import Client, graph, write_lora

Change = Callable[[dict[str, Any]], None]


def changed(node: str, name: str, value: Any) -> Change:
    """Give a change of one input."""

    def change(workflow: dict[str, Any]) -> None:
        workflow[node]["inputs"][name] = value

    return change


def without(*links: tuple[str, str, list[Any]]) -> Change:
    """Give a change that leads links past the LoRA."""

    def change(workflow: dict[str, Any]) -> None:
        for node, name, link in links:
            workflow[node]["inputs"][name] = link

    return change


PAST_MODEL = ("3", "model", ["4", 0])
PAST_CLIP = ("11", "clip", ["4", 1])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changed("3", "seed", 2), id="seed"),
        pytest.param(changed("3", "steps", 3), id="steps"),
        pytest.param(changed("3", "cfg", 6.5), id="cfg"),
        pytest.param(changed("3", "sampler_name", "euler"), id="sampler"),
        pytest.param(changed("3", "scheduler", "karras"), id="scheduler"),
        pytest.param(changed("3", "denoise", 0.5), id="denoise"),
        pytest.param(changed("6", "text", "spyke_plasma_v1, standing in a forest."), id="prompt"),
        pytest.param(changed("7", "text", "blurry"), id="negative"),
        pytest.param(changed("11", "stop_at_clip_layer", -1), id="clip skip"),
        pytest.param(changed("10", "strength_model", 0.9), id="strength"),
        pytest.param(changed("10", "strength_clip", 0.9), id="clip strength"),
        pytest.param(changed("10", "lora_name", "b.safetensors"), id="other LoRA"),
        pytest.param(without(PAST_MODEL), id="LoRA past the sampler"),
        pytest.param(without(PAST_CLIP), id="LoRA past the prompt"),
    ],
)
def test_every_input_changes_the_picture(client: Client, comfyui: Path, change: Change) -> None:
    """Whatever is changed in the graph changes the pixels."""
    write_lora(comfyui / "models/loras/b.safetensors", 600, seed="another")
    workflow = graph()
    change(workflow)
    assert client.run(graph()).pixels != client.run(workflow).pixels


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(without(PAST_MODEL, PAST_CLIP), id="not linked"),
        pytest.param(without(("10", "strength_model", 0.0), ("10", "strength_clip", 0.0)), id="strength 0"),
        pytest.param(changed("10", "lora_name", "nomatch.safetensors"), id="no matching key"),
    ],
)
def test_lora_without_effect_is_the_baseline(client: Client, comfyui: Path, change: Change) -> None:
    """A LoRA that is not linked, has strength 0, or matches no layer leaves the baseline's very pixels."""
    write_lora(comfyui / "models/loras/nomatch.safetensors", 600, prefix="nomatch_")
    workflow = graph()
    change(workflow)
    run = client.run(workflow)
    assert "success" == run.history["status"]["status_str"]
    assert client.run(graph(None)).pixels == run.pixels
    assert client.run(graph()).pixels != run.pixels


def test_strength_0_does_not_open_the_file(client: Client, comfyui: Path) -> None:
    """At both strengths 0 a broken LoRA harms nobody."""
    (comfyui / "models/loras/a.safetensors").write_bytes(b"broken")
    workflow = graph()
    workflow["10"]["inputs"] |= {"strength_model": 0, "strength_clip": 0}
    assert "success" == client.run(workflow).history["status"]["status_str"]


def test_same_graph_same_pixels(client: Client) -> None:
    """The same graph gives the same pixels when all of it runs again."""
    first = client.run(graph(seed=7))
    client.run(graph(None, seed=8))
    again = client.run(graph(seed=7, prefix="again"))
    assert "3" not in again.cached
    assert first.pixels == again.pixels


def test_model_only_loader(client: Client) -> None:
    """LoraLoaderModelOnly changes the model and leaves the text encoder alone."""
    only, both = graph(), graph()
    only["10"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["4", 0], "lora_name": "a.safetensors", "strength_model": 1.0},
    }
    only["11"]["inputs"]["clip"] = ["4", 1]
    both["10"]["inputs"]["strength_clip"] = 0.0
    assert client.run(both).pixels == client.run(only).pixels


def test_two_loras_in_a_row(client: Client, comfyui: Path) -> None:
    """A second LoRA after the first changes the picture once more."""
    write_lora(comfyui / "models/loras/b.safetensors", 920)
    workflow = graph()
    workflow["12"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["10", 0], "lora_name": "b.safetensors", "strength_model": 1.0},
    }
    workflow["3"]["inputs"]["model"] = ["12", 0]
    assert client.run(graph()).pixels != client.run(workflow).pixels


def test_batch_gives_one_file_each(client: Client) -> None:
    """A batch of two is two files with numbers in a row, and two different pictures."""
    workflow = graph()
    workflow["5"]["inputs"]["batch_size"] = 2
    images = client.run(workflow).history["outputs"]["9"]["images"]
    assert ["probe_00001_.png", "probe_00002_.png"] == [image["filename"] for image in images]
    assert client.picture(images[0]).tobytes() != client.picture(images[1]).tobytes()


def test_picture_has_the_latents_size(client: Client) -> None:
    """The picture is as large as the latents say, in whole steps of 8 pixels."""
    workflow = graph()
    workflow["5"]["inputs"] |= {"width": 100, "height": 72}
    picture = client.run(workflow).picture
    assert picture is not None
    assert (96, 72) == picture.size


def test_preview_image_goes_to_temp(client: Client) -> None:
    """PreviewImage writes below temp, under a name of its own."""
    workflow = graph()
    workflow["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    image = client.run(workflow).image
    assert "temp" == image["type"]
    assert image["filename"].startswith("ComfyUI_temp_")


def test_finished_pictures_are_shown_before_the_next_pass(client: Client) -> None:
    """What leads to an output node soonest runs first, as in ComfyUI."""
    workflow = graph()
    second = {**workflow["3"]["inputs"], "latent_image": ["3", 0], "seed": 2}
    workflow["22"] = {"class_type": "KSampler", "inputs": second}
    workflow["21"] = {"class_type": "VAEDecode", "inputs": {"samples": ["22", 0], "vae": ["4", 2]}}
    workflow["9"]["inputs"]["images"] = ["21", 0]
    workflow["20"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    order = [data["node"] for kind, data in client.run(workflow).frames if kind == "executing"]
    assert ["3", "8", "20", "22", "21", "9", None] == order[order.index("3") :]
