"""How far each node of the running prompt is, as `progress_state` frames report it."""

from typing import Any


class Progress:
    """The nodes of one prompt that have started, in order."""

    def __init__(self, prompt_id: str) -> None:
        self.prompt_id = prompt_id
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node_id: str) -> dict[str, Any]:
        """Note that a node starts. Return the frame's data."""
        return self._set(node_id, value=0.0, most=1.0, state="running")

    def update(self, node_id: str, value: int, most: int) -> dict[str, Any]:
        """Note a step of a node. Return the frame's data."""
        return self._set(node_id, value=value, most=most, state="running")

    def finish(self, node_id: str) -> dict[str, Any]:
        """Note that a node is done, or was cached. Return the frame's data."""
        most = self._nodes[node_id]["max"] if node_id in self._nodes else 1
        return self._set(node_id, value=most, most=most, state="finished")

    def _set(self, node_id: str, *, value: float, most: float, state: str) -> dict[str, Any]:
        self._nodes[node_id] = {
            "value": value,
            "max": most,
            "state": state,
            "node_id": node_id,
            "prompt_id": self.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        return {"prompt_id": self.prompt_id, "nodes": {key: dict(node) for key, node in self._nodes.items()}}
