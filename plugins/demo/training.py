"""What the stand-in must know of a plan."""

from typing import Final

from plugins.plan.plan import Plan
from stand_in.training import TrainingRun

_WEIGHTS: Final = (".safetensors", ".ckpt", ".pt", ".pth")


def training_run(plan: Plan) -> TrainingRun:
    """Return the training run whose checkpoints the plan tests."""
    base_model = plan.sampling.base_model
    return TrainingRun(
        name=plan.name,
        base_model=base_model if base_model.endswith(_WEIGHTS) else f"{base_model}.safetensors",
        checkpoints={checkpoint.file: checkpoint.step for checkpoint in plan.checkpoints},
        min_size=plan.production.min_size,
        max_size=plan.production.max_size,
    )
