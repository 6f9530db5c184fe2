"""A review is put together from what lies on disk, and from what this run could not make."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from plugins.evidence.asked import Asked
from plugins.evidence.canary import read_canary
from plugins.evidence.metrics import metrics_of
from plugins.evidence.preparing import pictures
from plugins.evidence.store import EvidenceError, Store
from plugins.pictures.likeness import training_images
from plugins.plan.cells import Cell, matrix
from plugins.review.review import Entry, Review


def gather(asked: Asked, reports: Path, *, failed: Mapping[Cell, str], command: str) -> Review:
    """Give all that the report shows. Pictures of an older plan, or of other bytes, are not shown as current."""
    store = pictures(reports)
    images = training_images(asked.plan.paths.training_images)
    entries = tuple(_entry(asked, store, cell, failed.get(cell, ""), images) for cell in matrix(asked.plan))
    evidence = [entry.evidence for entry in entries if entry.evidence]
    canary = read_canary(reports)
    return Review(
        plan=asked.plan,
        reports=reports,
        entries=entries,
        references=images,
        simulated=asked.simulated,
        metrics=tuple(metrics_of(checkpoint, evidence) for checkpoint in asked.plan.checkpoints),
        stability=str(canary) if canary else "",
        command=command,
    )


def _entry(asked: Asked, store: Store, cell: Cell, failed: str, images: Sequence[Path]) -> Entry:
    """Give a cell as it is now; a picture from an earlier run is not shown where this run could not make it again."""
    if failed:
        return Entry(cell=cell, evidence=None, problem=failed)
    try:
        evidence = store.read(cell)
    except EvidenceError as error:
        return Entry(cell=cell, evidence=None, problem=str(error))
    if evidence is None:
        return Entry(cell=cell, evidence=None, problem="pytest -m generate renders it")
    problem = asked.mismatch(cell, evidence)
    if problem:
        return Entry(cell=cell, evidence=None, problem=problem)
    folder = asked.plan.paths.training_images
    nearest = folder / evidence.nearest.image if folder and evidence.nearest else None
    return Entry(cell=cell, evidence=evidence, nearest=nearest if nearest in images else None)
