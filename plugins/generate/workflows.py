"""The workflow of a plan: checked on the servers of a run, and read by later commands without them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from plugins.comfyui.choices import ServerChoices
from plugins.comfyui.node_types import read_types
from plugins.comfyui.own_workflow import read_workflow, workflow_on
from plugins.comfyui.workflow import Workflow
from plugins.evidence.files import write_atomically
from plugins.plan.plan import Plan
from plugins.plan.small_files import read_small

NODE_TYPES: Final = "node-types.json"
"""How the first server of the last run described the node classes of a custom workflow."""


def prepare_workflow(plan: Plan, choices: Sequence[ServerChoices], reports: Path) -> tuple[Workflow, str]:
    """Return the workflow and the base model, once every server would take both, and keep what its parts are found by.

    Raises `WorkflowError` or `NotListed`.
    """
    found = workflow_on(plan, choices)
    if plan.workflow:
        write_atomically(reports / NODE_TYPES, json.dumps(choices[0].nodes, sort_keys=True) + "\n")
    return found


def workflow_of(plan: Plan, reports: Path) -> Workflow:
    """Return the workflow as the last run with this reports folder had it: with its types the same parts are found.

    Raises `WorkflowError`.
    """
    try:
        types = read_types(json.loads(read_small(reports / NODE_TYPES))) if plan.workflow else {}
    except (OSError, ValueError, RecursionError):
        types = {}  # nothing was rendered, or the record is broken: the evidence then tells whether it is the same
    return read_workflow(plan, types)
