"""A review is put together from what lies on disk, and from what this run could not make."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.population import made_on
from plugins.generate.stability import read_stability
from plugins.pictures.likeness import training_images
from plugins.plan.cells import Cell, matrix, strengths
from plugins.review.metrics import metrics_of
from plugins.review.review import Entry, Review

_ABSENT: Final = "pytest -m generate renders it"
"""Why there is no picture of a cell that no run has rendered yet."""


def gather(  # noqa: PLR0913 (what a review is put together from)
    expected: ExpectedInputs,
    reports: Path,
    *,
    failed: Mapping[Cell, str],
    command: str,
    known: Mapping[Cell, Evidence] = MappingProxyType({}),
    pending: bool = False,
) -> Review:
    """Return all that the report shows. Pictures of an older plan, or of other bytes, are not shown as current.

    `known` is evidence that was compared with the plan and its picture already; the rest is read, or `pending`: still
    to be rendered.
    """
    store = Store(reports)
    images = training_images(expected.plan.paths.training_images)
    there = frozenset(images)
    entries = []
    for cell in matrix(expected.plan):
        # A picture from an earlier run is not shown where this run could not make it again.
        found = failed.get(cell) or known.get(cell) or ("" if pending else expected.found(store, cell, absent=_ABSENT))
        if isinstance(found, str):
            entries.append(Entry(cell=cell, evidence=None, problem=found))
        else:
            nearest = _nearest(expected, found)
            entries.append(Entry(cell=cell, evidence=found, nearest=nearest if nearest in there else None))
    evidence = [entry.evidence for entry in entries if entry.evidence]
    return Review(
        plan=expected.plan,
        reports=reports,
        entries=tuple(entries),
        references=images,
        simulated=expected.simulated,
        metrics=tuple(
            metrics_of(checkpoint, evidence, strength, bleeding=expected.plan.bleeding)
            for strength in strengths(expected.plan)
            for checkpoint in expected.plan.tested
        ),
        stability=tuple(map(str, read_stability(reports))),
        made_on=tuple(made_on(evidence)),
        workflow=tuple(expected.workflow.lines()),
        command=command,
    )


def _nearest(expected: ExpectedInputs, evidence: Evidence) -> Path | None:
    folder = expected.plan.paths.training_images
    return folder / evidence.nearest.image if folder and evidence.nearest else None
