"""A small plan with real files, a stand-in to render it on, and this suite as a person runs it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from aiohttp import web

from plugins.demo.faults import Faults
from plugins.demo.serving import Serving, serve
from plugins.demo.workspace import make_workspace
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan

ROOT = Path(__file__).parents[2]

PLAN = """
name = "spyke_plasma_v1"
title = "Spyke LoRA, small"

[paths]
project = "."
checkpoints = "output/loras/spyke"
comfyui = "ComfyUI"
training_images = "data/spyke"
summary = "planning/SUMMARY.md"

[comfyui]
url = "http://127.0.0.1:9"

[sampling]
base_model = "AnythingXL_inkBase"
sampler = "euler_ancestral"
scheduler = "normal"
steps = 2
cfg = 7.0
width = 64
height = 64
clip_skip = 2
seeds = [42]

[[checkpoint]]
step = 600
file = "spyke_plasma_v1-step00000600.safetensors"
expect = "The sweet spot"

[[checkpoint]]
step = 920
label = "final"
file = "spyke_plasma_v1.safetensors"

[[prompt]]
id = "forest"
text = "spyke_plasma_v1, standing in a forest"

[[prompt]]
id = "novel_pose"
purpose = "A novel pose"
text = "spyke_plasma_v1, crouching, looking up at the sky, urban environment"

[[criterion]]
id = "hair"
text = "Ginger or orange hair"
required = true

[production]
file = "spyke_plasma_v1.safetensors"
min_size = "1 kB"
max_size = "200 MB"
forbidden = ["june", "draster"]
"""
"""Two checkpoints on two prompts, 64x64: everything that the shipped plan has, small."""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    """Give a plan whose training outputs, ComfyUI folder and training images lie beside it, made just now."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    make_workspace(read_plan(path), tmp_path)
    return path


@pytest.fixture
def plan(plan_file: Path) -> Plan:
    """Give the small plan."""
    return read_plan(plan_file)


class Posing(Faults):
    """A stand-in that does not say what it is, as a test needs one that is taken for a real server."""

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Answer /system_stats as a real ComfyUI does."""
        if request.path.endswith("/system_stats"):
            device = {"name": "cpu", "type": "cpu", "index": None}
            return web.json_response({"system": {"comfyui_version": "0.3.64"}, "devices": [device]})
        return await super().answer(request)


@pytest.fixture
def stand_in(plan: Plan) -> Iterator[Callable[..., Serving]]:
    """Start stand-ins over the small plan's ComfyUI folder: `stand_in(faults=..., seconds_per_image=...)`."""
    with ExitStack() as stack:

        def start(*, faults: Faults | None = None, seconds_per_image: float = 0.0) -> Serving:
            serving = serve(plan.paths.comfyui, seconds_per_image=seconds_per_image, faults=faults or Posing())
            return stack.enter_context(serving)

        yield start


@pytest.fixture
def run_suite(plan_file: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run this suite on the small plan as a person does: `run_suite("-m", "generate", "--comfyui-url=...")`.

    Its reports folder is `reports` beside the plan.
    """

    def run(*arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        if not any(argument.startswith("--plan") for argument in arguments):
            command += [f"--plan={plan_file}"]
        command += [f"--reports={plan_file.parent / 'reports'}"]
        return subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "120", "PYTEST_ADDOPTS": ""},
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )

    return run
