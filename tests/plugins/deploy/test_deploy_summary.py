"""SUMMARY.md tells what was compared, selected, seen, deployed and verified, and nothing in it can be misread."""

from typing import Any

import pytest

from plugins.deploy.summary import Summary
from plugins.deploy.verified import Verified
from plugins.evidence.deployments import Deployment, Serving
from plugins.plan.plan import Plan
from plugins.review.ballot import Ballot
from tests.plugins.deploy.judged_plan import Judged

HOSTILE = "<script>alert(1)</script> [x](http://evil) **bold** | `code` _it_ # ~~no~~"
GOOD = (Verified(claim="Production is present", outcome="passed"),)


@pytest.fixture
def deployment(judged: Judged) -> Deployment:
    """Deploy step600."""
    return judged.deploy(observed="Bracer on the right arm.\nPauldron on the left knee.")


def told(
    plan: Plan,
    deployment: Deployment,
    verified: tuple[Verified, ...] = GOOD,
    *,
    ballot: Ballot | None = None,
    **changes: Any,
) -> str:
    """Return the summary, of a deployment with changes."""
    changed = deployment.model_copy(update=changes)
    return Summary(plan=plan, deployment=changed, ballots=(ballot,) if ballot else (), verified=verified).markdown()


def test_summary_tells_everything(judged: Judged, deployment: Deployment) -> None:
    """The summary has every part, with digests, prompts, settings, words and places."""
    plan, text = judged.plan, told(judged.plan, deployment)

    assert [line for line in text.split("\n") if line.startswith("#")] == [
        "# Spyke LoRA, small: step600 deployed as spyke_plasma_v1",
        "## What was compared",
        "## What was selected, and why",
        "## What was deployed",
        "## What production renders",
        "## What was verified",
        "## How the pictures were made",
    ]
    for line in (
        f"{deployment.deployed:%Y-%m-%d %H:%M} UTC. Every claim of the plan was verified.",
        "2 checkpoints on 2 prompts: 4 pictures, seed 42.",
        f"| **step600** | 600 | spyke\\_plasma\\_v1-step00000600.safetensors | `{judged.expected.loras['step600']}` |",
        f"| final | 920 | spyke\\_plasma\\_v1.safetensors | `{judged.expected.loras['final']}` |",
        "2. A novel pose: `spyke_plasma_v1, crouching, looking up at the sky, urban environment`",
        "**step600** was selected by a person.",
        "- Ginger or orange hair (required)",
        "> Bracer on the right arm.",
        "> Pauldron on the left knee.",
        f"- Production: `{plan.paths.loras / 'spyke_plasma_v1.safetensors'}`",
        f"- SHA-256: `{judged.expected.loras['step600']}`",
        "- Evaluation copies removed: 2",
        "- [forest](proof/forest.png): the judged picture, pixel for pixel",
        "- [x] Production is present",
        "- Base model: AnythingXL\\_inkBase",
        "- Sampler: euler\\_ancestral, scheduler normal, 2 steps",
        "- CFG: 7",
        "- Clip skip: 2",
        "- Size: 64x64",
        "- LoRA strength: 1",
        "- Made on: ComfyUI 0.3.64 (RTX 4090)",
        "- Server: http://127.0.0.1:8188",
    ):
        assert line in text.split("\n")


def test_servers_of_the_proof_are_named(judged: Judged, deployment: Deployment) -> None:
    """Beside where the pictures were made, the summary says which ComfyUI production was proven on."""
    server = deployment.server.model_copy(update={"comfyui_version": "0.33.0"})
    text = told(judged.plan, deployment.model_copy(update={"serving": (Serving(server=server),)}))

    assert "- Proven on: ComfyUI 0.33.0 at http://127.0.0.1:8188 (RTX 4090)" in text.split("\n")


def test_real_deployment_is_not_called_simulated(judged: Judged, deployment: Deployment) -> None:
    """The summary of a real deployment does not speak of simulation."""
    assert "SIMULATED" not in told(judged.plan, deployment)


