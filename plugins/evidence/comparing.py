"""What a picture tells only beside others: whether the LoRA did anything, and whether it is the cell's own."""

import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image

from plugins.evidence.evidence import ComparedRecord, Evidence
from plugins.evidence.store import Store
from plugins.loras.staging import Staged
from plugins.pictures.check import Check, Outcome
from plugins.pictures.checks import check_lora_applied, check_own_picture, effect_of
from plugins.plan.cells import Cell

_BASELINES: Final = 32
"""Pictures of the baseline that are kept open: every column of the matrix is held against the same ones."""


class Comparing:
    """Holds each picture of a run against its baseline, and against all that were seen before it.

    Safe to use from several threads.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[Cell, Evidence] = {}
        self._alike: dict[str, list[Cell]] = {}
        """Cells by the digest of their pixels."""
        self._baseline = lru_cache(_BASELINES)(self._opened)

    def judge(self, cell: Cell, evidence: Evidence, *, baseline: Evidence | None, staged: Staged | None) -> Evidence:
        """Compare the picture of evidence that is kept already, and keep what that told. Raises `OSError`."""
        judged = self.compare(cell, evidence, baseline=baseline, staged=staged)
        self.know(cell, judged)
        if judged != evidence:
            self._store.write_evidence(cell, judged)
        return judged

    def compare(
        self,
        cell: Cell,
        evidence: Evidence,
        *,
        baseline: Evidence | None,
        staged: Staged | None,
        image: Image.Image | None = None,
    ) -> Evidence:
        """Add to a cell's evidence what the comparison with those that are known says.

        Twins are told in the evidence of both, and the other's is kept. Without a baseline the effect of a LoRA is
        said to be not checked. `image` is the cell's picture where it is at hand; else it is opened.
        Raises `OSError`.
        """
        judged = evidence
        if staged:
            judged = self._with_effect(cell, evidence, baseline, staged, image)
        with self._lock:
            # A picture that is its baseline's is told by the other check already.
            others = {
                other: self._known[other]
                for other in self._alike.get(evidence.picture.pixels_sha256, ())
                if other != cell and not (other.row == cell.row and None in {other.checkpoint, cell.checkpoint})
            }
            judged = judged.with_check(_own_picture(cell, judged, others))
            for other, theirs in others.items():
                self._known[other] = theirs.with_check(_own_picture(other, theirs, {cell: judged}))
                self._store.write_evidence(other, self._known[other])
        return judged

    def know(self, cell: Cell, evidence: Evidence) -> None:
        """Take note of a cell's picture, once it lies in its place."""
        with self._lock:
            self._known[cell] = evidence
            alike = self._alike.setdefault(evidence.picture.pixels_sha256, [])
            if cell not in alike:
                alike.append(cell)

    @property
    def known(self) -> Mapping[Cell, Evidence]:
        """The cells whose pictures lie in their places, with their evidence."""
        return self._known

    def _with_effect(
        self, cell: Cell, evidence: Evidence, baseline: Evidence | None, staged: Staged, image: Image.Image | None
    ) -> Evidence:
        if baseline is None:
            message = "there is no picture of the baseline to compare with"
            return evidence.with_check(
                Check(name="LoRA effect", outcome=Outcome.NOT_CHECKED, message=message)
            ).model_copy(update={"compared": None})
        ours, theirs = evidence.picture.pixels_sha256, baseline.picture.pixels_sha256
        compared = evidence.compared
        if compared is None or compared.baseline_pixels_sha256 != theirs:
            picture = image or _opened(self._store.picture(cell))
            effect = effect_of(picture, self._baseline(cell.baseline, theirs))
            compared = ComparedRecord(baseline_pixels_sha256=theirs, effect=effect)
        check = check_lora_applied(
            identical=ours == theirs,
            effect=compared.effect,
            lora=staged.file.name,
            header=staged.header.told,
        )
        return evidence.with_check(check).model_copy(update={"compared": compared})

    def _opened(self, baseline: Cell, pixels_sha256: str) -> Image.Image:
        """Open a baseline's picture; the digest tells a newer one from that which was opened before."""
        del pixels_sha256
        return _opened(self._store.picture(baseline))


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _own_picture(cell: Cell, evidence: Evidence, others: dict[Cell, Evidence]) -> Check:
    def lora(one: Evidence) -> str:
        return one.lora.sha256 if one.lora else ""

    return check_own_picture(
        {str(other): lora(theirs) for other, theirs in others.items()},
        lora=lora(evidence),
        elsewhere={str(other) for other in others if other.row != cell.row},
    )
