"""The types of a graph's links: as a server declares them, else by the names of inputs, else by what passes through."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from plugins.comfyui.client import Graph
from plugins.comfyui.graph import linked
from plugins.comfyui.node_types import CONDITIONING, STRING, NodeTypes, is_open, kind_by_name
from plugins.plan.training.names import is_weights

_PASSES: Final = 16
"""How long a chain of reroutes is followed."""
HANDED_ON: Final = re.compile(r"^(\W*|any\w*|in(put)?_?\d*|value_?\d*|on_(true|false))$", re.IGNORECASE)
"""How the inputs of a reroute or a switch are called, which takes anything."""
_NUMBERS: Final = frozenset({"INT", "FLOAT", "BOOLEAN"})


class Link(NamedTuple):
    """An input that is linked to another node's output. `kind` is empty where nothing says what it carries."""

    node: str
    field: str
    source: str
    slot: int
    kind: str

    @property
    def output(self) -> tuple[str, int]:
        """The output that it comes from."""
        return self.source, self.slot


Links = dict[str, tuple[Link, ...]]
"""By the node that takes them."""


def by_source(links: Mapping[str, tuple[Link, ...]]) -> Mapping[str, tuple[Link, ...]]:
    """Return links by the node that gives what they carry."""
    found = defaultdict(list)
    for taken in links.values():
        for link in taken:
            found[link.source].append(link)
    return {node: tuple(given) for node, given in found.items()}


class LinkTyping:
    """Adds the links of a graph's nodes to `links`, each with its type."""

    def __init__(self, graph: Graph, types: NodeTypes, links: Links, skipped: Mapping[str, set[str]]) -> None:
        self._graph: Final = graph
        self._types: Final = types
        self._links: Final = links
        self._skipped: Final = skipped

    def add(self, nodes: Mapping[str, tuple[Link, ...]]) -> None:
        """Add the links of some nodes. What is known of them from a wider graph is given with each."""
        declared: dict[tuple[str, int], str] = {}
        for node, known in nodes.items():
            self._links[node] = tuple(self._linked(node, known, declared))
        for node in nodes:
            self._links[node] = tuple(_typed(link, declared) for link in self._links[node])

    def settle(self) -> None:
        """Type what is still open by the nodes at both ends."""
        self._mend_names()
        self._settle()

    def _linked(self, node: str, known_links: tuple[Link, ...], declared: dict[tuple[str, int], str]) -> Iterator[Link]:
        """Yield a node's links, typed as they are known already, or as the server declares it."""
        known = {link.field: link.kind for link in known_links}
        for name, value in self._graph[node]["inputs"].items():
            output = linked(self._graph, value) if isinstance(value, list) else None
            if output is None or name in self._skipped[node]:
                continue
            kind = known.get(name) or self._declared(node, name, output)
            if kind:
                declared.setdefault(output, kind)
            yield Link(node=node, field=name, source=output[0], slot=output[1], kind=kind)

    def _declared(self, node: str, name: str, found: tuple[str, int]) -> str:
        """Return the link's type as the server declares it at either end; empty where it does not."""
        source, slot = found
        known = self._types.get(self._graph[source]["class_type"])
        if known and slot < len(known.outputs) and not is_open(known.outputs[slot]):
            return known.outputs[slot]
        taking = self._types.get(self._graph[node]["class_type"])
        asked = taking.inputs[name].kind if taking and name in taking.inputs else ""
        return "" if is_open(asked) or "," in asked else asked

    def _mend_names(self) -> None:
        """Type a link as a text that is called positive, say, and comes from a node that holds nothing but texts."""
        if all(content["class_type"] in self._types for content in self._graph.values()):
            return
        only_first = {node for node, links in by_source(self._links).items() if {link.slot for link in links} == {0}}
        for node, links in self._links.items():
            if self._graph[node]["class_type"] in self._types:
                continue
            self._links[node] = tuple(
                link._replace(kind=STRING)
                if link.kind == CONDITIONING and link.source in only_first and self._holds_texts(link.source)
                else link
                for link in links
            )

    def _holds_texts(self, node: str) -> bool:
        if self._graph[node]["class_type"] in self._types or any(
            link.kind not in {STRING, ""} for link in self._links[node]
        ):
            return False
        values = [value for value in self._graph[node]["inputs"].values() if isinstance(value, str)]
        return not any(map(is_weights, values))

    def _settle(self) -> None:
        """Give links that nothing types the kind of what passes through: a reroute, a switch."""
        untyped = [node for node, links in self._links.items() if not all(link.kind for link in links)]
        if not untyped:
            return
        kinds = {link.output: link.kind for links in self._links.values() for link in links if link.kind}
        given = by_source(self._links)
        for _ in range(_PASSES):
            changed = False
            for node in untyped:
                typed = []
                for link in self._links[node]:
                    kind = link.kind or kinds.get(link.output) or self._passing(link, given) or self._taken(link, given)
                    changed |= kind != link.kind
                    if kind:
                        kinds.setdefault(link.output, kind)
                    typed.append(link if kind == link.kind else link._replace(kind=kind))
                self._links[node] = tuple(typed)
                given = by_source(self._links) if changed else given
            if not changed:
                return

    def _passing(self, link: Link, given: Mapping[str, tuple[Link, ...]]) -> str:
        """Return the one kind that the node takes which a link comes from, where it gives one thing alone."""
        if len({other.slot for other in given[link.source]}) > 1:
            return ""
        kinds = {taken.kind for taken in self._links[link.source]}
        kinds = kinds - _NUMBERS or kinds  # what chooses is not what passes
        return kinds.pop() if len(kinds) == 1 else ""

    def _taken(self, link: Link, given: Mapping[str, tuple[Link, ...]]) -> str:
        """Return the one kind that is taken from a node which holds nothing but this link: a reroute."""
        if len(self._graph[link.node]["inputs"]) > 1 or not HANDED_ON.search(link.field):
            return ""
        kinds = {other.kind for other in given.get(link.node, ())}
        return kinds.pop() if len(kinds) == 1 else ""


def _typed(link: Link, declared: Mapping[tuple[str, int], str]) -> Link:
    kind = link.kind or declared.get(link.output) or kind_by_name(link.field)
    return link if kind == link.kind else link._replace(kind=kind)
