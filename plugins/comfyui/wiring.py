"""A graph with its links typed: what feeds what, and with which kind of thing."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from plugins.comfyui.client import Graph
from plugins.comfyui.graph import Place, linked
from plugins.comfyui.node_types import (
    CONDITIONING,
    STRING,
    NodeTypes,
    is_no_prompt,
    is_open,
    kind_by_name,
    may_hold_prompt,
)

_PASSES: Final = 16
"""How long a chain of reroutes is followed."""
_SIDES: Final = frozenset({"on_true", "on_false"})
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
        declared: dict[tuple[str, int], str] = {}
        new = []
        for node, content in graph.items():
            if wider and wider.graph.get(node) is content:
                self._skipped[node], self._links[node] = wider.skipped(node), wider.links(node)
                continue
            self._skipped[node] = self._not_chosen(content["inputs"])
            self._links[node] = tuple(self._linked(node, declared, wider))
            new.append(node)
        for node in new:
            self._links[node] = tuple(self._typed(link, declared) for link in self._links[node])
        if wider is None:
            self._mend_names()
            self._settle()

    def _linked(self, node: str, declared: dict[tuple[str, int], str], wider: "Wiring | None") -> Iterator[Link]:
        """Yield a node's links, typed as they are known already, or as the server declares it."""
        known = {link.field: link.kind for link in wider.links(node)} if wider and node in wider.graph else {}
        for name, value in self.graph[node]["inputs"].items():
            output = linked(self.graph, value)
            if output is None or name in self._skipped[node]:
                continue
            kind = known.get(name) or self._declared(node, name, output)
            if kind:
                declared.setdefault(output, kind)
            yield Link(node=node, field=name, source=output[0], slot=output[1], kind=kind)

    def _declared(self, node: str, name: str, found: tuple[str, int]) -> str:
        """Return the link's type as the server declares it at either end; empty where it does not."""
        source, slot = found
        known = self.types.get(self.graph[source]["class_type"])
        if known and slot < len(known.outputs) and not is_open(known.outputs[slot]):
            return known.outputs[slot]
        asked = self.input_kind(node, name)
        return "" if is_open(asked) or "," in asked else asked

    @staticmethod
    def _typed(link: Link, declared: Mapping[tuple[str, int], str]) -> Link:
        kind = link.kind or declared.get(link.output) or kind_by_name(link.field)
        if kind == link.kind:
            return link
        return link._replace(kind=kind)

    def _mend_names(self) -> None:
        """Type a link as a text that is called positive, say, and comes from a node that holds nothing but texts."""
        if all(content["class_type"] in self.types for content in self.graph.values()):
            return
        only_first = {node for node, links in self._by_source().items() if {link.slot for link in links} == {0}}
        for node, links in self._links.items():
            if self.graph[node]["class_type"] in self.types:
                continue
            self._links[node] = tuple(
                link._replace(kind=STRING)
                if link.kind == CONDITIONING and link.source in only_first and self._holds_texts(link.source)
                else link
                for link in links
            )

    def _holds_texts(self, node: str) -> bool:
        if self.graph[node]["class_type"] in self.types or any(
            link.kind not in {STRING, ""} for link in self._links[node]
        ):
            return False
        values = [value for value in self.graph[node]["inputs"].values() if isinstance(value, str)]
        return not any(value.endswith((".safetensors", ".gguf", ".ckpt")) for value in values)

    def _by_source(self) -> Mapping[str, tuple[Link, ...]]:
        found = defaultdict(list)
        for link in self.all_links():
            found[link.source].append(link)
        return {node: tuple(links) for node, links in found.items()}

    def _settle(self) -> None:
        """Give links that nothing types the kind of what passes through: a reroute, a switch."""
        kinds = {link.output: link.kind for link in self.all_links() if link.kind}
        untyped = [node for node, links in self._links.items() if not all(link.kind for link in links)]
        for _ in range(_PASSES if untyped else 0):
            changed = False
            for node in untyped:
                told = []
                for link in self._links[node]:
                    kind = link.kind or kinds.get(link.output) or self._passing(link.source)
                    changed |= kind != link.kind
                    if kind:
                        kinds.setdefault(link.output, kind)
                    told.append(link if kind == link.kind else link._replace(kind=kind))
                self._links[node] = tuple(told)
            if not changed:
                return

    def _passing(self, node: str) -> str:
        kinds = {link.kind for link in self._links[node]}
        kinds = kinds - _NUMBERS or kinds  # what chooses is not what passes
        return kinds.pop() if len(kinds) == 1 else ""

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

    def all_links(self) -> Iterator[Link]:
        """Yield the links of all nodes."""
        for links in self._links.values():
            yield from links

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
        return self._by_source()

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
            slots = {(output, slot) for slot, output in enumerate(known.outputs)} if known else set()
            slots |= {(link.kind, link.slot) for link in self.consumers.get(node, ())}
            found = self._given[node] = {}
            for output, slot in sorted(slots):
                found[output] = (*found.get(output, ()), slot)
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
        for name, value in content["inputs"].items():
            link = by_field.get(name)
            if name in self._skipped[node] or (link is None and not isinstance(value, str)):
                continue
            if link and link.kind not in {STRING, "", "*"}:
                continue
            if name.lower() in _SIDES:
                found.append(name)
                continue
            declared = known.inputs.get(name) if known else None
            if may_hold_prompt(name, declared) or (link and link.kind == STRING and not is_no_prompt(name)):
                found.append(name)
        return tuple(found)

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
