"""A person's own workflow on the servers of a run: read by their types, with the plan's base model, and checked."""

from collections.abc import Sequence
from dataclasses import replace

from plugins.comfyui.choices import ServerChoices, one_base_model
from plugins.comfyui.errors import NotListed
from plugins.comfyui.graph_file import read_graph
from plugins.comfyui.names import find_base_model
from plugins.comfyui.node_types import NodeTypes, read_types
from plugins.comfyui.workflow import Workflow, classes_of
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.tested import Sampling


def classes_for(plan: Plan) -> tuple[str, ...]:
    """Return the node classes to ask a server about; none for the built-in workflow. Raises `WorkflowError`."""
    return classes_of(read_graph(plan.workflow)) if plan.workflow else ()


def read_workflow(plan: Plan, types: NodeTypes | None = None) -> Workflow:
    """Return the plan's own workflow, or the built-in one. `types` are what a server says of its nodes.

    Raises `WorkflowError`.
    """
    if plan.workflow is None:
        return Workflow.built_in(plan.loras)
    samplings = [prompt.applied_to(plan.sampling) for prompt in plan.prompts if prompt.own]
    first, *others = [_read(plan, types, sampling) for sampling in (plan.sampling, *samplings)]  # each may be refused
    kept = dict.fromkeys(place for one in (first, *others) for place in one.sizes_kept)
    return replace(first, sizes_kept=tuple(kept))


def _read(plan: Plan, types: NodeTypes | None, sampling: Sampling) -> Workflow:
    assert plan.workflow is not None  # noqa: S101 (asked before)
    return Workflow.read(
        plan.workflow,
        types=types,
        nodes=plan.comfyui.nodes,
        files=plan.lora_files,
        sampling=sampling,
        loras=plan.loras,
    )


def workflow_on(plan: Plan, choices: Sequence[ServerChoices]) -> tuple[Workflow, str]:
    """Return the workflow as the first server's types have it, and the base model, once every server would take both.

    Raises `WorkflowError` or `NotListed`.
    """
    workflow = read_workflow(plan, read_types(choices[0].nodes))
    base_model = base_model_on(plan, workflow, choices)
    if plan.workflow:
        cells = matrix(plan)
        staged = frozenset(plan.staged_file(one) for one in plan.tested)
        for one in choices:
            for cell in (cells[0], cells[-1]):  # a baseline, and a checkpoint
                file = plan.picker_name(plan.staged_file(cell.checkpoint)) if cell.checkpoint else None
                filled = workflow.fill(cell, plan.sampling, base_model=base_model, lora_file=file, prefix=plan.name)
                workflow.check(filled, read_types(one.nodes), server=one.url, staged=staged)
    return workflow, base_model


def base_model_on(plan: Plan, workflow: Workflow, choices: Sequence[ServerChoices]) -> str:
    """Return the base model as the servers list it; with an own workflow that the plan gives none for, the file's own.

    Raises `NotListed`.
    """
    if workflow.path is None:
        return one_base_model(plan, choices)
    base = workflow.base
    if base is None or not plan.sampling.gives("base_model"):
        return base.file if base else f"as in {workflow.path.name}"
    found = sorted({_spelled(plan, workflow, one) for one in choices})
    if len(found) > 1:
        raise NotListed(
            f"The servers list the base model by different names: {', '.join(found)}. Put it into the same subfolder "
            "everywhere, so that one workflow fits all."
        )
    return found[0]


def _spelled(plan: Plan, workflow: Workflow, choices: ServerChoices) -> str:
    """Return the base model as a server lists it in the loader of the tested model."""
    place = workflow.base.place if workflow.base else None
    wanted = plan.sampling.base_model
    if place is None:
        return wanted
    known = read_types(choices.nodes).get(workflow.graph[place.node]["class_type"])
    options = known.inputs[place.field].options if known and place.field in known.inputs else None
    if options is None:
        return wanted
    return find_base_model(
        wanted, options, server=choices.url, folder=f"the folder that {workflow.spelled(place)} lists"
    )
