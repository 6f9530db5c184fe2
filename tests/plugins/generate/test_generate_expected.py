"""Evidence counts where it is of what the plan asks for now; else it is said why not."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from plugins.comfyui.workflow import Workflow
from plugins.evidence.evidence import Evidence, PlanRecord
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.plan.cells import Cell, matrix
from plugins.plan.places import Nodes
from plugins.plan.plan import Plan
from tests.plugins.evidence.made_evidence import BASE, evidence_for, expected_inputs_of, keep, keep_all, png_of

CHANGED = "the plan's prompt, seed, settings or workflow were changed since it was rendered"


@pytest.fixture
def cell(plan: Plan) -> Cell:
    """Return a cell with a LoRA: step600 on the first prompt."""
    return matrix(plan)[2]


@pytest.fixture
def evidence(asked: ExpectedInputs, cell: Cell) -> Evidence:
    """Return the cell's evidence, of what is asked for now."""
    return evidence_for(asked, cell, png_of(cell))


def resampled(asked: ExpectedInputs, **sampling: Any) -> ExpectedInputs:
    """Ask for other sampling settings."""
    settings = asked.plan.sampling.model_copy(update=sampling)
    return dataclasses.replace(asked, plan=asked.plan.model_copy(update={"sampling": settings}))


def reworded(asked: ExpectedInputs) -> ExpectedInputs:
    """Ask with another first prompt."""
    first, *others = asked.plan.prompts
    prompts = (first.model_copy(update={"text": "spyke_plasma_v1, in a desert"}), *others)
    return dataclasses.replace(asked, plan=asked.plan.model_copy(update={"prompts": prompts}))


@pytest.mark.parametrize("number", [0, 2], ids=["baseline", "checkpoint"])
def test_evidence_of_what_is_asked_for_counts(asked: ExpectedInputs, plan: Plan, number: int) -> None:
    """There is nothing to say against evidence of the very inputs."""
    cell = matrix(plan)[number]

    assert asked.mismatch(cell, evidence_for(asked, cell, png_of(cell))) == ""


def test_base_model_may_be_named_by_stem_or_file(asked: ExpectedInputs, cell: Cell, evidence: Evidence) -> None:
    """The server's spelling of the base model is as good as the plan's."""
    assert evidence.base_model == BASE
    assert asked.mismatch(cell, evidence.model_copy(update={"base_model": "other.safetensors"})) == (
        "it was rendered on another base model, other.safetensors"
    )


def test_demonstration_never_stands_for_a_real_run(
    asked: ExpectedInputs, plan: Plan, cell: Cell, evidence: Evidence
) -> None:
    """Simulated evidence is not real, and real evidence is not a demonstration's."""
    demo = expected_inputs_of(plan, simulated=True)

    assert asked.mismatch(cell, evidence_for(demo, cell, png_of(cell))) == "it is SIMULATED"
    assert demo.mismatch(cell, evidence) == "it is a real picture, and this is a --demo run"


def test_other_lora_bytes_are_told(asked: ExpectedInputs, cell: Cell, evidence: Evidence) -> None:
    """A checkpoint that was trained again since has to be judged again."""
    now = dataclasses.replace(asked, loras={**asked.loras, "step600": "0" * 64})
    file = asked.plan.training_file(asked.plan.checkpoints[0])

    assert now.mismatch(cell, evidence) == (
        f"it was rendered from other bytes (SHA-256 {asked.loras['step600'][:12]}) than {file} has now"
    )


