"""Evidence as a run leaves it, made without a server."""

import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import Image

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.workflow import Workflow
from plugins.evidence.evidence import (
    AlwaysOnRecord,
    CellRecord,
    Evidence,
    LoraRecord,
    PictureRecord,
    PlanRecord,
    RunRecord,
)
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.loras.always_on import digests_of_always_on
from plugins.loras.copying import digest_of
from plugins.pictures.check import Check, Outcome
from plugins.pictures.picture import read_picture
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan

BASE = "AnythingXL_inkBase.safetensors"
STARTED = datetime(2025, 11, 22, 20, 15, tzinfo=UTC)
NEEDED = ("size", "blank", "noise", "workflow", "LoRA effect", "twin")
"""What every picture is put to before it can be deployed by."""
PASSED = Check(name="size", outcome=Outcome.PASSED)
BLANK = Check(name="blank", outcome=Outcome.FAILED, message="the picture is nearly one colour")


def expected_inputs_of(plan: Plan, *, simulated: bool = False, workflow: Workflow | None = None) -> ExpectedInputs:
    """Ask for what the plan and its training files say now."""
    loras = {one.id: digest_of(plan.training_file(one)) for one in plan.tested}
    return ExpectedInputs(
        plan=plan,
        workflow=workflow or Workflow.built_in(plan.loras),
        loras=loras,
        always_on=digests_of_always_on(plan),
        simulated=simulated,
    )


def png_of(cell: Cell, *, salt: str = "") -> bytes:
    """Draw a picture that only this cell has."""
    seed = hashlib.shake_128(f"{cell.id} {salt}".encode()).digest(192)
    image = Image.frombytes("RGB", (8, 8), seed).resize((64, 64), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def evidence_for(asked: ExpectedInputs, cell: Cell, png: bytes, **changes: Any) -> Evidence:
    """Return the evidence of a picture that is all that was asked for; `changes` makes it another's."""
    plan, lora = asked.plan, None
    if cell.checkpoint:
        sha256 = asked.loras[cell.checkpoint.id]
        lora = LoraRecord(file=plan.staged_file(cell.checkpoint), sha256=sha256, strength=cell.strength or 1.0)
    picture = read_picture(png, largest=10**6)
    filled = asked.filled(cell, base_model=BASE, lora_file=lora.file if lora else None, tag="run")
    evidence = Evidence(
        plan=PlanRecord(name=plan.name, digest=plan.digest),
        cell=CellRecord(
            column=cell.column,
            row=cell.row,
            step=cell.checkpoint.step if cell.checkpoint else None,
            prompt=cell.prompt.id,
            seed=cell.seed,
            strength=cell.strength,
        ),
        prompt_text=cell.prompt.text,
        negative_text=plan.sampling.negative,
        base_model=BASE,
        lora=lora,
        always_on=tuple(
            AlwaysOnRecord(file=one.file, sha256=asked.always_on.get(one.file), strength=one.strength)
            for one in plan.loras
        ),
        inputs_digest=asked.inputs_digest(cell, base_model=BASE),
        workflow=filled.graph,
        server=ServerInfo(
            url="http://127.0.0.1:8188", comfyui_version="0.3.64", device="RTX 4090", simulated=asked.simulated
        ),
        run=RunRecord(prompt_id=f"id of {cell.id}", started=STARTED, ended=STARTED + timedelta(seconds=3)),
        picture=PictureRecord(
            sha256=picture.sha256,
            pixels_sha256=picture.pixels_sha256,
            width=picture.image.width,
            height=picture.image.height,
        ),
        checks=tuple(Check(name=name, outcome=Outcome.PASSED) for name in NEEDED),
    )
    return evidence.model_copy(update=changes)


def keep(asked: ExpectedInputs, store: Store, cell: Cell, **changes: Any) -> Evidence:
    """Keep a picture of a cell with its evidence."""
    png = png_of(cell)
    evidence = evidence_for(asked, cell, png, **changes)
    store.write_picture(cell, png)
    store.write_evidence(cell, evidence)
    return evidence


def keep_all(asked: ExpectedInputs, store: Store) -> None:
    """Keep a picture with evidence of every cell of the plan."""
    for cell in matrix(asked.plan):
        keep(asked, store, cell)
