"""The workspace looks as a trainer and a ComfyUI leave it."""

import ast
import filecmp
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors import deserialize

from stand_in.models import make_models
from stand_in.networks import lora_shapes
from stand_in.training import TrainingRun, TrainingRunError
from stand_in.weights import read_header, read_lora, size_of
from stand_in.workspace import Workspace, make_workspace

ROOT = Path(__file__).parents[2]
RUN = TrainingRun()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Make a workspace for the default training run."""
    return make_workspace(RUN, tmp_path_factory.mktemp("workspace"))


def test_it_imports_nothing_of_the_suite() -> None:
    """Every module of the stand-in is imported without loading anything of `plugins` or pytest."""
    modules = ", ".join(f"stand_in.{path.stem}" for path in (ROOT / "stand_in").glob("[!_]*.py"))
    script = f"import sys, stand_in.__main__, {modules}\n"
    script += "print([name for name in sys.modules if name.split('.')[0] in {'plugins', 'pytest', 'tests'}])"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "[]" == result.stdout.strip()


def test_no_late_import_of_the_suite() -> None:
    """No module of the stand-in imports `plugins` inside a function either."""
    sources = (ROOT / "stand_in").glob("*.py")
    trees = {path.name: ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for path in sources}
    imported = {
        (name, module)
        for name, nodes in trees.items()
        for node in nodes
        for module in _modules(node)
        if module.split(".")[0] in {"plugins", "tests", "pytest"}
    }
    assert set() == imported


def _modules(node: ast.AST) -> list[str]:
    """Name the modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("run", [RUN, TrainingRun(name="é", checkpoints={"a/b.safetensors": 1}, min_size=0)], ids=repr)
def test_a_run_is_handed_over_whole(run: TrainingRun) -> None:
    """A training run written as JSON is read as the same run."""
    assert run == TrainingRun.from_json(run.to_json())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "Invalid JSON"),
        ('{"nom": "x"}', "nom"),
        ('{"checkpoints": {"a": "many"}}', "checkpoints.a"),
    ],
)
def test_what_is_no_run_is_refused(text: str, reason: str) -> None:
    """A text that describes no training run is refused, naming what is wrong."""
    with pytest.raises(TrainingRunError, match=reason):
        TrainingRun.from_json(text)


def test_checkpoints_are_the_runs(workspace: Workspace) -> None:
    """Every checkpoint of the run is there, of the size that it asks for, and nothing else is."""
    files = {path.name: path.stat().st_size for path in workspace.checkpoints.iterdir()}
    assert set(RUN.checkpoints) == set(files)
    for size in files.values():
        assert RUN.min_size < size < 1.1 * RUN.min_size


def test_checkpoints_are_real_safetensors_files(workspace: Workspace) -> None:
    """The safetensors library opens them; names and shapes are those of a kohya LoRA for SD 1.5."""
    path = workspace.checkpoints / list(RUN.checkpoints)[2]
    header = read_header(path)
    tensors = dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]  # safetensors has no types for it
    assert header.keys() - {"__metadata__"} == tensors.keys()
    rank = int(header["__metadata__"]["ss_network_dim"])
    down = tensors["lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"]
    assert ("F16", [rank, 320]) == (down["dtype"], down["shape"])
    assert 264 * 3 == len(tensors)


def test_headers_tell_the_training(workspace: Workspace) -> None:
    """Each header names its step, and how far that is of the whole."""
    loras = [read_lora(workspace.checkpoints / file) for file in RUN.checkpoints]
    assert [200, 400, 600, 800, 920] == [round(lora.fraction * 920) for lora in loras]
    assert {"spyke_plasma_v1"} == {lora.trigger for lora in loras}
    assert all(lora.fits_model and lora.fits_clip for lora in loras)
    assert 5 == len({lora.digest for lora in loras})


