"""Check a filled graph against the server's description of its nodes, before it is queued."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any, Final

from plugins.comfyui.client import Graph
from plugins.comfyui.graph import Place, label, linked
from plugins.comfyui.node_types import COMBO, InputType, NodeType, NodeTypes, is_open

_NEAREST: Final = 4


def differences(graph: Graph, types: NodeTypes, *, written_later: Collection[Place]) -> Iterator[str]:
    """Yield what the server would refuse: a class that it lacks, a missing input, a link or value that does not fit.

    The values of `written_later` are not looked at.
    """
    for node, content in graph.items():
        known = types.get(content["class_type"])
        if known is None:
            yield f"Node {label(graph, node)}: its class {content['class_type'][:80]!r} is not installed there."
            continue
        for name, asked in known.inputs.items():
            if asked.required and name not in content["inputs"] and not is_open(asked.kind):
                yield f"Node {label(graph, node)}: its input {name} ({asked.kind}) is missing."
        for name, value in content["inputs"].items():
            asked_of = known.inputs.get(name)
            if asked_of is None:
                continue
            problem = _link_problem(graph, types, value, asked_of)
            if problem is None and Place(node=node, field=name) not in written_later:
                problem = _value_problem(value, asked_of)
            if problem:
                yield f"Node {label(graph, node)}: {name} {problem}"


def _link_problem(graph: Graph, types: NodeTypes, value: Any, asked: InputType) -> str | None:  # noqa: ANN401 (JSON)
    """Say what is wrong with a link; empty where it fits, None where there is no link."""
    found = linked(graph, value)
    if found is None:
        return None
    source = types.get(graph[found[0]]["class_type"])
    if source is None:
        return ""
    if not 0 <= found[1] < len(source.outputs):
        return f"is linked to output {found[1]} of node {label(graph, found[0])}, which has {len(source.outputs)}."
    given = source.outputs[found[1]]
    if fits(given, asked.kind, source):
        return ""
    return f"takes {asked.kind}, and is linked to a {given} of node {label(graph, found[0])}."


def fits(given: str, asked: str, source: NodeType) -> bool:
    """Say whether ComfyUI takes an output of one type for an input of another."""
    if given in (asked, COMBO) or is_open(given) or is_open(asked):
        return True
    if asked == COMBO and not source.is_core:
        return True  # a custom node may hand on an entry under a type of its own
    return bool({one.strip() for one in given.split(",")} & {one.strip() for one in asked.split(",")})


def _value_problem(value: Any, asked: InputType) -> str:  # noqa: ANN401 (JSON)
    if asked.kind == COMBO and asked.options is not None and not asked.uploads:
        if isinstance(value, str | int | float) and str(value) not in asked.options:
            near = get_close_matches(str(value), asked.options, n=_NEAREST, cutoff=0.3) or asked.options[:_NEAREST]
            offer = f" It offers, nearest first: {', '.join(near)}." if near else " It offers nothing at all."
            return f"is {str(value)[:80]!r}, which is not offered there.{offer}"
    elif isinstance(value, int | float) and not isinstance(value, bool) and asked.kind in {"INT", "FLOAT"}:
        if asked.high is not None and value > asked.high:
            return f"is {value}, and at most {asked.high:g} is taken."
        if asked.low is not None and value < asked.low:
            return f"is {value}, and at least {asked.low:g} is taken."
    return ""
