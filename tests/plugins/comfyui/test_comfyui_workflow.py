"""A cell's settings are written into the built-in workflow or a person's own, whose nodes are found by their links."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from plugins.comfyui.errors import WorkflowError
from plugins.comfyui.workflow import BUILT_IN, Filled, Workflow
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from tests.small_plan import PLAN

Graph = dict[str, dict[str, Any]]
BASE = "AnythingXL_inkBase.safetensors"
LORA = "spyke_plasma_v1_step600.safetensors"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Return the small plan, without its files."""
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return read_plan(path)


@pytest.fixture
def cell(plan: Plan) -> Cell:
    """Return the cell step600 x forest."""
    return next(cell for cell in matrix(plan) if cell.id == "step600-forest")


def fill(workflow: Workflow, cell: Cell, plan: Plan, *, lora: str | None = LORA, prefix: str = "p") -> Filled:
    """Fill a workflow as a run does."""
    return workflow.fill(cell, plan.sampling, base_model=BASE, lora_file=lora, prefix=prefix)


def own(**changes: Graph) -> Graph:
    """Write a person's own workflow: other ids, titles, text of its own, and no LoRA loader and no clip skip."""
    graph: Graph = {
        "40": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "old.ckpt"}, "_meta": {"title": "Base"}},
        "62": {
            "class_type": "CLIPTextEncode",
            "inputs": {"clip": ["40", 1], "text": "a cat"},
            "_meta": {"title": "No"},
        },
        "61": {
            "class_type": "CLIPTextEncode",
            "inputs": {"clip": ["40", 1], "text": "dogs"},
            "_meta": {"title": "Yes"},
        },
        "50": {"class_type": "EmptyLatentImage", "inputs": {"width": 8, "height": 8, "batch_size": 4}},
        "30": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["40", 0],
                "positive": ["61", 0],
                "negative": ["62", 0],
                "latent_image": ["50", 0],
                "seed": 5,
                "steps": 1,
                "cfg": 1.0,
                "sampler_name": "ddim",
                "scheduler": "simple",
                "denoise": 1.0,
            },
        },
        "80": {"class_type": "VAEDecode", "inputs": {"samples": ["30", 0], "vae": ["40", 2]}},
        "90": {"class_type": "SaveImage", "inputs": {"images": ["80", 0], "filename_prefix": "ComfyUI"}},
    }
    for nodes in changes.values():
        graph |= copy.deepcopy(nodes)
    return graph


def loader(node: str, model: list[Any], clip: list[Any]) -> Graph:
    """Write a LoRA loader."""
    inputs = {"model": model, "clip": clip, "lora_name": "old", "strength_model": 0.5, "strength_clip": 0.5}
    return {node: {"class_type": "LoraLoader", "inputs": inputs}}


def with_loader() -> Graph:
    """Write a person's own workflow with a LoRA loader in it."""
    graph = own(lora=loader("10", ["40", 0], ["40", 1]))
    for node, field, slot in (("30", "model", 0), ("61", "clip", 1), ("62", "clip", 1)):
        graph[node]["inputs"][field] = ["10", slot]
    return graph


def dangling(graph: Graph) -> list[tuple[str, str]]:
    """Name the inputs that are linked to a node that is not there."""
    return [
        (node, field)
        for node, content in graph.items()
        for field, value in content["inputs"].items()
        if isinstance(value, list) and value[0] not in graph
    ]


def chain(graph: Graph, node: str, field: str) -> list[str]:
    """Name the classes along one input's chain."""
    classes = []
    while isinstance(link := graph[node]["inputs"].get(field), list):
        node = link[0]
        classes.append(graph[node]["class_type"])
    return classes


def settings(filled: Filled) -> dict[str, Any]:
    """Read the settings out of a filled graph along its links, not by the parts that filled it."""
    graph = filled.graph
    sampler = graph[filled.sampler]["inputs"]
    latent = graph[sampler["latent_image"][0]]["inputs"]
    positive, negative = graph[sampler["positive"][0]]["inputs"], graph[sampler["negative"][0]]["inputs"]
    bases = [node["inputs"]["ckpt_name"] for node in graph.values() if node["class_type"] == "CheckpointLoaderSimple"]
    loras = [node["inputs"] for node in graph.values() if node["class_type"].startswith("LoraLoader")]
    return {
        "base": bases,
        "loras": [(lora["lora_name"], lora["strength_model"], lora.get("strength_clip")) for lora in loras],
        "texts": (positive["text"], negative["text"]),
        "latent": (latent["width"], latent["height"], latent["batch_size"]),
        "sampler": (sampler["steps"], sampler["cfg"], sampler["sampler_name"], sampler["scheduler"]),
        "clip": (chain(graph, sampler["positive"][0], "clip"), chain(graph, sampler["negative"][0], "clip")),
        "skip": [n["inputs"]["stop_at_clip_layer"] for n in graph.values() if n["class_type"] == "CLIPSetLastLayer"],
        "model": chain(graph, filled.sampler, "model"),
        "prefix": graph[filled.save]["inputs"]["filename_prefix"],
    }