def test_same_bytes_everywhere(workspace: Workspace, tmp_path: Path) -> None:
    """Two workspaces hold the very same files."""
    again = make_workspace(RUN, tmp_path)
    for place in ("checkpoints", "base_models", "training_images"):
        for path in getattr(workspace, place).iterdir():
            other = getattr(again, place) / path.name
            assert filecmp.cmp(path, other, shallow=False)


def test_what_is_there_stays(tmp_path: Path) -> None:
    """Making a workspace again touches nothing, and makes again only what was taken away."""
    workspace = make_workspace(RUN, tmp_path)
    first, second = (workspace.checkpoints / file for file in list(RUN.checkpoints)[:2])
    first.write_bytes(b"mine")
    second.unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    make_workspace(RUN, tmp_path)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert {second} == after.keys() - before.keys()
    assert before == {path: after[path] for path in before}


def test_training_images_and_marker(workspace: Workspace) -> None:
    """There are training images to look at, and a file that says what the folder is."""
    images = sorted(workspace.training_images.glob("*.png"))
    assert 9 == len(images)
    with Image.open(images[0]) as image:
        assert (512, 512) == image.size
    assert "stand-in" in (workspace.folder / "SIMULATED.txt").read_text(encoding="utf-8")


def test_models_of_a_workflow(tmp_path: Path) -> None:
    """The files that a workflow names are made where its nodes list them, but for those that somebody else puts in."""
    workflow = {
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux/dit.safetensors", "weight_dtype": "default"}},
        "2": {
            "class_type": "DualCLIPLoader",
            "inputs": {"clip_name1": "l.safetensors", "clip_name2": "../t5"},
        },
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "pixel_space"}},
        "4": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "speed.safetensors", "model": ["1", 0]}},
        "5": {"class_type": "LoraLoaderModelOnly", "inputs": {"lora_name": "mine.safetensors", "model": ["4", 0]}},
        "6": {"class_type": "LoadImage", "inputs": {"image": "pose.png"}},
        "7": {"class_type": "SomebodysLoader", "inputs": {"name": "what.safetensors"}},
    }
    run = TrainingRun(checkpoints={}, workflow=workflow, left_out=("mine.safetensors",), base_model="base.safetensors")
    comfyui = make_workspace(run, tmp_path).comfyui
    files = {path.relative_to(comfyui).as_posix() for path in comfyui.rglob("*") if path.is_file()}
    assert {
        "models/checkpoints/base.safetensors",
        "models/diffusion_models/base.safetensors",
        "models/diffusion_models/flux/dit.safetensors",
        "models/text_encoders/l.safetensors",
        "models/loras/speed.safetensors",
        "input/pose.png",
    } == files
    assert 0.0 == read_lora(comfyui / "models/loras/speed.safetensors").fraction


@pytest.mark.parametrize("workflow", [{}, {"1": 1}, {"1": {}}, {"1": {"class_type": [], "inputs": {}}}], ids=repr)
def test_what_is_no_workflow_names_no_models(tmp_path: Path, workflow: dict[str, Any]) -> None:
    """A broken workflow is left to whoever fills it."""
    make_models(TrainingRun(checkpoints={}, workflow=workflow), tmp_path)
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_loras_folder_starts_empty(workspace: Workspace) -> None:
    """Nothing is staged yet, and the base model is there under its name."""
    assert [] == list(workspace.loras.iterdir())
    assert ["AnythingXL_inkBase.safetensors"] == [path.name for path in workspace.base_models.iterdir()]


@pytest.mark.parametrize(
    ("at_least", "at_most"), [(0, 2**63), (0, 100_000), (50_000_000, 200_000_000), (150_000_000, 160_000_000)]
)
def test_lora_fits_its_bounds(at_least: int, at_most: int) -> None:
    """Shapes are found between the bounds, for model and text encoder alike."""
    _, shapes = lora_shapes(at_least, at_most)
    assert at_least <= size_of(shapes) <= at_most
    assert any(name.startswith("lora_te_") for name in shapes)
    assert any(name.startswith("lora_unet_") for name in shapes)
