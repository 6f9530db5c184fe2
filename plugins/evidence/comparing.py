"""What a picture tells only beside others: whether the LoRA did anything, and whether it is the cell's own."""

from dataclasses import dataclass, field

from PIL import Image

from plugins.evidence.evidence import ComparedRecord, Evidence
from plugins.evidence.store import Store
from plugins.loras.staging import Staged
from plugins.pictures.check import Check, Outcome
from plugins.pictures.checks import check_lora_applied, check_own_picture, effect_of
from plugins.plan.cells import Cell


@dataclass(kw_only=True)
class Comparing:
    """Holds each picture of a run against its baseline, and against all that were seen before it."""

    store: Store
    seen: dict[str, dict[Cell, Evidence]] = field(default_factory=dict)
    """Cells by the digest of their pixels."""

    def judge(self, cell: Cell, evidence: Evidence, *, baseline: Evidence | None, staged: Staged | None) -> Evidence:
        """Add to a cell's evidence what the comparison says, and keep it.

        Twins are told in the evidence of both. Without a baseline the effect of a LoRA is said to be not checked.
        """
        judged = evidence
        if staged:
            judged = self._with_effect(cell, evidence, baseline, staged)
        twins = self._twins(evidence)
        # A picture that is its baseline's is told by the other check already.
        others = {
            other: theirs
            for other, theirs in twins.items()
            if other != cell and not (other.row == cell.row and None in {other.checkpoint, cell.checkpoint})
        }
        judged = judged.with_check(_own_picture(cell, judged, others))
        twins[cell] = judged
        for other, theirs in others.items():
            twins[other] = theirs.with_check(_own_picture(other, theirs, {cell: judged}))
            self.store.write_evidence(other, twins[other])
        if judged != evidence:
            self.store.write_evidence(cell, judged)
        return judged

    def know(self, cell: Cell, evidence: Evidence) -> None:
        """Take note of a cell's picture that is not judged in this run."""
        self._twins(evidence)[cell] = evidence

    @property
    def known(self) -> dict[Cell, Evidence]:
        """Every cell that was judged or known, with its evidence as it lies on disk."""
        return {cell: evidence for twins in self.seen.values() for cell, evidence in twins.items()}

    def _twins(self, evidence: Evidence) -> dict[Cell, Evidence]:
        return self.seen.setdefault(evidence.picture.pixels_sha256, {})

    def _with_effect(self, cell: Cell, evidence: Evidence, baseline: Evidence | None, staged: Staged) -> Evidence:
        if baseline is None:
            message = "there is no picture of the baseline to compare with"
            return evidence.with_check(
                Check(name="LoRA effect", outcome=Outcome.NOT_CHECKED, message=message)
            ).model_copy(update={"compared": None})
        ours, theirs = evidence.picture.pixels_sha256, baseline.picture.pixels_sha256
        compared = evidence.compared
        if compared is None or compared.baseline_pixels_sha256 != theirs:
            compared = ComparedRecord(baseline_pixels_sha256=theirs, effect=self._effect(cell))
        check = check_lora_applied(
            identical=ours == theirs,
            effect=compared.effect,
            lora=staged.file.name,
            header=staged.header.told,
        )
        return evidence.with_check(check).model_copy(update={"compared": compared})

    def _effect(self, cell: Cell) -> float:
        with (
            Image.open(self.store.picture(cell)) as picture,
            Image.open(self.store.picture(cell.baseline)) as baseline,
        ):
            return effect_of(picture, baseline)


def _own_picture(cell: Cell, evidence: Evidence, others: dict[Cell, Evidence]) -> Check:
    def lora(one: Evidence) -> str:
        return one.lora.sha256 if one.lora else ""

    return check_own_picture(
        {str(other): lora(theirs) for other, theirs in others.items()},
        lora=lora(evidence),
        elsewhere={str(other) for other in others if other.row != cell.row},
    )
