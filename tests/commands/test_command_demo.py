"""The README's first commands, on the embedded stand-in; and the suite's own tests, which leave reports alone."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.commands.looking import Result, counts, snapshot, together, told
from tests.planning_tool import ask_tool, needs_tool
from tests.small_plan import Suite

pytestmark = pytest.mark.slow

SUMMARY = """
[summary]
phase = "08-lora"
plan = "03"
subsystem = "lora"

[summary.requirements]
LORA-05 = ["no_forbidden_lora_on_disk"]
"""
OLD = b"the report of an earlier run"


@pytest.fixture(scope="module")
def folder(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the small plan in it."""
    folder = tmp_path_factory.mktemp("demo") / "plan"
    shutil.copytree(made_plan, folder)
    return folder


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, Result]:
    """Run the three commands of a demonstration one after the other, and the suite's own tests beside them."""
    suite = Suite(plan_file=folder / "plan.toml")

    def demonstrate() -> list[Result]:
        stages = (["generate"], ["deploy", "--selected-step=final"], ["verify"])
        return [suite.run("-m", *stage, "--demo") for stage in stages]

    def test_ourselves() -> list[Result]:
        other = folder.parent / "own"
        other.mkdir()
        for page in ("report.html", "deploy.html"):
            (other / page).write_bytes(OLD)
        return [suite.run(f"--reports={other}", "tests/plugins/render/test_render_live.py")]

    results = together({"demo": demonstrate, "own": test_ourselves})
    return dict(zip(("generate", "deploy", "verify", "own"), [*results["demo"], *results["own"]], strict=True))


def test_the_demonstration_passes(ran: dict[str, Result]) -> None:
    """generate, deploy and verify pass on the embedded stand-in, and each says that it is simulated."""
    for name in ("generate", "deploy", "verify"):
        assert (0, {"passed"}) == (ran[name].returncode, set(counts(ran[name]))), ran[name]
        assert "SIMULATED: --demo draws its pictures; no LoRA is really tested." in told(ran[name])
    assert 6 == counts(ran["generate"])["passed"]
    assert "a SIMULATED ComfyUI" in told(ran["generate"])
    last = ran["generate"].stdout.rstrip().splitlines()[-1]
    assert "pytest -m deploy --selected-step=STEP" in last
    assert last.endswith(" --demo")


def test_the_demonstration_stays_in_its_folder(ran: dict[str, Result], folder: Path, made_plan: Path) -> None:
    """Everything that a demonstration writes is in REPORTS/demo; the plan's own folders are as they were."""
    del ran
    assert snapshot(made_plan) == snapshot(folder, without=("reports",))
    assert ["demo"] == [path.name for path in (folder / "reports").iterdir()]
    there = {path.relative_to(folder / "reports/demo").as_posix() for path in (folder / "reports/demo").rglob("*")}
    assert {"report.html", "deploy.html", "SUMMARY.md", "contact-sheet.png", "deployment.json"} < there
    assert {"workspace/planning/SUMMARY.md", "workspace/ComfyUI/models/loras/spyke_plasma_v1.safetensors"} < there


def test_the_demonstration_says_so_everywhere(ran: dict[str, Result], folder: Path) -> None:
    """Evidence, report, deployment page, record and summary of a demonstration say that it is one."""
    del ran
    demo = folder / "reports/demo"
    evidence = json.loads((demo / "pictures/step600/forest.json").read_text(encoding="utf-8"))
    assert evidence["server"]["simulated"] is True
    assert json.loads((demo / "deployment.json").read_text(encoding="utf-8"))["simulated"] is True
    for page in ("report.html", "SUMMARY.md"):
        assert "SIMULATED" in (demo / page).read_text(encoding="utf-8")


def test_a_demonstration_deploys_nothing_real(ran: dict[str, Result], folder: Path) -> None:
    """Evidence of a demonstration, carried into the real reports folder, is refused by the gate."""
    del ran
    copy = folder.parent / "real"
    shutil.copytree(folder, copy)
    shutil.copytree(copy / "reports/demo/pictures", copy / "reports/pictures")
    for file in (copy / "reports/demo/workspace/output/loras/spyke").iterdir():
        shutil.copy(file, copy / "output/loras/spyke")
    before = snapshot(copy / "ComfyUI")
    result = partial(Suite(plan_file=copy / "plan.toml").run, "-m", "deploy", "--selected-step=final")()
    assert 4 == result.returncode
    assert "final cannot be deployed: 4 of 4 pictures are missing or did not pass." in told(result)
    assert "step600 x forest: it is SIMULATED" in told(result)
    assert before == snapshot(copy / "ComfyUI")


