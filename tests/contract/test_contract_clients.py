"""Clients that others wrote for ComfyUI work on the stand-in, unchanged."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.contract.subject import Subject

simplified = pytest.importorskip("comfy_api_simplified", reason="comfy-api-simplified is not installed (uv sync)")


@pytest.fixture(autouse=True)
def _noted(subject: Subject) -> Iterator[None]:
    """Note the prompts that were queued, for the clean-up. That client connects its socket after it has queued."""
    wire = subject.wire()
    before = wire.get("/history").body.keys()
    with subject.server.listened_to():
        yield
    wire.wait_until_idle()  # a failure is told before it is in the history
    wire.posted += wire.get("/history").body.keys() - before


@pytest.fixture
def workflow(subject: Subject) -> Any:
    """Return the recorded workflow with titles, by which that client finds nodes."""
    graph = subject.graph(subject.lora(), steps=8)
    for node in graph.values():
        node["_meta"] = {"title": node["class_type"]}
    graph["7"]["_meta"]["title"] = "Negative"
    return simplified.ComfyWorkflowWrapper(graph)


def test_images(subject: Subject, workflow: Any) -> None:
    """comfy-api-simplified queues a workflow, waits on the socket, and fetches its picture."""
    api = simplified.ComfyApiWrapper(subject.server.url)
    workflow.set_node_param("EmptyLatentImage", "width", 128)
    images = api.queue_and_wait_images(workflow, "SaveImage")
    assert ["p_00001_.png"] == list(images)
    with Image.open(io.BytesIO(images["p_00001_.png"])) as picture:
        assert (128, 64) == picture.size


def test_history_and_queue(subject: Subject, workflow: Any) -> None:
    """It reads queue and history of what it queued."""
    api = simplified.ComfyApiWrapper(subject.server.url)
    prompt_id, _ = asyncio.run(api.queue_prompt_and_wait(workflow))
    assert "success" == api.get_history(prompt_id)[prompt_id]["status"]["status_str"]
    assert {"queue_running": [], "queue_pending": []} == api.get_queue()
    with pytest.raises(ValueError, match="not in the queue"):
        api.get_queue_size_before(prompt_id)


def test_refusal_and_failure(subject: Subject, workflow: Any) -> None:
    """It raises its own error where a workflow is refused, and where a node fails."""
    api = simplified.ComfyApiWrapper(subject.server.url)
    workflow.set_node_param("SaveImage", "filename_prefix", "../../escape")
    with pytest.raises(simplified.ComfyApiError, match="Execution error"):
        asyncio.run(api.queue_prompt_and_wait(workflow))
    workflow.set_node_param("LoraLoader", "lora_name", "nope.safetensors")
    with pytest.raises(simplified.ComfyApiError, match="400"):
        api.queue_prompt(workflow)


def test_other_routes(subject: Subject, tmp_path: Path) -> None:
    """It reads node types, machine and embeddings, and uploads a picture."""
    api = simplified.ComfyApiWrapper(subject.server.url)
    assert ["KSampler"] == list(api.get_object_info("KSampler"))
    assert "KSampler" in api.get_object_info()
    assert {"system", "devices"} == api.get_system_stats().keys()
    assert isinstance(api.get_embeddings(), list)
    path = tmp_path / "mine.png"
    Image.new("RGB", (8, 8)).save(path)
    told = api.upload_image(path, subject.corner)
    assert {"name": "mine.png", "subfolder": subject.corner, "type": "input"} == told
