"""Which picture of a graph is the one to be judged."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from plugins.comfyui.finding_models import samplers
from plugins.comfyui.graph import label, walk
from plugins.comfyui.link_types import Link
from plugins.comfyui.naming import Questions, in_nodes, named_node
from plugins.comfyui.node_types import CONDITIONING, IMAGE, MODEL, VIDEO
from plugins.comfyui.wiring import Wiring

_SAVES: Final = re.compile(r"save|send|export|upload|output", re.IGNORECASE)
_SHOWS: Final = re.compile(r"preview|show|view|display|compar", re.IGNORECASE)
_FILE_FIELDS: Final = re.compile(r"filename|file_name|save_|output_path|prefix$")
SAVE_IMAGE: Final = "SaveImage"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A node that saves or shows a picture, and the output that the picture comes from."""

    node: str
    output: tuple[str, int]
    saves: bool


def find_picture(wiring: Wiring, named: str | None, questions: Questions) -> Candidate | None:
    """Return the node whose picture is judged; ask where several could be meant."""
    graph = wiring.graph
    candidates = list(_candidates(wiring))
    if named is not None:
        node = named_node(graph, named, "picture", questions)
        if node is None:
            return None
        found = [one for one in candidates if one.node == node]
        slots = wiring.gives(node, IMAGE)
        if found:
            return found[0]
        if slots:
            return Candidate(node=node, output=(node, slots[0]), saves=False)
        questions.ask(f"[comfyui.nodes] picture: node {label(graph, node)} neither saves, shows nor gives a picture.")
        return None
    sampling = samplers(wiring)
    made = {one.output: wiring.before([one.output[0]]) for one in candidates}
    sampled = [one for one in candidates if made[one.output] & sampling] or candidates
    saving = [one for one in sampled if one.saves] or sampled
    left = _last(saving, made, wiring, sampling)
    outputs = {one.output for one in left}
    if len(outputs) == 1:
        return next((one for one in left if graph[one.node]["class_type"] == SAVE_IMAGE), left[0])
    if not outputs:
        questions.ask(
            "It has no node that saves or shows a picture. If one gives it, name that one:",
            in_nodes("picture", _giver(wiring)),
        )
    else:
        nodes = [next(one.node for one in left if one.output == output) for output in sorted(outputs)]
        if len(set(nodes)) < len(nodes):  # one node shows several: they are told apart by where they come from
            nodes = [output[0] for output in sorted(outputs)]
        listed = ", ".join(label(graph, node) for node in nodes)
        questions.ask(
            f"It saves {len(nodes)} different pictures: {listed}. Which one is to be judged?",
            in_nodes("picture", nodes[-1]),
        )
    return None


def _candidates(wiring: Wiring) -> list[Candidate]:
    found: list[Candidate] = []
    for node, content in wiring.graph.items():
        known = wiring.types.get(content["class_type"])
        is_end = known.is_output if known else not wiring.consumers.get(node)
        named = bool(_SAVES.search(content["class_type"]) or _SHOWS.search(content["class_type"]))
        if not (is_end or (not known and named)):
            continue
        if not named and any(link.kind in {CONDITIONING, MODEL} for link in wiring.links(node)):
            continue  # a sampler that shows what it made is found by who takes its picture
        saves = bool(_SAVES.search(content["class_type"])) or any(map(_FILE_FIELDS.search, content["inputs"]))
        found.extend(
            Candidate(node=node, output=_through(wiring, link.output), saves=saves) for link in _shown(wiring, node)
        )
    return found


def _shown(wiring: Wiring, node: str) -> tuple[Link, ...]:
    """Return the links by which a node takes pictures, also where another one has made a film of them before."""
    films = [link.source for link in wiring.links(node, VIDEO)]
    return (*wiring.links(node, IMAGE), *(link for film in films for link in wiring.links(film, IMAGE)))


def _through(wiring: Wiring, output: tuple[str, int]) -> tuple[str, int]:
    """Return the output that a picture comes from before nodes that save or show it and hand it on."""
    seen = set()
    while output not in seen:
        seen.add(output)
        node = output[0]
        known = wiring.types.get(wiring.graph[node]["class_type"])
        pictures = wiring.links(node, IMAGE)
        if known and known.is_output and len(pictures) == 1 and len(wiring.links(node)) == 1:
            output = pictures[0].output
    return output


def _last(
    saving: list[Candidate], made: dict[tuple[str, int], set[str]], wiring: Wiring, sampling: set[str]
) -> list[Candidate]:
    """Leave out what another picture is made from, and first passes, whose sampler feeds the last one's."""
    nearest = {one.output: _nearest(wiring, one.output[0], sampling) for one in saving}
    beyond = {node: wiring.before([node]) - {node} for found in nearest.values() for node in found}
    left = []
    for one in saving:
        others = [other for other in saving if other.output != one.output]
        part = any(
            (one.output[0] in made[other.output] and one.output[0] != other.output[0])
            or (
                nearest[one.output]
                and all(any(node in beyond[last] for last in nearest[other.output]) for node in nearest[one.output])
            )
            for other in others
        )
        if not part:
            left.append(one)
    return left


def _nearest(wiring: Wiring, node: str, sampling: set[str]) -> set[str]:
    """Return the samplers that are reached first, going back from a node."""

    def sources(one: str) -> Iterator[str]:
        return (link.source for link in wiring.links(one) if one not in sampling)

    return {one for one in walk([node], sources) if one in sampling}


def _giver(wiring: Wiring) -> str:
    """Return a node that gives a picture which nothing takes, to be offered; any other one where there is none."""
    giving = [node for node in wiring.graph if wiring.gives(node, IMAGE)]
    return giving[-1] if giving else next(iter(wiring.graph))
