"""A workflow as a graph: its links, which nodes are the same as before, and in which order they run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeGuard

Workflow = dict[str, dict[str, Any]]
"""API format: node id → `{"class_type": ..., "inputs": {...}}`."""
Link = tuple[str, int]
Signature = str
_LINK_LENGTH: Final = 2


def is_link(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a link, `["id", slot]`."""
    return (
        isinstance(value, list)
        and len(value) == _LINK_LENGTH
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )


def links(node: Mapping[str, Any]) -> Iterator[tuple[str, Link]]:
    """Yield the linked inputs of a node, in the order of its inputs."""
    for name, value in node["inputs"].items():
        if is_link(value):
            yield name, (value[0], int(value[1]))


def signature(workflow: Workflow, node_id: str) -> Signature:
    """Return what a node's result depends on: its class and inputs, and those of all its ancestors.

    Two nodes with one signature have one result, whatever their ids.
    """
    order: dict[str, int] = {node_id: 0}
    parts: list[object] = []

    def visit(current: str) -> None:
        node = workflow.get(current)
        if node is None:
            parts.append(("missing", current))
            return
        inputs = sorted(node["inputs"].items())
        ancestors = [value[0] for _, value in inputs if is_link(value)]
        new = [ancestor for ancestor in dict.fromkeys(ancestors) if ancestor not in order]
        for ancestor in new:
            order[ancestor] = len(order)
        parts.append(
            (
                node["class_type"],
                [
                    (name, "link", order[value[0]], value[1]) if is_link(value) else (name, repr(value))
                    for name, value in inputs
                ],
            )
        )
        for ancestor in new:
            visit(ancestor)

    visit(node_id)
    return repr(parts)


class Schedule:
    """The nodes still to run, and which of them is next.

    Picks as ComfyUI does, so that frames come in the same order: an output node first, then what an output
    node waits for, then what that waits for, and otherwise the node that was found first.
    """

    def __init__(
        self,
        workflow: Workflow,
        outputs: Iterable[str],
        *,
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._workflow = workflow
        self._is_output = is_output
        self._is_cached = is_cached
        self._waiting: dict[str, set[str]] = {}
        """Node → the nodes it waits for, in the order of discovery."""
        for output in outputs:
            self._add(output)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def next(self) -> str | None:
        """Name the node to run now; None when all that are left wait for each other."""
        ready = [node_id for node_id, needs in self._waiting.items() if not needs]
        if not ready:
            return None
        return next(
            (node_id for distance in range(3) for node_id in ready if self._feeds_output(node_id, distance)),
            ready[0],
        )

    def done(self, node_id: str) -> None:
        """Take a node that has run off the list."""
        del self._waiting[node_id]
        for needs in self._waiting.values():
            needs.discard(node_id)

    def _add(self, output: str) -> None:
        stack = [output]
        while stack:
            node_id = stack.pop()
            if node_id in self._waiting:
                continue
            needed = [source for _, (source, _) in links(self._workflow[node_id]) if not self._is_cached(source)]
            self._waiting[node_id] = set(needed)
            stack += needed

    def _feeds_output(self, node_id: str, distance: int) -> bool:
        if distance == 0:
            return self._is_output(self._workflow[node_id]["class_type"])
        return any(
            self._feeds_output(other, distance - 1) for other, needs in self._waiting.items() if node_id in needs
        )
