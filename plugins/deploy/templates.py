"""Workflow templates load the production LoRA by the name that the server offers, and no other file of it."""

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from plugins.comfyui.client import ComfyUI, Graph
from plugins.comfyui.errors import NotListed, WorkflowError
from plugins.comfyui.graph import circle, spelled
from plugins.comfyui.graph_file import read_graph
from plugins.comfyui.lora_slots import Slot, slots
from plugins.comfyui.names import find_lora
from plugins.comfyui.node_types import read_types
from plugins.comfyui.wiring import Wiring
from plugins.comfyui.workflow import classes_of
from plugins.loras.forbidden import forbidden_among
from plugins.plan.plan import Plan
from plugins.plan.training.names import notes_of

Templates = tuple[Mapping[Path, Graph], list[str]]
"""What can be checked, and what is wrong already."""


def read_templates(plan: Plan) -> Templates:
    """Read the files that `production.workflows` names, and say of what is no workflow that it was not checked."""
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
        raise WorkflowError(f"The workflow {path} runs in a circle, over node {nodes[0]}.")
    return graph


def templates_load_production(plan: Plan, graphs: Mapping[Path, Graph], client: ComfyUI) -> Iterator[str]:
    """Find LoRAs that a template names and must not, and production where it is not named as a server offers it.

    Raises `ComfyUIError` where the server does not answer.
    """
    listed = client.loras()
    for path, graph in graphs.items():
        wiring = Wiring(graph, read_types(client.node_classes(classes_of(graph))))
        for slot in slots(wiring, plan.lora_files):
            if problem := _problem(plan, slot, listed, server=client.url):
                yield f"{path}: {spelled(graph, slot.place)} names {slot.file!r}, {problem}"


def _files(project: Path, pattern: str) -> list[Path]:
    """Return the files that a pattern names; it starts at the project, unless it is absolute."""
    found = glob.glob(os.path.expanduser(pattern), root_dir=project, recursive=True)  # noqa: PTH111, PTH207 (see above)
    return sorted(path for name in found if (path := project / name).is_file())


def _problem(plan: Plan, slot: Slot, listed: Sequence[str], *, server: str) -> str:
    """Say what is wrong with a LoRA that a template names; empty where nothing is."""
    name = slot.file.replace("\\", "/").strip()
    file, production = PurePosixPath(name).name, plan.production
    stem = PurePosixPath(file).stem if file.lower().endswith((".safetensors", ".sft")) else file
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
    """Say how production is named in another way than the server offers it; a tag or list may leave the ending out."""
    try:
        offered = find_lora(plan.picker_name(plan.production.file), listed, server=server, folder=plan.paths.loras)
    except NotListed as error:
        return f"which cannot be loaded. {error}"
    names = {offered, offered.rpartition(".")[0]} if slot.tag or slot.path else {offered}
    return "" if slot.file in names else f"and {server} offers it as {offered!r}. Write that there."
