"""A graph with its links typed: what feeds what, and with which kind of thing."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from plugins.comfyui.client import Graph
from plugins.comfyui.graph import Place, linked
from plugins.comfyui.link_types import HANDED_ON, Link, LinkTyping, by_source
from plugins.comfyui.node_types import ANY, STRING, NodeTypes, is_no_prompt, may_hold_prompt

_SIDES: Final = frozenset({"on_true", "on_false"})
_SHOWS: Final = re.compile(r"show|display|preview", re.IGNORECASE)


class Wiring:
    """A graph whose links are typed: by the output, else by the input, else by the input's name."""

    def __init__(
        self, graph: Graph, types: NodeTypes, *, end: str | None = None, wider: "Wiring | None" = None
    ) -> None:
        """Type the links of a graph. Those that `wider` has, of which this graph is a part, are taken from there."""
        self.graph: Final = graph
        self._end: Final = end
        self.types: Final = types
        self._given: Final[dict[str, dict[str, tuple[int, ...]]]] = {}
        self._taken: Final[dict[str, dict[str, tuple[Link, ...]]]] = {}
        self._skipped: Final[dict[str, set[str]]] = {}
        self._links: Final[dict[str, tuple[Link, ...]]] = {}
        known: dict[str, tuple[Link, ...]] = {}
        for node, content in graph.items():
            if wider and wider.graph.get(node) is content:
                self._skipped[node], self._links[node] = wider.skipped(node), wider.links(node)
                continue
            self._skipped[node], self._links[node] = self._not_chosen(content["inputs"]), ()
            known[node] = wider.links(node) if wider and node in wider.graph else ()
        typing = LinkTyping(graph, types, self._links, self._skipped)
        typing.add(known)
        if wider is None:
            typing.settle()

    def _not_chosen(self, inputs: Mapping[str, Any]) -> set[str]:
        """Return the side of a switch that its own value does not choose; nothing where that is not plain."""
        names = {name.lower(): name for name in inputs} if len(inputs) > len(_SIDES) else {}
        if not names.keys() >= _SIDES:
            return set()
        plain = [self.value_of(value) for name, value in inputs.items() if name.lower() not in _SIDES]
        if len(plain) != 1 or not isinstance(plain[0], bool):
            return set()
        return {names["on_false" if plain[0] else "on_true"]}

    def links(self, node: str, kind: str | None = None) -> tuple[Link, ...]:
        """Return a node's linked inputs, of one kind or of all; the side that a switch leaves out is not among them."""
        return self._links[node] if kind is None else self.takes(node).get(kind, ())

    def skipped(self, node: str) -> set[str]:
        """Return the side of a switch that the node's own value leaves out."""
        return self._skipped[node]

    def takes(self, node: str) -> Mapping[str, tuple[Link, ...]]:
        """Return a node's linked inputs by kind."""
        found = self._taken.get(node)
        if found is None:
            found = self._taken[node] = {}
            for link in self._links[node]:
                found[link.kind] = (*found.get(link.kind, ()), link)
        return found

    @cached_property
    def active(self) -> Graph:
        """The nodes that `end` is made from, but for those on a side that a switch leaves out; all without an end."""
        if self._end is None:
            return self.graph
        kept = self.before([self._end])
        return {node: content for node, content in self.graph.items() if node in kept}

    @cached_property
    def _fields(self) -> Mapping[str, list[tuple[str, str]]]:
        found = defaultdict(list)
        for node, content in self.graph.items():
            for name in content["inputs"]:
                found[name.rpartition(".")[2]].append((node, name))
        return found

    def called(self, *names: str) -> list[Place]:
        """Return the inputs of these names, also within a choice that brings inputs of its own."""
        return [Place(node=node, field=field) for name in names for node, field in self._fields.get(name, ())]

    @cached_property
    def bracketed(self) -> tuple[Place, ...]:
        """The texts with a brace, in which a person may have marked a place."""
        return tuple(
            Place(node=node, field=name)
            for node, content in self.active.items()
            for name, value in content["inputs"].items()
            if isinstance(value, str) and "{" in value
        )

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Link, ...]]:
        """The links that each node's outputs go to."""
        return by_source(self._links)

    def used(self, node: str) -> set[int]:
        """Return the slots of a node's outputs that are linked to, on a side that a switch leaves out, too."""
        left_out = (
            linked(self.graph, self.graph[one]["inputs"][name])
            for one, names in self._skipped.items()
            for name in names
        )
        return {link.slot for link in self.consumers.get(node, ())} | {
            one[1] for one in left_out if one and one[0] == node
        }

    def gives(self, node: str, kind: str) -> tuple[int, ...]:
        """Return the slots of a node's outputs of a kind, in order."""
        found = self._given.get(node)
        if found is None:
            known = self.types.get(self.graph[node]["class_type"])
            found = self._given[node] = {}
            for slot, output in enumerate(known.outputs if known else ()):
                found[output] = (*found.get(output, ()), slot)
            for link in self.consumers.get(node, ()):
                if link.slot not in found.get(link.kind, ()):
                    found[link.kind] = tuple(sorted((*found.get(link.kind, ()), link.slot)))
        return found.get(kind, ())

    def input_kind(self, node: str, name: str) -> str:
        """Return the type that the server declares for an input; empty where it declares none."""
        known = self.types.get(self.graph[node]["class_type"])
        return known.inputs[name].kind if known and name in known.inputs else ""

    def texts(self, node: str) -> tuple[str, ...]:
        """Return the inputs of a node that hold a text, or link to one, which may be a prompt's."""
        content, found = self.graph[node], []
        known = self.types.get(content["class_type"])
        by_field = {link.field: link for link in self._links[node]}
        shows = bool(by_field) and bool(_SHOWS.search(content["class_type"]))  # what it holds itself was shown before
        for name, value in content["inputs"].items():
            link = by_field.get(name)
            if name in self._skipped[node] or (link is None and not isinstance(value, str)):
                continue
            if link and link.kind not in {STRING, "", ANY}:
                continue
            if link is None and shows:
                continue
            if name.lower() in _SIDES:
                found.append(name)
                continue
            declared = known.inputs.get(name) if known else None
            if may_hold_prompt(name, declared) or (link and link.kind == STRING and not is_no_prompt(name)):
                found.append(name)
        return tuple(found)

    def handed_on(self, node: str) -> tuple[str, ...]:
        """Return the inputs by which a text may come through a node that hands on what it is given: a switch, say."""
        return tuple(
            link.field for link in self._links[node] if link.kind in {"", ANY} and HANDED_ON.search(link.field)
        )

    def before(self, starts: Iterable[str]) -> set[str]:
        """Return the nodes that these are made from, themselves among them, without sides that a switch leaves out."""
        waiting = list(starts)
        seen = set(waiting)
        while waiting:
            for link in self._links[waiting.pop()]:
                if link.source not in seen:
                    seen.add(link.source)
                    waiting.append(link.source)
        return seen

    def origin(self, place: Place) -> Place | None:
        """Return where a plain value stands that an input takes, through nodes that hold one value alone."""
        seen: set[str] = set()
        node, name = place.node, place.field
        while True:
            inputs = self.graph[node]["inputs"]
            if name not in inputs:
                return None
            found = linked(self.graph, inputs[name])
            if found is None:
                return None if isinstance(inputs[name], list | dict | None) else Place(node=node, field=name)
            node = found[0]
            if node in seen:
                return None
            seen.add(node)
            fields = [one for one, value in self.graph[node]["inputs"].items() if _is_value(value)]
            if len(fields) != 1:
                return None
            name = fields[0]

    def value_of(self, value: object) -> object:
        """Return an input's value, or the one that stands where its link leads; None where that is not plain."""
        found = linked(self.graph, value)
        if found is None:
            return value
        fields = [one for one, inner in self.graph[found[0]]["inputs"].items() if _is_value(inner)]
        origin = self.origin(Place(node=found[0], field=fields[0])) if len(fields) == 1 else None
        return self.graph[origin.node]["inputs"][origin.field] if origin else None


def _is_value(value: object) -> bool:
    """Tell what a node of one value holds; what says what becomes of it after a run is none."""
    return value is not None and value not in ("fixed", "randomize", "increment", "decrement")