def test_missing_lora_is_told(asked: ExpectedInputs, cell: Cell, evidence: Evidence) -> None:
    """Evidence of a checkpoint without any LoRA does not count."""
    assert "from other bytes (SHA-256 none)" in asked.mismatch(cell, evidence.model_copy(update={"lora": None}))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda asked: resampled(asked, steps=3), id="steps"),
        pytest.param(lambda asked: resampled(asked, cfg=7.5), id="cfg"),
        pytest.param(lambda asked: resampled(asked, sampler="euler"), id="sampler"),
        pytest.param(lambda asked: resampled(asked, scheduler="karras"), id="scheduler"),
        pytest.param(lambda asked: resampled(asked, clip_skip=1), id="clip-skip"),
        pytest.param(lambda asked: resampled(asked, width=128), id="width"),
        pytest.param(lambda asked: resampled(asked, lora_strength=0.8), id="strength"),
        pytest.param(lambda asked: resampled(asked, negative="blurry"), id="negative"),
        pytest.param(reworded, id="prompt"),
    ],
)
def test_changed_plan_is_told(
    asked: ExpectedInputs, evidence: Evidence, change: Callable[[ExpectedInputs], ExpectedInputs]
) -> None:
    """A change of what a picture is made from asks for a new one."""
    now = change(asked)

    assert now.mismatch(matrix(now.plan)[2], evidence) == CHANGED


def test_changed_workflow_is_told(asked: ExpectedInputs, cell: Cell, evidence: Evidence) -> None:
    """Another workflow than the one that was sent asks for a new picture."""
    sampler = asked.workflow.graph["7"]
    graph = {**asked.workflow.graph, "7": {**sampler, "inputs": {**sampler["inputs"], "denoise": 0.9}}}
    workflow = Workflow.of(graph, nodes=Nodes(lora="2.lora_name"), is_own=False)
    now = dataclasses.replace(asked, workflow=workflow)

    assert now.mismatch(cell, evidence) == CHANGED


def test_evidence_of_another_plan_is_told(asked: ExpectedInputs, cell: Cell, evidence: Evidence) -> None:
    """Evidence of a plan of another name is not this plan's."""
    other = PlanRecord(name="draster", digest=asked.plan.digest)

    assert asked.mismatch(cell, evidence.model_copy(update={"plan": other})) == CHANGED


def test_words_that_change_no_picture_change_no_evidence(asked: ExpectedInputs, plan: Plan, evidence: Evidence) -> None:
    """A new title, purpose or expectation asks for nothing."""
    first, *others = plan.checkpoints
    checkpoints = (first.model_copy(update={"expect": "something else"}), *others)
    now = dataclasses.replace(asked, plan=plan.model_copy(update={"title": "New", "checkpoints": checkpoints}))

    assert now.mismatch(matrix(now.plan)[2], evidence) == ""


def test_file_name_that_a_server_saves_under_does_not_matter(asked: ExpectedInputs, cell: Cell) -> None:
    """Every run saves under a name of its own; the inputs' digest is the same."""
    digests = {
        asked.filled(cell, base_model=BASE, lora_file="x", tag=tag).digest("0" * 64) for tag in ("one", "another")
    }

    assert len(digests) == 1


def test_full_matrix_has_no_gaps(asked: ExpectedInputs, store: Store, plan: Plan) -> None:
    """Where every cell has evidence that counts, there is no gap."""
    keep_all(asked, store)

    assert all(isinstance(asked.found(store, cell), Evidence) for cell in matrix(plan))


def test_every_gap_is_named_with_its_reason(asked: ExpectedInputs, store: Store, plan: Plan) -> None:
    """Cells that were not rendered, cannot be believed, or are of other inputs are told one by one."""
    cells = matrix(plan)
    keep_all(asked, store)
    store.evidence_path(cells[0]).unlink()
    store.picture_path(cells[2]).unlink()
    keep(asked, store, cells[3], base_model="other.safetensors")

    found = {cell: asked.found(store, cell) for cell in cells}
    told = [f"{cell}: {reason}" for cell, reason in found.items() if isinstance(reason, str)]

    assert told[0] == "baseline x forest: it was not rendered"
    assert told[1].startswith(f"step600 x forest: {store.picture_path(cells[2])} is gone")
    assert told[2] == "step600 x novel_pose: it was rendered on another base model, other.safetensors"
    assert len(told) == 3
