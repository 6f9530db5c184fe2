"""A person's own workflow goes the whole way: found, checked, rendered, deployed, proven, and verified later."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stand_in.serving import serve
from tests.commands.looking import Result, told
from tests.small_plan import Posing

pytestmark = pytest.mark.slow

CASES = Path(__file__).parents[1] / "plugins/comfyui/workflows"
SETTINGS = ("base_model", "sampler", "scheduler", "steps", "cfg", "width", "height", "clip_skip")


def own_plan(plan_file: Path, workflow: str) -> None:
    """Name an own workflow in the plan, and leave all settings but the seeds to it."""
    lines = plan_file.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.split(" =")[0] not in SETTINGS]
    text = "\n".join(kept).replace("[comfyui]", f'[comfyui]\nworkflow = "{workflow}"')
    plan_file.write_text(text, encoding="utf-8")


def as_picture(name: str) -> bytes:
    """Write a case as ComfyUI writes a workflow into a picture, small enough to be drawn quickly."""
    text = (
        (CASES / f"{name}.json").read_text(encoding="utf-8").replace("1024", "64").replace("base", "AnythingXL_inkBase")
    )
    notes = PngInfo()
    notes.add_text("prompt", json.dumps(json.loads(text)))
    out = BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=notes)
    return out.getvalue()


def test_two_passes_out_of_a_picture_go_the_whole_way(
    plan_file: Path, run_suite: Callable[..., Result], tmp_path: Path
) -> None:
    """A picture of 1.5 times the latent's size is no fault; what was judged is what is deployed."""
    (tmp_path / "mine.png").write_bytes(as_picture("refused_two_saves"))
    own_plan(plan_file, "mine.png")
    with serve(tmp_path / "ComfyUI", faults=Posing()) as serving:
        generated = run_suite("-m", "generate", f"--comfyui-url={serving.url}")
        deployed = run_suite("-m", "deploy", "--selected-step=600", f"--comfyui-url={serving.url}", timeout=120)
        verified = run_suite("-m", "verify", f"--comfyui-url={serving.url}")
        again = run_suite("-m", "generate", f"--comfyui-url={serving.url}")
    found = (
        "workflow mine.png: prompt -> 2 'Positive'.text; negative -> 3 'Negative'.text; seed -> 5 'KSampler'.seed, "
        "11 'KSampler'.seed; LoRA -> put in behind 1 'CheckpointLoaderSimple'; picture <- 13 'Final'"
    )
    assert 0 == generated.returncode, told(generated)
    assert " ".join(found.split()) in told(generated)
    assert (0, 0) == (deployed.returncode, verified.returncode), told(deployed)
    assert "pictures: 0 rendered, 6 reused" in told(again)
    with Image.open(tmp_path / "reports/pictures/step600/forest.png") as picture:
        assert (96, 96) == picture.size
    assert "Final" in (tmp_path / "reports/SUMMARY.md").read_text(encoding="utf-8")
    assert "picture &lt;- 13" in (tmp_path / "reports/report.html").read_text(encoding="utf-8")


def test_workflow_with_a_class_that_is_not_installed_is_refused(
    plan_file: Path, run_suite: Callable[..., Result], tmp_path: Path
) -> None:
    """Every node that the server lacks is named before anything is staged."""
    graph = json.loads((CASES / "silent_power_lora_loader.json").read_text(encoding="utf-8"))
    graph["10"]["inputs"]["lora_1"]["lora"] = "spyke_plasma_v1.safetensors"
    (tmp_path / "own.json").write_text(json.dumps(graph), encoding="utf-8")
    own_plan(plan_file, "own.json")
    with serve(tmp_path / "ComfyUI", faults=Posing()) as serving:
        result = run_suite("-m", "generate", f"--comfyui-url={serving.url}")
    assert pytest.ExitCode.USAGE_ERROR == result.returncode
    assert "Node 10 'Power Lora Loader (rgthree)': its class 'Power Lora Loader (rgthree)' is not installed" in told(
        result
    )
    assert "ckpt_name is 'base.safetensors', which is not offered there" in told(result)
    assert [] == list((tmp_path / "ComfyUI/models/loras").glob("*.safetensors"))


def test_diffusion_model_is_told_from_a_checkpoint(
    plan_file: Path, run_suite: Callable[..., Result], tmp_path: Path
) -> None:
    """A base model in models/diffusion_models is no typing mistake: the message says what it is and how to go on."""
    folder = tmp_path / "ComfyUI/models/diffusion_models"
    folder.mkdir(exist_ok=True)
    (folder / "flux1-dev.safetensors").write_bytes(b"x")
    text = plan_file.read_text(encoding="utf-8").replace("AnythingXL_inkBase", "flux1-dev")
    plan_file.write_text(text, encoding="utf-8")
    with serve(tmp_path / "ComfyUI", faults=Posing()) as serving:
        result = run_suite("-m", "generate", f"--comfyui-url={serving.url}")
    assert pytest.ExitCode.USAGE_ERROR == result.returncode
    assert "The base model 'flux1-dev' is in models/diffusion_models of" in told(result)
    assert "name that file as `workflow` under [comfyui] in the plan." in told(result)
