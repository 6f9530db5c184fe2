"""What the stand-in must know of a plan."""

from typing import Final

from plugins.plan.plan import Plan
from stand_in.training import TrainingRun

_WEIGHTS: Final = (".safetensors", ".ckpt", ".pt", ".pth")

_APART: Final = 100
"""Steps."""


def training_run(plan: Plan) -> TrainingRun:
    """Return the training run whose checkpoints the plan tests."""
    base_model = plan.sampling.base_model
    return TrainingRun(
        name=plan.name,
        base_model=base_model if base_model.endswith(_WEIGHTS) else f"{base_model}.safetensors",
        checkpoints=_steps(plan),
        min_size=plan.production.min_size,
        max_size=plan.production.max_size,
    )


def _steps(plan: Plan) -> dict[str, int]:
    """Return each file's step; one that the plan does not know comes a while after the checkpoint before it."""
    steps: dict[str, int] = {}
    for checkpoint in plan.checkpoints:
        before = max(steps.values(), default=0)
        steps[checkpoint.file] = before + _APART if checkpoint.step is None else checkpoint.step
    return steps
