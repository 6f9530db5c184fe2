"""A rival is judged beside the checkpoints, never deployed, and the summary says which of the two is better."""

import dataclasses
from pathlib import Path

import pytest

from plugins.deploy.page import After, render_deployment
from plugins.deploy.selection import SelectionError, select
from plugins.deploy.summary import Summary
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.comparing import Comparing
from plugins.loras.errors import StagingError
from plugins.loras.staging import preflight, rivals_of, stage
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from plugins.review.ballot import differences
from plugins.review.review import Entry
from plugins.review.rivals import compared_with
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import evidence_for, expected_inputs_of, keep_all, png_of

RIVAL = '[[rival]]\nfile = "production"\nlabel = "now"\n\n[[prompt]]'
CRITERION = '[[criterion]]\nid = "cloak"\ntext = "Cloak"\nrequired = true\n\n[production]'


@pytest.fixture
def with_rival(plan_file: Path) -> Plan:
    """Return the small plan with what is in production as a rival, and a file in production."""
    text = plan_file.read_text("utf-8").replace("[[prompt]]", RIVAL, 1).replace("[production]", CRITERION, 1)
    plan_file.write_text(text, "utf-8")
    plan = read_plan(plan_file)
    source = plan.training_file(plan.checkpoints[0])
    plan.paths.loras.mkdir(parents=True, exist_ok=True)
    plan.production_file.write_bytes(source.read_bytes()[:-1] + b"\7")
    return plan


@pytest.fixture
def rivalled(with_rival: Plan, tmp_path: Path) -> Judged:
    """Return that plan, rendered and judged."""
    stage(with_rival, preflight(with_rival))
    reports = tmp_path / "reports"
    asked = expected_inputs_of(with_rival)
    judged = Judged(plan=with_rival, expected=asked, store=Store(reports), reports=reports)
    keep_all(judged.expected, judged.store)
    return judged


def marks(**answers: str) -> dict[str, dict[str, dict[str, str]]]:
    """Give each column one answer on all criteria, in the first format's words."""
    return {column: {one: {"answer": answer} for one in ("hair", "cloak")} for column, answer in answers.items()}


def test_rival_is_a_column_and_no_candidate(rivalled: Judged) -> None:
    """It is rendered like a checkpoint, after them; the gate, the record and the clean-up know nothing of it."""
    assert [cell.id for cell in matrix(rivalled.plan)][-2:] == ["now-forest", "now-novel_pose"]
    found = [rivalled.expected.found(rivalled.store, cell) for cell in matrix(rivalled.plan)]
    assert all(isinstance(one, Evidence) for one in found)

    done = rivalled.deploy()

    assert list(done.candidates) == ["step600", "final"]
    assert {cell.split("-")[0] for cell in done.judged} == {"step600", "final"}


@pytest.mark.parametrize("typed", ["now", "NOW"])
def test_rival_is_refused_by_name(rivalled: Judged, typed: str) -> None:
    """Whether typed or chosen on a ballot, a rival is never deployed, and that is why."""
    told = "'now' is a [[rival]] of the plan: it was judged beside the checkpoints, and is never deployed. "
    with pytest.raises(SelectionError) as by_name:
        select(rivalled.plan, typed)
    with pytest.raises(SelectionError) as by_ballot:
        select(rivalled.plan, None, chosen=typed)

    assert [str(one.value).startswith(told) for one in (by_name, by_ballot)] == [True, True]
    assert "--selected-step=now" not in str(by_name.value)


@pytest.mark.parametrize(
    ("step600", "now", "told"),
    [
        ("yes", "no", "Yes, by the marks: better in Ginger or orange hair (2 of 2 against 0 of 2); Cloak (2 of 2 "),
        ("no", "yes", "Not by the marks: worse in "),
        ("yes", "yes", "They are equal by the marks."),
        ("yes", None, "Not answered: 2 of 2 criteria are not marked on both."),
    ],
    ids=["better", "worse", "equal", "not-marked"],
)
def test_marks_say_which_is_better(rivalled: Judged, step600: str, now: str | None, told: str) -> None:
    """Is the new one better than the one in production? The marks of both answer it; what is not marked does not."""
    given = {"step600": step600} | ({"now": now} if now else {})
    ballot = rivalled.ballot(marks=marks(**given))
    rival = rivalled.plan.rivals[0]

    said = compared_with(rival, ballot, rivalled.plan, selected="step600", strength=None)

    assert said.startswith(f"Is step600 better than now? {told}")
    summary = Summary(plan=rivalled.plan, deployment=rivalled.deploy(), ballots=(ballot,), verified=()).markdown()
    assert said.partition("(")[0] in summary
    assert "2 checkpoints on 2 prompts beside now, which is never deployed" in summary


def test_changed_rival_does_not_stop_a_deployment(rivalled: Judged) -> None:
    """Production is another file after each deployment: a ballot on the former one still holds for the checkpoints."""
    ballot = rivalled.ballot(marks=marks(step600="yes"))
    rivalled.production.write_bytes(rivalled.production.read_bytes()[:-1] + b"\5")
    now = expected_inputs_of(rivalled.plan)
    entries = []
    for cell in matrix(rivalled.plan):
        evidence = rivalled.evidence(cell)
        problem = now.mismatch(cell, evidence)
        entries.append(Entry(cell=cell, evidence=None if problem else evidence, problem=problem))

    assert [entry.cell.id for entry in entries if entry.problem] == ["now-forest", "now-novel_pose"]
    assert differences(ballot, entries) == []


def test_deployed_checkpoint_is_no_twin_of_production(rivalled: Judged) -> None:
    """Once a checkpoint is in production, both columns show the same pictures, and neither is suspected."""
    cells = [cell for cell in matrix(rivalled.plan) if cell.row == "forest" and cell.checkpoint]
    step600, production = cells[0], cells[-1]
    loras = {**rivalled.expected.loras, "now": rivalled.expected.loras["step600"]}
    asked = dataclasses.replace(rivalled.expected, loras=loras)
    comparing, png = Comparing(rivalled.store), png_of(step600)
    for cell in (step600, production):
        rivalled.store.write_picture(cell, png)
        judged = comparing.compare(cell, evidence_for(asked, cell, png), staged=None)

    assert [check.name for check in judged.failures] == []


def test_page_shows_production_before_and_after(rivalled: Judged) -> None:
    """What production gave before stands beside the judged picture and what it gives now, on the deployment's page."""
    done = rivalled.deploy()

    page = render_deployment(rivalled.plan, done, rivalled.reports, after=After())

    assert page.count("What production rendered before: ") == 2
    assert "pictures/now/forest.png" in page
    other = done.model_copy(update={"replaced_sha256": "0" * 64})
    assert "rendered before" not in render_deployment(rivalled.plan, other, rivalled.reports, after=After())


def test_rival_that_is_not_there_is_told(with_rival: Plan) -> None:
    """Where nothing is in production yet, the rival is named, with what to do until then."""
    with_rival.production_file.unlink()

    with pytest.raises(StagingError) as caught:
        rivals_of(with_rival)

    assert str(caught.value) == (
        "A [[rival]] of the plan cannot be rendered:\n"
        f"  now: {with_rival.production_file} is not there. Take the table out until something is deployed.\n"
        "  Correct `file`, or put it there."
    )
