"""`pytest -m deploy --rollback`, as a person types it."""

import shutil
from pathlib import Path

import pytest

from plugins.loras import journal
from plugins.loras.copying import digest_of
from plugins.plan.reading import read_plan
from stand_in.serving import serve
from tests.small_plan import Posing, Suite

pytestmark = pytest.mark.slow

PLANNED_WORK = """
[publish]
copy = "dist"
trigger_words = ["spyke_plasma_v1"]

[summary]
phase = "08-spyke-lora-training"
plan = "03"
subsystem = "lora"

[summary.requirements]
TESTED = ["every_checkpoint_was_tested_on_every_prompt", "selection_has_a_reason"]
IN_PRODUCTION = ["production_lora_is_present", "picker_lists_production_lora"]
"""


@pytest.fixture(scope="module")
def told(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Generate, deploy final, deploy step600, take that back, verify, and take back once more; say what each told."""
    folder = tmp_path_factory.mktemp("rollback") / "plan"
    shutil.copytree(made_plan, folder)
    with (folder / "plan.toml").open("a", encoding="utf-8") as file:
        file.write(PLANNED_WORK)
    suite, plan = Suite(plan_file=folder / "plan.toml"), read_plan(folder / "plan.toml")
    final = plan.checkpoint("final")
    assert final
    results: dict[str, tuple[int, str]] = {}
    with serve(plan.paths.comfyui, faults=Posing()) as serving:

        def go(name: str, *arguments: str) -> None:
            result = suite.run(*arguments, f"--comfyui-url={serving.url}")
            held = digest_of(plan.production_file)[:12] if plan.production_file.exists() else ""
            results[name] = int(result.returncode), f"{result.stdout}{result.stderr}\nproduction: {held}"

        go("generate", "-m", "generate")
        go("too-early", "-m", "deploy", "--rollback")
        go("final", "-m", "deploy", "--selected-step=final")
        go("600", "-m", "deploy", "--selected-step=600", "--observed=The crouch holds")
        results["planned"] = 0, (folder / "planning" / "SUMMARY.md").read_text(encoding="utf-8")
        go("publish", "-m", "publish")
        results["published"] = 0, published(folder)
        go("verify-published", "-m", "verify")
        go("with-a-step", "-m", "deploy", "--rollback", "--selected-step=600")
        go("rollback", "-m", "deploy", "--rollback")
        results["withdrawn"] = 0, published(folder)
        go("verify", "-m", "verify")
        go("again", "-m", "deploy", "--rollback")
        results["planning"] = 0, " ".join(sorted(one.name for one in (folder / "planning").iterdir()))
        results["summary"] = 0, (suite.reports / "SUMMARY.md").read_text(encoding="utf-8")
        results["page"] = 0, (suite.reports / "deploy.html").read_text(encoding="utf-8")
        go("600-once-more", "-m", "deploy", "--selected-step=600")
        journal.begin(
            plan.training_file(final),
            plan.production_file,
            sha256=digest_of(plan.training_file(final)),
            is_rollback=True,
        )
        go("after-a-kill", "-m", "deploy", "--rollback")
    results["digest"] = 0, digest_of(plan.training_file(final))[:12]
    return results


def published(folder: Path) -> str:
    """Name what lies beside production, and in the copy's folder."""
    top = (folder / "ComfyUI/models/loras", folder / "dist")
    files = {path.name for one in top for path in one.rglob("*") if path.is_file() and path.suffix != ".lock"}
    return " ".join(sorted(files - {"spyke_plasma_v1_step600.safetensors", "spyke_plasma_v1_final.safetensors"}))


def test_what_is_published_goes_with_its_production(told: dict[str, tuple[int, str]]) -> None:
    """-m publish writes what the plan names, verifying says that it is production's, and a rollback takes it back."""
    code, text = told["publish"]
    assert (0, True) == (code, "1 passed" in text), text
    assert (
        "README.md final.png spyke_plasma_v1.civitai.info spyke_plasma_v1.json spyke_plasma_v1.metadata.json "
        "spyke_plasma_v1.preview.png spyke_plasma_v1.safetensors step600.png" == told["published"][1]
    )
    assert (0, True) == (told["verify-published"][0], "12 passed" in told["verify-published"][1])
    assert "8 published files of step600 removed. Publish again: " in told["rollback"][1]
    assert "-m pytest -m publish --plan=" in told["rollback"][1]
    assert "spyke_plasma_v1.safetensors" == told["withdrawn"][1]


def test_the_last_deployment_is_taken_back(told: dict[str, tuple[int, str]]) -> None:
    """The former checkpoint is in production again, what a rollback does not do is left out, and it is summed up."""
    assert 0 == told["600"][0]
    code, text = told["rollback"]
    assert 0 == code, text
    assert "rolling back step600" in text
    assert "8 passed, 15 deselected" in text
    assert " to final on " in text
    assert "No checkpoint is selected until you deploy one: " in text
    assert text.endswith(f"production: {told['digest'][1]}")
    assert told["summary"][1].startswith("# Spyke LoRA, small: rolled back to final\n")
    page = told["page"][1]
    assert "Rolled back to final, step 920</h1>" in page
    assert "pytest -m deploy --selected-step=STEP --plan=" in page
    assert '<span class="purpose">A novel pose</span>' in page


def test_the_planned_work_is_complete_until_it_is_rolled_back(told: dict[str, tuple[int, str]]) -> None:
    """The deployment's summary completes what its claims prove; the rollback leaves none that does."""
    text = told["planned"][1]
    assert 'requirements-completed:\n  - "TESTED"\n  - "IN_PRODUCTION"\n' in text
    assert text.endswith("## Self-Check: PASSED\n\nEvery claim of the plan was verified in this run.\n")
    assert "ROLLBACK.md" == told["planning"][1]


def test_verifying_says_that_it_was_rolled_back(told: dict[str, tuple[int, str]]) -> None:
    """Production as it was before is as it should be: no checkpoint counts as selected, and that is said."""
    code, text = told["verify"]
    assert 0 == code, text
    assert "Production holds final, as before step600 was deployed: it was put back on " in text
    assert "No checkpoint is selected until you deploy one." in text


def test_a_rollback_that_was_killed_is_done_from_its_start(told: dict[str, tuple[int, str]]) -> None:
    """What was to be taken out is put back first, and then taken out: it never counts as the former file."""
    code, text = told["after-a-kill"]
    assert 0 == code, text
    assert "An earlier rollback was stopped before it was proven. The former " in text
    assert "rolling back step600" in text
    assert text.endswith(f"production: {told['digest'][1]}")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("too-early", "No deployment is on record"),
        ("with-a-step", "--rollback finds by itself what was in production before the last deployment"),
        ("again", "There is nothing more to roll back. Nothing was changed."),
    ],
)
def test_rollback_that_makes_no_sense_is_told(told: dict[str, tuple[int, str]], name: str, words: str) -> None:
    """Where there is nothing to take back, or a step was named, the command says so and changes nothing."""
    code, text = told[name]
    assert pytest.ExitCode.USAGE_ERROR == code
    assert words in text
