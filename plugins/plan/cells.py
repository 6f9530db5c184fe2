"""The matrix: every checkpoint, and the baseline without a LoRA, on every prompt and seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from plugins.plan.plan import BASELINE, Checkpoint, Plan, Prompt


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One picture to be made: checkpoint x prompt x seed. Without a checkpoint it is a baseline."""

    checkpoint: Checkpoint | None
    prompt: Prompt
    seed: int
    row: str
    """The prompt's id, with `-seed7` where the plan has several seeds."""

    @property
    def column(self) -> str:
        """`baseline`, `step600` or `final`."""
        return self.checkpoint.id if self.checkpoint else BASELINE

    @property
    def id(self) -> str:
        """As in test ids: `step600-novel_pose`."""
        return f"{self.column}-{self.row}"

    @property
    def baseline(self) -> "Cell":
        """The cell of the same row without a LoRA, to compare with."""
        return replace(self, checkpoint=None)

    @property
    def picture(self) -> PurePosixPath:
        """Where the picture lies below a run's pictures folder: `step600/novel_pose.png`."""
        return PurePosixPath(self.column, f"{self.row}.png")

    def __str__(self) -> str:
        return f"{self.column} x {self.row}"


def matrix(plan: Plan) -> tuple[Cell, ...]:
    """Return all cells in the order of rendering: the baseline first, then checkpoint by checkpoint.

    In this order a server loads each LoRA once.
    """
    return tuple(cell for checkpoint in (None, *plan.checkpoints) for cell in column(plan, checkpoint))


def column(plan: Plan, checkpoint: Checkpoint | None) -> Iterator[Cell]:
    """Yield one checkpoint's cells, from the top row down."""
    several = len(plan.sampling.seeds) > 1
    for prompt in plan.prompts:
        for seed in plan.sampling.seeds:
            row = f"{prompt.id}-seed{seed}" if several else prompt.id
            yield Cell(checkpoint=checkpoint, prompt=prompt, seed=seed, row=row)
