"""The workflow that renders a cell: the built-in one, or a person's own with its nodes found by their links."""

import copy
import hashlib
import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from plugins.comfyui.client import Graph
from plugins.comfyui.errors import WorkflowError
from plugins.plan.cells import Cell
from plugins.plan.plan import Sampling
from plugins.plan.small_files import read_small

_SAMPLERS: Final = {"KSampler": "seed", "KSamplerAdvanced": "noise_seed"}
"""The samplers that can be driven, with the name of the input that takes the seed."""
_LORA_LOADERS: Final = frozenset({"LoraLoader", "LoraLoaderModelOnly"})
_LATENTS: Final = frozenset({"EmptyLatentImage", "EmptySD3LatentImage"})

BUILT_IN: Final[Graph] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ""}},
    "2": {
        "class_type": "LoraLoader",
        "inputs": {"model": ["1", 0], "clip": ["1", 1], "lora_name": "", "strength_model": 1.0, "strength_clip": 1.0},
    },
    "3": {"class_type": "CLIPSetLastLayer", "inputs": {"clip": ["2", 1], "stop_at_clip_layer": -1}},
    "4": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["3", 0], "text": ""}},
    "5": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["3", 0], "text": ""}},
    "6": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "7": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["2", 0],
            "positive": ["4", 0],
            "negative": ["5", 0],
            "latent_image": ["6", 0],
            "seed": 0,
            "steps": 20,
            "cfg": 7.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1.0,
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["7", 0], "vae": ["1", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": ""}},
}
"""Base model, LoRA, clip skip, both prompts, empty latent, sampler, decode, save (mission, task 2)."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A workflow ready to be sent for one cell."""

    graph: Graph
    save: str
    """The node whose picture is the cell's."""
    sampler: str
    """The node whose progress is the cell's."""

    def digest(self, lora_sha256: str | None) -> str:
        """SHA-256 over what the picture is made from: the graph, but for the file name it saves under, and the LoRA."""
        graph = _copied(self.graph)
        graph[self.save]["inputs"].pop("filename_prefix", None)
        made_from = {"workflow": graph, "lora": lora_sha256}
        return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A graph in API format whose nodes' parts are known, with a LoRA loader in it."""

    graph: Graph
    base: str
    lora: str
    positive: str
    negative: str
    latent: str
    sampler: str
    save: str
    clip_skip: str | None

    @classmethod
    def built_in(cls) -> Self:
        """Return the workflow that comes with the suite."""
        return cls.of(copy.deepcopy(BUILT_IN))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a person's own workflow, an "Export (API)" file.

        Raises `WorkflowError` naming what is missing in it, and what to do.
        """
        try:
            graph = json.loads(read_small(path))
        except (OSError, ValueError, RecursionError) as error:
            raise WorkflowError(f"The workflow {path} cannot be read: {error}") from error
        try:
            return cls.of(copy.deepcopy(graph))
        except RecursionError as error:
            raise WorkflowError(f"The workflow {path} is nested too deep to be one of ComfyUI's.") from error
        except WorkflowError as error:
            raise WorkflowError(f"The workflow {path} {error}") from None

    @classmethod
    def of(cls, graph: Any) -> Self:  # noqa: ANN401 (JSON)
        """Find the parts of a graph by following its links back from where the picture is saved."""
        if isinstance(graph, dict) and ("nodes" in graph or "last_node_id" in graph):
            raise WorkflowError(
                "is saved in the UI's own format. In ComfyUI, choose Workflow > Export (API), and name that file."
            )
        if not isinstance(graph, dict) or not graph or not all(_is_node(node) for node in graph.values()):
            raise WorkflowError("is not a ComfyUI workflow. In ComfyUI, choose Workflow > Export (API).")
        save = _only(graph, (node for node in graph if _class(graph, node) == "SaveImage"), "SaveImage")
        sampler = _only(graph, _upstream(graph, save, _SAMPLERS), "KSampler")
        positive = _first(graph, sampler, "positive", {"CLIPTextEncode"})
        negative = _first(graph, sampler, "negative", {"CLIPTextEncode"})
        if positive == negative:
            raise WorkflowError("uses one CLIPTextEncode for both prompts; give the negative prompt its own.")
        for text in (positive, negative):
            if _link(graph, graph[text]["inputs"].get("clip")) is None:
                raise WorkflowError(f"has no CLIP linked to node {text} (CLIPTextEncode).")
        latent = _first(graph, sampler, "latent_image", _LATENTS)
        base = _first(graph, sampler, "model", {"CheckpointLoaderSimple"})
        loaders = tuple(_chain(graph, sampler, "model", _LORA_LOADERS))
        if len(loaders) > 1:
            raise WorkflowError(
                f"loads {len(loaders)} LoRAs on the way to the sampler (nodes {', '.join(loaders)}). "
                "Keep the one loader whose LoRA is to be tested."
            )
        graph, lora = (graph, loaders[0]) if loaders else _with_lora_loader(graph, base)
        clip_skip = next(_upstream(graph, positive, {"CLIPSetLastLayer"}), None)
        return cls(
            graph=graph,
            base=base,
            lora=lora,
            positive=positive,
            negative=negative,
            latent=latent,
            sampler=sampler,
            save=save,
            clip_skip=clip_skip,
        )

    def fill(self, cell: Cell, sampling: Sampling, *, base_model: str, lora_file: str | None, prefix: str) -> Filled:
        """Write a cell's settings into the graph. The plan decides; what the file said of them is overwritten.

        Without `lora_file` the loader is taken out: that is the baseline.
        """
        graph = _copied(self.graph)
        if lora_file is None:
            _bypass(graph, self.lora)
        else:
            loader = graph[self.lora]["inputs"]
            loader["lora_name"] = lora_file
            loader["strength_model"] = sampling.lora_strength
            if _class(graph, self.lora) == "LoraLoader":
                loader["strength_clip"] = sampling.lora_strength
        self._skip_clip(graph, sampling.clip_skip)
        graph[self.base]["inputs"]["ckpt_name"] = base_model
        graph[self.positive]["inputs"]["text"] = cell.prompt.text
        graph[self.negative]["inputs"]["text"] = sampling.negative
        graph[self.latent]["inputs"] |= {"width": sampling.width, "height": sampling.height, "batch_size": 1}
        graph[self.sampler]["inputs"] |= {
            _SAMPLERS[_class(graph, self.sampler)]: cell.seed,
            "steps": sampling.steps,
            "cfg": sampling.cfg,
            "sampler_name": sampling.sampler,
            "scheduler": sampling.scheduler,
        }
        graph[self.save]["inputs"]["filename_prefix"] = prefix
        return Filled(graph=graph, save=self.save, sampler=self.sampler)

    def _skip_clip(self, graph: Graph, clip_skip: int) -> None:
        """Set clip skip; clip skip 1 is the last layer, -1 to the node. Put the node in where it is needed."""
        if self.clip_skip is not None:
            graph[self.clip_skip]["inputs"]["stop_at_clip_layer"] = -clip_skip
        elif clip_skip > 1:
            node = _free_id(graph)
            source = graph[self.positive]["inputs"]["clip"]
            for text in (self.positive, self.negative):
                graph[text]["inputs"]["clip"] = [node, 0]
            graph[node] = {
                "class_type": "CLIPSetLastLayer",
                "inputs": {"clip": source, "stop_at_clip_layer": -clip_skip},
            }


def _copied(graph: Graph) -> Graph:
    """Copy a graph as far as it is written to: its nodes and their inputs, not what an input holds."""
    return {node: {**content, "inputs": dict(content["inputs"])} for node, content in graph.items()}


def _is_node(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _class(graph: Graph, node: str) -> str:
    return str(graph[node]["class_type"])


def _link(graph: Graph, value: object) -> str | None:
    """Return the node that an input is linked to, or None for a plain value."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in graph:  # noqa: PLR2004
        return value[0]
    return None


