"""The small plan, rendered and judged, with all that a deployment of it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.deploy.deployment import Selected, deploy
from plugins.deploy.gate import pass_gate
from plugins.evidence.deployments import RECORD, BallotRecord, Deployment, Proven, read_record
from plugins.evidence.evidence import Evidence, PlanRecord
from plugins.evidence.files import write_atomically
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.pictures.picture import read_picture
from plugins.plan.cells import Cell, column, matrix
from plugins.plan.plan import Plan
from plugins.review.ballot import Ballot, parse_ballot
from plugins.review.review import Entry


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The small plan, rendered and judged."""

    plan: Plan
    expected: ExpectedInputs
    store: Store
    reports: Path

    @property
    def production(self) -> Path:
        """Where the production LoRA goes."""
        return self.plan.paths.loras / self.plan.production.file

    @property
    def copies(self) -> list[Path]:
        """The evaluation copies that are there."""
        return sorted(self.plan.paths.loras.glob("spyke_plasma_v1_*"))

    def evidence(self, cell: Cell) -> Evidence:
        """Return the evidence of a cell, which was rendered."""
        found = self.store.read(cell)
        assert found
        return found

    def selected(
        self,
        step: str = "step600",
        observed: str = "",
        ballot: BallotRecord | None = None,
        strength: float | None = None,
    ) -> Selected:
        """Take a checkpoint through the gate."""
        checkpoint = next(one for one in self.plan.checkpoints if one.id == step)
        evidence = pass_gate(self.expected, self.store, checkpoint, strength)
        return Selected(
            expected=self.expected,
            store=self.store,
            checkpoint=checkpoint,
            strength=strength,
            evidence=evidence,
            observed=observed,
            ballot=ballot,
        )

    def proof(self, step: str = "step600", strength: float | None = None) -> tuple[Proven, ...]:
        """Say that production renders what was judged, pixel for pixel, and leave the pictures."""
        proven = []
        for cell in column(self.plan, self.plan.checkpoint(step)):
            if cell.strength != strength:
                continue
            png = self.store.picture_path(cell).read_bytes()
            write_atomically(self.reports / "proof" / f"{cell.row}.png", png)
            proven.append(
                Proven(
                    row=cell.row,
                    server="http://127.0.0.1:8188",
                    picture=f"proof/{cell.row}.png",
                    pixels_sha256=read_picture(png, largest=4_000_000).pixels_sha256,
                    identical=True,
                    distance=0.0,
                )
            )
        return tuple(proven)

    def deploy(
        self,
        step: str = "step600",
        *,
        observed: str = "",
        ballot: BallotRecord | None = None,
        prove: Callable[[], tuple[Proven, ...]] | None = None,
    ) -> Deployment:
        """Deploy a checkpoint, with a proof that holds unless another is given."""
        return self.deploy_selected(self.selected(step, observed, ballot), prove)

    def deploy_selected(self, selected: Selected, prove: Callable[[], tuple[Proven, ...]] | None = None) -> Deployment:
        """Deploy what passed the gate, with a proof that holds unless another is given."""
        return deploy(
            selected,
            record=self.reports / RECORD,
            prove=prove or (lambda: self.proof(selected.checkpoint.id)),
            forget=lambda: None,
        )

    @property
    def record(self) -> Deployment:
        """The deployment on record."""
        return read_record(self.reports / RECORD)

    def ballot(self, **changes: Any) -> Ballot:
        """Return a ballot, saved in format 1, on these pictures that chose step600 by the rule; `changes` alter it."""
        given: dict[str, Any] = {
            "format": 1,
            "plan": PlanRecord(name=self.plan.name, digest=self.plan.digest).model_dump(),
            "simulated": self.expected.simulated,
            "saved": "2025-11-22T20:30:00Z",
            "marks": {"step600": {"hair": {"answer": "yes", "blind": True}}},
            "notes": {"checkpoints": {"step600": "Right bracer visible"}, "cells": {"step600-forest": "Good light"}},
            "choice": "step600",
            "reason": "",
            "suggestion": {"checkpoint": "step600", "reason": "the earliest that passes"},
            "blind": None,
            "pictures": {entry.cell.id: entry.digest for entry in self.entries},
        }
        return parse_ballot(given | changes)

    @property
    def entries(self) -> list[Entry]:
        """The pictures that the report page shows."""
        return [Entry(cell=cell, evidence=self.store.read(cell)) for cell in matrix(self.plan)]
