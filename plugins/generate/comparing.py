"""Checks that need other pictures: whether the LoRA had an effect, and whether the picture is the cell's own."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from PIL import Image

from plugins.comfyui.answers import ServerInfo
from plugins.evidence.evidence import ComparedRecord, Evidence
from plugins.evidence.store import Store
from plugins.loras.header import said
from plugins.loras.staging import Staged
from plugins.pictures.check import Check, Difference, Outcome, passed
from plugins.pictures.checks import check_lora_applied, check_own_picture, effect_of
from plugins.pictures.picture import UNREADABLE
from plugins.plan.cells import Cell
from plugins.plan.tested import Rival

_BASELINES: Final = 16 << 20
"""Pixels of baselines that stay in memory, decoded, about 64 MB; with more rows, the others are decoded again for each
column."""


class Comparing:
    """Compares each picture of a run with its baseline, and with all that are known.

    `noise_of` gives how much two renderings of one picture differ on a server; None if it was not measured.

    Safe to use from several threads: what is known about a cell is what is on the disk.
    """

    def __init__(self, store: Store, *, noise_of: Callable[[ServerInfo], float | None] = lambda _server: None) -> None:
        self._store = store
        self._noise_of = noise_of
        self._lock = threading.Lock()
        self._known: dict[Cell, Evidence] = {}
        self._alike: dict[str, list[Cell]] = {}
        """Cells by the digest of their pixels."""
        self._baselines: dict[Cell, Image.Image] = {}
        self._room = _BASELINES
        self._said: dict[str, str] = {}
        """The line about each LoRA's header, by its digest; computing it takes longer than all else."""

    @property
    def known(self) -> Mapping[Cell, Evidence]:
        """The cells whose pictures are saved, with their evidence as it is saved."""
        return self._known

    def know(self, cell: Cell, evidence: Evidence) -> None:
        """Add a cell that has its picture and its evidence already."""
        with self._lock:
            self._know(cell, evidence)

    def compare(
        self, cell: Cell, evidence: Evidence, *, staged: Staged | None, image: Image.Image | None = None
    ) -> Evidence:
        """Add the comparison's checks to the evidence of a saved picture, and save it.

        Twins are named in the evidence of both. Where no baseline is known, the effect of the LoRA is not checked.
        `image` is the decoded picture, if the caller has it; else the file is opened. Raises `OSError`.
        """
        if staged:
            evidence = self._with_effect(cell, evidence, staged, image)
        elif image:
            self._hold(cell, image)
        with self._lock:
            twins = self._twins(cell, evidence)
            judged = evidence.with_check(_own_picture(cell, evidence, twins))
            self._keep(cell, judged)
            for other, theirs in twins.items():
                self._keep(other, theirs.with_check(_own_picture(other, theirs, {cell: judged})))
            return self._known[cell]  # one and the same for all who keep it

    def _keep(self, cell: Cell, evidence: Evidence) -> None:
        if self._known.get(cell) != evidence:
            self._store.write_evidence(cell, evidence)
            self._know(cell, evidence)

    def _know(self, cell: Cell, evidence: Evidence) -> None:
        self._known[cell] = evidence
        alike = self._alike.setdefault(evidence.picture.pixels_sha256, [])
        if cell not in alike:
            alike.append(cell)

    def _twins(self, cell: Cell, evidence: Evidence) -> dict[Cell, Evidence]:
        """Return the other cells with these pixels, except the baseline, which the effect's check compares."""
        return {
            other: self._known[other]
            for other in self._alike.get(evidence.picture.pixels_sha256, ())
            if other != cell and not (other.row == cell.row and None in {other.checkpoint, cell.checkpoint})
            if not self._is_known_rival(other, cell, evidence)
            if not (_place(other) == _place(cell) and self._known[other].rendered_column == evidence.rendered_column)
        }

    def _is_known_rival(self, other: Cell, cell: Cell, evidence: Evidence) -> bool:
        """Say whether one is a rival with the bytes of the other, as production is once a checkpoint is deployed."""
        ours, theirs = evidence.lora, self._known[other].lora
        same = ours and theirs and ours.sha256 == theirs.sha256 and _place(other) == _place(cell)
        return bool(same) and any(isinstance(one.checkpoint, Rival) for one in (other, cell))

    def _with_effect(self, cell: Cell, evidence: Evidence, staged: Staged, image: Image.Image | None) -> Evidence:
        baseline = self._known.get(cell.baseline)
        unlike = evidence.unlike(baseline) if baseline else ()
        if baseline is None or unlike:
            message = "there is no picture of the baseline to compare with"
            if unlike:
                message = f"not comparable: the baseline was rendered under other conditions ({'; '.join(unlike)})"
            return evidence.with_check(
                Check(name="LoRA effect", outcome=Outcome.NOT_CHECKED, message=message)
            ).model_copy(update={"compared": None})
        evidence = _with_size(evidence, baseline)
        ours, theirs = evidence.picture.pixels_sha256, baseline.picture.pixels_sha256
        compared = evidence.compared
        if compared is None or compared.baseline_pixels_sha256 != theirs:
            try:
                effect = effect_of(image or _opened(self._store.picture_path(cell)), self._baseline(cell.baseline))
            except UNREADABLE as error:  # a file was taken away or damaged meanwhile
                message = f"it could not be compared with the baseline: {error}. Run this again, which renders it anew"
                return evidence.with_check(Check(name="LoRA effect", outcome=Outcome.FAILED, message=message))
            compared = ComparedRecord(baseline_pixels_sha256=theirs, effect=effect)
        noise = self._noise_of(evidence.server)
        if noise is not None:
            compared = compared.model_copy(update={"noise": noise})
        check = check_lora_applied(
            identical=ours == theirs,
            effect=compared.effect,
            noise=compared.noise or 0.0,
            lora=staged.file.name,
            header=self._said_of(staged),
        )
        if cell.prompt.bleed and check.outcome is Outcome.WARNING:
            message = f"next to none without the trigger word, as it should be ({compared.effect:.2f} of 255)"
            check = Check(name=check.name, outcome=Outcome.PASSED, message=message)
        return evidence.with_check(check).model_copy(update={"compared": compared})

    def _said_of(self, staged: Staged) -> str:
        if staged.sha256 not in self._said:
            self._said[staged.sha256] = said(staged.header)
        return self._said[staged.sha256]

    def _baseline(self, cell: Cell) -> Image.Image:
        """Return a baseline's picture; the first ones stay open, since every column is compared with the same ones."""
        if cell in self._baselines:
            return self._baselines[cell]
        picture = _opened(self._store.picture_path(cell))
        self._hold(cell, picture)
        return picture

    def _hold(self, cell: Cell, picture: Image.Image) -> None:
        size = picture.width * picture.height
        with self._lock:
            if cell not in self._baselines and size <= self._room:
                self._room -= size
                self._baselines[cell] = picture


