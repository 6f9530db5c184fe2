"""What is typed after --selected-step names a checkpoint, or lists those that can be named."""

import json
from pathlib import Path
from typing import Any

import pytest

from plugins.deploy.selection import (
    SavedBallot,
    SelectionError,
    ballot_lines,
    choice_of,
    find_ballots,
    judged_by,
    no_lines,
    select,
)
from plugins.loras.copying import digest_of
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.program import typable
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


@pytest.mark.parametrize(("typed", "expected"), [("epoch5", "step600"), ("epoch9", "final"), ("600", "step600")])
def test_checkpoint_is_found_by_its_epoch(plan: Plan, typed: str, expected: str) -> None:
    """A checkpoint of which step and epoch are known is found by both."""
    numbered = zip(plan.checkpoints, (5, 9), strict=True)
    checkpoints = tuple(one.model_copy(update={"epoch": epoch}) for one, epoch in numbered)

    assert select(plan.model_copy(update={"checkpoints": checkpoints}), typed).id == expected


def test_nothing_is_offered_that_is_refused_without_a_ballot(plan: Plan) -> None:
    """Where strengths are compared and no ballot is there, a step alone would be refused, so a ballot is asked for."""
    several = plan.sampling.model_copy(update={"lora_strengths": (0.8, 1.0)})
    with pytest.raises(SelectionError) as refused:
        select(plan.model_copy(update={"sampling": several}), None, ballot="No ballot*.json is in /here.")
    assert (
        "Which checkpoint is to be deployed? No ballot*.json is in /here. Choose checkpoint and strength under Decide "
        "on the report page, and save the ballot beside it.\nNothing was deployed."
    ) == str(refused.value)


def test_id_comes_before_a_step(plan: Plan) -> None:
    """Of two checkpoints of one step, such as one with a label, the one that is called by it is meant."""
    first, final = plan.checkpoints
    both = plan.model_copy(update={"checkpoints": (final.model_copy(update={"step": 600}), first)})

    assert select(both, "600").id == "step600"


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


@pytest.mark.parametrize(("typed", "expected"), [(None, "step600"), (" ", "step600"), ("final", "final")])
def test_ballots_choice_is_taken(plan: Plan, typed: str | None, expected: str) -> None:
    """Where nothing was typed, the ballot's choice is taken; what was typed decides."""
    assert expected == select(plan, typed, chosen="step600").id


def test_ballots_choice_that_the_plan_lacks_is_told(plan: Plan) -> None:
    """A ballot of another plan may have chosen what is not there."""
    with pytest.raises(SelectionError, match="has no checkpoint 'step700', which your ballot chose"):
        select(plan, None, chosen="step700")


def saved(judged: Judged, **changes: Any) -> Path:
    """Save a ballot on these pictures."""
    path = judged.reports / "ballot.json"
    path.write_text(judged.ballot(**changes).model_dump_json(), "utf-8")
    return path


def by(judged: Judged, path: Path, *, number: int = 0) -> str | None:
    """Hold a ballot against the deployment of a checkpoint; give the ballot's choice."""
    checkpoint = judged.plan.checkpoints[number]
    used = [SavedBallot.at(path)]
    [(ballot, record)] = judged_by(used, checkpoint, judged.plan, judged.entries, simulated=False)
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


def test_same_pixels_in_another_file_are_the_same_picture(judged: Judged) -> None:
    """A ballot of format 2 holds for a picture that was rendered again with the very same pixels."""
    raw = judged.ballot().model_dump(mode="json")
    for entry in judged.entries:
        raw["pictures"][entry.cell.id] = {"file": "0" * 64, "pixels": entry.pixels}
    path = judged.reports / "ballot.json"
    path.write_text(json.dumps(raw), "utf-8")
    assert by(judged, path) == "step600"

    raw["pictures"]["step600-forest"]["pixels"] = "1" * 64
    path.write_text(json.dumps(raw), "utf-8")
    with pytest.raises(SelectionError, match=r"step600 x forest: picture 00000000 was judged, and now it is"):
        by(judged, path)


def another(judged: Judged, name: str, **changes: Any) -> Path:
    """Save another ballot beside the first."""
    path = judged.reports / name
    path.write_text(judged.ballot(**changes).model_dump_json(), "utf-8")
    return path


def test_ballot_is_found_by_its_name(judged: Judged) -> None:
    """Any `ballot*.json` in the reports folder is found; `ballot.json` counts first, then the newest."""
    assert [] == find_ballots(judged.reports)
    another(judged, "ballot (1).json")
    another(judged, "ballot-2.json", saved="2025-11-23T20:30:00Z")
    assert ["ballot-2.json", "ballot (1).json"] == [one.file.name for one in find_ballots(judged.reports)]
    saved(judged)
    assert "ballot.json" == find_ballots(judged.reports)[0].file.name


