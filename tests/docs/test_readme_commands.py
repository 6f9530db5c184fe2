"""Each command block of the README can be pasted as it is, in its order."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from plugins.loras.copying import digest_of
from plugins.plan.reading import read_plan
from stand_in.serving import serve
from tests.lora_files import XL, kohya, write_file
from tests.small_plan import ROOT, Posing

README = (ROOT / "README.md").read_text(encoding="utf-8")
posix = pytest.mark.skipif(os.name == "nt", reason="these blocks are for Linux and macOS")


def blocks(title: str) -> list[str]:
    """Return the command blocks of a section."""
    section = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [re.sub(r"(?m)^ +", "", block).strip() for block in re.findall(r"(?ms)^ *```\n(.*?)```", section)]


def paste(block: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run a block in a shell, and return what it printed; fail where a command of it does."""
    given = {key: value for key, value in os.environ.items() if key not in {"PYTEST_ADDOPTS", "VIRTUAL_ENV", "CI"}}
    result = subprocess.run(
        ["sh", "-e", "-c", block],
        cwd=folder,
        env={**given, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert 0 == result.returncode, f"{block}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what a clone has: the files that git tracks, and those that it soon will."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no clone: git lists no files here")
    for name in filter(None, listed.stdout.split("\0")):
        if not re.match("tests/(?!acceptance/).*/", name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def save_ballot(reports: Path, choice: str) -> Path:
    """Save what the page saves for a person who chose this checkpoint and marked nothing."""
    pictures = sorted((reports / "pictures").glob("*/*.png"))
    ballot = {
        "format": 1,
        "plan": json.loads(pictures[0].with_suffix(".json").read_text(encoding="utf-8"))["plan"],
        "simulated": True,
        "saved": "2025-11-22T20:30:00Z",
        "marks": {},
        "notes": {"checkpoints": {}, "cells": {}},
        "choice": choice,
        "reason": "",
        "suggestion": {"checkpoint": None, "reason": ""},
        "blind": None,
        "pictures": {f"{picture.parent.name}-{picture.stem}": digest_of(picture) for picture in pictures},
    }
    file = reports / "ballot.json"
    file.write_text(json.dumps(ballot), encoding="utf-8")
    return file


def test_readme_is_short() -> None:
    """The README has at most 1,100 words; what else there is to say stands in docs/."""
    assert len(README.split()) <= 1100


@posix
@pytest.mark.slow
def test_demo_is_a_minute(clone: Path) -> None:
    """From a fresh clone: the demo, a ballot, its deployment, a verification, another deployment, and back."""
    here, _windows, chosen, another = blocks("Try it in a minute")
    assert re.search(r"(?m)^=+ 18 passed", paste(here, clone, {}))
    assert (clone / "reports/demo/report.html").is_file()
    path = {"PATH": f"{clone / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"}
    ballot = save_ballot(clone / "reports/demo", "step800")
    assert 2 == len(re.findall(r"(?m)^=+ .*\d+ passed", printed := paste(chosen, clone, path)))
    assert "step800 is in production" in printed
    ballot.rename(clone / "ballot.json")
    assert 2 == len(re.findall(r"(?m)^=+ .*\d+ passed", printed := paste(another, clone, path)))
    assert "rolled back from step400 to step800" in printed


def test_windows_block_says_the_same() -> None:
    """The block for Windows is the other one, in Windows' words."""
    here, windows, *_ = blocks("Try it in a minute")
    assert windows == (here.replace("python3", "py").replace(" && ", "; ").replace(".uv/bin/", ".uv\\Scripts\\"))


@posix
@pytest.mark.slow
def test_own_lora_goes_the_whole_way(clone: Path, tmp_path: Path) -> None:
    """The blocks of "Your LoRA" run in their order, from a training folder to a verified deployment.

    The server and the choice, which a person has in ComfyUI and on the page, are given beside them.
    """
    training = tmp_path / "training/kira/output"
    for name in ("kira-000005.safetensors", "kira-000010.safetensors", "kira.safetensors"):
        write_file(training / name, kohya(XL), {"ss_sd_model_name": "AnythingXL_inkBase.safetensors"}, seed=name)
    home = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    plan_block, rehearsal, generating, deploying, verifying = blocks("Your LoRA")
    paste(plan_block, clone, home)
    paste(rehearsal, clone, home)
    workspace = clone / "reports/kira/demo/workspace/ComfyUI"
    comfyui = tmp_path / "ComfyUI"
    shutil.copytree(workspace, comfyui, ignore=shutil.ignore_patterns("output", "kira*"))
    assert read_plan(clone / "plans/kira.toml").production.file
    with serve(comfyui, faults=Posing()) as serving:
        options = f"--comfyui-url={serving.url} --comfyui-dir={comfyui}"
        paste(generating, clone, {**home, "PYTEST_ADDOPTS": options})
        paste(deploying, clone, {**home, "PYTEST_ADDOPTS": f"{options} --selected-step=final"})
        paste(verifying, clone, {**home, "PYTEST_ADDOPTS": options})
