"""SUMMARY.md for a planning tool: nothing is claimed that did not pass, and the tool itself reads it."""

from pathlib import Path
from typing import Any, get_args

import pytest

from plugins.deploy.planned import PlannedSummary
from plugins.deploy.summary import Summary
from plugins.deploy.summary_files import write_summary
from plugins.deploy.verified import Verified
from plugins.evidence.deployments import Deployment
from plugins.pictures.check import Check, Outcome
from plugins.plan.plan import Plan
from plugins.plan.wanted import Claim, PlannedWork
from tests.acceptance import test_verify
from tests.planning_tool import ask_tool, needs_tool
from tests.plugins.deploy.judged_plan import Judged

WORK = PlannedWork(
    phase="08-spyke-lora-training",
    plan="03",
    subsystem="lora",
    tags=("lora", "comfyui"),
    requirements={
        "LORA-02": ("every_checkpoint_was_tested_on_every_prompt", "selection_has_a_reason"),
        "LORA-05": ("no_forbidden_lora_on_disk",),
    },
    requires=("08-01", "08-02"),
    affects=("Phase 9, the Express templates",),
)
CLAIMS = [one for one in get_args(Claim) if one != "selection_has_a_reason"]
PASSED = tuple(Verified(claim=f"Claim {one}", outcome="passed", name=one) for one in CLAIMS)
OBSERVED = "Bracer on the right arm, pauldron on the left knee."
PLACE = ".planning/phases/08-spyke-lora-training/08-spyke-lora-training-03-SUMMARY.md"


@pytest.fixture
def planned(judged: Judged) -> Judged:
    """Return the small plan, judged, as the work of a plan of a phase; its details are looked for on one prompt."""
    (hair,) = judged.plan.criteria
    changes: dict[str, Any] = {
        "summary": WORK,
        "criteria": (hair.model_copy(update={"text": "RIGHT bracer", "prompts": ("novel_pose",)}),),
        "paths": judged.plan.paths.model_copy(update={"summary": judged.plan.paths.project / PLACE}),
    }
    return Judged(
        plan=judged.plan.model_copy(update=changes),
        expected=judged.expected,
        store=judged.store,
        reports=judged.reports,
    )


def text_of(
    planned: Judged,
    deployment: Deployment,
    verified: tuple[Verified, ...] = PASSED,
    *,
    marked: bool = True,
    warned: bool = False,
    **of_ballot: Any,
) -> str:
    """Return the summary of a deployment."""
    ballot = planned.ballot(**of_ballot) if marked else None
    evidence = planned.selected().evidence
    if warned:
        warning = Check(name="likeness", outcome=Outcome.WARNING, message="near training image 7")
        evidence = {cell: one.with_check(warning) for cell, one in evidence.items()}
    summary = Summary(plan=planned.plan, deployment=deployment, ballots=(ballot,) if ballot else (), verified=verified)
    return PlannedSummary(work=WORK, summary=summary, evidence=evidence).markdown()


def front_matter(text: str) -> dict[str, Any]:
    """Read the front matter as YAML."""
    yaml: Any = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def section(text: str, name: str) -> list[str]:
    """Return the lines of one section."""
    return text.split(f"## {name}\n\n")[1].split("\n\n#", maxsplit=1)[0].split("\n")


def test_requirements_can_name_every_claim() -> None:
    """What a plan's requirements may name is what a deployment verifies, by its test's name."""
    tests = [name.removeprefix("test_") for name in vars(test_verify) if name.startswith("test_")]

    assert sorted(tests) == sorted(CLAIMS)


def test_front_matter_says_what_was_done(planned: Judged) -> None:
    """The plan's words, production, decisions and times stand in the front matter, as YAML."""
    deployment = planned.deploy(observed=OBSERVED)
    found = front_matter(text_of(planned, deployment))

    assert "08-spyke-lora-training" == found["phase"]
    assert ("03", "lora", ["lora", "comfyui"]) == (found["plan"], found["subsystem"], found["tags"])
    assert [{"phase": "08-01"}, {"phase": "08-02"}] == found["requires"]
    assert ["spyke_plasma_v1: the production LoRA, in ComfyUI's loras folder"] == found["provides"]
    assert list(WORK.affects) == found["affects"] == found["dependency-graph"]["affects"]
    assert {"created": [str(planned.production)], "modified": []} == found["key-files"]
    assert ["LORA-02", "LORA-05"] == found["requirements-completed"]
    assert [
        "Selected step600: the selection rule chose step600 (the earliest that passes)",
        "Judged by judge 1: blind",
        "Seen on step600: A novel pose: RIGHT bracer: yes",
        f"Seen on step600: {OBSERVED}",
    ] == found["key-decisions"]
    assert f"{deployment.deployed:%Y-%m-%d}" == f"{found['completed']}"


