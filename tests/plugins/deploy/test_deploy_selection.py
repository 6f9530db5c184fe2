"""What is typed after --selected-step names a checkpoint, or lists those that can be named."""

from pathlib import Path
from typing import Any

import pytest

from plugins.deploy.selection import SelectionError, judged_by, select
from plugins.loras.copying import digest_of
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.review.ballot import BallotError
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import evidence_for, png_of


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param("600", "step600", id="number"),
        pytest.param("step600", "step600", id="id"),
        pytest.param("STEP600", "step600", id="capitals"),
        pytest.param(" 600 ", "step600", id="spaces"),
        pytest.param("final", "final", id="label"),
        pytest.param("Final", "final", id="label-in-capitals"),
        pytest.param("920", "final", id="the-final-step"),
        pytest.param("step920", "final", id="the-final-step-as-an-id"),
    ],
)
def test_checkpoint_is_found_as_people_type_it(plan: Plan, typed: str, expected: str) -> None:
    """A checkpoint is found by its step, its id or its label."""
    assert select(plan, typed).id == expected


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        pytest.param("700", "Spyke LoRA, small has no checkpoint '700'.", id="unknown-step"),
        pytest.param("60", "Spyke LoRA, small has no checkpoint '60'.", id="part-of-a-step"),
        pytest.param("step", "Spyke LoRA, small has no checkpoint 'step'.", id="no-number"),
        pytest.param("0600", "Spyke LoRA, small has no checkpoint '0600'.", id="leading-zero"),
        pytest.param("spyke_plasma_v1.safetensors", "Spyke LoRA, small has no checkpoint", id="file"),
        pytest.param("baseline", "Spyke LoRA, small has no checkpoint 'baseline'.", id="baseline"),
        pytest.param(None, "Which checkpoint is to be deployed?", id="nothing"),
        pytest.param("", "Which checkpoint is to be deployed?", id="empty"),
    ],
)
def test_other_words_list_the_candidates(plan: Plan, typed: str | None, problem: str) -> None:
    """What names no checkpoint is told, with each candidate as it is to be typed, and that nothing happened."""
    with pytest.raises(SelectionError) as caught:
        select(plan, typed)

    head, *candidates, last = str(caught.value).split("\n")
    assert head.startswith(problem)
    assert head.endswith("Look at the report, then name the one that you selected:")
    assert candidates == [
        "  --selected-step=600      spyke_plasma_v1-step00000600.safetensors",
        "  --selected-step=final    spyke_plasma_v1.safetensors",
    ]
    assert last == "Nothing was deployed."


def test_ballots_choice_is_offered(plan: Plan) -> None:
    """Where nothing was typed and a ballot chose, its choice is offered as it is to be typed."""
    with pytest.raises(SelectionError) as caught:
        select(plan, None, chosen="step600")

    assert str(caught.value).startswith(
        "Which checkpoint is to be deployed? Your ballot chose step600: --selected-step=600. Look at the report"
    )


def saved(judged: Judged, **changes: Any) -> Path:
    """Save a ballot on these pictures."""
    path = judged.reports / "ballot.json"
    path.write_text(judged.ballot(**changes).model_dump_json(), "utf-8")
    return path


def by(judged: Judged, path: Path, *, number: int = 0) -> str | None:
    """Hold a ballot against the deployment of a checkpoint; give the ballot's choice."""
    checkpoint = judged.plan.checkpoints[number]
    ballot, record = judged_by(path, checkpoint, judged.plan, judged.entries, simulated=False)
    assert (record.file, record.sha256) == (path.absolute(), digest_of(path))
    return ballot.choice


@pytest.mark.parametrize("choice", ["step600", None], ids=["same-choice", "no-choice"])
def test_ballot_on_these_pictures_allows_its_choice(judged: Judged, choice: str | None) -> None:
    """A ballot on the very pictures that chose this checkpoint, or none, is put on record."""
    assert by(judged, saved(judged, choice=choice)) == choice


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"choice": "final"}, "it chose final, and step600 was typed", id="another-choice"),
        pytest.param({"simulated": True}, "it judges SIMULATED pictures", id="simulated"),
        pytest.param(
            {"plan": {"name": "draster", "digest": "0" * 64}}, "it is of another plan, 'draster'", id="another-plan"
        ),
    ],
)
def test_ballot_that_contradicts_is_told(judged: Judged, changes: dict[str, Any], problem: str) -> None:
    """A ballot that says something else than the command does stops the deployment, and is named."""
    path = saved(judged, **changes)

    with pytest.raises(SelectionError) as caught:
        by(judged, path)

    assert str(caught.value) == (
        f"The ballot {path} does not allow this deployment:\n  {problem}\nNothing was deployed. "
        "Judge again on the report page and save the ballot, or move the old one away."
    )


def test_ballot_on_other_pictures_is_told(judged: Judged) -> None:
    """A picture that was rendered again since the ballot was saved was not judged by it."""
    path, cell = saved(judged), matrix(judged.plan)[2]
    png = png_of(cell, salt="again")
    judged.store.write_picture(cell, png)
    judged.store.write_evidence(cell, evidence_for(judged.expected, cell, png))

    with pytest.raises(SelectionError, match=r"\n  step600 x forest: picture [0-9a-f]{8} was judged, and now it is "):
        by(judged, path)


def test_broken_ballot_is_told(judged: Judged) -> None:
    """A ballot that cannot be read stops the deployment."""
    path = judged.reports / "ballot.json"
    path.write_text("{")

    with pytest.raises(BallotError, match=r"The ballot .*ballot\.json is not JSON"):
        by(judged, path)