def test_demonstration_says_so_at_the_top(judged: Judged, deployment: Deployment) -> None:
    """A demonstration's summary says before all else that nothing was really tested."""
    lines = told(judged.plan, deployment, simulated=True).split("\n\n")

    assert lines[1].startswith("> **SIMULATED.** This was a demonstration (`--demo`)")


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
def test_claim_that_was_not_verified_is_told(judged: Judged, deployment: Deployment, outcome: str) -> None:
    """A claim that failed or was not looked at is told beside it and at the top."""
    text = told(judged.plan, deployment, (*GOOD, Verified(claim="No copies remain", outcome=outcome)))

    assert "**Not every claim was verified: see below.**" in text
    assert f"- [x] Production is present\n- [ ] No copies remain (**{outcome.upper()}**)" in text
    assert "Every claim of the plan was verified." not in text


def test_nothing_verified_is_told(judged: Judged, deployment: Deployment) -> None:
    """Without a single verification, none is claimed."""
    text = told(judged.plan, deployment, ())

    assert "Nothing: no verification ran." in text
    assert "**Not every claim was verified: see below.**" in text


def test_missing_words_are_told(judged: Judged, deployment: Deployment) -> None:
    """A selection without a note says that there is none."""
    text = told(judged.plan, deployment, observed=" ")

    assert "Not recorded: there is no ballot, and no `--observed=TEXT` was given." in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {"replaced_sha256": "f" * 64, "backup": "/loras/x.replaced-ff"},
            "- The file that was there before is kept: `/loras/x.replaced-ff`",
            id="backup",
        ),
        pytest.param(
            {"left": {"/loras/y": "it is not a plain file"}},
            "- Left in place: `/loras/y`, since it is not a plain file",
            id="left",
        ),
        pytest.param({"removed": ()}, "- Evaluation copies removed: 0", id="none-removed"),
    ],
)
def test_what_became_of_other_files_is_told(
    judged: Judged, deployment: Deployment, changes: dict[str, Any], line: str
) -> None:
    """Backups, and files that were left, are told with their paths."""
    assert line in told(judged.plan, deployment, **changes).split("\n")


@pytest.mark.parametrize(
    ("before", "line"),
    [
        pytest.param("step600", "- The same bytes were there already.", id="same"),
        pytest.param("final", "- It replaced final, which the training folder still has.", id="another-candidate"),
    ],
)
def test_former_candidate_is_told(judged: Judged, deployment: Deployment, before: str, line: str) -> None:
    """What production held before is told by its name where it is one of the candidates."""
    text = told(judged.plan, deployment, replaced_sha256=judged.expected.loras[before])

    assert line in text.split("\n")


def test_ballot_is_told(judged: Judged, deployment: Deployment) -> None:
    """With a ballot, the choice, marks and notes of the person are told, and what was seen on which prompt."""
    (hair,) = judged.plan.criteria
    plan = judged.plan.model_copy(update={"criteria": (hair.model_copy(update={"prompts": ("novel_pose",)}),)})
    lines = told(plan, deployment, ballot=judged.ballot(), observed="").split("\n")

    assert "The selection rule chose: step600 (the earliest that passes). Judged blind." in lines
    assert "| Ginger or orange hair (required) | yes (1 of 1: at least 21 %) | not marked |" in lines
    assert "- A novel pose: Ginger or orange hair: yes" in lines
    assert "Note on step600: Right bracer visible" in lines
    assert "- step600-forest: Good light" in lines
    assert not any(line.startswith("Not recorded") for line in lines)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param(
            {"choice": None},
            "The ballot itself chose none; the checkpoint was named on the command line.",
            id="no-choice",
        ),
        pytest.param(
            {"suggestion": {"checkpoint": "final", "reason": "r"}, "reason": "The pose is better"},
            "The person chose otherwise: The pose is better.",
            id="against-the-rule",
        ),
        pytest.param(
            {"suggestion": {"checkpoint": None, "reason": "none passes"}},
            "The person chose otherwise: no reason was given.",
            id="without-a-reason",
        ),
        pytest.param({"reason": "The bracer"}, "Reason: The bracer.", id="with-the-rule"),
        pytest.param(
            {"marks": {"step600": {"hair": {"answer": "yes", "blind": False}}}}, "Not judged blind.", id="not-blind"
        ),
        pytest.param({"marks": {}}, "Not judged blind. **Nothing was marked on the ballot.**", id="not-marked"),
    ],
)
def test_choice_is_told_as_it_was_made(
    judged: Judged, deployment: Deployment, changes: dict[str, Any], line: str
) -> None:
    """Whether the person followed the rule, why, and whether blind, is told."""
    assert line in told(judged.plan, deployment, ballot=judged.ballot(**changes))


