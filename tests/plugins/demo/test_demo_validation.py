"""Workflows that may not run, beyond the recorded ones."""

from pathlib import Path
from typing import Any

import pytest
from raw_client import Client, graph, write_lora

from plugins.demo.dialect import LATER
from plugins.demo.serving import serve


def refused(client: Client, node: str, name: str, value: Any) -> dict[str, Any]:
    """Send a workflow with one input changed, and give the first error of the node that is blamed."""
    workflow = graph()
    workflow[node]["inputs"][name] = value
    response = client.post("/prompt", {"prompt": workflow})
    assert 400 == response.status_code, response.text
    body = response.json()
    assert "prompt_outputs_failed_validation" == body["error"]["type"]
    (blamed,) = body["node_errors"].values()
    assert ["9"] == blamed["dependent_outputs"]
    error: dict[str, Any] = blamed["errors"][0]
    return error


@pytest.mark.parametrize(
    ("node", "name", "value", "kind"),
    [
        ("3", "seed", -1, "value_smaller_than_min"),
        ("3", "seed", 2**64, "value_bigger_than_max"),
        ("3", "seed", "abc", "invalid_input_type"),
        ("3", "steps", 0, "value_smaller_than_min"),
        ("3", "cfg", 100.5, "value_bigger_than_max"),
        ("3", "cfg", None, "invalid_input_type"),
        ("3", "sampler_name", "zip", "value_not_in_list"),
        ("3", "scheduler", 3, "value_not_in_list"),
        ("3", "denoise", 1.1, "value_bigger_than_max"),
        ("3", "model", ["4", 1], "return_type_mismatch"),
        ("3", "model", ["4", 0, 0], "bad_linked_input"),
        ("3", "model", ["99", 0], "exception_during_inner_validation"),
        ("3", "model", ["4", 7], "exception_during_inner_validation"),
        ("9", "images", ["77", 0], "exception_during_validation"),
        ("5", "width", 8, "value_smaller_than_min"),
        ("5", "height", 16392, "value_bigger_than_max"),
        ("10", "lora_name", "a", "value_not_in_list"),
        ("10", "strength_model", -101, "value_smaller_than_min"),
        ("11", "stop_at_clip_layer", 0, "value_bigger_than_max"),
        ("4", "ckpt_name", "AnythingXL_inkBase", "value_not_in_list"),
    ],
)
def test_wrong_inputs(client: Client, node: str, name: str, value: Any, kind: str) -> None:
    """Each kind of mistake is told by its own error type."""
    assert kind == refused(client, node, name, value)["type"]


def test_values_are_converted_in_place(client: Client) -> None:
    """Numbers given as text, and whole numbers for fractions, are taken and told back converted."""
    workflow = graph(seed="12", cfg=7)
    workflow["10"]["inputs"]["strength_model"] = 1
    inputs = client.run(workflow).history["prompt"][2]
    assert 12 == inputs["3"]["inputs"]["seed"]
    assert isinstance(inputs["10"]["inputs"]["strength_model"], float)


def test_long_choices_are_not_spelled_out(client: Client, comfyui: Path) -> None:
    """With more than 20 LoRAs, the error gives only their number."""
    for number in range(21):
        write_lora(comfyui / f"models/loras/l{number}.safetensors", 200)
    error = refused(client, "10", "lora_name", "nope.safetensors")
    assert "lora_name: 'nope.safetensors' not in (list of length 22)" == error["details"]
    assert error["extra_info"]["input_config"] is None


def test_missing_input_and_class(client: Client) -> None:
    """A node without a required input, or without its class, is told."""
    workflow = graph()
    del workflow["3"]["inputs"]["model"]
    body = client.post("/prompt", {"prompt": workflow}).json()
    assert "required_input_missing" == body["node_errors"]["3"]["errors"][0]["type"]
    del workflow["3"]["class_type"]
    assert "invalid_prompt" == client.post("/prompt", {"prompt": workflow}).json()["error"]["type"]


@pytest.mark.parametrize("prompt", [None, [1], {"1": 5}], ids=["null", "list", "number as node"])
def test_what_is_no_workflow_is_a_500(client: Client, prompt: object) -> None:
    """What cannot even be looked through is an internal error, and the server goes on."""
    assert 500 == client.post("/prompt", {"prompt": prompt}).status_code
    assert 200 == client.get("/prompt").status_code


def test_own_save_of_the_user_interface(client: Client) -> None:
    """The user interface's own format is refused as a node without class."""
    saved = {"id": "x", "last_node_id": 9, "nodes": [], "links": []}
    assert "invalid_prompt" == client.post("/prompt", {"prompt": saved}).json()["error"]["type"]


def test_partial_execution(client: Client) -> None:
    """Only the outputs that are asked for run; none of them is an error."""
    workflow = graph()
    workflow["20"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    run = client.run(workflow, partial_execution_targets=["9"])
    assert ["9"] == list(run.history["outputs"])
    body = client.post("/prompt", {"prompt": workflow, "partial_execution_targets": []}).json()
    assert "prompt_no_outputs" == body["error"]["type"]


def test_later_versions(comfyui: Path) -> None:
    """In the later dialect, pickers are COMBO lists, unknown nodes have an error of their own, ids must be UUIDs."""
    with serve(comfyui, dialect=LATER) as serving, Client(serving.url) as client:
        info = client.get("/object_info/LoraLoader").json()["LoraLoader"]
        assert ["COMBO", {"options": ["a.safetensors"]}] == info["input"]["required"]["lora_name"]
        workflow = graph() | {"3": {"class_type": "NoSuchNode", "inputs": {}}}
        assert "missing_node_type" == client.post("/prompt", {"prompt": workflow}).json()["error"]["type"]
        body = {"prompt": graph(), "prompt_id": "not-a-uuid"}
        assert 400 == client.post("/prompt", body).status_code
        assert "value_not_in_list" == refused(client, "10", "lora_name", "b.safetensors")["type"]
        assert "success" == client.run(graph()).history["status"]["status_str"]