def test_each_judge_is_named(planned: Judged) -> None:
    """The decisions name each ballot's judge, and say whether that judge was blind or marked nothing."""
    seeing = planned.ballot(marks={"step600": {"hair": {"answer": "yes", "blind": False}}})
    ballots = (planned.ballot().model_copy(update={"judge": "Mara"}), seeing, planned.ballot(marks={}))
    summary = Summary(plan=planned.plan, deployment=planned.deploy(), ballots=ballots, verified=PASSED)
    found = front_matter(PlannedSummary(work=WORK, summary=summary, evidence=planned.selected().evidence).markdown())

    judged = [one for one in found["key-decisions"] if one.startswith("Judged by")]
    assert ["Judged by Mara: blind", "Judged by judge 2: not blind", "Judged by judge 3: nothing was marked"] == judged


def test_everything_else_of_the_summary_is_kept(planned: Judged) -> None:
    """The sections of the plain summary follow those of the tool; the self-check is last."""
    text = text_of(planned, planned.deploy())

    assert "# Phase 8 Plan 03: Spyke LoRA, small Summary" in text.split("\n")
    assert [line[3:] for line in text.split("\n") if line.startswith("## ")] == [
        "Performance",
        "Accomplishments",
        "Files Created/Modified",
        "Decisions Made",
        "Deviations from Plan",
        "Issues Encountered",
        "Next Phase Readiness",
        "What was compared",
        "What was selected, and why",
        "What was deployed",
        "What production renders",
        "What was verified",
        "How the pictures were made",
        "Self-Check: PASSED",
    ]


@pytest.mark.parametrize("outcome", ["failed", "skipped", "not checked"])
def test_requirement_of_a_claim_that_did_not_pass_is_not_completed(planned: Judged, outcome: str) -> None:
    """A claim that failed or was not looked at completes no requirement, provides nothing, and fails the self-check."""
    others = [one for one in PASSED if one.name != "no_forbidden_lora_on_disk"]
    verified = (*others, Verified(claim="None on disk", outcome=outcome, name="no_forbidden_lora_on_disk"))
    text = text_of(planned, planned.deploy(), verified)
    found = front_matter(text)

    assert (["LORA-02"], []) == (found["requirements-completed"], found["provides"])
    assert "## Self-Check: FAILED" in text
    assert "not all that the plan asks for was verified" in text
    assert ["- Not ready: see Issues Encountered."] == section(text, "Next Phase Readiness")
    assert "- LORA-05 is not complete, for want of: no\\_forbidden\\_lora\\_on\\_disk" in section(
        text, "Issues Encountered"
    )


def test_claim_that_never_ran_completes_nothing(planned: Judged) -> None:
    """A requirement whose claim is not among those of this run stays open."""
    text = text_of(planned, planned.deploy(), tuple(one for one in PASSED if "forbidden" not in one.name))

    assert ["LORA-02"] == front_matter(text)["requirements-completed"]
    assert "## Self-Check: FAILED" in text


def test_selection_of_which_nothing_is_recorded_is_no_reason(planned: Judged) -> None:
    """Without a mark and without words, the requirement of a reasoned selection stays open."""
    bare = text_of(planned, planned.deploy(), marked=False)
    empty = text_of(planned, planned.deploy(), marks={})
    told = text_of(planned, planned.deploy(observed=OBSERVED), marked=False)

    assert ["LORA-05"] == front_matter(bare)["requirements-completed"]
    assert ["LORA-05"] == front_matter(empty)["requirements-completed"]
    assert ["LORA-02", "LORA-05"] == front_matter(told)["requirements-completed"]


def test_demonstration_claims_nothing(planned: Judged) -> None:
    """A simulated run names no requirement, provision, file or decision, and says so first."""
    text = text_of(planned, planned.deploy().model_copy(update={"simulated": True}))
    found = front_matter(text)

    assert [] == [*found["requirements-completed"], *found["provides"], *found["key-decisions"]]
    assert {"created": [], "modified": []} == found["key-files"]
    assert "**SIMULATED: a demonstration on drawn pictures, in which no LoRA was tested or deployed**" in text
    assert "Self-Check: PASSED" not in text


def test_plan_that_was_followed_has_no_deviation(planned: Judged) -> None:
    """Where nothing deviates, that is said."""
    text = text_of(planned, planned.deploy())

    assert ["- None - the plan was carried out as written."] == section(text, "Deviations from Plan")
    assert ["- None"] == section(text, "Issues Encountered")


