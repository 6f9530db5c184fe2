"""A plan with several strengths: one of them is judged, passes the gate, is proven, and stands in the summary."""

from pathlib import Path

import pytest

from plugins.deploy.claims import proof_was_given
from plugins.deploy.gate import GateError, pass_gate
from plugins.deploy.selection import SavedBallot, SelectionError, chosen_strength, strength_of
from plugins.deploy.summary import Summary
from plugins.evidence.deployments import Deployment, Proven
from plugins.evidence.store import Store
from plugins.loras.doubts import said_of_strengths
from plugins.loras.staging import preflight, stage
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from plugins.review.ballot import Ballot
from tests.lora_files import kohya, write_file
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import BLANK, expected_inputs_of, keep, keep_all


@pytest.fixture
def several(plan_file: Path) -> Plan:
    """Return the small plan at the strengths 0.8 and 1."""
    text = plan_file.read_text("utf-8").replace("seeds = [42]", "seeds = [42]\nlora_strengths = [0.8, 1.0]")
    plan_file.write_text(text, "utf-8")
    return read_plan(plan_file)


@pytest.fixture
def strong(several: Plan, tmp_path: Path) -> Judged:
    """Return that plan, rendered and judged."""
    stage(several, preflight(several))
    reports = tmp_path / "reports"
    judged = Judged(plan=several, expected=expected_inputs_of(several), store=Store(reports), reports=reports)
    keep_all(judged.expected, judged.store)
    return judged


def deployment(judged: Judged) -> Deployment:
    """Deploy step600 at strength 0.8, with a proof that holds."""
    selected = judged.selected(strength=0.8)
    return judged.deploy_selected(selected, lambda: judged.proof(strength=0.8))


def test_judged_strength_is_the_ballots(several: Plan, plan: Plan) -> None:
    """The strength that the ballot chose counts; a plan with one strength has none to choose."""
    assert strength_of(several, 0.8) == 0.8
    assert strength_of(several, 1) == 1.0
    assert strength_of(plan.model_copy(update={"sampling": several.sampling}), 1.0) == 1.0
    one = several.model_copy(update={"sampling": several.sampling.model_copy(update={"lora_strengths": (0.8,)})})
    assert strength_of(one, None) is None


def ballot_of(folder: Path, name: str, choice: str | None, strength: float | None) -> SavedBallot:
    """Return a judge's ballot that chose a checkpoint at a strength."""
    ballot = Ballot.model_validate(
        {
            "format": 2,
            "plan": {"name": "a", "digest": "0" * 64},
            "simulated": False,
            "saved": "2026-11-25T20:00:00Z",
            "choice": choice,
            "strength": strength,
            "reason": "",
            "suggestion": {"checkpoint": None, "reason": ""},
            "marks": {},
            "notes": {"checkpoints": {}, "cells": {}},
            "blind": None,
            "pictures": {"forest": {"file": "0" * 64, "pixels": None}},
        },
        strict=False,
    )
    return SavedBallot(file=folder / name, ballot=ballot, sha256="0" * 64)


def test_judges_who_chose_other_strengths_are_not_settled_by_their_order(several: Plan, tmp_path: Path) -> None:
    """Two ballots for one checkpoint at two strengths are refused, and both are named."""
    ballots = [ballot_of(tmp_path, "ana.json", "step600", 1.0), ballot_of(tmp_path, "ben.json", "step600", 0.8)]

    with pytest.raises(SelectionError, match=r"At which strength\? These ballots chose step600 at .*\n.*ana.*\n.*ben"):
        chosen_strength(ballots, several.checkpoints[0])


