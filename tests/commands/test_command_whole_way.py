"""From five checkpoint files to a deployed LoRA, command by command, as the README tells it."""

import hashlib
import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from stand_in.serving import serve
from tests.commands.looking import counts, outcomes, snapshot, told
from tests.commands.whole_way import TEXT, TITLE, Story
from tests.small_plan import Posing, Suite

pytestmark = pytest.mark.slow

CELLS = [
    "baseline-forest",
    "baseline-novel_pose",
    "step600-forest",
    "step600-novel_pose",
    "final-forest",
    "final-novel_pose",
]
PRODUCTION = "ComfyUI/models/loras/spyke_plasma_v1.safetensors"
COPIES = [f"ComfyUI/models/loras/spyke_plasma_v1_{name}.safetensors" for name in ("step600", "final")]
TRAINED = {
    "step600": "output/loras/spyke/spyke_plasma_v1-step00000600.safetensors",
    "final": "output/loras/spyke/spyke_plasma_v1.safetensors",
}


def test_a_server_error_fails_its_cell_alone(story: Story) -> None:
    """A node that raises fails its own cell, with cell, server, node and exception; the others go on."""
    result = story.results["failing"]
    assert (1, {"failed": 1, "passed": 5}) == (result.returncode, counts(result))
    assert "FAILED" == outcomes(result)["test_checkpoint_renders_prompt[final-novel_pose]"]
    assert "final x novel_pose gave no picture. http://127.0.0.1:" in told(result)
    error = r"failed on this picture: node 7 (KSampler) raised torch.OutOfMemoryError: Allocation <script>alert(3)"
    assert error in told(result)
    assert r"\x1b[2J failed" in told(result)
    assert "\x1b[2J" not in result.stdout
    assert set(CELLS) == set(story.rendered["failing"])


def test_a_failed_cell_leaves_no_evidence(story: Story) -> None:
    """The five cells that passed have picture and evidence; the one that failed has neither; the report is there."""
    pictures = [name for name in story.disks["failing"] if name.startswith("reports/pictures/") and name[-1] != "/"]
    expected = [
        f"reports/pictures/{cell.replace('-', '/', 1)}.{ending}" for cell in CELLS[:-1] for ending in ("png", "json")
    ]
    assert sorted(expected) == sorted(pictures)
    assert "reports/report.html" in story.disks["failing"]
    assert "reports/contact-sheet.png" in story.disks["failing"]


@pytest.mark.parametrize("name", ["failing", "resumed"])
def test_markup_in_plan_and_server_text_is_escaped(story: Story, name: str) -> None:
    """Markup in a title, a prompt or a server's message is text in the report, and runs nothing."""
    page = story.disks[name]["reports/report.html"].decode()
    for number in (1, 2, 3):
        assert f"<script>alert({number})" not in page
    assert "<img src=x" not in page
    assert "Spyke &lt;img src=x onerror=alert(1)&gt; LoRA" in page
    assert "standing in a &lt;/script&gt;&lt;script&gt;alert(2)&lt;/script&gt; forest" in page
    assert ("alert(3)" in page) == (name == "failing")


def test_last_failed_renders_that_cell_alone(story: Story) -> None:
    """`--lf` after a failing cell renders that one, beside its baseline that is there, and nothing else."""
    result = story.results["last_failed"]
    assert (0, {"passed": 1}) == (result.returncode, counts(result))
    assert "pictures: 1 rendered, 1 reused" in result.stdout
    assert ["final-novel_pose"] == new_cells(story, "last_failed", "failing")


def test_resuming_reuses_every_picture(story: Story) -> None:
    """A run over finished cells renders nothing, says so with the way to render again, and leaves the pictures."""
    result = story.results["resumed"]
    assert (0, {"passed": 6}) == (result.returncode, counts(result))
    told_in_words = "pictures: 0 rendered, 6 reused; --regenerate renders them again"
    assert told_in_words in result.stdout
    assert "(2 already there)" in result.stdout
    assert [] == new_cells(story, "resumed", "last_failed")
    assert pictures(story, "last_failed") == pictures(story, "resumed")


def test_resuming_makes_no_preview_anew(story: Story) -> None:
    """Previews and the contact sheet are made of the pictures, once."""
    made = story.times["last_failed"]
    previews = {path.stem for path in made if path.suffix == ".webp" and path.parent.name == "step600"}
    assert {"forest", "novel_pose"} == previews
    assert made == story.times["resumed"]
    with Image.open(story.deployed / "reports/previews/step600/forest.webp") as preview:
        assert (64, 64) == preview.size


def test_the_next_command_can_be_typed(story: Story) -> None:
    """The last words are what to look at, and what to type then, on the same plan, folder and server."""
    last = story.results["resumed"].stdout.rstrip().splitlines()[-1]
    reports = story.suite.reports
    typed = shlex.join([sys.executable, "-m", "pytest"])
    assert last.startswith(f"Look at {reports}/report.html, then deploy: {typed} -m deploy --selected-step=STEP ")
    for option in (f"--plan={story.suite.plan_file}", f"--reports={reports}", "--comfyui-url=http://127.0.0.1:"):
        assert option in last


