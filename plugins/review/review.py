"""What a person is shown: every cell of the matrix, as it was rendered or as it failed."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from plugins.evidence.evidence import Evidence
from plugins.evidence.store import PICTURES
from plugins.plan.cells import Cell, matrix, named, strengths
from plugins.plan.plan import Plan
from plugins.plan.tested import BASELINE, PRODUCTION, Prompt, Rival, Tested
from plugins.review.metrics import Metrics
from plugins.review.previews import Source

FlagKind = Literal["missing", "failed", "warning"]

_SHORT: Final = {
    ("LoRA effect", "failed"): "none",
    ("LoRA effect", "warning"): "next to none",
    ("training copy", "warning"): "likely",
}
"""What is on a picture itself, so that little of it is covered; whoever points at it reads the whole."""


@dataclass(frozen=True)
class Flag:
    """Something that a person must know before believing a picture. Lies on the picture itself."""

    kind: FlagKind
    title: str
    detail: str = ""

    @property
    def short(self) -> str:
        """Say it in a word or two; empty where only the detail says it."""
        return _SHORT.get((self.title, self.kind), "")

    def __str__(self) -> str:
        return f"{self.title}: {self.detail}" if self.detail else self.title


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell as the report shows it."""

    cell: Cell
    evidence: Evidence | None
    """None: not rendered, or not to be believed."""
    problem: str = ""
    """Why there is no picture, or why its evidence can't be believed; empty if all is well."""
    nearest: Path | None = None
    """The training image that this picture is nearest to, where that is known."""

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """What is wrong, worst first. Empty: nothing."""
        if self.evidence is None:
            return (Flag("missing", "not rendered", self.problem),)
        found = [Flag("failed", "problem", self.problem)] if self.problem else []
        for kind, checks in (("failed", self.evidence.failures), ("warning", self.evidence.warnings)):
            for check in checks:
                detail = "; ".join(filter(None, [check.message, *map(str, check.differences)]))
                detail = detail.removeprefix(f"{check.name}: ")  # a difference names its field: "size: got 64x64"
                found.append(Flag("failed" if kind == "failed" else "warning", check.name, detail))
        return tuple(found)

    @property
    def picture(self) -> PurePosixPath:
        """Where the PNG lies, seen from the report: `pictures/step600/novel_pose.png`."""
        return PICTURES / self.cell.picture

    @property
    def digest(self) -> str:
        """SHA-256 of the PNG, or empty where there is none."""
        return self.evidence.picture.sha256 if self.evidence else ""

    @property
    def pixels(self) -> str:
        """SHA-256 of the picture's pixels alone, or empty where there is none."""
        return self.evidence.picture.pixels_sha256 if self.evidence else ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of pictures that differ in the checkpoint alone."""

    id: str
    purpose: str
    text: str
    seed: int
    prompt: str
    """The prompt's id."""
    size: tuple[int, int] | None = None
    """Width and height, where the prompt has its own."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """All inputs of the report page and of the contact sheet, and nothing else."""

    plan: Plan
    reports: Path
    """The folder that the report lies in."""
    entries: tuple[Entry, ...]
    """In the matrix's order."""
    references: tuple[Path, ...] = ()
    """Training images; may be none or many."""
    simulated: bool = False
    metrics: tuple[Metrics, ...] = ()
    """Each checkpoint's numbers, by step."""
    stability: tuple[str, ...] = ()
    """Whether the servers give the same picture again, in a sentence each; nothing where it was not measured."""
    made_on: tuple[str, ...] = ()
    """The ComfyUI versions and machines of the pictures."""
    doubts: tuple[str, ...] = ()
    """What is odd about the checkpoints, in a sentence each."""
    workflow: tuple[str, ...] = ()
    """Which own workflow was used, and what was found where in it; nothing for the built-in one."""
    production: str = ""
    """What is in production now, and when that was proven; empty where nothing is known to be."""
    filling: str = ""
    """Names the run that is still rendering, whose pictures the page takes up as they come; empty where none is."""
    command: str = "pytest -m deploy --selected-step=STEP"
    """What to type after judging; STEP stands for the chosen checkpoint."""

    @cached_property
    def by_id(self) -> dict[str, Entry]:
        """Every cell that the plan asks for; one without an entry was not rendered."""
        given = {entry.cell.id: entry for entry in self.entries}
        return {
            cell.id: given.get(cell.id, Entry(cell=cell, evidence=None, problem="not part of this run"))
            for cell in matrix(self.plan)
        }

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Prompts (x seeds) from the top down."""
        return tuple(
            Row(
                id=entry.cell.row,
                purpose=entry.cell.prompt.purpose,
                text=entry.cell.prompt.text,
                seed=entry.cell.seed,
                prompt=entry.cell.prompt.id,
                size=_own_size(entry.cell.prompt, self.plan),
            )
            for entry in self.by_id.values()
            if entry.cell.checkpoint is None
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Ids from left to right: the baseline, then the checkpoints by step, then the rivals."""
        return (BASELINE, *(one.id for one in self.plan.tested))

    @property
    def strengths(self) -> tuple[float | None, ...]:
        """The strengths that a checkpoint's pictures are told apart by; None alone where the plan has but one."""
        return strengths(self.plan)

    def entry(self, column: str, row: Row, strength: float | None = None) -> Entry:
        """Return one cell of the matrix; a baseline has no strength."""
        return self.by_id[f"{column}-{named(row.id, None if column == BASELINE else strength)}"]

    def source(self, entry: Entry) -> Source:
        """Return where a picture lies on disk, and how its preview is named."""
        return source_of(self.reports, entry.cell)

    @cached_property
    def shown_references(self) -> tuple[tuple[Path, ...], ...]:
        """Training images beside each row, evenly spread over all of them; some rows may have none."""
        rows = len(self.rows)
        per_row = {1: 4, 2: 2}.get(rows, 1)
        there = len(self.references)
        shown = min(rows * per_row, there)
        picked = [self.references[index * there // shown] for index in range(shown)]
        return tuple(tuple(picked[row::rows]) for row in range(rows))

    @cached_property
    def tally(self) -> Counter[str]:
        """How many pictures are `good`, `missing`, `failed`, or flagged with a `warning`."""
        return Counter(entry.flags[0].kind if entry.flags else "good" for entry in self.by_id.values())


def _own_size(prompt: Prompt, plan: Plan) -> tuple[int, int] | None:
    asked = prompt.applied_to(plan.sampling)
    return (asked.width, asked.height) if {"width", "height"} & prompt.own.keys() else None


def source_of(reports: Path, cell: Cell) -> Source:
    """Return where a cell's picture lies in a reports folder, and how its preview is named."""
    return Source(reports / PICTURES / cell.picture, PurePosixPath(cell.column, cell.name))


def step_name(checkpoint: Tested | None) -> str:
    """Name a column in words: `step 600`, `final, step 920`, `baseline, no LoRA`."""
    if checkpoint is None:
        return f"{BASELINE}, no LoRA"
    if isinstance(checkpoint, Rival):
        return f"{checkpoint.label}, in production" if checkpoint.file == PRODUCTION else checkpoint.label
    known = checkpoint.label and checkpoint.when != checkpoint.label
    return f"{checkpoint.label}, {checkpoint.when}" if known else checkpoint.when
