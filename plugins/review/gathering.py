"""A review is put together from what lies on disk, and from what this run could not make."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from plugins.evidence.evidence import Evidence
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.preparing import pictures
from plugins.generate.stability import read_stability
from plugins.pictures.likeness import training_images
from plugins.plan.cells import Cell, matrix
from plugins.review.metrics import metrics_of
from plugins.review.review import Entry, Review


def gather(
    asked: ExpectedInputs,
    reports: Path,
    *,
    failed: Mapping[Cell, str],
    command: str,
    known: Mapping[Cell, Evidence] = MappingProxyType({}),
) -> Review:
    """Return all that the report shows. Pictures of an older plan, or of other bytes, are not shown as current.

    `known` is evidence that was held against the plan and its picture already; the rest is read.
    """
    store = pictures(reports)
    images = training_images(asked.plan.paths.training_images)
    there = frozenset(images)
    entries = []
    for cell in matrix(asked.plan):
        # A picture from an earlier run is not shown where this run could not make it again.
        found = failed.get(cell) or known.get(cell) or _found(asked, store, cell)
        if isinstance(found, str):
            entries.append(Entry(cell=cell, evidence=None, problem=found))
        else:
            nearest = _nearest(asked, found)
            entries.append(Entry(cell=cell, evidence=found, nearest=nearest if nearest in there else None))
    evidence = [entry.evidence for entry in entries if entry.evidence]
    canary = read_stability(reports)
    return Review(
        plan=asked.plan,
        reports=reports,
        entries=tuple(entries),
        references=images,
        simulated=asked.simulated,
        metrics=tuple(metrics_of(checkpoint, evidence) for checkpoint in asked.plan.checkpoints),
        stability=str(canary) if canary else "",
        command=command,
    )


def _found(asked: ExpectedInputs, store: Store, cell: Cell) -> Evidence | str:
    """Read a cell's evidence; where there is none that counts, say why."""
    try:
        evidence = store.read(cell)
    except EvidenceError as error:
        return str(error)
    if evidence is None:
        return "pytest -m generate renders it"
    return asked.mismatch(cell, evidence) or evidence


def _nearest(asked: ExpectedInputs, evidence: Evidence) -> Path | None:
    folder = asked.plan.paths.training_images
    return folder / evidence.nearest.image if folder and evidence.nearest else None