def expected(cell: Cell) -> dict[str, Any]:
    """Write what the small plan asks for."""
    clip = ["CLIPSetLastLayer", "LoraLoader", "CheckpointLoaderSimple"]
    return {
        "base": [BASE],
        "loras": [(LORA, 1.0, 1.0)],
        "texts": (cell.prompt.text, ""),
        "latent": (64, 64, 1),
        "sampler": (2, 7.0, "euler_ancestral", "normal"),
        "clip": (clip, clip),
        "skip": [-2],
        "model": ["LoraLoader", "CheckpointLoaderSimple"],
        "prefix": "p",
    }


@pytest.mark.parametrize(
    "workflow",
    [BUILT_IN, own(), with_loader()],
    ids=["built_in", "own_without_lora_loader", "own_with_lora_loader"],
)
def test_plan_is_written_into_a_workflow(workflow: Graph, plan: Plan, cell: Cell) -> None:
    """Every setting of the plan is in the graph, whatever the file said of it; loader and clip skip are put in."""
    before = copy.deepcopy(workflow)
    filled = fill(Workflow.of(workflow), cell, plan)
    assert expected(cell) == settings(filled)
    assert cell.seed == filled.graph[filled.sampler]["inputs"]["seed"]
    assert [] == dangling(filled.graph)
    assert before == workflow


@pytest.mark.parametrize(
    "workflow", [BUILT_IN, own(), with_loader()], ids=["built_in", "without_loader", "with_loader"]
)
def test_baseline_takes_the_loader_out(workflow: Graph, plan: Plan, cell: Cell) -> None:
    """The baseline has no LoRA loader, no link that leads nowhere, and all else as the checkpoints have it."""
    filled = fill(Workflow.of(workflow), cell, plan, lora=None)
    clip = ["CLIPSetLastLayer", "CheckpointLoaderSimple"]
    wanted = {"loras": [], "clip": (clip, clip), "model": ["CheckpointLoaderSimple"]}
    assert expected(cell) | wanted == settings(filled)
    assert [] == dangling(filled.graph)


def test_own_ids_and_titles_are_kept(plan: Plan, cell: Cell) -> None:
    """A person's nodes keep their ids and titles; new nodes get ids of their own."""
    filled = fill(Workflow.of(own()), cell, plan)
    assert {**dict.fromkeys(own()), "91": None, "92": None} == dict.fromkeys(sorted(filled.graph))
    assert {"title": "Base"} == filled.graph["40"]["_meta"]
    assert ("90", "30") == (filled.save, filled.sampler)


def test_prompts_are_told_apart_by_their_links(plan: Plan, cell: Cell) -> None:
    """Which text is the positive one is read from the sampler, not from titles or the order of nodes."""
    filled = fill(Workflow.of(own()), cell, plan)
    assert cell.prompt.text == filled.graph["61"]["inputs"]["text"]
    assert "" == filled.graph["62"]["inputs"]["text"]


def test_clip_skip_of_the_file_gives_way(plan: Plan, cell: Cell) -> None:
    """A clip skip that the file has is set to the plan's, and none is added."""
    graph = own(skip={"7": {"class_type": "CLIPSetLastLayer", "inputs": {"clip": ["40", 1], "stop_at_clip_layer": -5}}})
    graph["61"]["inputs"]["clip"] = graph["62"]["inputs"]["clip"] = ["7", 0]
    filled = fill(Workflow.of(graph), cell, plan)
    assert expected(cell) == settings(filled)
    assert -2 == filled.graph["7"]["inputs"]["stop_at_clip_layer"]


@pytest.mark.parametrize(("workflow", "skip"), [(own(), []), (BUILT_IN, [-1])], ids=["own", "built_in"])
def test_clip_skip_one_is_the_last_layer(workflow: Graph, skip: list[int], plan: Plan, cell: Cell) -> None:
    """Clip skip 1 needs no node; one that is there is set to -1."""
    sampling = plan.sampling.model_copy(update={"clip_skip": 1})
    filled = Workflow.of(workflow).fill(cell, sampling, base_model=BASE, lora_file=LORA, prefix="p")
    assert skip == settings(filled)["skip"]


