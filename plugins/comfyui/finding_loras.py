"""Which LoRA of a graph is the tested one, or where a loader for it is put in."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from plugins.comfyui.client import Graph
from plugins.comfyui.finding_models import Chain, Output, root_of
from plugins.comfyui.finding_texts import Side
from plugins.comfyui.graph import Place, free_id, label, spelled
from plugins.comfyui.lora_slots import Slot, is_loaded, is_off, names, nearly_names
from plugins.comfyui.naming import Questions, in_nodes, named_node, named_place
from plugins.comfyui.node_types import CLIP, MODEL
from plugins.comfyui.wiring import Wiring
from plugins.plan.tested import AlwaysOn

Found = tuple[tuple[Slot, ...], Output | None]
_FIELD: Final = "lora_name"


def tested_slots(
    wiring: Wiring, every: Sequence[Slot], *, wanted: str | None, files: frozenset[str], questions: Questions
) -> Found:
    """Return the slots of the tested LoRA, or the output that the plan has a loader put behind, if either is known.

    `wanted` is what the plan names.
    """
    if wanted:
        return _named(wiring, every, wanted, questions)
    tested = [slot for slot in every if names(slot, files)]
    for slot in every:
        if nearly_names(slot, files):
            questions.ask(
                f"{spelled(wiring.graph, slot.place)} loads {slot.file}, which differs from a LoRA of the plan in "
                "upper and lower case alone. Is it the tested one? If it is another LoRA, rename that file.",
                in_nodes("lora", str(slot.place)),
            )
    active = [slot for slot in tested if slot.loader in wiring.active]
    if tested and not active:
        questions.ask(
            f"The tested LoRA is loaded by node {label(wiring.graph, tested[0].loader)}, on a side that a switch "
            "leaves out. Turn the switch over in ComfyUI, and export again."
        )
    tested = active or tested
    on = [slot for slot in tested if not is_off(wiring, slot)]
    if len(on) == 1:
        tested = on
    if len({slot.file for slot in tested}) > 1:
        listed = ", ".join(f"{spelled(wiring.graph, slot.place)} ({slot.file})" for slot in tested)
        questions.ask(
            f"Several places load a LoRA of the plan: {listed}. Which one is the tested one?",
            in_nodes("lora", str(tested[0].place)),
        )
    return tuple(tested), None


def _named(wiring: Wiring, every: Sequence[Slot], wanted: str, questions: Questions) -> Found:
    titles = {str(content.get("_meta", {}).get("title")) for content in wiring.graph.values()}
    if wanted not in wiring.graph and wanted not in titles and "." in wanted:
        place = named_place(wiring.graph, wanted, "lora", questions)
        found = [
            slot
            for slot in every
            if slot.place == place or (place and slot.loader == place.node and wiring.origin(place) == slot.place)
        ]
        if place and not found:
            questions.ask(
                f"[comfyui.nodes] lora: {wanted!r} holds no LoRA. Name an input that does, or a model's loader."
            )
        return tuple(found[:1]), None
    node = named_node(wiring.graph, wanted, "lora", questions)
    if node is None:
        return (), None
    here = [slot for slot in every if slot.loader == node]
    loaded = [slot for slot in here if is_loaded(slot)] or here
    if len(loaded) == 1:
        return tuple(loaded), None
    outputs = wiring.gives(node, MODEL)
    if not loaded and outputs:
        return (), (node, outputs[0])
    what = "loads several LoRAs" if loaded else "gives no model and loads no LoRA"
    line = in_nodes("lora", str(loaded[0].place)) if loaded else ""
    questions.ask(f"[comfyui.nodes] lora: node {label(wiring.graph, node)} {what}. Name the input that is meant.", line)
    return (), None


def beginning_root(wiring: Wiring, begun: Sequence[Chain], questions: Questions) -> Output | None:
    """Return the output that a loader is put behind: where the model of the sampler that begins leaves its own."""
    roots = list(dict.fromkeys(chain.root for chain in begun if not chain.is_negative))
    if len(roots) == 1:
        return roots[0]
    if roots:
        listed = ", ".join(label(wiring.graph, node) for node, _ in roots)
        questions.ask(
            f"Several models are sampled with: {listed}. Which one takes the tested LoRA?",
            in_nodes("lora", roots[0][0]),
        )
    else:
        questions.ask(
            "No node was found that samples with a model, so there is no place for the tested LoRA. Name its slot, "
            "or the loader of the model:",
            in_nodes("lora", "ID"),
        )
    return None


def one_clip(wiring: Wiring, sides: Iterable[Side], users: Collection[str]) -> Output | None:
    """Return where the one CLIP leaves its loader that the prompts of these samplers are encoded with, if it is one."""
    clips = {
        root_of(wiring, link, CLIP)
        for side in sides
        for node in {encoder.node for encoder in side.encoders.values()}
        if not users or side.reached.get(node, set()) & set(users)
        for link in wiring.links(node, CLIP)
    }
    return clips.pop() if len(clips) == 1 else None


def insert_loader(whole: Graph, root: Output, clip: Output | None, *, node: str) -> tuple[Graph, Slot]:
    """Return a graph with a loader behind a model, and behind the CLIP of its prompts: what used them takes its own.

    Nodes whose links stay are those of the graph that is given.
    """
    inputs: dict[str, Any] = {"model": list(root)} | ({"clip": list(clip)} if clip else {})
    taken = list(inputs.values())
    graph = dict(whole)
    for other, content in whole.items():
        links = {name: [node, taken.index(value)] for name, value in content["inputs"].items() if value in taken}
        if links:
            graph[other] = {**content, "inputs": content["inputs"] | links}
    inputs |= {_FIELD: "", "strength_model": 1.0} | ({"strength_clip": 1.0} if clip else {})
    graph[node] = {"class_type": "LoraLoader" if clip else "LoraLoaderModelOnly", "inputs": inputs}
    slot = Slot(
        place=Place(node=node, field=_FIELD),
        file="",
        loader=node,
        strengths=tuple(name for name in inputs if name.startswith("strength")),
        alone=True,
    )
    return graph, slot


def missing_loras(
    graph: Graph, loras: Sequence[AlwaysOn], there: Sequence[Slot], roots: Sequence[Output], questions: Questions
) -> tuple[AlwaysOn, ...]:
    """Return the LoRAs that are always on and that the file does not load; none where it is not plain where they go."""
    files = {one: frozenset({PurePosixPath(one.file).name}) for one in loras}
    missing = tuple(one for one in loras if not any(names(slot, files[one]) for slot in there))
    if not missing or len(set(roots)) == 1:
        return missing
    which = ", ".join(label(graph, node) for node, _ in dict.fromkeys(roots)) or "none is known"
    questions.ask(
        f"[[lora]] {missing[0].file}: not one model alone takes the tested LoRA ({which}), so it is not plain where "
        "this one belongs. Load it in the workflow, which is then left as it is."
    )
    return ()


def put_before(whole: Graph, lora: AlwaysOn, root: Output, clip: Output | None) -> tuple[Graph, Slot]:
    """Put a loader for a LoRA that is always on right behind the model, before the tested one."""
    graph, slot = insert_loader(whole, root, clip, node=free_id(whole, "always-on"))
    graph[slot.loader]["inputs"] |= {_FIELD: lora.file, **dict.fromkeys(slot.strengths, lora.strength)}
    return graph, replace(slot, file=lora.file)
