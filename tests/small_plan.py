"""A small plan with real files, a stand-in to render it on, and this suite as a person runs it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from plugins.demo.training import training_run
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from stand_in.faults import Faults
from stand_in.serving import Serving, serve
from stand_in.versions import TODAY
from stand_in.weights import read_header, write_weights
from stand_in.workspace import make_workspace

ROOT = Path(__file__).parents[1]

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


def write_plan(folder: Path, text: str = PLAN) -> Path:
    """Write a plan, and beside it what it lacks of its training outputs, ComfyUI folder and training images."""
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    for file in make_workspace(training_run(read_plan(path)), folder).checkpoints.iterdir():
        _make_little(file)
    return path


def _make_little(checkpoint: Path) -> None:
    """Leave 6 of 792 tensors in a checkpoint: to read all of them is what many tests would do most."""
    header = read_header(checkpoint)
    notes = header.pop("__metadata__")
    few = ("lora_unet_mid_block_attentions_0_proj_in.", "lora_te_text_model_encoder_layers_0_mlp_fc1.")
    kept = {name: tuple(one["shape"]) for name, one in header.items() if name.startswith(few)}
    write_weights(checkpoint, kept, notes, seed=notes["ss_steps"])


class Posing(Faults):
    """A stand-in that does not say what it is, as a test needs one that is taken for a real server."""

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Answer /system_stats as a real ComfyUI does."""
        if request.path.endswith("/system_stats"):
            device = {"name": "cpu", "type": "cpu", "index": None}
            return web.json_response({"system": {"comfyui_version": TODAY.version}, "devices": [device]})
        return await super().answer(request)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """This suite, run on one plan as a person does. Its reports folder is `reports` beside the plan."""

    plan_file: Path
    wrapper: tuple[str, ...] = ()
    """A program that runs the command, such as `setpriv`, with its options."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def reports(self) -> Path:
        """Where its runs leave their files."""
        return self.plan_file.parent / "reports"

    def command(self, *arguments: str) -> list[str]:
        """Return the command line, with what the arguments do not say: the plan, the folder, no cache."""
        command = [*self.wrapper, sys.executable, "-m", "pytest", "-p", "tests.no_power_cut", *arguments]
        if not any("cache_dir" in argument for argument in arguments):
            command += ["-p", "no:cacheprovider"]
        if not any(argument.startswith("--plan") for argument in arguments):
            command += [f"--plan={self.plan_file}"]
        if not any(argument.startswith("--reports") for argument in arguments):
            command += [f"--reports={self.reports}"]
        return command

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command, and leave it running."""
        given = {"PYTHONIOENCODING": "utf-8", "COLUMNS": "120", "PYTEST_ADDOPTS": "", "UV": "", **self.environment}
        return subprocess.Popen(
            self.command(*arguments),
            cwd=ROOT,
            env={**os.environ, **given},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, *arguments: str, timeout: float = 240.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        with self.start(*arguments) as process:
            return finish(process, timeout=timeout)


def finish(process: "subprocess.Popen[str]", *, timeout: float = 240.0) -> subprocess.CompletedProcess[str]:
    """Wait for a command that was started; one that does not end is killed, and the test fails."""
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="session")
def made_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small plan with its files, made once, to be copied."""
    return write_plan(tmp_path_factory.mktemp("made")).parent


@pytest.fixture
def plan_file(tmp_path: Path, made_plan: Path) -> Path:
    """Return a plan whose training outputs, ComfyUI folder and training images lie beside it."""
    shutil.copytree(made_plan, tmp_path, dirs_exist_ok=True)
    return tmp_path / "plan.toml"


@pytest.fixture
def plan(plan_file: Path) -> Plan:
    """Return the small plan."""
    return read_plan(plan_file)


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
    return Suite(plan_file=plan_file).run
