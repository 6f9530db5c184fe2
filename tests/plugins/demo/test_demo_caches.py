"""What the stand-in remembers between prompts, faults of note included (COMFYUI facts 1, 2 and 6)."""

import os
from pathlib import Path
from typing import Any

import pytest
from raw_client import Client, graph, write_lora

from plugins.demo.faults import Faults
from plugins.demo.serving import serve


def replace_lora(comfyui: Path, step: int) -> None:
    """Put another LoRA under the name that is staged, atomically."""
    new = write_lora(comfyui / "new.tmp", step)
    os.replace(new, comfyui / "models/loras/a.safetensors")  # noqa: PTH105 (as the suite stages)


def test_identical_prompt_runs_nothing(client: Client) -> None:
    """The very same prompt again runs no node and names the old file."""
    first, again = client.run(graph()), client.run(graph())
    assert sorted(graph()) == again.cached
    assert first.image == again.image
    assert "executing" in first.types
    assert ["execution_start", "execution_cached", "executed", "execution_success", "executing"] == again.types


def test_identical_prompt_names_a_file_that_is_gone(client: Client, comfyui: Path) -> None:
    """A cached result whose file was deleted is a 404 at /view."""
    first = client.run(graph())
    (comfyui / "output" / first.image["filename"]).unlink()
    prompt_id = client.submit(graph())
    client.frames_of(prompt_id)
    assert 404 == client.get("/view", params=first.image).status_code


def test_new_prefix_runs_only_save_image(client: Client) -> None:
    """A prefix of its own makes nothing but SaveImage run again."""
    client.run(graph(prefix="one"))
    again = client.run(graph(prefix="two"))
    assert sorted(set(graph()) - {"9"}) == again.cached
    assert "two_00001_.png" == again.image["filename"]


def test_only_the_last_prompt_is_remembered(client: Client) -> None:
    """A prompt in between makes the first one's nodes run again."""
    client.run(graph(seed=1))
    client.run(graph(seed=2))
    assert "9" not in client.run(graph(seed=1)).cached


def test_node_ids_do_not_matter(client: Client) -> None:
    """A node is the same when its inputs and ancestors are, whatever its id."""
    client.run(graph())
    renamed = graph()
    renamed["55"] = renamed.pop("5")
    renamed["3"]["inputs"]["latent_image"] = ["55", 0]
    assert "3" in client.run(renamed).cached


def test_replaced_lora_is_served_stale(client: Client, comfyui: Path) -> None:
    """A LoRA replaced under its name goes on being drawn from memory, also with a new seed."""
    old = client.run(graph(seed=1)), client.run(graph(seed=2))
    replace_lora(comfyui, 200)
    assert old[1].pixels == client.run(graph(seed=2)).pixels
    assert old[0].pixels == client.run(graph(seed=1)).pixels


def test_replaced_lora_is_stale_at_another_strength_too(client: Client, comfyui: Path) -> None:
    """When LoraLoader itself runs again under the same name, it still has the old weights in its hands."""

    def weaker(seed: int) -> dict[str, Any]:
        workflow = graph(seed=seed)
        workflow["10"]["inputs"]["strength_model"] = 0.9
        return workflow

    old = client.run(weaker(1))
    client.run(graph(seed=1))
    replace_lora(comfyui, 200)
    again = client.run(weaker(1))
    assert "10" not in again.cached
    assert old.pixels == again.pixels


def test_replaced_lora_is_seen_after_free(client: Client, comfyui: Path) -> None:
    """/free, the baseline and the LoRA, posted without waiting, draw the new bytes."""
    old = client.run(graph(seed=1))
    replace_lora(comfyui, 200)
    assert 200 == client.post("/free", {"free_memory": True}).status_code
    baseline, again = client.submit(graph(None, seed=1)), client.submit(graph(seed=1))
    client.follow(baseline)
    assert old.pixels != client.follow(again).pixels


def test_replaced_lora_is_seen_after_a_prompt_without_it(client: Client, comfyui: Path) -> None:
    """A prompt without the LoRA's node makes the server forget both node and weights."""
    old = client.run(graph(seed=1))
    replace_lora(comfyui, 200)
    client.run(graph(None, seed=1))
    assert old.pixels != client.run(graph(seed=1)).pixels


def test_free_may_wait_for_the_next_prompt(comfyui: Path) -> None:
    """Where the worker takes the next prompt before it frees, that prompt still sees the old bytes."""

    class LateFree(Faults):
        def free_now(self) -> bool:
            return False

    with serve(comfyui, faults=LateFree()) as serving, Client(serving.url) as client:
        old = client.run(graph(seed=1))
        replace_lora(comfyui, 200)
        client.post("/free", {"free_memory": True})
        assert old.pixels == client.run(graph(seed=1)).pixels
        assert old.pixels != client.run(graph(seed=1)).pixels


def test_unload_models_keeps_the_results(client: Client) -> None:
    """/free without free_memory leaves the node cache alone."""
    client.run(graph())
    client.post("/free", {"unload_models": True})
    client.run(graph())
    assert sorted(graph()) == client.run(graph()).cached


def test_failed_node_is_not_remembered(client: Client, comfyui: Path) -> None:
    """A node that failed runs again; those before it are known."""
    broken = comfyui / "models/loras/a.safetensors"
    good = broken.read_bytes()
    broken.write_bytes(good[:-1])
    assert "error" == client.run(graph()).history["status"]["status_str"]
    broken.write_bytes(good)
    run = client.run(graph())
    assert ["4", "5"] == run.cached
    assert "success" == run.history["status"]["status_str"]


@pytest.mark.parametrize("damage", ["short", "text", "empty"])
def test_broken_lora_fails_its_prompt_alone(client: Client, comfyui: Path, damage: str) -> None:
    """A LoRA that is cut short, no safetensors file, or empty is an execution_error, and the server goes on."""
    path = comfyui / "models/loras/a.safetensors"
    path.write_bytes({"short": path.read_bytes()[:-8], "text": b"not a LoRA at all", "empty": b""}[damage])
    run = client.run(graph())
    assert ["execution_start", "execution_cached"] == run.types[:2]
    assert ["execution_error", "executing"] == run.types[-2:]
    error = next(data for kind, data in run.frames if kind == "execution_error")
    assert ("10", "LoraLoader") == (error["node_id"], error["node_type"])
    assert "safetensors._safetensors_rust.SafetensorError" == error["exception_type"]
    assert "success" == client.run(graph(None)).history["status"]["status_str"]