def test_newer_ballot_beside_the_used_one_is_told(judged: Judged) -> None:
    """A newer download beside an old ballot is named with its time and choice."""
    saved(judged)
    another(judged, "ballot (1).json", saved="2025-11-23T20:30:00Z")
    chosen, doubt = ballot_lines(find_ballots(judged.reports), None)
    assert f"chosen by the ballot {judged.reports / 'ballot.json'}" == chosen
    assert doubt == (
        "warning: ballot.json (saved 2025-11-22 20:30 UTC, chose step600) is used; beside it is a newer ballot: "
        "ballot (1).json (saved 2025-11-23 20:30 UTC, chose step600)"
    )
    assert [doubt] == list(ballot_lines(find_ballots(judged.reports), "600"))


def test_ballots_that_disagree_are_refused_unless_a_step_is_typed(judged: Judged) -> None:
    """Where two ballots chose otherwise and nothing was typed, none is taken on a guess."""
    saved(judged)
    another(judged, "ballot (1).json", choice="final")
    found = find_ballots(judged.reports)
    assert "step600" == choice_of(found, "600")
    with pytest.raises(SelectionError, match=r"Which ballot counts\?(.|\n)*chose step600(.|\n)*chose final") as caught:
        choice_of(found, None)
    assert f"\n  {typable(f'--ballot={found[1].file}')}: " in str(caught.value)


def test_empty_ballot_is_told(judged: Judged) -> None:
    """A ballot without a single mark deploys with a warning."""
    path = saved(judged, marks={})
    warning = f"warning: nothing is marked on the ballot {path}"
    assert warning in list(ballot_lines(find_ballots(judged.reports), "600"))
    judges = find_ballots(judged.reports, [another(judged, "ana.json"), path])
    assert [warning] == list(ballot_lines(judges, "600", judges=2))[1:]


def test_broken_ballot_is_told(judged: Judged) -> None:
    """A ballot that cannot be read stops the deployment."""
    path = judged.reports / "ballot.json"
    path.write_text("{")

    with pytest.raises(BallotError, match=r"The ballot .*ballot\.json is not JSON"):
        by(judged, path)


def test_ballot_that_is_saved_anew_meanwhile_changes_nothing(judged: Judged) -> None:
    """A command goes by the ballot that it found, and puts that one's digest on record."""
    path = saved(judged)
    digest = digest_of(path)
    found = find_ballots(judged.reports)
    saved(judged, choice="final")
    [(ballot, record)] = judged_by(found, judged.plan.checkpoints[0], judged.plan, judged.entries, simulated=False)
    assert ("step600", digest) == (ballot.choice, record.sha256)


def test_ballot_that_could_not_be_read_is_not_taken_up_later(judged: Judged) -> None:
    """Where a ballot was broken when it was found, it is not used with what was saved over it since."""
    (judged.reports / "ballot.json").write_text("{", "utf-8")
    [found] = find_ballots(judged.reports)
    saved(judged)
    with pytest.raises(BallotError, match="is not JSON"):
        found.read()


def test_several_judges_are_named_and_no_majority_hides_a_no(judged: Judged) -> None:
    """Each judge's ballot is named; a "no" to what is required is a warning; another choice needs a typed step."""
    no = {"step600": {"hair": {"answer": "no", "blind": False}}}
    files = [
        another(judged, "ana.json"),
        another(judged, "ben.json"),
        another(judged, "cleo.json", choice="final", marks=no),
    ]
    agreed = find_ballots(judged.reports, files[:2])
    assert "step600" == choice_of(agreed, None)
    found = find_ballots(judged.reports, files)
    assert [f"judged by 3: {', '.join(map(str, found))}"] == list(ballot_lines(found, "600", judges=3))
    with pytest.raises(SelectionError, match="These chose differently"):
        choice_of(found, None)

    selected = judged.plan.checkpoints[0]
    ballots = [ballot for ballot, _ in judged_by(found, selected, judged.plan, judged.entries, simulated=False)]
    assert ["warning: judge 3 says no on step600: Ginger or orange hair"] == list(
        no_lines(ballots, selected, judged.plan, None)
    )
    with pytest.raises(SelectionError, match="it chose final, and step600 was typed"):
        judged_by(found[2:], selected, judged.plan, judged.entries, simulated=False)