def _place(cell: Cell) -> tuple[str, float | None]:
    """Return a cell's inputs besides its LoRA."""
    return cell.row, cell.strength


def _with_size(evidence: Evidence, baseline: Evidence) -> Evidence:
    """Add to the evidence whether the picture's size is its baseline's: a custom workflow's may be another."""
    ours, theirs = (f"{one.picture.width}x{one.picture.height}" for one in (evidence, baseline))
    made = next((check.outcome for check in evidence.checks if check.name == "size"), Outcome.NOT_CHECKED)
    if made is Outcome.FAILED or (made is Outcome.PASSED and ours == theirs):
        return evidence
    if ours == theirs:
        return evidence.with_check(passed("size"))
    difference = Difference(field="size", got=ours, asked=f"{theirs}, as the baseline has")
    return evidence.with_check(Check(name="size", outcome=Outcome.FAILED, differences=(difference,)))


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _own_picture(cell: Cell, evidence: Evidence, others: dict[Cell, Evidence]) -> Check:
    if evidence.rendered_as and not others:
        message = f"it is {evidence.rendered_as}'s: both LoRAs hold the same tensors, and were rendered once"
        return Check(name="twin", outcome=Outcome.PASSED, message=message)

    def lora(one: Evidence) -> str:
        return one.lora.sha256 if one.lora else ""

    return check_own_picture(
        {str(other): lora(theirs) for other, theirs in others.items()},
        lora=lora(evidence),
        elsewhere={str(other) for other in others if _place(other) != _place(cell)},
    )
