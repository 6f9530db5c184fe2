"""What a person typed after --selected-step becomes a checkpoint of the plan."""

from plugins.plan.plan import Checkpoint, Plan


class SelectionError(Exception):
    """No checkpoint, or one that the plan does not have; the message lists the candidates."""


def select(plan: Plan, typed: str | None) -> Checkpoint:
    """Find the checkpoint that was typed as `600`, `step600`, `final`, or the final's step number `920`.

    Raises `SelectionError` listing what can be typed.
    """
    wanted = (typed or "").strip().casefold()
    for checkpoint in plan.checkpoints:
        if wanted in {checkpoint.id.casefold(), str(checkpoint.step), f"step{checkpoint.step}"}:
            return checkpoint
    problem = f"{plan.title} has no checkpoint {typed!r}." if wanted else "Which checkpoint is to be deployed?"
    candidates = "".join(
        f"\n  --selected-step={checkpoint.label or checkpoint.step:<8} {checkpoint.file}"
        for checkpoint in plan.checkpoints
    )
    raise SelectionError(
        f"{problem} Look at the report, then name the one that you selected:{candidates}\nNothing was deployed."
    )
