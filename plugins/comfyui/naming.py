"""Nodes and inputs that a plan names under [comfyui.nodes], by id or title; and what is asked of it."""

from difflib import get_close_matches
from typing import Final

from plugins.comfyui.client import Graph
from plugins.comfyui.graph import Place, label

_SHOWN: Final = 6
_INDENT: Final = "\n      "


class Questions:
    """What stands in the way of a workflow, each with the line of the plan that would settle it."""

    def __init__(self) -> None:
        self._asked: dict[str, str] = {}

    def ask(self, problem: str, line: str = "") -> None:
        """Note a problem, and what to write into the plan, under its table if another is meant; the same one once."""
        self._asked.setdefault(problem, line)

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def plain(self) -> str:
        """All of it, without the table of the plan that the lines belong to: to be part of another question."""
        return "".join(f"\n  {problem}" + (f"{_INDENT}{line}" if line else "") for problem, line in self._asked.items())

    def __str__(self) -> str:
        """Return all of it, with the table above each line that it is of, so that lines can be copied into a plan."""
        shown, table = [], ""
        for problem, line in self._asked.items():
            shown.append(f"\n  {problem}")
            name, _, entry = line.rpartition("\n")
            wanted = name or "[comfyui.nodes]"
            if entry:
                shown += [f"{_INDENT}{wanted}"] * (wanted != table) + [f"{_INDENT}{entry}"]
                table = wanted
        return "".join(shown)


def in_nodes(key: str, value: str | list[str]) -> str:
    """Return the line that names a node or inputs in the plan."""
    if isinstance(value, list):
        return f"{key} = [{', '.join(map(_quoted, value))}]"
    return f"{key} = {_quoted(value)}"


def _quoted(text: str) -> str:
    """Quote for TOML, as far as ids and names of inputs need it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_negative(name: str) -> bool:
    """Say whether an input's or output's name tells of the side that a picture goes away from."""
    return "neg" in name.lower() or "uncond" in name.lower()


def named_node(graph: Graph, wanted: str, key: str, questions: Questions) -> str | None:
    """Return the node of an id or title; ask where there is none, or several."""
    if wanted in graph:
        return wanted
    titled = [node for node, content in graph.items() if content.get("_meta", {}).get("title") == wanted]
    if len(titled) == 1:
        return titled[0]
    if titled:
        shown = ", ".join(titled[:_SHOWN])
        questions.ask(f"[comfyui.nodes] {key}: several nodes are titled {wanted!r}: {shown}. Name one by its id.")
    else:
        titles = {str(content.get("_meta", {}).get("title") or content["class_type"]): 0 for content in graph.values()}
        near = get_close_matches(wanted, [*graph, *titles], n=3, cutoff=0.5)
        offer = f" Nearest are: {', '.join(near)}." if near else ""
        questions.ask(f"[comfyui.nodes] {key}: no node has the id or title {wanted!r}.{offer}")
    return None


def named_place(graph: Graph, wanted: str, key: str, questions: Questions) -> Place | None:
    """Return the input that `11.value` or `Prompt.value` names; ask where there is none."""
    parts = wanted.split(".")
    for end in range(1, len(parts)):
        node, name = ".".join(parts[:end]), ".".join(parts[end:])
        ids = (
            [node] if node in graph else [one for one, it in graph.items() if it.get("_meta", {}).get("title") == node]
        )
        if len(ids) == 1 and name in graph[ids[0]]["inputs"]:
            return Place(node=ids[0], field=name)
    found = named_node(graph, ".".join(parts[:-1]) or wanted, key, questions)
    if found is not None:
        inputs = ", ".join(list(graph[found]["inputs"])[: 2 * _SHOWN]) or "none"
        questions.ask(
            f"[comfyui.nodes] {key}: {wanted!r} names no input of node {label(graph, found)}; write it like "
            f'"{found}.text". It has: {inputs}.'
        )
    return None
