"""A cell's settings are written into the built-in workflow or a person's own, whose nodes are found by their links."""

import copy
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plugins.comfyui.errors import WorkflowError
from plugins.comfyui.workflow import BUILT_IN, Filled, Workflow
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from plugins.plan.tested import Sampling
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


def read(graph: Graph, plan: Plan) -> Workflow:
    """Find the parts of a graph as a run does, by the names of its inputs; the built-in one is what it is."""
    return (
        Workflow.built_in() if graph is BUILT_IN else Workflow.of(graph, files=plan.lora_files, path=Path("own.json"))
    )


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
    inputs = {"model": model, "clip": clip, "lora_name": LORA, "strength_model": 1.0, "strength_clip": 1.0}
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


def png(texts: dict[str, str], *, packed: bool = False) -> bytes:
    """Write a PNG with texts in it, as ComfyUI does."""
    notes = PngInfo()
    for name, text in texts.items():
        notes.add_text(name, text, zip=packed)
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=notes)
    return out.getvalue()


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


def expected(cell: Cell, *, negative: str = "a cat") -> dict[str, Any]:
    """Write what the small plan asks for; its own workflow's negative text stays, since the plan gives none."""
    clip = ["CLIPSetLastLayer", "LoraLoader", "CheckpointLoaderSimple"]
    return {
        "base": [BASE],
        "loras": [(LORA, 1.0, 1.0)],
        "texts": (cell.prompt.text, negative),
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
    filled = fill(read(workflow, plan), cell, plan)
    assert expected(cell, negative="" if workflow is BUILT_IN else "a cat") == settings(filled)
    assert cell.seed == filled.graph[filled.sampler]["inputs"]["seed"]
    assert [] == dangling(filled.graph)
    assert before == workflow


@pytest.mark.parametrize(
    "workflow", [BUILT_IN, own(), with_loader()], ids=["built_in", "without_loader", "with_loader"]
)
def test_baseline_takes_the_loader_out(workflow: Graph, plan: Plan, cell: Cell) -> None:
    """The baseline has no LoRA loader, no link that leads nowhere, and all else as the checkpoints have it."""
    filled = fill(read(workflow, plan), cell, plan, lora=None)
    clip = ["CLIPSetLastLayer", "CheckpointLoaderSimple"]
    wanted = {"loras": [], "clip": (clip, clip), "model": ["CheckpointLoaderSimple"]}
    assert expected(cell, negative="" if workflow is BUILT_IN else "a cat") | wanted == settings(filled)
    assert [] == dangling(filled.graph)


def test_own_ids_and_titles_are_kept(plan: Plan, cell: Cell) -> None:
    """A person's nodes keep their ids and titles; new nodes get ids of their own."""
    filled = fill(Workflow.of(own()), cell, plan)
    assert {*own(), "lora", "clip-skip"} == set(filled.graph)
    assert {"title": "Base"} == filled.graph["40"]["_meta"]
    assert ("90", "30") == (filled.save, filled.sampler)


def test_prompts_are_told_apart_by_their_links(plan: Plan, cell: Cell) -> None:
    """Which text is the positive one is read from the sampler, not from titles or the order of nodes."""
    filled = fill(Workflow.of(own()), cell, plan)
    assert cell.prompt.text == filled.graph["61"]["inputs"]["text"]
    assert "a cat" == filled.graph["62"]["inputs"]["text"]


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
    filled = read(workflow, plan).fill(cell, sampling, base_model=BASE, lora_file=LORA, prefix="p")
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
                "inputs": {"model": ["40", 0], "lora_name": LORA, "strength_model": 0.1},
            }
        }
    )
    graph["30"]["inputs"]["model"] = ["10", 0]
    workflow = read(graph, plan)
    assert [(LORA, 0.1, None)] == settings(fill(workflow, cell, plan))["loras"]
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


def changed(node: str, **inputs: Any) -> Graph:
    """Write a workflow with other inputs in a node; None takes one out."""
    graph = own()
    graph[node]["inputs"] |= inputs
    graph[node]["inputs"] = {name: value for name, value in graph[node]["inputs"].items() if value is not None}
    return graph


