"""A prompt may have its own negative, width and height: filled in, checked, recorded, and part of the digest."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import WorkflowError
from plugins.comfyui.own_workflow import read_workflow
from plugins.comfyui.server import Server
from plugins.comfyui.workflow import BUILT_IN
from plugins.evidence.store import Store
from plugins.generate.preparing import prepare
from plugins.loras.staging import preflight
from plugins.pictures.check import Outcome
from plugins.pictures.picture import read_picture
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from plugins.plan.tested import Sampling
from stand_in.serving import Serving
from tests.plugins.evidence.made_evidence import BASE, expected_inputs_of
from tests.rendered import rendered_and_kept

OWN = 'id = "novel_pose"\nnegative = "blurry"\nheight = 128'


@pytest.fixture
def own(plan_file: Path) -> Plan:
    """Return the small plan whose second prompt has a negative and a height of its own."""
    plan_file.write_text(plan_file.read_text("utf-8").replace('id = "novel_pose"', OWN), "utf-8")
    return read_plan(plan_file)


def test_own_settings_are_filled_in_and_the_others_stay(own: Plan) -> None:
    """What a prompt gives replaces the plan's on its row alone; the other rows keep their digests."""
    cells = matrix(own)
    forest, pose = (expected_inputs_of(own).filled(cell, base_model=BASE, lora_file=None).graph for cell in cells[:2])

    assert (forest["6"]["inputs"]["height"], forest["5"]["inputs"]["text"]) == (64, "")
    assert (pose["6"]["inputs"]["width"], pose["6"]["inputs"]["height"], pose["5"]["inputs"]["text"]) == (
        64,
        128,
        "blurry",
    )
    bare = tuple(one.model_copy(update={"negative": None, "height": None}) for one in own.prompts)
    plan = own.model_copy(update={"prompts": bare})
    before = [expected_inputs_of(plan).inputs_digest(cell, base_model=BASE) for cell in matrix(plan)[:2]]
    now = [expected_inputs_of(own).inputs_digest(cell, base_model=BASE) for cell in cells[:2]]
    assert [old == new for old, new in zip(before, now, strict=True)] == [True, False]
    assert own.digest != plan.digest


def test_size_is_checked_against_the_prompts_own(own: Plan) -> None:
    """A picture of the plan's size fails on a prompt that asks for another."""
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    picture = read_picture(buffer.getvalue(), largest=10**6)
    forest, pose = (expected_inputs_of(own).check_size(picture, cell) for cell in matrix(own)[:2])

    assert (forest.outcome, pose.outcome) == (Outcome.PASSED, Outcome.FAILED)


def test_size_of_a_custom_workflow_is_not_checked_by_itself(own: Plan, tmp_path: Path) -> None:
    """Such a workflow decides on the size: a picture is right once it has its baseline's."""
    comfyui = own.comfyui.model_copy(update={"workflow": tmp_path / "own.json"})
    plan = own.model_copy(update={"comfyui": comfyui})
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    picture = read_picture(buffer.getvalue(), largest=10**6)

    made = expected_inputs_of(plan).check_size(picture, matrix(plan)[0])

    assert Outcome.NOT_CHECKED is made.outcome


def test_own_settings_are_rendered_and_recorded(own: Plan, store: Store, stand_in: Callable[..., Serving]) -> None:
    """A server makes the picture in the prompt's size, and the evidence has its size and its negative."""
    client = ComfyUI(stand_in().url)
    server = Server(client, client.info(), timeout=20)
    prepared = prepare(own, (server,), store, headers=preflight(own))

    made = rendered_and_kept(prepared, matrix(own)[1], server)
    server.close()

    assert (made.picture.width, made.picture.height, made.negative_text, made.failures) == (64, 128, "blurry", ())


def test_target_size_that_a_prompts_own_size_leaves_behind_is_warned_of(own: Plan, tmp_path: Path) -> None:
    """A prompt's own size counts as the plan's does: what goes on telling the file's is named."""
    graph = {node: {**content, "inputs": dict(content["inputs"])} for node, content in BUILT_IN.items()}
    graph["2"]["inputs"]["lora_name"] = own.staged_file(own.checkpoints[0])
    graph["4"]["inputs"]["target_height"] = 512
    file = tmp_path / "own.json"
    file.write_text(json.dumps(graph), "utf-8")
    comfyui = own.comfyui.model_copy(update={"workflow": file})
    sampling = Sampling(seeds=own.sampling.seeds)

    workflow = read_workflow(own.model_copy(update={"comfyui": comfyui, "sampling": sampling}))

    assert ["4 'CLIPTextEncode'.target_height = 512" in one for one in workflow.warnings()] == [True]


def test_negative_without_a_place_in_an_own_workflow_is_asked_about(own: Plan, tmp_path: Path) -> None:
    """A prompt's negative is not dropped in silence where the workflow has no negative side."""
    graph = {node: {**content, "inputs": dict(content["inputs"])} for node, content in BUILT_IN.items()}
    graph["2"]["inputs"]["lora_name"] = own.staged_file(own.checkpoints[0])
    graph["5"] = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["4", 0]}}
    file = tmp_path / "own.json"
    file.write_text(json.dumps(graph), "utf-8")
    comfyui = own.comfyui.model_copy(update={"workflow": file})

    with pytest.raises(WorkflowError, match="The plan gives a `negative`"):
        read_workflow(own.model_copy(update={"comfyui": comfyui}))