def test_advanced_sampler_takes_the_seed_as_noise(plan: Plan, cell: Cell) -> None:
    """KSamplerAdvanced is driven too; its seed is called noise_seed."""
    graph = own()
    graph["30"]["class_type"] = "KSamplerAdvanced"
    graph["30"]["inputs"]["noise_seed"] = graph["30"]["inputs"].pop("seed")
    filled = fill(Workflow.of(graph), cell, plan)
    assert expected(cell) == settings(filled)
    assert (cell.seed, False) == (filled.graph["30"]["inputs"]["noise_seed"], "seed" in filled.graph["30"]["inputs"])


def test_model_only_loader_keeps_its_shape(plan: Plan, cell: Cell) -> None:
    """A loader for the model alone gets the LoRA and one strength; the baseline goes around it."""
    graph = own(
        lora={
            "10": {
                "class_type": "LoraLoaderModelOnly",
                "inputs": {"model": ["40", 0], "lora_name": "old", "strength_model": 0.1},
            }
        }
    )
    graph["30"]["inputs"]["model"] = ["10", 0]
    workflow = Workflow.of(graph)
    assert [(LORA, 1.0, None)] == settings(fill(workflow, cell, plan))["loras"]
    baseline = fill(workflow, cell, plan, lora=None)
    assert ([], ["CheckpointLoaderSimple"]) == (dangling(baseline.graph), settings(baseline)["model"])


def test_nodes_in_between_stay(plan: Plan, cell: Cell) -> None:
    """Nodes between the ones that matter are found through, kept, and fed with the LoRA's model and text."""
    graph = own(
        between={
            "11": {"class_type": "FreeU", "inputs": {"model": ["40", 0], "b1": 1.1}},
            "63": {
                "class_type": "ConditioningCombine",
                "inputs": {"conditioning_1": ["61", 0], "conditioning_2": ["64", 0]},
            },
            "64": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["61", 0]}},
            "81": {"class_type": "ImageSharpen", "inputs": {"image": ["80", 0], "alpha": 1.0}},
        }
    )
    graph["30"]["inputs"] |= {"model": ["11", 0], "positive": ["63", 0]}
    graph["90"]["inputs"]["images"] = ["81", 0]
    filled = fill(Workflow.of(graph), cell, plan)
    assert ["FreeU", "LoraLoader", "CheckpointLoaderSimple"] == chain(filled.graph, "30", "model")
    assert cell.prompt.text == filled.graph["61"]["inputs"]["text"]
    assert 1.1 == filled.graph["11"]["inputs"]["b1"]
    assert [] == dangling(filled.graph)


def unsaved() -> Graph:
    """Write a workflow that shows its picture and saves none."""
    graph = own()
    graph["90"]["class_type"] = "PreviewImage"
    return graph


def twice_saved() -> Graph:
    """Write a workflow that saves two pictures."""
    return own(more={"91": {"class_type": "SaveImage", "inputs": {"images": ["80", 0], "filename_prefix": "b"}}})


def two_loras() -> Graph:
    """Write a workflow with a chain of two LoRAs."""
    graph = own(first=loader("10", ["40", 0], ["40", 1]), second=loader("12", ["10", 0], ["10", 1]))
    graph["30"]["inputs"]["model"] = ["12", 0]
    return graph


def changed(node: str, **inputs: Any) -> Graph:
    """Write a workflow with other inputs in a node; None takes one out."""
    graph = own()
    graph[node]["inputs"] |= inputs
    graph[node]["inputs"] = {name: value for name, value in graph[node]["inputs"].items() if value is not None}
    return graph


