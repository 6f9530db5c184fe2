"""The workflow that renders a cell: the built-in one, or a person's own with its parts found by its links."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Final, Self

from plugins.comfyui.client import Graph
from plugins.comfyui.conformity import differences
from plugins.comfyui.errors import WorkflowError
from plugins.comfyui.filling import Filler
from plugins.comfyui.finding import Parts, find_parts
from plugins.comfyui.finding_settings import Base
from plugins.comfyui.graph import Place, copied, label, spelled
from plugins.comfyui.graph_file import read_graph
from plugins.comfyui.lora_slots import name_and_place
from plugins.comfyui.naming import Questions
from plugins.comfyui.node_types import NodeTypes
from plugins.plan.cells import Cell
from plugins.plan.messages import masked, visible
from plugins.plan.places import Nodes
from plugins.plan.tested import AlwaysOn, Sampling

BUILT_IN: Final[Graph] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "base.safetensors"}},
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
"""Base model, LoRA, clip skip, both prompts, empty latent, sampler, decode, save."""
_OWN_CLASSES: Final = ("SaveImage", "LoraLoader", "LoraLoaderModelOnly", "CLIPSetLastLayer")
"""What may be put into a person's graph."""

_GO_ON: Final = (
    "\nInstall the custom nodes there that bring what is missing, or export a workflow without them. (The stand-in of "
    "--demo has ComfyUI's own nodes alone.)"
)


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A workflow ready to be sent for one cell."""

    graph: Graph
    save: str
    """The node whose picture is the cell's."""
    sampler: str
    """The node whose progress is the cell's."""
    strength: float | None = None
    """How strongly the tested LoRA is applied; None where the graph says so nowhere plainly."""
    put_in: tuple[Place, ...] = ()
    """Where LoRAs that are always on were put in."""

    @property
    def file_stem(self) -> str:
        """What the name of the saved picture begins with."""
        return str(self.graph[self.save]["inputs"]["filename_prefix"]).rpartition("/")[2]

    def with_loras(self, spelled: Mapping[str, str]) -> "Filled":
        """Return the workflow with the LoRAs that are always on as a server spells them."""
        graph = copied(self.graph)
        for place in self.put_in:
            inputs = graph[place.node]["inputs"]
            inputs[place.field] = spelled.get(inputs[place.field], inputs[place.field])
        return replace(self, graph=graph)

    def digest(self, lora_sha256: str | None, others: Mapping[str, str] = MappingProxyType({})) -> str:
        """SHA-256 over what the picture is made from: the graph, but for the file name it saves under, and the LoRAs.

        `others` are the digests of those that are always on.
        """
        graph = copied(self.graph)
        graph[self.save]["inputs"].pop("filename_prefix", None)
        made_from = {"workflow": graph, "lora": lora_sha256} | ({"others": dict(others)} if others else {})
        return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A graph in API format in which the place of everything that a cell brings is known."""

    parts: Parts
    filler: Filler
    types: NodeTypes
    path: Path | None
    """The person's own file; None for the built-in one."""
    sizes_kept: tuple[Place, ...] = ()
    """What tells a model the file's size, where the plan gives another."""

    @classmethod
    def built_in(cls, loras: Sequence[AlwaysOn] = ()) -> Self:
        """Return the workflow that comes with the suite, with the LoRAs that are always on."""
        return cls.of(BUILT_IN, nodes=Nodes(lora="2.lora_name"), path=None, is_own=False, loras=loras)

    @classmethod
    def read(  # noqa: PLR0913 (what a plan and a server tell of a graph)
        cls,
        path: Path,
        *,
        types: NodeTypes | None = None,
        nodes: Nodes | None = None,
        files: frozenset[str] = frozenset(),
        sampling: Sampling | None = None,
        loras: Sequence[AlwaysOn] = (),
    ) -> Self:
        """Read a person's own workflow: an "Export (API)" file, or a PNG that ComfyUI made.

        `types` are the server's descriptions of its node classes (without them, inputs are known by their names),
        `files` the names that mark the slot of the tested LoRA, `sampling` what the plan gives of
        settings, `loras` what is always on: it is put in where the file does not load it.

        Raises `WorkflowError` naming everything that is missing or ambiguous, each with what to write into the plan.
        """
        graph = read_graph(path)
        try:
            return cls.of(graph, types=types, nodes=nodes, files=files, sampling=sampling, path=path, loras=loras)
        except WorkflowError as error:
            raise WorkflowError(f"The workflow {path} {error}") from None

    @classmethod
    def of(  # noqa: PLR0913 (what a plan and a server tell of a graph)
        cls,
        graph: Graph,
        *,
        types: NodeTypes | None = None,
        nodes: Nodes | None = None,
        files: frozenset[str] = frozenset(),
        sampling: Sampling | None = None,
        path: Path | None = None,
        is_own: bool = True,
        loras: Sequence[AlwaysOn] = (),
    ) -> Self:
        """Find the parts of a graph by following its links back from the picture that is judged."""
        questions, known = Questions(), types or {}
        parts = find_parts(graph, known, nodes=nodes or Nodes(), files=files, questions=questions, loras=loras)
        filler = Filler(parts, parts.wiring, is_own=is_own) if parts else None
        if filler and sampling:
            filler.problems(sampling, questions)
        if questions or parts is None or filler is None:
            raise WorkflowError(f"cannot be used as it is:{questions}")
        kept = filler.sizes_kept(sampling) if sampling else ()
        return cls(parts=parts, filler=filler, types=known, path=path, sizes_kept=kept)

    def fill(
        self, cell: Cell, sampling: Sampling, *, base_model: str | None, lora_file: str | None, prefix: str
    ) -> Filled:
        """Write a cell into the graph: its prompt and seed, and the settings that prompt and plan give.

        Without `lora_file` the tested LoRA is off or gone, and nothing else: that is the baseline.
        """
        graph = self.filler.fill(
            cell.prompt.applied_to(sampling),
            prompt=cell.prompt.text,
            seed=cell.seed,
            base_model=base_model,
            lora_file=lora_file,
            prefix=prefix,
            strength=cell.strength,
        )
        strength = self.filler.strength(graph) if lora_file is not None else None
        put_in = tuple(slot.place for slot in self.parts.put_in)
        return Filled(graph=graph, save=self.parts.save, sampler=self.parts.sampler, strength=strength, put_in=put_in)

    @property
    def graph(self) -> Graph:
        """The nodes that are sent, before a cell is written into them."""
        return self.parts.graph

    @property
    def base(self) -> Base | None:
        """Where the tested model's loader names its file; None where it names none, or several."""
        return None if self.parts.is_merged else self.parts.base

    def size(self, sampling: Sampling) -> tuple[int, int] | None:
        """Return the width and height of the first latent in pixels; None where the graph does not say it plainly."""
        sides = [self._side(sampling, key) for key in ("width", "height")]
        return (sides[0], sides[1]) if sides[0] and sides[1] else None

    def _side(self, sampling: Sampling, key: str) -> int | None:
        if self.filler.given(sampling, key):
            return int(getattr(sampling, key))
        found = set(self.parts.settings[key].values) or {
            declared.default
            for node in self.parts.latents
            if (known := self.types.get(self.graph[node]["class_type"])) and (declared := known.inputs.get(key))
        }
        value = found.pop() if len(found) == 1 else None
        return int(value) if isinstance(value, int | float) else None

    def spelled(self, place: Place) -> str:
        """Name an input as a person knows it."""
        return spelled(self.parts.graph, place)

    def check(self, filled: Filled, types: NodeTypes, *, server: str, staged: Collection[str] = ()) -> None:
        """Hold a filled graph against a server's description of its nodes.

        Raises `WorkflowError` with every difference.

        Files that are `staged`, and LoRAs that are put in, may be missing from the LoRAs' pickers.
        """
        later = {slot.place for slot in self.parts.put_in}
        for place in (slot.place for slot in self.parts.slots if slot.place.node in filled.graph):
            value = str(filled.graph[place.node]["inputs"][place.field])
            if PurePosixPath(value.replace("\\", "/")).name in staged:
                later.add(place)
        found = tuple(differences(filled.graph, types, written_later=later))
        if found:
            lines = "".join(f"\n  {one}" for one in found)
            lacks = any(content["class_type"] not in types for content in filled.graph.values())
            raise WorkflowError(f"The workflow {self.path} does not run on {server}:{lines}{_GO_ON if lacks else ''}")

    def lines(self) -> Iterator[str]:
        """Say what was found where; nothing of the built-in workflow, which everybody has."""
        if self.path is None:
            return
        parts, graph = self.parts, self.parts.graph
        lora = ", ".join(self._slot(slot.place) for slot in parts.slots)
        parts_by_title = {
            "prompt ->": _listed(graph, parts.prompt),
            "negative ->": _listed(graph, parts.negative) or "none",
            "seed ->": _listed(graph, parts.seeds),
            "LoRA ->": lora,
            "picture <-": parts.picture,
            "always on:": ", ".join(name_and_place(self.filler.wiring, slot) for slot in parts.put_in),
            "left alone:": ", ".join(name_and_place(self.filler.wiring, slot) for slot in parts.left_alone),
        }
        shown = "; ".join(f"{what} {where}" for what, where in parts_by_title.items() if where)
        yield masked(visible(f"workflow {self.path.name}: {shown}"))
        yield from map(visible, self.warnings())

    def encodes_texts_as_they_are(self, encoders: tuple[str, ...]) -> bool:
        """Say whether all texts of a plan go straight into nodes whose classes begin like one of these."""
        graph, places = self.parts.graph, (*self.parts.prompt, *self.parts.negative)
        return all(str(graph[place.node]["class_type"]).startswith(encoders) for place in places)

    def warnings(self) -> Iterator[str]:
        """Yield doubts about what was found, which do not stop a run."""
        for node in self.parts.without_lora:
            yield (
                f"warning: node {label(self.parts.graph, node)} samples with a model of its own, without the tested "
                "LoRA. [comfyui.nodes] lora names the loader that it goes onto."
            )
        if self.sizes_kept:
            graph = self.parts.graph
            listed = ", ".join(
                f"{self.spelled(one)} = {graph[one.node]['inputs'][one.field]}" for one in self.sizes_kept
            )
            yield (
                f"warning: {listed}: the workflow's own size stays there, while the plan gives another one. Link it to "
                "the node that the latent takes its size from, and it follows."
            )
        for node in self.parts.writers:
            yield (
                f"warning: node {label(self.parts.graph, node)} writes a text of its own out of the prompt. "
                "Whether the trigger word is still in it is not checked."
            )

    def _slot(self, place: Place) -> str:
        graph = self.parts.graph
        if not self.parts.inserted:
            return spelled(graph, place)
        inputs = graph[place.node]["inputs"]
        behind = [label(graph, inputs[name][0]) for name in ("model", "clip") if name in inputs]
        return f"put in behind {' and '.join(dict.fromkeys(behind))}"


def classes_of(graph: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the classes whose types a workflow needs, in the order of its nodes."""
    return tuple(dict.fromkeys([*(str(node["class_type"]) for node in graph.values()), *_OWN_CLASSES]))


def _listed(graph: Graph, places: tuple[Place, ...]) -> str:
    return ", ".join(spelled(graph, place) for place in places)
