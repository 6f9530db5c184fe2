"""The workspace looks as a trainer and a ComfyUI leave it."""

import filecmp
from pathlib import Path

import pytest
from PIL import Image
from safetensors import deserialize

from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from stand_in.networks import lora_shapes
from stand_in.weights import read_header, read_lora, size_of
from stand_in.workspace import Workspace, make_workspace

SPYKE = Path(__file__).parents[2] / "plans" / "spyke.toml"


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Read the plan that the suite ships with."""
    return read_plan(SPYKE)


@pytest.fixture(scope="module")
def workspace(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Make a workspace for it."""
    return make_workspace(plan, tmp_path_factory.mktemp("workspace"))


def test_checkpoints_are_the_plans(plan: Plan, workspace: Workspace) -> None:
    """Every checkpoint of the plan is there, of a size that production allows, and nothing else is."""
    files = {path.name: path.stat().st_size for path in workspace.checkpoints.iterdir()}
    assert {checkpoint.file for checkpoint in plan.checkpoints} == set(files)
    for size in files.values():
        assert plan.production.min_size < size < 1.1 * plan.production.min_size


def test_checkpoints_are_real_safetensors_files(plan: Plan, workspace: Workspace) -> None:
    """The safetensors library opens them; names and shapes are those of a kohya LoRA for SD 1.5."""
    path = workspace.checkpoints / plan.checkpoints[2].file
    header = read_header(path)
    tensors = dict(deserialize(path.read_bytes()))
    assert header.keys() - {"__metadata__"} == tensors.keys()
    rank = int(header["__metadata__"]["ss_network_dim"])
    down = tensors["lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"]
    assert ("F16", [rank, 320]) == (down["dtype"], down["shape"])
    assert 264 * 3 == len(tensors)


def test_headers_tell_the_training(plan: Plan, workspace: Workspace) -> None:
    """Each header names its step, and how far that is of the whole."""
    loras = [read_lora(workspace.checkpoints / checkpoint.file) for checkpoint in plan.checkpoints]
    assert [200, 400, 600, 800, 920] == [round(lora.fraction * 920) for lora in loras]
    assert {"spyke_plasma_v1"} == {lora.trigger for lora in loras}
    assert all(lora.fits_model and lora.fits_clip for lora in loras)
    assert 5 == len({lora.digest for lora in loras})


def test_same_bytes_everywhere(plan: Plan, workspace: Workspace, tmp_path: Path) -> None:
    """Two workspaces hold the very same files."""
    again = make_workspace(plan, tmp_path)
    for place in ("checkpoints", "base_models", "training_images"):
        for path in getattr(workspace, place).iterdir():
            other = getattr(again, place) / path.name
            assert filecmp.cmp(path, other, shallow=False)


def test_what_is_there_stays(plan: Plan, tmp_path: Path) -> None:
    """Making a workspace again touches nothing, and makes again only what was taken away."""
    workspace = make_workspace(plan, tmp_path)
    first, second = (workspace.checkpoints / checkpoint.file for checkpoint in plan.checkpoints[:2])
    first.write_bytes(b"mine")
    second.unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    make_workspace(plan, tmp_path)
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


def test_loras_folder_starts_empty(workspace: Workspace) -> None:
    """Nothing is staged yet, and the base model is there under the name that the plan gives."""
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
