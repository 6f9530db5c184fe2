"""From the matrix to production by way of the page: render, judge by keys, save the ballot, deploy by it."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from playwright.sync_api import Page, expect

from stand_in.serving import Serving
from tests.browser.axe import violations
from tests.browser.conftest import Open
from tests.plugins.review.ballots import read_ballot

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BRACER = """
[[criterion]]
id = "bracer"
text = "RIGHT arm bracer"
required = true
prompts = ["novel_pose"]
"""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is where it is wanted."""
    for _ in range(60):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"Tab does not come to {selector}")


def judge(page: Page, ballot: Path) -> None:
    """Mark both checkpoints by keys, take the rule's choice, say why, and save."""
    tab_to(page, ".picture")  # the first "n" finds nothing open on its prompt, and changes nothing
    for key in ("ArrowRight", "Enter", "y", "n", "ArrowDown", "y", "y", "ArrowRight", "n", "u", "Escape"):
        page.keyboard.press(key)
    tab_to(page, "#take")
    page.keyboard.press("Enter")
    tab_to(page, "#reason")
    page.keyboard.type("Bracer there, pose holds")
    expect(page.locator("#command")).to_contain_text("-m deploy --selected-step=600")
    tab_to(page, "#save")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(ballot)


def shows_the_proof(page: Page) -> None:
    """See that deploy.html holds production's pictures against the judged ones, for everyone, on a phone too."""
    assert "step 600 deployed as spyke_plasma_v1" == page.locator("h1").first.inner_text()
    proof = page.locator("figure").nth(1)
    expect(proof).to_contain_text("A novel pose")
    expect(proof.locator(".verdict")).to_have_text("the judged picture, pixel for pixel")
    assert ["The judged picture of step 600: A novel pose", "What production renders: A novel pose"] == proof.locator(
        "img"
    ).evaluate_all("images => images.filter(image => image.naturalWidth).map(image => image.alt)")
    assert ["pictures/step600/novel_pose.png", "proof/novel_pose.png"] == proof.locator("a").evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"
    )
    claims = page.locator(".verified li")
    assert claims.count() > 5
    assert ["passed"] == list(dict.fromkeys(claims.evaluate_all("all => all.map(one => one.className)")))
    expect(page.locator("#deployment")).to_contain_text("Nothing was in production before")
    page.locator(".summary summary").click()
    expect(page.locator(".summary pre")).to_contain_text("Reason: Bracer there, pose holds.")
    assert [] == violations(page)
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    assert [] == violations(page, "#deployment")
    assert 390 == page.evaluate("document.documentElement.scrollWidth")


@pytest.mark.timeout(240)
def test_deployed_is_what_was_judged_on_the_page(
    plan_file: Path,
    stand_in: Callable[..., Serving],
    run_suite: Callable[..., CompletedProcess[str]],
    open_page: Open,
) -> None:
    """A ballot saved from the page deploys its choice and is told in the summary; a false one stops the deployment."""
    plan_file.write_text(plan_file.read_text("utf-8") + BRACER, "utf-8")
    reports, server = plan_file.parent / "reports", f"--comfyui-url={stand_in().url}"
    ballot = reports / "ballot.json"
    assert 0 == run_suite("-m", "generate", server).returncode
    judge(open_page(reports / "report.html"), ballot)
    assert {"hair": "yes", "bracer": "yes"} == read_ballot(ballot).answers("step600")

    broken = plan_file.parent / "broken.json"
    broken.write_bytes(ballot.read_bytes()[:200])
    refused = run_suite("-m", "deploy", "--selected-step=600", server, f"--ballot={broken}")
    assert 4 == refused.returncode
    assert f"The ballot {broken} is not JSON" in refused.stderr

    deployed = run_suite("-m", "deploy", server)  # the ballot's choice
    assert 0 == deployed.returncode, deployed.stdout
    assert f"chosen by the ballot {ballot}" in deployed.stdout
    summary = (reports / "SUMMARY.md").read_text("utf-8")
    for line in (
        "Reason: Bracer there, pose holds.",
        "| Ginger or orange hair (required) | yes (2 of 2: at least 34 %) | no (0 of 1: at most 79 %) |",
        "| RIGHT arm bracer (required) | yes (1 of 1: at least 21 %) | unsure (0 of 1: at most 79 %) |",
        "- A novel pose: RIGHT arm bracer: yes",
    ):
        assert line in summary

    shows_the_proof(open_page(reports / "deploy.html"))

    assert 0 == run_suite("-m", "generate", "--regenerate", "-k", "step600-novel_pose", server).returncode
    refused = run_suite("-m", "deploy", "--selected-step=final", server)
    assert 4 == refused.returncode
    assert "picture" not in refused.stderr.partition("Nothing was deployed")[0]  # the same pixels, in another file
    assert "it chose step600, and final was typed" in refused.stderr

    raw = json.loads(ballot.read_text("utf-8"))
    raw["pictures"]["step600-novel_pose"] = {"file": "0" * 64, "pixels": "0" * 64}
    ballot.write_text(json.dumps(raw), "utf-8")
    refused = run_suite("-m", "deploy", server)
    assert 4 == refused.returncode
    assert "step600 x novel_pose: picture 00000000 was judged, and now it is" in refused.stderr
    assert "forest: picture" not in refused.stderr
