"""`plans/axes.toml` on the embedded stand-in: to a proven deployment of step and strength, and back."""

import re
import shlex
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Open
from tests.plugins.review.ballots import read_ballot
from tests.small_plan import ROOT, Suite

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REQUIRED = ("hair", "right_bracer", "novel_pose_holds")


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Return this suite with a copy of the shipped plan."""
    return Suite(plan_file=Path(shutil.copy(ROOT / "plans" / "axes.toml", tmp_path)))


def typed(suite: Suite, ran: CompletedProcess[str], stage: str) -> CompletedProcess[str]:
    """Run a command of a stage that another one printed, as it stands there."""
    printed = re.findall(rf"pytest (-m {stage}\b[^\n]*)", ran.stdout)[-1]
    return suite.run(*shlex.split(printed.rstrip(".")))


def mark(page: Page, checkpoint: str, criterion: str, answer: str) -> None:
    """Mark a criterion of a checkpoint, at the strength that is looked at."""
    group = f'.judge .marks[data-checkpoint="{checkpoint}"][data-criterion="{criterion}"]'
    page.locator(f'{group} button[value="{answer}"]').click()


def save(page: Page, ballot: Path) -> None:
    """Save the ballot."""
    with page.expect_download() as download:
        page.locator("#save").click()
    download.value.save_as(ballot)


def judge(page: Page, ballot: Path) -> None:
    """Rule step 400 out at every strength, take step 600 at the one that passes, and save."""
    for _ in ("0.8", "1", "0.6"):
        mark(page, "step400", "hair", "no")
        page.keyboard.press("l")
    mark(page, "step600", "right_bracer", "no")
    page.keyboard.press("l")
    for criterion in REQUIRED:
        mark(page, "step600", criterion, "yes")
        mark(page, "v0", criterion, "no")
    expect(page.locator("#verdict")).to_contain_text("step 600 at strength 1 is the earliest checkpoint")
    page.locator("#take").click()
    expect(page.locator("#command-hint")).to_contain_text("Save the ballot beside this report")
    assert [] == violations(page)
    save(page, ballot)


def choose(page: Page, checkpoint: str, strength: str, ballot: Path) -> None:
    """Choose against the rule, say why, and save."""
    page.locator(f'#choices input[value="{checkpoint}"]').check()
    page.locator("#choice-strengths label", has_text=re.compile(rf"^\s*{re.escape(strength)}\s*$")).click()
    page.locator("#reason").fill("Softer")
    save(page, ballot)


@pytest.mark.timeout(600)
def test_step_and_strength_are_judged_deployed_proven_and_rolled_back(suite: Suite, open_page: Open) -> None:
    """Each command that is printed can be typed as it stands; production is proven at the strength of the ballot."""
    reports = suite.reports / "demo"
    ballot = reports / "ballot.json"
    generated = suite.run("-m", "generate", "--demo")
    assert 0 == generated.returncode, generated.stdout
    assert "pictures: 96 rendered, 0 reused" in generated.stdout
    assert f"save your ballot in {reports}, then deploy:" in generated.stdout

    refused = typed(suite, generated, "deploy")
    assert (4, True, False) == (
        refused.returncode,
        "Choose checkpoint and strength under Decide on the report page" in refused.stderr,
        "--selected-step" in refused.stderr,
    )
    judge(open_page(reports / "report.html"), ballot)
    assert ("step600", 1.0) == (read_ballot(ballot).choice, read_ballot(ballot).strength)

    deployed = typed(suite, generated, "deploy")
    assert 0 == deployed.returncode, deployed.stdout
    assert "deploying step600 at strength 1" in deployed.stdout
    assert "Deploy another: save a ballot that chooses it and its strength, then " in deployed.stdout
    summary = (reports / "SUMMARY.md").read_text("utf-8")
    for line in (
        "step600 at strength 1 deployed as spyke_plasma_v1",
        "4 checkpoints on 3 prompts beside v0, which is never deployed, at 3 strengths (0.8, 1, 0.6)",
        "better than v0? Yes, by the marks: better in Ginger or orange hair (4 of 4 against 0 of 4)",
        "With the trigger word it changes the picture by",
    ):
        assert line in summary
    verified = typed(suite, deployed, "verify")
    assert 0 == verified.returncode, verified.stdout
    assert "all 6 rows render what was judged, pixel for pixel" in verified.stdout

    choose(open_page(reports / "report.html", viewport={"width": 390, "height": 844}), "final", "0.6", ballot)
    again = typed(suite, deployed, "deploy")
    assert (0, True) == (again.returncode, "deploying final at strength 0.6" in again.stdout), again.stdout
    back = typed(suite, again, "deploy")  # --rollback
    assert 0 == back.returncode, back.stdout
    assert "Production was rolled back from final to step600" in back.stdout
    assert "until you deploy one: save a ballot that chooses it and its strength, then " in back.stdout
    verified = typed(suite, deployed, "verify")
    assert 0 == verified.returncode, verified.stdout
    page = open_page(reports / "deploy.html", viewport={"width": 390, "height": 844})
    assert ([], 390) == (violations(page), page.evaluate("document.documentElement.scrollWidth"))