def test_one_column_is_rendered_again(story: Story) -> None:
    """`-k step600 --regenerate` renders step 600 and the baselines that it is compared with again, and no other."""
    result = story.results["regenerated"]
    assert (0, {"passed": 2}) == (result.returncode, counts(result))
    assert "pictures: 4 rendered, 0 reused" in result.stdout
    assert sorted(CELLS[:4]) == sorted(new_cells(story, "regenerated", "resumed"))
    before, after = pictures(story, "resumed"), pictures(story, "regenerated")
    changed = {name for name in after if before[name] != after[name] and name.endswith(".json")}
    assert {f"reports/pictures/{cell.replace('-', '/', 1)}.json" for cell in CELLS[:4]} == changed


def test_deploying_puts_the_selected_bytes_in_production(story: Story) -> None:
    """After deploying step 600 production holds its bytes, the evaluation copies are gone, and nothing else changed."""
    result = story.results["deployed"]
    assert (0, {"passed"}) == (result.returncode, set(counts(result)))
    before, after = story.disks["regenerated"], story.disks["deployed"]
    assert after[TRAINED["step600"]] == after[PRODUCTION]
    assert COPIES == sorted(set(loras(before)) - set(loras(after)), reverse=True)
    assert [PRODUCTION] == loras(after)
    assert pictures(story, "regenerated") == pictures(story, "deployed")
    assert f"deploying step600 {story.suite.plan_file.parent / TRAINED['step600']} -> " in told(result)


def test_deploying_leaves_summary_report_and_record(story: Story) -> None:
    """The summary lies in the reports folder and where the plan wants it; the review page stays as it was."""
    before, after = story.disks["regenerated"], story.disks["deployed"]
    assert after["planning/SUMMARY.md"] == after["reports/SUMMARY.md"]
    summary = after["reports/SUMMARY.md"].decode()
    assert hashlib.sha256(after[TRAINED["step600"]]).hexdigest() in summary
    assert "Every claim of the plan was verified." in summary
    assert r"# Spyke \<img src=x onerror=alert(1)\> LoRA" in summary
    assert {"reports/deploy.html", "reports/deployment.json"} < set(after) - set(before)
    assert before["reports/report.html"] == after["reports/report.html"]
    assert "step600" == json.loads(after["reports/deployment.json"])["selected"]


def test_verifying_passes_and_changes_nothing(story: Story) -> None:
    """`-m verify` later holds every claim, and leaves the disk as it is."""
    result = story.results["verified"]
    assert (0, {"passed"}) == (result.returncode, set(counts(result)))
    assert 9 <= counts(result)["passed"]
    assert story.disks["deployed"] == story.disks["verified"]


def test_another_step_can_be_deployed_afterwards(story: Story, tmp_path: Path) -> None:
    """Deploying the final step replaces step 600, whose bytes the training folder has, and notes what was seen."""
    shutil.copytree(story.deployed, tmp_path, dirs_exist_ok=True)
    seen = ("--observed", "Left *knee* pauldron <b>fine</b>")
    with serve(tmp_path / "ComfyUI", faults=Posing()) as serving:
        suite = Suite(plan_file=tmp_path / "plan.toml")
        result = suite.run("-m", "deploy", "--selected-step=final", *seen, f"--comfyui-url={serving.url}")
    assert (0, {"passed"}) == (result.returncode, set(counts(result))), result
    after = snapshot(tmp_path, without=("data",))
    assert after[TRAINED["final"]] == after[PRODUCTION]
    assert [PRODUCTION] == loras(after)
    summary = after["planning/SUMMARY.md"].decode()
    assert r"> Left \*knee\* pauldron \<b\>fine\</b\>" in summary
    assert "It replaced step600, which the training folder still has." in summary


def test_the_training_folder_is_never_touched(story: Story) -> None:
    """Whatever was run, the training outputs are the bytes that the trainer left."""
    for disk in story.disks.values():
        for name in TRAINED.values():
            assert story.disks["nothing"][name] == disk[name]


def test_evidence_tells_what_was_asked(story: Story) -> None:
    """The evidence holds the prompt as the plan has it, and is not marked as simulated."""
    evidence = json.loads(story.disks["resumed"]["reports/pictures/final/forest.json"])
    assert (TEXT, False) == (evidence["prompt_text"], evidence["server"]["simulated"])
    assert TITLE in story.suite.plan_file.read_text(encoding="utf-8")


def new_cells(story: Story, name: str, before: str) -> list[str]:
    """Name the cells that a command had rendered."""
    cells = story.rendered[name][len(story.rendered[before]) :]
    return [cell for cell in cells if not cell.endswith("-again")]


def pictures(story: Story, name: str) -> dict[str, bytes]:
    """Return the pictures and their evidence as they were after a command."""
    return {file: data for file, data in story.disks[name].items() if file.startswith("reports/pictures/")}


def loras(disk: dict[str, bytes]) -> list[str]:
    """Name the files in the loras folder."""
    return [name for name in disk if name.startswith("ComfyUI/models/loras/") and name[-1] != "/"]
