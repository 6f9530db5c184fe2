"""The folders of a run: what is meant where another than ComfyUI's own was named."""

from pathlib import Path

import pytest

from plugins.generate.folders import FolderError, lock_folders
from plugins.plan.plan import Plan


def at(plan: Plan, comfyui: Path, loras: Path | None = None) -> Plan:
    """Return the plan with another ComfyUI folder, as --comfyui-dir has it."""
    paths = plan.paths.model_copy(update={"comfyui": comfyui, "loras": loras or comfyui / "models" / "loras"})
    return plan.model_copy(update={"paths": paths})


@pytest.fixture
def portable(tmp_path: Path) -> Path:
    """Return the outer folder of a portable ComfyUI."""
    outer = tmp_path / "ComfyUI_windows_portable"
    for name in ("models/loras", "custom_nodes"):
        (outer / "ComfyUI" / name).mkdir(parents=True)
    (outer / "ComfyUI" / "main.py").touch()
    return outer


@pytest.mark.parametrize("named", ["", "ComfyUI/models", "ComfyUI/models/loras", "ComfyUI/main.py"])
def test_folder_beside_comfyuis_own_is_answered_with_that(
    plan: Plan, portable: Path, named: str, tmp_path: Path
) -> None:
    """A portable's outer folder, `models` and main.py are refused with the right folder, and nothing is made there."""
    before = sorted(portable.rglob("*"))
    with pytest.raises(FolderError) as caught:
        lock_folders(at(plan, portable / named), tmp_path / "reports")
    assert f"Name that one: --comfyui-dir={portable / 'ComfyUI'}" in str(caught.value)
    assert before == sorted(portable.rglob("*"))


def test_folder_that_is_comfyuis_own_is_used(plan: Plan, portable: Path, tmp_path: Path) -> None:
    """ComfyUI's own folder is used; another whose loras folder the plan names need not have models."""
    lock_folders(at(plan, portable / "ComfyUI"), tmp_path / "reports").close()
    lock_folders(at(plan, portable, portable / "ComfyUI/models/loras"), tmp_path / "reports").close()