UI = "is saved in the UI's own format. In ComfyUI, choose Workflow > Export (API), and name that file."
NONE = "is not a ComfyUI workflow. In ComfyUI, choose Workflow > Export (API)."


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        pytest.param({"nodes": [], "links": [], "last_node_id": 9}, UI, id="ui_format"),
        pytest.param({"last_node_id": 9}, UI, id="ui_format_without_nodes"),
        pytest.param([], NONE, id="list"),
        pytest.param("x", NONE, id="text"),
        pytest.param(None, NONE, id="null"),
        pytest.param({}, NONE, id="empty"),
        pytest.param({"1": {"class_type": "SaveImage"}}, NONE, id="no_inputs"),
        pytest.param({"1": {"class_type": 5, "inputs": {}}}, NONE, id="class_that_is_no_text"),
        pytest.param({"1": {"class_type": "SaveImage", "inputs": []}}, NONE, id="inputs_that_are_a_list"),
        pytest.param(unsaved(), "has no SaveImage node that leads to a saved picture.", id="no_save"),
        pytest.param(
            twice_saved(),
            "has 2 SaveImage nodes: 90 (SaveImage), 91 (SaveImage). Keep the one whose picture is to be judged.",
            id="two_saves",
        ),
        pytest.param(
            two_loras(),
            "loads 2 LoRAs on the way to the sampler (nodes 12, 10). Keep the one loader whose LoRA is to be tested.",
            id="two_loras",
        ),
        pytest.param(
            changed("30", negative=["61", 0]),
            "uses one CLIPTextEncode for both prompts; give the negative prompt its own.",
            id="one_text_for_both",
        ),
        pytest.param(
            changed("30", latent_image=None),
            "has no EmptyLatentImage or EmptySD3LatentImage linked to the input latent_image of node 30 (KSampler).",
            id="no_latent",
        ),
        pytest.param(
            changed("30", positive="text"),
            "has no CLIPTextEncode linked to the input positive of node 30 (KSampler).",
            id="no_link",
        ),
        pytest.param(
            changed("30", model=["404", 0]),
            "has no CheckpointLoaderSimple linked to the input model of node 30 (KSampler).",
            id="dangling_link",
        ),
        pytest.param(
            changed("90", images=["50", 0]), "has no KSampler node that leads to a saved picture.", id="no_sampler"
        ),
    ],
)
def test_unusable_workflow_is_told(graph: Any, told: str, tmp_path: Path) -> None:
    """A workflow that cannot be used is refused with the file, what is wrong in it, and what to do."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(graph), encoding="utf-8")
    with pytest.raises(WorkflowError) as refused:
        Workflow.read(path)
    assert f"The workflow {path} {told}" == str(refused.value)


@pytest.mark.parametrize(
    "content", [None, b"{", b"\xff\xfe\x00", b"[" * 100_000], ids=["absent", "broken", "not_text", "deep"]
)
def test_unreadable_workflow_is_told(content: bytes | None, tmp_path: Path) -> None:
    """A workflow file that is absent or no JSON is told with its path."""
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WorkflowError, match="cannot be read: ") as refused:
        Workflow.read(path)
    assert str(path) in str(refused.value)


def test_loop_of_links_ends() -> None:
    """A graph whose links run in a circle is refused, and does not keep anybody busy for ever."""
    graph = changed("30", model=["11", 0])
    graph["11"] = {"class_type": "FreeU", "inputs": {"model": ["11", 0]}}
    with pytest.raises(WorkflowError, match="has no CheckpointLoaderSimple linked to the input model"):
        Workflow.of(graph)


def test_digest_is_of_all_but_the_prefix(plan: Plan, cell: Cell) -> None:
    """The digest is the same under another file name, and differs with every setting, prompt, node and LoRA byte."""
    workflow = Workflow.built_in()
    digest = fill(workflow, cell, plan).digest("a" * 64)
    assert digest == fill(workflow, cell, plan, prefix="another").digest("a" * 64)
    changes = {
        "steps": 3,
        "cfg": 7.5,
        "width": 72,
        "height": 72,
        "sampler": "ddim",
        "scheduler": "karras",
        "clip_skip": 1,
        "lora_strength": 0.9,
        "negative": "blurry",
    }
    digests = {digest, fill(workflow, cell, plan).digest("b" * 64), fill(workflow, cell, plan).digest(None)}
    for name, value in changes.items():
        sampling = plan.sampling.model_copy(update={name: value})
        filled = workflow.fill(cell, sampling, base_model=BASE, lora_file=LORA, prefix="p")
        digests.add(filled.digest("a" * 64))
    others = [other for other in matrix(plan) if other.prompt != cell.prompt]
    digests.add(fill(workflow, others[0], plan).digest("a" * 64))
    digests.add(fill(workflow, cell, plan, lora="other").digest("a" * 64))
    digests.add(fill(Workflow.of(own()), cell, plan).digest("a" * 64))
    assert 1 + 2 + len(changes) + 3 == len(digests)
    assert set(changes) < {line.split(" =")[0] for line in PLAN.splitlines()} | {"lora_strength", "negative"}
