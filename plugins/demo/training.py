"""What the stand-in must know about a plan."""

from pathlib import Path
from typing import Final

from plugins.comfyui.client import Graph
from plugins.comfyui.errors import WorkflowError
from plugins.comfyui.graph_file import read_graph
from plugins.plan.plan import Plan
from plugins.plan.tested import PRODUCTION
from plugins.plan.training.names import is_weights
from stand_in.training import TrainingRun

_WITHOUT_CHARACTER: Final = 0.0
"""How far a LoRA that is always on is trained: it does not know the character."""
_AS_A_RIVAL: Final = 0.5
"""How far a rival is trained: some details are missing."""
_APART: Final = 100
"""Steps."""


def training_run(plan: Plan) -> TrainingRun:
    """Return the training run whose checkpoints the plan tests, and the workflow that renders them."""
    base_model = plan.sampling.base_model or TrainingRun().base_model
    return TrainingRun(
        name=plan.name,
        base_model=base_model if is_weights(base_model) else f"{base_model}.safetensors",
        checkpoints=_steps(plan),
        min_size=plan.production.min_size,
        max_size=plan.production.max_size,
        workflow=_workflow(plan.workflow) if plan.workflow else None,
        others={
            **{one.file: _WITHOUT_CHARACTER for one in plan.loras},
            **{one.file: _AS_A_RIVAL for one in plan.rivals if one.file != PRODUCTION},
        },
        left_out=(
            *(checkpoint.file for checkpoint in plan.checkpoints),
            *(plan.staged_file(checkpoint) for checkpoint in plan.checkpoints),
            plan.production.file,
            *(one.file for one in plan.loras),
            *(plan.staged_file(one) for one in plan.rivals),
        ),
    )


def _workflow(path: Path) -> Graph | None:
    """Read a workflow file; None if it holds no workflow, which is reported when it is filled in."""
    try:
        return read_graph(path)
    except WorkflowError:
        return None


def _steps(plan: Plan) -> dict[str, int]:
    """Return each file's step; a file without one in the plan gets a step after the checkpoint before it."""
    steps: dict[str, int] = {}
    for checkpoint in plan.checkpoints:
        before = max(steps.values(), default=0)
        steps[checkpoint.file] = before + _APART if checkpoint.step is None else checkpoint.step
    return steps
