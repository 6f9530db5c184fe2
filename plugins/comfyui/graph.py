"""Nodes of a graph in API format, their names, and what they are made from."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from plugins.comfyui.client import Graph

_LINK_LENGTH: Final = 2
_TITLE: Final = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One input of one node."""

    node: str
    field: str

    def __str__(self) -> str:
        return f"{self.node}.{self.field}"


def linked(graph: Graph, value: object) -> tuple[str, int] | None:
    """Return the output that an input's value links to; None for a plain value, and for a node that is not there."""
    if not isinstance(value, list) or len(value) != _LINK_LENGTH:
        return None
    node, slot = value
    return (node, slot) if isinstance(node, str) and isinstance(slot, int) and node in graph else None


def copied(graph: Graph) -> Graph:
    """Copy a graph as far as it is written to: its nodes and their inputs, not what an input holds."""
    return {node: {**content, "inputs": dict(content["inputs"])} for node, content in graph.items()}


def free_id(graph: Graph, name: str) -> str:
    """Return an id that no node has, for one that is put in: a word, so that no node of the file has it either."""
    found, number = name, 1
    while found in graph:
        number += 1
        found = f"{name}-{number}"
    return found


def title(graph: Graph, node: str) -> str:
    """Return a node's title, or its class where it has none."""
    return str(graph[node].get("_meta", {}).get("title") or graph[node]["class_type"])


def label(graph: Graph, node: str) -> str:
    """Name a node as a person knows it: its id, and its title or class."""
    name = title(graph, node)
    return f"{node[:_TITLE]} {name if len(name) <= _TITLE else name[:_TITLE] + '...'!r}"


def spelled(graph: Graph, place: Place) -> str:
    """Name an input as a person knows it: `11 'Prompt'.value`."""
    return f"{label(graph, place.node)}.{place.field}"


def walk(starts: Iterable[str], onward: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """Yield the nodes that are reached from `starts`, these among them, each once and the nearest first.

    `onward` returns the nodes that are next to a node.
    """
    waiting = deque(dict.fromkeys(starts))
    seen = set(waiting)
    while waiting:
        node = waiting.popleft()
        yield node
        for other in onward(node):
            if other not in seen:
                seen.add(other)
                waiting.append(other)


def before(graph: Graph, starts: Iterable[str]) -> set[str]:
    """Return the nodes that these are made from, themselves among them, over every link."""
    waiting = list(starts)
    seen = set(waiting)
    while waiting:
        for source in _sources(graph, waiting.pop()):
            if source not in seen:
                seen.add(source)
                waiting.append(source)
    return seen


def _sources(graph: Graph, node: str) -> Iterator[str]:
    """Yield the nodes that a node's inputs are linked to."""
    for value in graph[node]["inputs"].values():
        if isinstance(value, list) and (found := linked(graph, value)):
            yield found[0]


def broken(graph: Graph) -> Iterator[tuple[Place, str]]:
    """Yield the inputs that link to a node which is not there, with its id."""
    for node, content in graph.items():
        for name, value in content["inputs"].items():
            if isinstance(value, list) and len(value) == _LINK_LENGTH:
                source, slot = value
                if isinstance(source, str) and isinstance(slot, int) and source not in graph:
                    yield Place(node=node, field=name), source


def circle(graph: Graph) -> list[str]:
    """Return nodes whose links form a cycle; empty where there are none."""
    state: dict[str, bool] = {}  # False while its links are followed, True once they are done
    for start in graph:
        if start in state:
            continue
        path: list[tuple[str, Iterator[str]]] = [(start, _sources(graph, start))]
        state[start] = False
        while path:
            node, sources = path[-1]
            for source in sources:
                if state.get(source):
                    continue
                if source in state:
                    names = [name for name, _ in path]
                    return names[names.index(source) :]
                state[source] = False
                path.append((source, _sources(graph, source)))
                break
            else:
                state[node] = True
                path.pop()
    return []
