"""LoRAs that are always on are rendered with every cell, and their bytes are part of what a picture is made from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import NotListed, WorkflowError
from plugins.comfyui.server import Server
from plugins.comfyui.timing import Timing
from plugins.comfyui.workflow import BUILT_IN, Workflow
from plugins.evidence.store import Store
from plugins.generate.preparing import prepare
from plugins.loras.staging import preflight
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from plugins.plan.tested import AlwaysOn
from stand_in.serving import Serving
from tests.lora_files import kohya, write_file
from tests.plugins.evidence.made_evidence import BASE, expected_inputs_of, keep
from tests.rendered import rendered_and_kept

FAST = AlwaysOn(file="fast.safetensors", strength=0.7)


@pytest.fixture
def fast(plan: Plan) -> Path:
    """Put a speed LoRA into the loras folder."""
    return write_file(plan.paths.loras / "speed" / "fast.safetensors", kohya({"lora_unet_mid": (8, 8)}), {"a": "b"})


@pytest.fixture
def with_fast(plan_file: Path, fast: Path) -> Plan:
    """Return the small plan with the speed LoRA always on."""
    assert fast.is_file()
    text = plan_file.read_text("utf-8")
    lora = '[[lora]]\nfile = "speed/fast.safetensors"\nstrength = 0.7\n\n[[checkpoint]]'
    plan_file.write_text(text.replace("[[checkpoint]]", lora, 1), "utf-8")
    return read_plan(plan_file)


def test_built_in_workflow_chains_them_before_the_tested_one(with_fast: Plan) -> None:
    """Baseline and checkpoint are both made with it: base model, always on, tested LoRA, sampler."""
    asked = expected_inputs_of(with_fast)
    cells = matrix(with_fast)
    baseline = asked.filled(cells[0], base_model=BASE, lora_file=None).graph
    tested = asked.filled(cells[2], base_model=BASE, lora_file="mine.safetensors").graph

    loader = tested["always-on"]["inputs"]
    assert loader == {
        "model": ["1", 0],
        "clip": ["1", 1],
        "lora_name": "speed/fast.safetensors",
        "strength_model": 0.7,
        "strength_clip": 0.7,
    }
    assert (tested["2"]["inputs"]["model"], tested["2"]["inputs"]["clip"]) == (["always-on", 0], ["always-on", 1])
    assert "2" not in baseline
    assert baseline["7"]["inputs"]["model"] == ["always-on", 0]


def test_own_workflow_that_loads_it_is_left_as_it_is() -> None:
    """A LoRA that the file loads already is not loaded twice, and keeps the file's strength; else it is put in."""
    graph = {node: {**content, "inputs": dict(content["inputs"])} for node, content in BUILT_IN.items()}
    graph["2"]["inputs"]["lora_name"] = "mine.safetensors"
    files = frozenset({"mine.safetensors"})
    put_in = Workflow.of(graph, files=files, path=Path("own.json"), loras=[FAST])
    assert [slot.file for slot in put_in.parts.put_in] == ["fast.safetensors"]
    assert "always on: fast.safetensors (always-on 'LoraLoader'.lora_name)" in next(iter(put_in.lines()))

    there = Workflow.of(put_in.parts.graph, files=files, loras=[AlwaysOn(file="fast.safetensors", strength=0.2)])

    assert there.parts.put_in == ()
    assert there.parts.graph["always-on"]["inputs"]["strength_model"] == 0.7


def test_workflow_of_several_models_is_asked_about() -> None:
    """Where the tested LoRA goes onto several models, nobody guesses where the other one belongs."""
    graph = {node: {**content, "inputs": dict(content["inputs"])} for node, content in BUILT_IN.items()}
    graph["2"]["inputs"]["lora_name"] = "mine.safetensors"
    graph["11"] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "other.safetensors"}}
    graph["12"] = {"class_type": "LoraLoaderModelOnly", "inputs": {"model": ["11", 0], "lora_name": "mine.safetensors"}}
    graph["12"]["inputs"]["strength_model"] = 1.0
    graph["17"] = {"class_type": "KSampler", "inputs": {**graph["7"]["inputs"], "model": ["12", 0]}}
    graph["17"]["inputs"]["latent_image"] = ["7", 0]
    graph["8"]["inputs"]["samples"] = ["17", 0]

    with pytest.raises(
        WorkflowError, match=r"\[\[lora\]\] fast.safetensors: not one model alone takes the tested LoRA"
    ):
        Workflow.of(graph, files=frozenset({"mine.safetensors"}), loras=[FAST])


def test_replaced_bytes_ask_for_another_picture(with_fast: Plan, store: Store, fast: Path) -> None:
    """Evidence holds the bytes of a LoRA that is always on: with others nothing is reused, and it is told why."""
    cell = matrix(with_fast)[0]
    evidence = keep(expected_inputs_of(with_fast), store, cell)
    assert expected_inputs_of(with_fast).mismatch(cell, evidence) == ""

    fast.write_bytes(fast.read_bytes()[:-1] + b"\7")

    told = expected_inputs_of(with_fast).mismatch(cell, evidence)
    was = evidence.always_on[0].sha256
    assert was
    assert told == f"it was rendered with other bytes of speed/fast.safetensors (SHA-256 {was[:12]})"


def test_it_is_rendered_and_recorded_with_every_cell(
    with_fast: Plan, store: Store, stand_in: Callable[..., Serving]
) -> None:
    """A server renders the baseline and a checkpoint with it, and the evidence names it with its bytes."""
    client = ComfyUI(stand_in().url)
    server = Server(client, client.info(), timeout=20)
    prepared = prepare(with_fast, (server,), store, headers=preflight(with_fast))
    cells = matrix(with_fast)
    made = [rendered_and_kept(prepared, cell, server) for cell in (cells[0], cells[2])]
    server.close()

    assert [one.failures for one in made] == [(), ()]
    assert {(one.file, one.strength, one.sha256) for found in made for one in found.always_on} == {
        ("speed/fast.safetensors", 0.7, expected_inputs_of(with_fast).always_on["speed/fast.safetensors"])
    }
    assert all(prepared.recorder.reusable(cell) for cell in (cells[0], cells[2]))


def test_missing_file_is_told_before_anything_is_staged(
    with_fast: Plan, store: Store, fast: Path, stand_in: Callable[..., Serving]
) -> None:
    """A LoRA that the server does not list stops the run, with the nearest name and where to put it."""
    fast.rename(fast.with_name("faster.safetensors"))
    client = ComfyUI(stand_in().url, timing=Timing(listed=0.1))
    server = Server(client, client.info(), timeout=20)

    with pytest.raises(NotListed) as caught:
        prepare(with_fast, (server,), store, headers=preflight(with_fast))
    server.close()

    assert str(caught.value) == (
        f"The [[lora]] 'speed/fast.safetensors' is not in the LoRA list of {client.url}. Nearest are: "
        f"speed/faster.safetensors. Put the file into {with_fast.paths.loras}, or correct `file` under [[lora]] in the "
        "plan."
    )
    assert sorted(path.name for path in with_fast.paths.loras.glob("*.safetensors")) == []