def test_deviations_are_told(planned: Judged) -> None:
    """A choice against the rule, a warning that was accepted, a backup and a copy that was left are deviations."""
    changes = {
        "replaced_sha256": "f" * 64,
        "left": {"y": "it is a link"},
        "accepted": {"final x forest": "it is blank"},
    }
    deployment = planned.deploy().model_copy(update={**changes, "backup": Path("/loras/x.replaced-ff")})
    suggestion = {"checkpoint": "final", "reason": "the earliest that passes"}
    text = text_of(planned, deployment, warned=True, suggestion=suggestion, reason="The crouch holds")

    assert section(text, "Deviations from Plan") == [
        "- Against the selection rule, which chose final: The crouch holds",
        "- A picture was accepted by name, final x forest: it is blank",
        "- A warning was accepted, step600 x forest: likeness: near training image 7",
        "- A warning was accepted, step600 x novel\\_pose: likeness: near training image 7",
        "- The former production file is kept beside the new one, as x.replaced-ff",
        "- An evaluation copy was left at y: it is a link",
    ]
    assert {"created": [], "modified": [str(planned.production)]} == front_matter(text)["key-files"]


def test_rollback_leaves_no_summary_that_completes_the_plan(planned: Judged) -> None:
    """After a rollback no SUMMARY.md stands where the plan wants it; what was done lies beside it."""
    wanted = planned.plan.paths.summary
    assert wanted
    for rolled_back in (False, True):
        write_summary("x", plan=planned.plan, reports=planned.reports, is_rollback=rolled_back, say=lambda _: None)

    assert ["08-spyke-lora-training-03-ROLLBACK.md"] == [one.name for one in wanted.parent.iterdir()]


def test_summary_without_planned_work_is_where_it_was(judged: Judged) -> None:
    """Without [summary], a rollback is summed up where the plan wants it, as a deployment is."""
    wanted = judged.plan.paths.summary
    assert wanted
    for rolled_back in (False, True):
        write_summary("x", plan=judged.plan, reports=judged.reports, is_rollback=rolled_back, say=lambda _: None)

    assert ["SUMMARY.md"] == [one.name for one in wanted.parent.iterdir()]


@needs_tool
@pytest.mark.parametrize("good", [True, False], ids=["all-claims-held", "a-claim-failed"])
def test_planning_tool_reads_the_summary(planned: Judged, good: bool) -> None:  # noqa: FBT001 (a parameter)
    """The tool passes a summary whose claims held, and no other; it reads back one-liner, files, decisions and more."""
    project, deployment = planned.plan.paths.project, planned.deploy(observed=OBSERVED)
    verified = PASSED if good else (*PASSED[1:], Verified(claim="Present", outcome="failed", name=PASSED[0].name))
    write_to(planned.plan, text_of(planned, deployment, verified))
    checked, extracted = ask_tool(project, "verify-summary", PLACE), ask_tool(project, "summary-extract", PLACE)
    digest = ask_tool(project, "history-digest")["phases"]["08-spyke-lora-training"]

    assert (good, "passed" if good else "failed") == (checked["passed"], checked["checks"]["self_check"])
    assert {"checked": 1, "found": 1, "missing": []} == checked["checks"]["files_created"]
    assert extracted["one_liner"].startswith(
        "step600, selected out of 2 checkpoints on 2 prompts, is deployed as `spyke"
    )
    assert {"created": [str(planned.production)], "modified": []} == extracted["key_files"]
    assert "Selected step600" == extracted["decisions"][0]["summary"]
    assert ["LORA-02", "LORA-05"] == extracted["requirements_completed"]
    assert (1 if good else 0, list(WORK.affects)) == (len(digest["provides"]), digest["affects"])


@needs_tool
def test_planning_tool_takes_no_demonstration_for_completed(planned: Judged) -> None:
    """The tool fails a simulated summary, and reads no requirement from it."""
    project, deployment = planned.plan.paths.project, planned.deploy().model_copy(update={"simulated": True})
    write_to(planned.plan, text_of(planned, deployment))
    extracted = ask_tool(project, "summary-extract", PLACE)

    assert not ask_tool(project, "verify-summary", PLACE)["passed"]
    assert [] == extracted["requirements_completed"]
    assert extracted["one_liner"].startswith("SIMULATED")


def write_to(plan: Plan, text: str) -> None:
    """Write the summary where the plan wants it."""
    assert plan.paths.summary
    plan.paths.summary.parent.mkdir(parents=True, exist_ok=True)
    plan.paths.summary.write_text(text, encoding="utf-8")
