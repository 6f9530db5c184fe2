"""What a ComfyUI remembers from one prompt to the next: results by signature, node objects by id.

Only what the last prompt used survives (docs/comfyui.md, "What is cached").
"""

from dataclasses import dataclass
from typing import Any

from stand_in.graph import Signature, Workflow, signature
from stand_in.nodes.node import Node, Ui, Values


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What an output node showed, and how it was called when it ran."""

    output: Ui
    meta: dict[str, Any]


class Caches:
    """The results and node objects of one executor; `/free` replaces them all."""

    def __init__(self) -> None:
        self._signatures: dict[str, Signature] = {}
        self._results: dict[Signature, Values] = {}
        self._shown: dict[Signature, Shown] = {}
        self._objects: dict[tuple[str, str], Node] = {}

    def take(self, workflow: Workflow) -> None:
        """Turn to this workflow, and forget whatever it does not use."""
        self._signatures = {node_id: signature(workflow, node_id) for node_id in workflow}
        used = set(self._signatures.values())
        self._results = {key: value for key, value in self._results.items() if key in used}
        self._shown = {key: value for key, value in self._shown.items() if key in used}
        names = {(node_id, node["class_type"]) for node_id, node in workflow.items()}
        self._objects = {key: value for key, value in self._objects.items() if key in names}

    def has(self, node_id: str) -> bool:
        """Return whether a node's result is known."""
        return self._signatures.get(node_id) in self._results

    def values(self, node_id: str) -> Values:
        """Return a node's known result."""
        return self._results[self._signatures[node_id]]

    def keep(self, node_id: str, values: Values) -> None:
        """Remember a node's result."""
        self._results[self._signatures[node_id]] = values

    def shown(self, node_id: str) -> Shown | None:
        """Return what an output node showed."""
        return self._shown.get(self._signatures[node_id])

    def show(self, node_id: str, shown: Shown) -> None:
        """Remember what an output node showed."""
        self._shown[self._signatures[node_id]] = shown

    def object(self, node_id: str, class_type: str) -> Node | None:
        """Return the node object that ran under this id and class in the last prompt."""
        return self._objects.get((node_id, class_type))

    def keep_object(self, node_id: str, class_type: str, node: Node) -> None:
        """Remember a node object."""
        self._objects[node_id, class_type] = node

    @property
    def node_ids(self) -> list[str]:
        """The nodes of the workflow that was taken last."""
        return list(self._signatures)
