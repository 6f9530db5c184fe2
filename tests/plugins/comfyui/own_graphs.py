"""Graphs as people draw them: written, read, and filled for a cell."""

import json
from pathlib import Path
from typing import Any

import pytest

from plugins.comfyui.errors import WorkflowError
from plugins.comfyui.node_types import read_types
from plugins.comfyui.workflow import Workflow
from plugins.plan.cells import Cell
from plugins.plan.places import Nodes
from plugins.plan.tested import Checkpoint, Prompt, Sampling
from tests.plugins.comfyui.node_classes import object_info

FOLDER = Path(__file__).parent / "workflows"
FILES = frozenset(f"mine{mark}step{step}.safetensors" for mark in "-_" for step in (200, 600))
TESTED = "mine_step200.safetensors"
TYPES = {"typed": read_types(object_info()), "by_name": {}}
Graph = dict[str, dict[str, Any]]


def case(name: str) -> Graph:
    """Read a case's file."""
    graph: Graph = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return graph


def read(graph: Graph, types: str = "typed", *, nodes: Nodes | None = None, **settings: Any) -> Workflow:
    """Find a graph's parts, for a plan that gives the seeds and some settings."""
    return Workflow.of(
        graph, types=TYPES[types], files=FILES, nodes=nodes, sampling=plain(**settings), path=Path("own.json")
    )


def plain(**settings: Any) -> Sampling:
    """Give the seeds and some settings, as a plan does."""
    return Sampling(seeds=(42,), **settings)


def cell(seed: int = 42) -> Cell:
    """Return a cell."""
    checkpoint = Checkpoint(step=200, file="mine-step200.safetensors")
    return Cell(checkpoint=checkpoint, prompt=Prompt(id="a", text="a fox in a forest"), seed=seed, row="a")


def fill(workflow: Workflow, lora: str | None = TESTED, base_model: str | None = None, **settings: Any) -> Graph:
    """Fill a workflow for a cell, or for its baseline."""
    return workflow.fill(cell(), plain(**settings), base_model=base_model, lora_file=lora, prefix="p").graph


def put(graph: Graph, place: str, value: object) -> None:
    """Write a value where `node.input` says."""
    node, _, name = place.partition(".")
    graph[node]["inputs"][name] = value


def refusal(graph: Graph, types: str = "typed", **given: Any) -> str:
    """Return the message that a graph is refused with."""
    with pytest.raises(WorkflowError) as refused:
        read(graph, types, **given)
    return str(refused.value)


def node(kind: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """Write a node."""
    return {"class_type": kind, "inputs": inputs} | ({"_meta": {"title": title}} if title else {})


def simple(**nodes: dict[str, Any]) -> Graph:
    """Write a text-to-image workflow for one checkpoint file, with more nodes: `n10=...` is node 10."""
    graph = case("refused_preview_only")
    graph["7"] = node("SaveImage", images=["6", 0], filename_prefix="mine")
    return graph | {name.removeprefix("n").replace("_", ":"): content for name, content in nodes.items()}


def linked(graph: Graph, **links: Any) -> Graph:
    """Write other values into a graph: `n2_text=["10", 0]` is 2.text."""
    for name, value in links.items():
        number, _, field = name.removeprefix("n").partition("_")
        put(graph, f"{number}.{field}", value)
    return graph