def _upstream(graph: Graph, start: str, classes: Mapping[str, str] | frozenset[str] | set[str]) -> Iterator[str]:
    """Find nodes of the given classes that feed `start`, nearest first."""
    waiting, seen = deque([start]), {start}
    while waiting:
        node = waiting.popleft()
        if node != start and _class(graph, node) in classes:
            yield node
        for value in graph[node]["inputs"].values():
            source = _link(graph, value)
            if source is not None and source not in seen:
                seen.add(source)
                waiting.append(source)


def _chain(graph: Graph, start: str, field: str, classes: frozenset[str] | set[str]) -> Iterator[str]:
    """Find nodes of the given classes along one input's chain: `model` of the sampler, of the LoRA loader ..."""
    node, seen = _link(graph, graph[start]["inputs"].get(field)), {start}
    while node is not None and node not in seen:
        seen.add(node)
        if _class(graph, node) in classes:
            yield node
        node = _link(graph, graph[node]["inputs"].get(field))


def _first(graph: Graph, start: str, field: str, classes: frozenset[str] | set[str]) -> str:
    """Find the node of a class that feeds one input of `start`, through whatever lies between."""
    source = _link(graph, graph[start]["inputs"].get(field))
    if source is not None:
        found = source if _class(graph, source) in classes else next(_upstream(graph, source, classes), None)
        if found is not None:
            return found
    raise WorkflowError(
        f"has no {' or '.join(sorted(classes))} linked to the input {field} of node {start} ({_class(graph, start)})."
    )


def _only(graph: Graph, found: Iterator[str], name: str) -> str:
    nodes = tuple(found)
    if len(nodes) == 1:
        return nodes[0]
    if not nodes:
        raise WorkflowError(f"has no {name} node that leads to a saved picture.")
    listed = ", ".join(f"{node} ({_class(graph, node)})" for node in nodes)
    raise WorkflowError(f"has {len(nodes)} {name} nodes: {listed}. Keep the one whose picture is to be judged.")


def _free_id(graph: Graph) -> str:
    return str(max((int(node) for node in graph if node.isdecimal()), default=0) + 1)


def _with_lora_loader(graph: Graph, base: str) -> tuple[Graph, str]:
    """Put a LoRA loader between the base model and all that uses its model and CLIP."""
    graph = copy.deepcopy(graph)
    lora = _free_id(graph)
    for node in graph.values():
        for field, value in node["inputs"].items():
            if value in ([base, 0], [base, 1]):
                node["inputs"][field] = [lora, value[1]]
    graph[lora] = {
        "class_type": "LoraLoader",
        "inputs": {"model": [base, 0], "clip": [base, 1], "lora_name": "", "strength_model": 1.0, "strength_clip": 1.0},
    }
    return graph, lora


def _bypass(graph: Graph, lora: str) -> None:
    """Take the LoRA loader out, and link what it fed to what fed it."""
    inputs = graph.pop(lora)["inputs"]
    outputs = [inputs.get("model"), inputs.get("clip")]
    for node in graph.values():
        for field, value in node["inputs"].items():
            if isinstance(value, list) and len(value) == 2 and value[0] == lora:  # noqa: PLR2004 (a link)
                node["inputs"][field] = outputs[value[1]]