@needs_tool
def test_planning_tool_takes_no_demonstration_for_completed(
    ran: dict[str, Result], folder: Path, tmp_path: Path
) -> None:
    """The planning tool fails the summary of a demonstration, although all held, and reads no requirement from it."""
    del ran
    shutil.copytree(folder, tmp_path / "plan")
    path = tmp_path / "plan/plan.toml"
    path.write_text(path.read_text(encoding="utf-8") + SUMMARY, encoding="utf-8")
    result = Suite(plan_file=path).run("-m", "deploy", "--selected-step=final", "--demo")
    assert 0 == result.returncode, told(result)
    project = tmp_path / "plan/reports/demo/workspace"
    checked = ask_tool(project, "verify-summary", "planning/SUMMARY.md")
    extracted = ask_tool(project, "summary-extract", "planning/SUMMARY.md")
    assert (False, "failed") == (checked["passed"], checked["checks"]["self_check"])
    assert {"checked": 1, "found": 1, "missing": []} == checked["checks"]["files_created"]
    assert extracted["one_liner"].startswith("SIMULATED")
    assert [] == extracted["requirements_completed"]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """Write one node."""
    return {"class_type": class_type, "inputs": inputs}


OWN: dict[str, Any] = {
    "1": node("UNETLoader", unet_name="dit.safetensors", weight_dtype="default"),
    "2": node("CLIPLoader", clip_name="te/mine.safetensors", type="qwen_image"),
    "3": node("VAELoader", vae_name="vae.safetensors"),
    "4": node("LoraLoaderModelOnly", model=["1", 0], lora_name="speed.safetensors", strength_model=1.0),
    "5": node("ModelSamplingAuraFlow", model=["4", 0], shift=3.0),
    "6": node("CLIPTextEncode", clip=["2", 0], text="a fox"),
    "7": node("CLIPTextEncode", clip=["2", 0], text="blurry"),
    "8": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
    "9": node("RandomNoise", noise_seed=7),
    "10": node("CFGGuider", model=["5", 0], positive=["6", 0], negative=["7", 0], cfg=6.0),
    "11": node("KSamplerSelect", sampler_name="euler"),
    "12": node("BasicScheduler", model=["5", 0], scheduler="normal", steps=2, denoise=1.0),
    "13": node(
        "SamplerCustomAdvanced",
        noise=["9", 0],
        guider=["10", 0],
        sampler=["11", 0],
        sigmas=["12", 0],
        latent_image=["8", 0],
    ),
    "14": node("VAEDecode", samples=["13", 0], vae=["3", 0]),
    "15": node("ImageScaleBy", image=["14", 0], upscale_method="lanczos", scale_by=1.5),
    "16": node("PreviewImage", images=["15", 0]),
}
"""Files of its own for everything, a LoRA beside the tested one, a sampler in parts, a picture that is resized."""


def test_a_demonstration_of_an_own_workflow(folder: Path, tmp_path: Path) -> None:
    """A workflow in a picture that loads files which only a real ComfyUI has is rendered, deployed and verified."""
    shutil.copytree(folder, tmp_path / "plan", ignore=shutil.ignore_patterns("reports"))
    chunks = PngInfo()
    chunks.add_text("prompt", json.dumps(OWN))
    Image.new("RGB", (8, 8)).save(tmp_path / "plan/mine.png", pnginfo=chunks)
    path = tmp_path / "plan/plan.toml"
    text = path.read_text(encoding="utf-8").replace("[comfyui]\n", '[comfyui]\nworkflow = "mine.png"\n')
    path.write_text(text, encoding="utf-8")
    suite = Suite(plan_file=path)
    for stage in (["generate"], ["deploy", "--selected-step=final"], ["verify"]):
        result = suite.run("-m", *stage, "--demo")
        assert (0, {"passed"}) == (result.returncode, set(counts(result))), told(result)
    with Image.open(tmp_path / "plan/reports/demo/pictures/step600/forest.png") as picture:
        assert (96, 96) == picture.size
        sent = json.loads(picture.info["prompt"])
    assert ["speed.safetensors"] == [one["inputs"]["lora_name"] for key, one in sent.items() if key == "4"]


def test_own_tests_leave_reports_alone(ran: dict[str, Result], folder: Path) -> None:
    """The suite's own tests write no report, and leave those of a run as they are."""
    assert 0 == ran["own"].returncode
    own = snapshot(folder.parent / "own")
    assert {"report.html": OLD, "deploy.html": OLD} == own
