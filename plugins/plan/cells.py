"""The matrix: every checkpoint at every strength, and the baseline without a LoRA, on every prompt and seed."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath

from plugins.plan.plan import Plan
from plugins.plan.tested import BASELINE, Prompt, Tested


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One picture to be made: checkpoint x strength x prompt x seed. Without a checkpoint it is a baseline."""

    checkpoint: Tested | None
    """The checkpoint, or a rival; None for a baseline."""
    prompt: Prompt
    seed: int
    row: str
    """The prompt's id, with `-seed7` where the plan has several seeds."""
    strength: float | None = None
    """How strongly the LoRA is applied, where the plan has several strengths; else None, as of a baseline."""

    def __hash__(self) -> int:
        return hash(self.id)  # that of all fields would look through its checkpoint and prompt each time

    @property
    def column(self) -> str:
        """`baseline`, `step600` or `final`."""
        return self.checkpoint.id if self.checkpoint else BASELINE

    @cached_property
    def id(self) -> str:
        """As in test ids: `step600-novel_pose`."""
        return f"{self.column}-{self.name}"

    @property
    def name(self) -> str:
        """The picture's name in its column: the row's, with `-strength0.8` where the plan has several strengths."""
        return named(self.row, self.strength)

    @cached_property
    def baseline(self) -> "Cell":
        """The cell of the same row without a LoRA, to compare with."""
        return replace(self, checkpoint=None, strength=None)

    @cached_property
    def picture(self) -> PurePosixPath:
        """Where the picture lies below a run's pictures folder: `step600/novel_pose.png`."""
        return PurePosixPath(self.column, f"{self.name}.png")

    def __str__(self) -> str:
        return f"{self.column} x {self.name}"


def matrix(plan: Plan) -> tuple[Cell, ...]:
    """Return all cells in the order of rendering: the baseline first, then checkpoint by checkpoint, then the rivals.

    In this order a server loads each LoRA once.
    """
    return tuple(cell for checkpoint in (None, *plan.tested) for cell in column(plan, checkpoint))


def column(plan: Plan, checkpoint: Tested | None) -> Iterator[Cell]:
    """Yield one checkpoint's cells strength by strength, as a server loads them, from the top row down."""
    several = len(plan.sampling.seeds) > 1
    for strength in strengths(plan) if checkpoint else (None,):
        for prompt in plan.prompts:
            for seed in plan.sampling.seeds:
                row = f"{prompt.id}-seed{seed}" if several else prompt.id
                yield Cell(checkpoint=checkpoint, prompt=prompt, seed=seed, row=row, strength=strength)


def cells_at(plan: Plan, checkpoint: Tested | None, strength: float | None) -> tuple[Cell, ...]:
    """Return a checkpoint's cells at one strength, from the top row down; at None where the plan has but one."""
    return tuple(cell for cell in column(plan, checkpoint) if cell.strength == strength)


def strengths(plan: Plan) -> tuple[float | None, ...]:
    """Return the strengths that distinguish cells: only None where the plan has one."""
    return plan.sampling.strengths if plan.sampling.compares_strengths else (None,)


def named(thing: str, strength: float | None) -> str:
    """Append a strength to the name of a row or of a file."""
    return thing if strength is None else f"{thing}-strength{strength:g}"


def at(thing: str, strength: float | None) -> str:
    """Append a strength to a checkpoint's name: `step600 at strength 0.8`."""
    return thing if strength is None else f"{thing} at strength {strength:g}"


def also_chosen(keywords: str, columns: Collection[str]) -> Iterator[str]:
    """Yield a note for each column in a `-k` expression that also selects others, as `step600` selects `step6000`."""
    for word in re.findall(r"[\w.-]+", keywords):
        others = [one for one in columns if word in one and one != word]
        if word in columns and others:
            yield f"-k {word} also selects {' and '.join(others)}. For {word} alone write -k {word}-"
