"""What a picture's record says beside its checks: old weights, and names of whatever bytes."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugins.comfyui.server import Finished
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.cell_renderer import Rendered
from plugins.generate.expected import ExpectedInputs
from plugins.generate.record import Recorder, _nearest_record
from plugins.loras.staging import preflight, stage
from plugins.pictures.checks import check_no_training_copy
from plugins.pictures.likeness import Nearest, TrainingSet
from plugins.pictures.picture import read_picture
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from tests.plugins.evidence.made_evidence import BASE, STARTED, expected_inputs_of, keep, png_of


def recorded(  # noqa: PLR0913 (what a picture was made from)
    asked: ExpectedInputs, store: Store, cell: Cell, *, pixels: str = "", base: str = BASE, strength: float | None = 1.0
) -> Evidence:
    """Record a picture of a cell, whose graph says that its LoRA is applied at a strength."""
    plan = asked.plan
    staged = {one.checkpoint.id: one for one in stage(plan, preflight(plan))}
    file = plan.staged_file(cell.checkpoint) if cell.checkpoint else None
    png = png_of(cell, salt=pixels)
    rendered = Rendered(
        cell=cell,
        filled=replace(asked.filled(cell, base_model=base, lora_file=file, tag="run"), strength=strength),
        finished=Finished(prompt_id="x", png=png, remembered=None, file="", started=STARTED, ended=STARTED),
        picture=read_picture(png, largest=10**6),
        checks=(),
        server=keep(asked, Store(store.folder / "elsewhere"), cell).server,
    )
    recorder = Recorder(expected=asked, store=store, base_model=base, staged=staged, training=TrainingSet(()))
    return recorder.evidence_of(rendered)


@pytest.mark.parametrize(
    ("pixels", "base", "lora", "is_warned"),
    [
        pytest.param("", BASE, "other", True, id="same-picture-of-other-bytes"),
        pytest.param("salt", BASE, "other", False, id="another-picture"),
        pytest.param("", "other.safetensors", "other", False, id="another-workflow"),
        pytest.param("", BASE, "same", False, id="the-same-bytes"),
    ],
)
def test_old_weights_are_warned_of(  # noqa: PLR0913 (one case of four)
    plan: Plan, asked: ExpectedInputs, store: Store, *, pixels: str, base: str, lora: str, is_warned: bool
) -> None:
    """The same pixels from the same workflow, though the LoRA's bytes are others, are a warning; nothing else is."""
    cell = matrix(plan)[2]
    then = asked if lora == "same" else replace(asked, loras={**asked.loras, "step600": "0" * 64})
    keep(then, store, cell)

    evidence = recorded(asked, store, cell, pixels=pixels, base=base)
    checks = [check.name for check in evidence.checks]
    assert is_warned == ("stale weights" in checks)


@pytest.mark.parametrize(
    ("of_the_graph", "given", "wanted"),
    [
        pytest.param(0.7, {"lora_strength": 0.8}, 0.7, id="graph"),
        pytest.param(None, {"lora_strength": 0.8}, 0.8, id="plan"),
        pytest.param(None, {"lora_strengths": (0.4, 0.6)}, 0.6, id="cell"),
        pytest.param(None, {}, None, id="nobody"),
    ],
)
def test_strength_that_is_recorded_is_the_one_that_was_sent(
    plan: Plan, store: Store, of_the_graph: float | None, given: dict[str, Any], wanted: float | None
) -> None:
    """Evidence holds the strength of the graph; the plan's where that says it nowhere plainly; else none."""
    changed = plan.model_copy(update={"sampling": plan.sampling.model_copy(update=given)})
    cell = [one for one in matrix(changed) if one.checkpoint][-1]
    lora = recorded(expected_inputs_of(changed), store, cell, strength=of_the_graph).lora
    assert lora
    assert wanted == lora.strength


def test_workflows_share_the_nodes_that_are_the_same(plan: Plan, asked: ExpectedInputs, store: Store) -> None:
    """Evidence has each workflow as it was sent, and of two that differ in one node the others but once in memory."""
    recorder = Recorder(expected=asked, store=store, base_model=BASE, staged={}, training=TrainingSet(()))
    cells, png = matrix(plan)[:2], png_of(matrix(plan)[0])
    server = keep(asked, Store(store.folder / "elsewhere"), cells[0]).server
    finished = Finished(prompt_id="x", png=png, remembered=None, file="", started=STARTED, ended=STARTED)
    sent = [asked.filled(cell, base_model=BASE, lora_file=None) for cell in (cells[0], *cells)]
    sent[0].graph["7"]["inputs"]["cfg"] = 7
    sent[1].graph["7"]["inputs"]["cfg"] = 7.0
    first, second, third = (
        recorder.evidence_of(
            Rendered(
                cell=cell,
                filled=filled,
                finished=finished,
                picture=read_picture(png, largest=10**6),
                checks=(),
                server=server,
            )
        ).workflow
        for cell, filled in zip((cells[0], *cells), sent, strict=True)
    )
    assert [json.dumps(one.graph) for one in sent] == [json.dumps(one) for one in (first, second, third)]
    assert first["7"] is not second["7"]
    assert ["4", "9"] == [node for node in second if second[node] is not third[node]]


@pytest.mark.skipif(sys.platform != "linux", reason="only there a name may be any bytes")
def test_training_image_of_any_name_is_kept() -> None:
    """A name that is not UTF-8, as of a NAS, stands in evidence with its bytes escaped."""
    nearest = Nearest(image=Path("/t") / os.fsdecode(b"b\xe9.png"), distance=0.9, usual=0.8)
    record = _nearest_record(nearest, Path("/t"))
    assert record
    assert '"image":"b\\\\udce9.png"' in record.model_dump_json()
    assert "b\\\\udce9.png" in check_no_training_copy(nearest).model_dump_json()