EXPORT = "In ComfyUI, choose Workflow > Export (API), and name that file."
UI = f"is saved in the UI's own format. {EXPORT}"
NONE = f"is not a ComfyUI workflow. {EXPORT}"


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        pytest.param({"nodes": [], "links": [], "last_node_id": 9}, UI, id="ui_format"),
        pytest.param({"last_node_id": 9}, UI, id="ui_format_without_nodes"),
        pytest.param({"nodes": {"a": {"type": "noise"}}, "edges": []}, NONE, id="graph_of_another_tool"),
        pytest.param([], NONE, id="list"),
        pytest.param("x", NONE, id="text"),
        pytest.param(None, NONE, id="null"),
        pytest.param({}, NONE, id="empty"),
        pytest.param({"1": {"class_type": "SaveImage"}}, NONE, id="no_inputs"),
        pytest.param({"1": {"class_type": 5, "inputs": {}}}, NONE, id="class_that_is_no_text"),
        pytest.param({"1": {"class_type": "SaveImage", "inputs": []}}, NONE, id="inputs_that_are_a_list"),
        pytest.param(
            own() | {"x": {"note": 1}},
            f"is not a complete ComfyUI workflow: 'x' has no class_type and inputs. {EXPORT}",
            id="one_strange_node",
        ),
        pytest.param(
            {str(number): {"class_type": "A", "inputs": {}} for number in range(10_000)},
            "has 10000 nodes; at most 2000 are taken. Export the part that is used.",
            id="ten_thousand_nodes",
        ),
        pytest.param(
            changed("30", seed=float("nan")),
            f"holds a number that is none (NaN or Infinity) in node 30, which cannot be sent to ComfyUI. {EXPORT}",
            id="not_a_number",
        ),
        pytest.param(
            changed("30", note={"a": "\ud800"}),
            f"holds half of a character (a lone surrogate) in node 30, which cannot be sent to ComfyUI. {EXPORT}",
            id="half_of_a_character",
        ),
        pytest.param(
            own() | {"\ud800": {"class_type": "Note", "inputs": {}}},
            "holds half of a character (a lone surrogate) in node \\ud800, which cannot be sent to ComfyUI. " + EXPORT,
            id="half_of_a_character_as_id",
        ),
        pytest.param(
            own() | {"99": {"class_type": "Note", "inputs": {}, "_meta": {"title": "\ud800"}}},
            f"holds half of a character (a lone surrogate) in node 99, which cannot be sent to ComfyUI. {EXPORT}",
            id="half_of_a_character_in_a_title",
        ),
        pytest.param(
            changed("30", seed=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]),
            f"holds values nested deeper than 32 levels in node 30, which cannot be sent to ComfyUI. {EXPORT}",
            id="nested_values",
        ),
        pytest.param(
            changed("30", model=["11", 0]) | {"11": {"class_type": "FreeU", "inputs": {"model": ["11", 0]}}},
            "cannot be used as it is:\n"
            "  Its links form a cycle: 11 'FreeU' -> 11 'FreeU'. Take one of them out, and export again.",
            id="loop",
        ),
        pytest.param(
            changed("30", model=["404", 0]),
            "cannot be used as it is:\n"
            "  Node 30 'KSampler' takes its model from node '404', which the file does not have. Export it again.\n"
            "  No node was found that samples with a model, so there is no place for the tested LoRA. Name its slot, "
            'or the loader of the model:\n      [comfyui.nodes]\n      lora = "ID"',
            id="dangling_link",
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
    ("content", "told"),
    [
        pytest.param(None, "cannot be read: No such file or directory. Correct `workflow` under", id="absent"),
        pytest.param(b"{", "cannot be read: ", id="broken"),
        pytest.param(b"\xff\xfe\x00", "cannot be read: ", id="not_text"),
        pytest.param(b"[" * 100_000, "is nested too deep to be one of ComfyUI's.", id="deep"),
        pytest.param(
            b"\xff\xd8\xff\xe0", "is a JPEG. Of pictures, only a PNG that ComfyUI saved can be read.", id="jpeg"
        ),
        pytest.param(png({}), "is a picture without a ComfyUI workflow in it.", id="png_without_graph"),
        pytest.param(
            png({"workflow": "{}"}), "is a picture that holds a workflow only in the UI's own format.", id="png_of_ui"
        ),
        pytest.param(png({"prompt": "a cat"}), "cannot be read: ", id="png_of_another_tool"),
    ],
)
def test_unreadable_workflow_is_told(content: bytes | None, told: str, tmp_path: Path) -> None:
    """A workflow file that is absent, or of another kind, is told with its path, in one message."""
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WorkflowError) as refused:
        Workflow.read(path)
    assert str(refused.value).startswith(f"The workflow {path} {told}")


def test_packed_text_in_a_picture_is_unpacked_as_far_as_it_may_be_long(tmp_path: Path) -> None:
    """A picture whose text unpacks to gigabytes is refused before it is all in memory."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png({"prompt": " " * (40 << 20)}, packed=True))
    with pytest.raises(WorkflowError, match="holds a text of more than 34 MB"):
        Workflow.read(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(json.dumps(own()).encode("utf-8-sig"), id="utf8_with_mark"),
        pytest.param(json.dumps(own()).encode("utf-16"), id="utf16_with_mark"),
        pytest.param(json.dumps({"prompt": own(), "client_id": "x"}).encode(), id="body_of_a_request"),
        pytest.param(png({"prompt": json.dumps(own())}), id="png"),
        pytest.param(png({"parameters": "x", "prompt": json.dumps(own())}, packed=True), id="png_packed"),
    ],
)
def test_workflow_is_read_from_every_form(content: bytes, tmp_path: Path) -> None:
    """An export with a byte order mark, a request's body, and a picture hold the same graph."""
    path = tmp_path / "mine"
    path.write_bytes(content)
    assert Workflow.of(own()).parts == Workflow.read(path).parts


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
    digests.add(fill(read(own(), plan), cell, plan).digest("a" * 64))
    assert 1 + 2 + len(changes) + 3 == len(digests)
    assert set(changes) < {line.split(" =")[0] for line in PLAN.splitlines()} | {"lora_strength", "negative"}


def test_strength_of_the_file_is_the_one_that_is_recorded() -> None:
    """Where the plan gives no strength, a filled graph tells the one that the file's own slot has."""
    graph = {
        **BUILT_IN,
        "2": {**BUILT_IN["2"], "inputs": {**BUILT_IN["2"]["inputs"], "lora_name": "mine.safetensors"}},
    }
    graph["2"]["inputs"] |= {"strength_model": 0.7, "strength_clip": 0.6}
    sampling = Sampling(seeds=(1,))
    filler = Workflow.of(graph, files=frozenset({"mine.safetensors"}), sampling=sampling).filler
    filled = filler.fill(sampling, prompt="p", seed=1, base_model=None, lora_file="mine.safetensors", prefix="x")
    assert filler.strength(filled) == 0.7