def test_strength_counts_for_what_was_chosen_at_it(several: Plan, tmp_path: Path) -> None:
    """A ballot that chose another checkpoint, or none, says nothing of this one's strength."""
    ballots = [ballot_of(tmp_path, "ana.json", None, 0.8), ballot_of(tmp_path, "ben.json", "final", 1.0)]

    assert (None, 1.0) == tuple(chosen_strength(ballots, checkpoint) for checkpoint in several.checkpoints)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        pytest.param(None, "compares the strengths 0.8, 1, and no ballot says which one was judged.", id="none"),
        pytest.param(0.6, "has no strength 0.6, which your ballot chose; it has 0.8, 1.", id="another-plans"),
    ],
)
def test_strength_that_nobody_judged_is_not_guessed(several: Plan, chosen: float | None, told: str) -> None:
    """Without a ballot that names a strength of the plan nothing is deployed, and the way there is told."""
    with pytest.raises(SelectionError) as caught:
        strength_of(several, chosen)

    assert str(caught.value) == (
        f"Spyke LoRA, small {told} Choose checkpoint and strength under Decide on the report page, and save the ballot "
        "beside it.\nNothing was deployed."
    )


def test_gate_looks_at_the_judged_strength(strong: Judged) -> None:
    """A picture that failed a check shuts the gate at its own strength, and at no other."""
    cell = next(one for one in matrix(strong.plan) if one.id == "step600-forest-strength1")
    keep(strong.expected, strong.store, cell, checks=strong.evidence(cell).with_check(BLANK).checks)
    step600 = strong.plan.checkpoints[0]

    with pytest.raises(GateError, match="step600 x forest-strength1: blank: the picture is nearly one colour"):
        pass_gate(strong.expected, strong.store, step600, 1.0)
    assert len(pass_gate(strong.expected, strong.store, step600, 0.8)) == 8


def test_every_strength_must_be_rendered(strong: Judged) -> None:
    """A strength that was not rendered was not compared, so nothing is deployed."""
    cell = matrix(strong.plan)[-1]
    strong.store.evidence_path(cell).unlink()

    with pytest.raises(GateError, match=f"{cell}: it was not rendered"):
        pass_gate(strong.expected, strong.store, strong.plan.checkpoints[0], 0.8)


def test_changed_strength_asks_for_another_picture(strong: Judged) -> None:
    """Evidence of one strength is not taken for that of another."""
    weak, strength1 = matrix(strong.plan)[2], matrix(strong.plan)[4]

    assert strong.expected.mismatch(weak, strong.evidence(weak)) == ""
    assert strong.expected.mismatch(weak, strong.evidence(strength1)) == (
        "the plan's prompt, seed, settings or workflow were changed since it was rendered"
    )


def test_proof_is_of_the_judged_strength(strong: Judged) -> None:
    """The record's proof holds for the pictures of its strength; one of another strength's pixels does not."""
    done = deployment(strong)

    assert proof_was_given(strong.expected, strong.store, done) == []
    other: tuple[Proven, ...] = strong.proof(strength=1.0)
    assert proof_was_given(strong.expected, strong.store, done.model_copy(update={"proof": other})) == [
        f"{row}: the record says that production gave the judged picture, and holds other pixels"
        for row in ("forest", "novel_pose")
    ]


def test_summary_names_the_strength(strong: Judged) -> None:
    """The summary says at which strength the checkpoint was judged, and which were compared."""
    text = Summary(plan=strong.plan, deployment=deployment(strong), verified=()).markdown()

    assert text.startswith("# Spyke LoRA, small: step600 at strength 0.8 deployed as")
    assert "2 checkpoints on 2 prompts at 2 strengths (0.8, 1): 8 pictures" in text
    assert "**step600 at strength 0.8** was selected by a person." in text


def test_strength_that_does_nothing_on_clip_is_said(several: Plan, plan_file: Path) -> None:
    """Files without a text encoder part are named where strengths are compared; a workflow of one's own decides."""
    headers = preflight(several)
    assert list(said_of_strengths(several, headers)) == []

    file = several.training_file(several.checkpoints[0])
    write_file(file, kohya({"lora_unet_mid_block": (8, 8)}), {"ss_steps": "600"})
    assert plan_file.is_file()
    assert list(said_of_strengths(several, preflight(several))) == [
        "no text encoder part in step600: the strength on CLIP does nothing there, that on the model does"
    ]
