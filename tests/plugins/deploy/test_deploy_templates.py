"""Workflows that a plan names load production by its name; what they load wrongly, or was not checked, is told."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.workflow import BUILT_IN
from plugins.deploy.templates import read_templates, templates_load_production
from plugins.plan.plan import Plan
from stand_in.serving import Serving
from tests.plugins.deploy.judged_plan import Judged

LORA = "spyke_plasma_v1.safetensors"
FOLDER = "pipeline/express/workflows"
POWER = {
    "class_type": "Power Lora Loader (rgthree)",
    "inputs": {"lora_1": {"on": False, "lora": LORA, "strength": 1.0}, "model": ["1", 0], "clip": ["1", 1]},
}
LOADER: dict[str, Any] = BUILT_IN["2"]


def template(lora: str, **nodes: Any) -> dict[str, Any]:
    """Return a workflow that loads a LoRA, with more nodes, or others in their place."""
    graph = copy.deepcopy({key: dict(node) for key, node in BUILT_IN.items()})
    (loader,) = (node for node in graph.values() if node["class_type"] == "LoraLoader")
    loader["inputs"]["lora_name"] = lora
    return {**graph, **nodes}


@pytest.fixture
def problems(judged: Judged, stand_in: Callable[..., Serving]) -> Callable[..., list[str]]:
    """Deploy step600, write templates, and return what speaks against them."""
    judged.deploy()
    production = judged.plan.production.model_copy(update={"workflows": (f"{FOLDER}/*.json",)})
    plan = judged.plan.model_copy(update={"production": production})
    serving = stand_in()

    def problems(*texts: str) -> list[str]:
        folder = plan.paths.project / FOLDER
        folder.mkdir(parents=True)
        for number, text in enumerate(texts):
            (folder / f"template-{number}.json").write_text(text, encoding="utf-8")
        graphs, found = read_templates(plan)
        client = ComfyUI(serving.url)
        try:
            return [*found, *templates_load_production(plan, graphs, client)]
        finally:
            client.close()

    return problems


def test_template_that_loads_production_is_right(problems: Callable[..., list[str]]) -> None:
    """Beside one that loads production, other LoRAs, one that is called by a step of its own, and none are fine."""
    others = [template("detail.safetensors"), template("lightning-step00000004.safetensors"), {"1": BUILT_IN["1"]}]
    listed = {"class_type": "LoraList", "inputs": {"loras": [{"name": "spyke_plasma_v1", "strength": 1.0}]}}

    assert [] == problems(*map(json.dumps, [template(LORA), template(LORA, **{"10": listed}), *others]))


def loader(**inputs: Any) -> dict[str, Any]:
    """Return a loader of production with other inputs."""
    return {"class_type": "LoraLoader", "inputs": {**LOADER["inputs"], "lora_name": LORA, **inputs}}


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        pytest.param(
            {"1": BUILT_IN["1"]}, "template-0.json loads no LoRA of this name (spyke_plasma_v1)", id="no-loader"
        ),
        pytest.param(template("detail.safetensors"), "loads no LoRA of this name", id="another-LoRA"),
        pytest.param(
            template("", **{"2": loader(strength_model=0.0, strength_clip=0)}), "but has strength 0", id="strength-0"
        ),
        pytest.param(template("detail.safetensors", **{"10": loader()}), "but nothing is made from it", id="unused"),
        pytest.param(template("", **{"2": POWER}), "but is switched off", id="switched-off"),
        pytest.param(template("spyke_plasma_v1.pt"), f"offers it as '{LORA}'", id="another-ending"),
        pytest.param(
            {
                **template("detail.safetensors"),
                "4": {
                    "class_type": "LoraTagLoader",
                    "inputs": {"model": ["1", 0], "clip": ["3", 0], "text": "<lora:spyke_plasma_v1:0:0.0>"},
                },
            },
            "but has strength 0",
            id="tag-at-strength-0",
        ),
    ],
)
def test_production_that_no_workflow_loads_is_told(
    problems: Callable[..., list[str]], graph: dict[str, Any], words: str
) -> None:
    """Where no workflow loads production live, what each does instead is told."""
    (problem,) = problems(json.dumps(graph))

    assert words in problem


def test_place_that_is_off_beside_a_live_one_is_right(problems: Callable[..., list[str]]) -> None:
    """A workflow loads production, whatever other place that names it is off there."""
    assert [] == problems(json.dumps(template(LORA, **{"10": POWER})))


@pytest.mark.parametrize("node", [POWER, loader(strength_model=0, strength_clip=0.0)])
def test_workflow_that_has_production_off_is_told_beside_another(
    problems: Callable[..., list[str]], node: dict[str, Any]
) -> None:
    """A workflow that names production and does not load it is at fault, also where another loads it."""
    (problem,) = problems(json.dumps(template(LORA)), json.dumps(template("", **{"2": node})))

    assert "template-1.json: 2 " in problem


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        pytest.param(template("spyke_plasma_v1"), f"offers it as '{LORA}'. Write that there.", id="without-its-ending"),
        pytest.param(template("chars/spyke_plasma_v1.safetensors"), f"offers it as '{LORA}'", id="in-a-folder"),
        pytest.param(template("Spyke_Plasma_V1.safetensors"), f"offers it as '{LORA}'", id="in-another-case"),
        pytest.param(
            template("spyke_plasma_v1_step600.safetensors"), "a checkpoint of this LoRA rather", id="evaluation-copy"
        ),
        pytest.param(template("spyke_plasma_v1_final.safetensors"), "a checkpoint of this LoRA", id="final-copy"),
        pytest.param(
            template("spyke_plasma_v1-step00000600.safetensors"), "a checkpoint of this LoRA", id="training-output"
        ),
        pytest.param(
            template("old/spyke_plasma_v1-step00001234.safetensors"), "a checkpoint of this LoRA", id="another-step"
        ),
        pytest.param(template("JUNE_v2.safetensors"), "which the plan forbids (june and draster)", id="forbidden"),
        pytest.param(
            template(LORA, **{"10": {**POWER, "inputs": {"lora_1": {"on": False, "lora": "draster.safetensors"}}}}),
            "10 'Power Lora Loader (rgthree)'.lora_1 names 'draster.safetensors', which the plan forbids",
            id="forbidden-switched-off",
        ),
    ],
)
def test_planted_lora_is_told(problems: Callable[..., list[str]], graph: dict[str, Any], words: str) -> None:
    """A template that names production otherwise, a checkpoint or a forbidden LoRA is told with its node."""
    (problem,) = problems(json.dumps(template(LORA)), json.dumps(graph))

    assert "template-1.json: " in problem
    assert words in problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            '{"last_node_id": 1, "nodes": [], "links": []}', "is saved in the UI's own format", id="ui-format"
        ),
        pytest.param("{", "cannot be read", id="broken"),
        pytest.param(json.dumps({"1": {"class_type": "A", "inputs": {"a": ["1", 0]}}}), "has a cycle", id="cycle"),
    ],
)
def test_file_that_is_no_workflow_was_not_checked(problems: Callable[..., list[str]], text: str, words: str) -> None:
    """What cannot be read as a workflow is told, and that it was not checked."""
    (problem,) = problems(text)

    assert words in problem
    assert "Which LoRAs template-0.json loads was not checked" in problem


def test_pattern_without_a_file_is_told(problems: Callable[..., list[str]]) -> None:
    """A pattern that names no file has nothing checked, and is told."""
    (problem,) = problems()

    assert problem.startswith(f"'{FOLDER}/*.json' names no file below ")


def test_template_is_told_where_production_is_not_offered(judged: Judged, stand_in: Callable[..., Serving]) -> None:
    """Where the server does not offer production, no template can load it."""
    production = judged.plan.production.model_copy(update={"workflows": ("one.json",)})
    plan: Plan = judged.plan.model_copy(update={"production": production})
    (plan.paths.project / "one.json").write_text(json.dumps(template(LORA)), encoding="utf-8")
    graphs, _ = read_templates(plan)
    client = ComfyUI(stand_in().url)
    (problem,) = templates_load_production(plan, graphs, client)
    client.close()

    assert "which cannot be loaded. " in problem