@pytest.mark.parametrize("with_ballot", [False, True], ids=["without-a-ballot", "with-a-ballot"])
def test_hostile_text_stays_text(judged: Judged, deployment: Deployment, *, with_ballot: bool) -> None:
    """No words of a plan or a person become markup, a link, a table cell or a new line of their own."""
    first, *others = judged.plan.prompts
    plan = judged.plan.model_copy(
        update={
            "title": HOSTILE,
            "selection_rule": f"{HOSTILE}\n# heading",
            "prompts": (first.model_copy(update={"text": f"{HOSTILE}\n- [x] passed", "purpose": HOSTILE}), *others),
            "criteria": tuple(one.model_copy(update={"text": HOSTILE}) for one in judged.plan.criteria),
        }
    )
    notes = {"checkpoints": {"step600": f"{HOSTILE}\n# heading"}, "cells": {"step600-forest": f"x\n- [x] {HOSTILE}"}}
    suggestion = {"checkpoint": None, "reason": HOSTILE}
    ballot = judged.ballot(notes=notes, suggestion=suggestion, reason=f"{HOSTILE}\n# heading")
    text = told(
        plan,
        deployment,
        (Verified(claim=HOSTILE, outcome="passed"),),
        ballot=ballot if with_ballot else None,
        observed=f"{HOSTILE}\n\n# heading\n- [x] everything passed",
    )
    outside_code = "".join(text.split("`")[::2])  # every other part is between backticks

    assert text.count("`") % 2 == 0
    assert "<script>" not in outside_code
    assert "[x](http" not in outside_code
    assert "**bold**" not in outside_code
    assert [line for line in text.split("\n") if line.startswith("#")][1:] == [
        "## What was compared",
        "## What was selected, and why",
        "## What was deployed",
        "## What production renders",
        "## What was verified",
        "## How the pictures were made",
    ]
    assert [line for line in text.split("\n") if line.startswith("- [x]")] == [
        (
            "- [x] \\<script\\>alert(1)\\</script\\> \\[x\\](http://evil) \\*\\*bold\\*\\* \\| \\`code\\` \\_it\\_ \\# "
            "\\~\\~no\\~\\~"
        )
    ]


def test_several_judges_are_told_with_what_is_in_dispute_first(judged: Judged, deployment: Deployment) -> None:
    """Each ballot has its judge and its marks; a required "no" and another choice stand above, then the agreement."""
    no = {"step600": {"hair": {"answer": "no", "blind": False}}}
    ballots = tuple(judged.ballot(**changes) for changes in ({}, {"choice": "final", "marks": no}))
    named = (ballots[0].model_copy(update={"judge": "Ana"}), ballots[1])
    text = Summary(plan=judged.plan, deployment=deployment, ballots=named, verified=()).markdown()
    wanted = [
        "**judge 2 says no on step600: Ginger or orange hair.**",
        "**judge 2 chose final.**",
        "How far the judges agree",
        "- Ginger or orange hair: alpha -0.50; 0 of 2 pictures marked alike",
        "### Ana",
        "### judge 2",
    ]
    places = [text.find(one) for one in wanted]
    assert -1 not in places, text
    assert sorted(places) == places
