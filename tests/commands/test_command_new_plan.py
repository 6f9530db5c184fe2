"""`pytest --new-plan=FOLDER` as a person types it: a plan is written and said, and it can be tried out at once."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from stand_in.serving import serve
from tests.commands.looking import Result, counts, told
from tests.lora_files import FLUX, XL, Shapes, kohya, peft, write_file
from tests.small_plan import Posing, Suite

pytestmark = pytest.mark.slow

FOLDERS: dict[str, tuple[Shapes, tuple[str, ...]]] = {
    "kohya": (kohya(XL), ("kira-000005.safetensors", "kira-000010.safetensors", "kira.safetensors")),
    "toolkit": (peft(FLUX), ("kira_000000250.safetensors", "kira_000000500.safetensors", "kira.safetensors")),
    "pipe": (kohya(XL), ("epoch5/adapter_model.safetensors", "epoch20/adapter_model.safetensors")),
}


def leave(folder: Path, kind: str) -> Path:
    """Write a training folder."""
    shapes, names = FOLDERS[kind]
    for name in names:
        write_file(folder / name, shapes, {"ss_sd_model_name": "AnythingXL_inkBase.safetensors"}, seed=name)
    return folder


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """Return the suite with a plan that is not there yet."""
    return Suite(plan_file=tmp_path / "new" / "kira.toml")


@pytest.mark.parametrize("kind", FOLDERS)
def test_written_plan_is_tried_out_at_once(suite: Suite, tmp_path: Path, kind: str) -> None:
    """The plan of each trainer's folder is written and said, and `--demo` renders all of it."""
    written = suite.run(f"--new-plan={leave(tmp_path / kind, kind)}")
    tried = suite.run("-m", "generate", "--demo", timeout=110)

    checkpoints = len(FOLDERS[kind][1])
    assert 0 == written.returncode, written
    assert f"Found {checkpoints} checkpoints" in written.stdout
    assert f"pytest -m generate --plan={suite.plan_file} --reports={suite.reports} --demo" in written.stdout
    assert (0, {"passed": 3 * (checkpoints + 1)}) == (tried.returncode, counts(tried)), tried


def test_plan_is_never_overwritten(suite: Suite, tmp_path: Path) -> None:
    """A plan that is there stays, with exit 4 and a name that is free."""
    suite.plan_file.parent.mkdir()
    suite.plan_file.write_text("mine", encoding="utf-8")

    result = suite.run(f"--new-plan={leave(tmp_path / 'out', 'kohya')}")

    assert (4, "mine") == (result.returncode, suite.plan_file.read_text(encoding="utf-8"))
    assert f"Name another: --plan={suite.plan_file.with_name('kira-2.toml')}" in told(result)


def test_folder_without_checkpoints_is_refused(suite: Suite, tmp_path: Path) -> None:
    """A folder that holds none ends with 4 and says so; nothing is written."""
    result = suite.run(f"--new-plan={tmp_path}")

    assert (4, False) == (result.returncode, suite.plan_file.exists())
    assert f"{tmp_path} holds no LoRA checkpoints, up to two levels deep." in told(result)


def test_server_that_answers_is_asked(suite: Suite, tmp_path: Path, plan: Plan) -> None:
    """A ComfyUI that answers is asked for base model and sampler, and the plan names it and its folder."""
    folder = leave(tmp_path / "out", "kohya")
    with serve(plan.paths.comfyui, faults=Posing()) as serving:
        where = f"--comfyui-url={serving.url}", f"--comfyui-dir={plan.paths.comfyui}"
        result = suite.run(f"--new-plan={folder}", *where)

    written = read_plan(suite.plan_file)
    assert (serving.url, plan.paths.comfyui) == (written.comfyui.url, written.paths.comfyui)
    assert f"{serving.url} has AnythingXL_inkBase.safetensors, the sampler and the scheduler." in told(result)


def test_doubts_are_said_before_the_first_picture_and_on_the_report(
    plan_file: Path, run_suite: Callable[..., Result], stand_in: Callable[..., object]
) -> None:
    """Sizes that production would not allow are a warning at the top of the terminal and of the report."""
    text = plan_file.read_text(encoding="utf-8").replace('min_size = "1 kB"', 'min_size = "150 MB"')
    plan_file.write_text(text, encoding="utf-8")

    result: subprocess.CompletedProcess[str] = run_suite("-m", "generate", f"--comfyui-url={stand_in().url}")  # type: ignore[attr-defined]

    lines = result.stdout.splitlines()
    warnings = [index for index, line in enumerate(lines) if line.startswith("warning: checkpoint step600 has ")]
    assert 1 == len(warnings)
    assert warnings[0] < next(index for index, line in enumerate(lines) if line.startswith("tests/acceptance/"))
    assert "[production] wants at least 150 MB" in lines[warnings[0]]
    page = (plan_file.parent / "reports/report.html").read_text(encoding="utf-8")
    assert "[production] wants at least 150 MB" in json.dumps(page)
