"""Faults can be injected at every point where a real server fails."""

# ruff: noqa: ARG002  (a hook takes what it is given)

import errno
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests
from aiohttp import web

from stand_in.faults import Faults, Frame, NodeFailure, WorkerDied
from stand_in.serving import serve
from tests.stand_in.raw_client import Client, graph, write_lora


def test_out_of_memory(comfyui: Path) -> None:
    """A failure in a node is an execution_error of its type, and the next prompt runs."""
    first = str(uuid.uuid4())

    class OutOfMemory(Faults):
        def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
            if (prompt_id, node_id, class_type) == (first, "3", "KSampler"):
                raise NodeFailure("torch.OutOfMemoryError", "Allocation on device")

    with serve(comfyui, faults=OutOfMemory()) as serving, Client(serving.url) as client:
        error = client.run(graph(), prompt_id=first).history["status"]["messages"][-1]
        assert "execution_error" == error[0]
        assert "torch.OutOfMemoryError" == error[1]["exception_type"]
        assert error[1]["exception_message"].startswith("Allocation on device\n")
        assert client.run(graph()).history["status"]["completed"]


def test_full_disk(comfyui: Path) -> None:
    """A disk that is full when SaveImage writes is an execution_error of that node."""

    class FullDisk(Faults):
        def saved(self, png: bytes) -> bytes:
            raise OSError(errno.ENOSPC, "No space left on device")

    with serve(comfyui, faults=FullDisk()) as serving, Client(serving.url) as client:
        error = client.run(graph()).history["status"]["messages"][-1][1]
        assert ("SaveImage", "OSError") == (error["node_type"], error["exception_type"])


def test_dead_worker(comfyui: Path) -> None:
    """After its worker died, the server takes prompts and never runs them."""

    class Dead(Faults):
        def before_prompt(self, prompt_id: str) -> None:
            raise WorkerDied

    with serve(comfyui, faults=Dead()) as serving, Client(serving.url) as client:
        first, second = client.submit(graph()), client.submit(graph())
        serving.server.worker.join(30)
        assert {} == client.get(f"/history/{first}").json() | client.get(f"/history/{second}").json()
        assert {"exec_info": {"queue_remaining": 2}} == client.get("/prompt").json()


def test_late_history(comfyui: Path) -> None:
    """The gap between execution_success and the history entry can be held open."""
    gate = threading.Event()

    class LateHistory(Faults):
        def before_history(self, prompt_id: str) -> None:
            gate.wait(30)

    with serve(comfyui, faults=LateHistory()) as serving, Client(serving.url) as client:
        prompt_id = client.submit(graph())
        client.frames_until(lambda frame: frame[0] == "execution_success")
        assert {} == client.get(f"/history/{prompt_id}").json()
        gate.set()
        assert client.follow(prompt_id).history["status"]["completed"]


def test_free_may_wait_for_the_next_prompt(comfyui: Path) -> None:
    """Where the worker takes the next prompt before it frees, that prompt still sees the old bytes."""

    class LateFree(Faults):
        def free_now(self) -> bool:
            return False

    with serve(comfyui, faults=LateFree()) as serving, Client(serving.url) as client:
        old = client.run(graph(seed=1))
        write_lora(comfyui / "models/loras/a.safetensors", 200)
        client.post("/free", {"free_memory": True})
        assert old.pixels == client.run(graph(seed=1)).pixels
        assert old.pixels != client.run(graph(seed=1)).pixels


def test_other_lora_and_corrupt_picture(comfyui: Path) -> None:
    """Other weights can be loaded than were asked for, and other bytes shown than were written."""
    other = write_lora(comfyui / "other.safetensors", 920)

    class Wrong(Faults):
        def lora_of(self, path: Path) -> Path:
            return other

        def picture(self, png: bytes) -> bytes:
            return png[:100]

    with serve(comfyui) as serving, Client(serving.url) as client:
        right = client.run(graph()).image
        right_bytes = (comfyui / "output" / right["filename"]).read_bytes()
    with serve(comfyui, faults=Wrong()) as serving, Client(serving.url) as client:
        prompt_id = client.submit(graph())
        client.frames_of(prompt_id)
        image = client.get(f"/history/{prompt_id}").json()[prompt_id]["outputs"]["9"]["images"][0]
        assert 100 == len(client.get("/view", params=image).content)
        assert right_bytes != (comfyui / "output" / image["filename"]).read_bytes()


def test_frames_can_be_dropped_and_doubled(comfyui: Path) -> None:
    """Frames can be left out and sent twice."""

    class Garbled(Faults):
        def frames(self, event: str, data: dict[str, Any], client_id: str | None) -> Iterable[Frame]:
            return [] if event == "progress_state" else [(event, data)] * (2 if event == "executed" else 1)

    with serve(comfyui, faults=Garbled()) as serving, Client(serving.url) as client:
        kinds = [kind for kind, _ in client.run(graph()).frames]
        assert (0, 2) == (kinds.count("progress_state"), kinds.count("executed"))


def test_requests_can_be_answered_otherwise(comfyui: Path) -> None:
    """Any request can get another answer, such as a gateway's 502."""

    class Gateway(Faults):
        async def answer(self, request: web.Request) -> web.StreamResponse | None:
            return web.Response(status=502, text="bad gateway") if request.path == "/queue" else None

    with serve(comfyui, faults=Gateway()) as serving:
        assert 502 == requests.get(f"{serving.url}/queue", timeout=60).status_code
        assert 200 == requests.get(f"{serving.url}/prompt", timeout=60).status_code


def test_steps_can_hang_and_the_server_still_ends(comfyui: Path) -> None:
    """A step that hangs holds the prompt up; the server can be ended all the same."""
    gate = threading.Event()

    class Hanging(Faults):
        def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
            gate.wait(20)

    with serve(comfyui, faults=Hanging()) as serving, Client(serving.url) as client:
        client.submit(graph())
        client.frames_until(lambda frame: frame[0] == "executing" and frame[1]["node"] == "3")
        assert {"exec_info": {"queue_remaining": 1}} == client.get("/prompt").json()
        gate.set()
