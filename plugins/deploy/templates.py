"""Workflow templates that load the LoRA must load production, by the name that the server offers; at least one must."""

import glob
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from plugins.comfyui.client import ComfyUI, Graph
from plugins.comfyui.errors import NotListed, WorkflowError
from plugins.comfyui.graph import circle, spelled
from plugins.comfyui.graph_file import read_graph
from plugins.comfyui.lora_slots import Slot, at, is_off, slots
from plugins.comfyui.names import find_lora
from plugins.comfyui.node_types import read_types
from plugins.comfyui.wiring import Wiring
from plugins.comfyui.workflow import classes_of
from plugins.loras.forbidden import forbidden_among
from plugins.plan.plan import Plan
from plugins.plan.training.names import is_weights, notes_of

_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)")

Templates = tuple[Mapping[Path, Graph], list[str]]
"""What can be checked, and what is wrong already."""


def read_templates(plan: Plan) -> Templates:
    """Read the files that `production.workflows` names; one that is no workflow is reported as not checked."""
    graphs: dict[Path, Graph] = {}
    problems = []
    correct = "or correct production.workflows in the plan"
    for pattern in plan.production.workflows:
        files = _files(plan.paths.project, pattern)
        if not files:
            problems.append(
                f"{pattern!r} names no file below {plan.paths.project}. Put the workflows there, {correct}."
            )
        for path in files:
            try:
                graphs[path] = _read(path)
            except WorkflowError as error:
                problems.append(f"{error} Which LoRAs {path.name} loads was not checked; mend it, {correct}.")
    return graphs, problems


def _read(path: Path) -> Graph:
    graph = read_graph(path)
    if nodes := circle(graph):
        raise WorkflowError(f"The workflow {path} has a cycle through node {nodes[0]}.")
    return graph


def templates_load_production(plan: Plan, graphs: Mapping[Path, Graph], client: ComfyUI) -> Iterator[str]:
    """Find what a template loads wrongly, where production is named and not loaded, and whether any loads it at all.

    Raises `ComfyUIError` where the server does not answer.
    """
    listed = client.loras()
    without, is_loaded = [], False
    for path, graph in graphs.items():
        wiring = Wiring(graph, read_types(client.node_classes(classes_of(graph))))
        used, idle, is_named, is_live = _used(wiring), [], False, False
        for slot in slots(wiring, plan.lora_files):
            where = f"{path}: {spelled(graph, slot.place)} names {slot.file!r}, "
            if problem := _problem(plan, slot, listed, server=client.url):
                is_named = True
                yield f"{where}{problem}"
            elif _stem(slot).casefold() == plan.production.lora_name.casefold():
                why = _idle(wiring, slot, used)
                is_named, is_live = True, is_live or not why
                idle += [f"{where}but {why}, so production is not loaded there."] if why else []
        yield from () if is_live else idle
        is_loaded |= is_live
        without += [] if is_named else [path]
    if not is_loaded:
        name = plan.production.lora_name
        yield from (f"{path} loads no LoRA of this name ({name}), and no other workflow loads it." for path in without)


def _used(wiring: Wiring) -> set[str]:
    """Return the nodes that a picture, or another output, is made from."""
    classes = {node: wiring.types.get(content["class_type"]) for node, content in wiring.graph.items()}
    return wiring.before(
        node
        for node, known in classes.items()
        if (known.is_output if known else wiring.links(node) and not wiring.consumers.get(node))
    )


def _idle(wiring: Wiring, slot: Slot, used: Collection[str]) -> str:
    """Say why a LoRA that a template names does nothing; empty where it is loaded."""
    if is_off(wiring, slot):
        return "is switched off"
    strengths = _strengths(wiring, slot)
    if strengths and not any(strengths):
        return "has strength 0"
    feeds = wiring.consumers.get(slot.loader) or wiring.graph[slot.loader]["class_type"] in wiring.types
    return "" if slot.loader in used and feeds else "nothing is made from it"


def _strengths(wiring: Wiring, slot: Slot) -> list[object]:
    """Return how strongly a LoRA is applied, as far as it is written there."""
    if slot.tag:
        given = slot.tag.removesuffix(">").split(":")[2:]
        return [float(one) for one in given if _NUMBER.fullmatch(one.strip())]
    inputs = wiring.graph[slot.loader]["inputs"]
    beside = at(inputs[slot.place.field], slot.beside) if slot.is_listed else inputs
    return [wiring.value_of(beside[name]) for name in slot.strengths]


def _files(project: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern names; it starts at the project, unless it is absolute."""
    found = glob.glob(os.path.expanduser(pattern), root_dir=project, recursive=True)  # noqa: PTH111, PTH207 (see above)
    return sorted(path for name in found if (path := project / name).is_file())


def _name(slot: Slot) -> str:
    return slot.file.replace("\\", "/").strip()


def _stem(slot: Slot) -> str:
    file = PurePosixPath(_name(slot)).name
    return PurePosixPath(file).stem if is_weights(file) else file


def _problem(plan: Plan, slot: Slot, listed: Sequence[str], *, server: str) -> str:
    """Say what is wrong with a LoRA that a template names; empty where nothing is."""
    name, stem, production = _name(slot), _stem(slot), plan.production
    if forbidden_among([name], production.forbidden):
        return f"which the plan forbids ({' and '.join(production.forbidden)}). Take it out of the workflow."
    if stem.casefold() == production.lora_name.casefold():
        return _misspelled(plan, slot, listed, server=server)
    notes = notes_of(name)
    others = {PurePosixPath(one).stem.casefold() for one in plan.lora_files}
    names = {plan.name.casefold(), production.lora_name.casefold(), *(notes_of(one).stem.casefold() for one in others)}
    if stem.casefold() in others or (notes.is_numbered and notes.stem.casefold() in names):
        return f"a checkpoint of this LoRA rather than production. Name {production.file} there."
    return ""


def _misspelled(plan: Plan, slot: Slot, listed: Sequence[str], *, server: str) -> str:
    """Return how a template spells production otherwise than the server; a tag or list may leave the extension out."""
    try:
        offered = find_lora(plan.picker_name(plan.production.file), listed, server=server, folder=plan.paths.loras)
    except NotListed as error:
        return f"which cannot be loaded. {error}"
    names = {offered, offered.rpartition(".")[0]} if slot.tag or slot.path else {offered}
    return "" if slot.file in names else f"and {server} offers it as {offered!r}. Write that there."
