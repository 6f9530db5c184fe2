"""The README's first commands, on the embedded stand-in; and the suite's own tests, which leave reports alone."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.commands.looking import Result, counts, snapshot, together, told
from tests.small_plan import Suite

pytestmark = pytest.mark.slow

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
    assert "final cannot be deployed: 4 of 4 cells stand in the way." in told(result)
    assert "step600 x forest: it is SIMULATED" in told(result)
    assert before == snapshot(copy / "ComfyUI")


def test_a_demonstration_of_an_own_workflow(folder: Path, tmp_path: Path) -> None:
    """A workflow that loads files which only a real ComfyUI has is rendered: the demonstration makes them."""
    graph = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mine.safetensors"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a fox"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "blurry"}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["3", 0],
                "latent_image": ["4", 0],
                "seed": 7,
                "steps": 2,
                "cfg": 6.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "8": {"class_type": "VAELoader", "inputs": {"vae_name": "mine/vae.safetensors"}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["8", 0]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "mine"}},
    }
    shutil.copytree(folder, tmp_path / "plan", ignore=shutil.ignore_patterns("reports"))
    (tmp_path / "plan/mine.json").write_text(json.dumps(graph), encoding="utf-8")
    path = tmp_path / "plan/plan.toml"
    text = path.read_text(encoding="utf-8").replace("[comfyui]\n", '[comfyui]\nworkflow = "mine.json"\n')
    path.write_text(text, encoding="utf-8")
    result = Suite(plan_file=path).run("-m", "generate", "--demo")
    assert (0, 6) == (result.returncode, counts(result)["passed"]), told(result)
    assert (tmp_path / "plan/reports/demo/workspace/ComfyUI/models/vae/mine/vae.safetensors").is_file()


def test_own_tests_leave_reports_alone(ran: dict[str, Result], folder: Path) -> None:
    """The suite's own tests write no report, and leave those of a run as they are."""
    assert 0 == ran["own"].returncode
    own = snapshot(folder.parent / "own")
    assert {"report.html": OLD, "deploy.html": OLD} == own
