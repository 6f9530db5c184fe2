"""Where a run's pictures and their evidence are stored, and reading them."""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from plugins.evidence.evidence import Evidence
from plugins.evidence.files import write_atomically
from plugins.plan.cells import Cell, named
from plugins.plan.messages import UserError
from plugins.plan.record import BrokenRecord

PICTURES: Final = PurePosixPath("pictures")
"""Where a run's pictures lie, seen from its reports folder and from the page in it."""


class EvidenceError(UserError):
    """Evidence that is invalid; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Store:
    """The pictures of one reports folder: `step600/novel_pose.png` and `.json` for each cell."""

    reports: Path

    @property
    def folder(self) -> Path:
        """The folder that all pictures lie in."""
        return self.reports / PICTURES

    def picture_path(self, cell: Cell) -> Path:
        """Return the path of a cell's PNG."""
        return self.folder / cell.picture

    def evidence_path(self, cell: Cell) -> Path:
        """Return the path of a cell's evidence."""
        return self.picture_path(cell).with_suffix(".json")

    def write_picture(self, cell: Cell, png: bytes) -> None:
        """Save a picture. Its evidence is saved after it: a picture without evidence does not count."""
        write_atomically(self.picture_path(cell), png)

    def write_evidence(self, cell: Cell, evidence: Evidence) -> None:
        """Save the evidence of a picture that is saved already."""
        write_atomically(self.evidence_path(cell), evidence.written())

    def plan_name(self) -> str:
        """Return the name of the plan whose pictures lie here, from the first that can be read, or ""."""
        for path in self.folder.glob("*/*.json"):
            with contextlib.suppress(BrokenRecord):
                if found := Evidence.read(path):
                    return found.plan.name
        return ""

    def read(self, cell: Cell) -> Evidence | None:
        """Return the cell's evidence, or None where the cell was not rendered.

        Raises `EvidenceError` where the evidence cannot be read, is another cell's, or does not match the picture.
        """
        path = self.evidence_path(cell)
        try:
            evidence = Evidence.read(path)
        except BrokenRecord as error:
            raise EvidenceError(f"{path} is not readable evidence ({error})") from error
        if evidence is None:
            return None
        found_of = evidence.cell
        if (found_of.column, found_of.row, found_of.seed, found_of.strength) != (
            cell.column,
            cell.row,
            cell.seed,
            cell.strength,
        ):
            found, wanted = f"{found_of.column} x {named(found_of.row, found_of.strength)}", str(cell)
            if found == wanted:
                found, wanted = f"{found} with seed {evidence.cell.seed}", f"seed {cell.seed}"
            raise EvidenceError(f"{path} is evidence of {found}, not of {wanted}")
        try:
            digest = hashlib.sha256(self.picture_path(cell).read_bytes()).hexdigest()
        except OSError as error:
            raise EvidenceError(f"{self.picture_path(cell)} is gone; only its evidence is left ({error})") from error
        if digest != evidence.picture.sha256:
            raise EvidenceError(
                f"{self.picture_path(cell)} was changed after it was rendered: its digest differs from its evidence's"
            )
        return evidence
