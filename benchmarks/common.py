"""What the benchmarks share: a plan of any size, servers in processes of their own, and this suite run on them.

The servers are stand-ins that do not say what they are, each in its own process, so that what is measured is the suite
alone. With `COMFYUI_URL`, `COMFYUI_DIR` and `--plan` a benchmark runs on a real ComfyUI and a plan for it instead.
POSIX only: a process's own processor time and memory come from `wait4`.
"""

import argparse
import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from plugins.demo.training import training_run
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from stand_in.serving import serve
from stand_in.workspace import make_workspace
from tests.small_plan import Posing

ROOT: Final = Path(__file__).resolve().parents[1]

_PLAN: Final = """
name = "bench"
title = "Benchmark"

[paths]
project = "."
checkpoints = "output/loras/spyke"
comfyui = "ComfyUI"
{training}

[comfyui]
url = "http://127.0.0.1:9"

[sampling]
base_model = "base"
sampler = "euler_ancestral"
scheduler = "normal"
steps = 20
cfg = 7.0
width = {side}
height = {side}
clip_skip = 2
seeds = [42]

[production]
file = "bench.safetensors"
min_size = {lora_bytes}
"""
_CHECKPOINT: Final = '\n[[checkpoint]]\nstep = {step}\nfile = "bench-step{step:08}.safetensors"\n'
_PROMPT: Final = '\n[[prompt]]\nid = "prompt{number}"\ntext = "bench, standing in a forest, picture number {number}"\n'


MATRICES: Final = {18: (5, 3), 100: (9, 10)}
"""Checkpoints and prompts of a matrix of so many cells; the baseline is a column too."""


def write_plan(folder: Path, *, checkpoints: int = 5, prompts: int = 3, small: bool = False) -> Path:
    """Write a plan of `(checkpoints + 1) * prompts` cells with its training outputs and its ComfyUI folder beside it.

    As many as Spyke's by default, as large as its pictures and LoRAs (50 MB). `small` ones are of 64x64, from LoRAs of
    a few kB, and are compared with no training images.
    """
    training = "" if small else 'training_images = "data/spyke"'
    text = _PLAN.format(side=64 if small else 512, lora_bytes=0 if small else 50_000_000, training=training)
    text += "".join(_CHECKPOINT.format(step=100 * (number + 1)) for number in range(checkpoints))
    text += "".join(_PROMPT.format(number=number) for number in range(prompts))
    path = folder / "plan.toml"
    path.write_text(text, "utf-8")
    make_workspace(training_run(read_plan(path)), folder)
    return path


@contextlib.contextmanager
def stand_ins(plan: Plan, count: int = 1, *, seconds_per_image: float) -> Iterator[tuple[str, ...]]:
    """Start servers on the plan's ComfyUI folder, and give their addresses."""
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        pipes = []
        for _ in range(count):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_stand_in, args=(plan.paths.comfyui, seconds_per_image, theirs), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            stack.callback(ours.close)
            pipes.append(ours)
        yield tuple(str(pipe.recv()) for pipe in pipes)


def _stand_in(comfyui: Path, seconds_per_image: float, pipe: Connection) -> None:
    """Serve until the other end of the pipe is closed."""
    with serve(comfyui, seconds_per_image=seconds_per_image, faults=Posing()) as serving:
        pipe.send(serving.url)
        with contextlib.suppress(EOFError):
            pipe.recv()


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A plan, and the servers to render it on."""

    plan_file: Path
    urls: tuple[str, ...]
    reports: Path
    comfyui_dir: str = ""

    @property
    def plan(self) -> Plan:
        """The plan, with the ComfyUI folder that is used."""
        paths = {"paths": {"comfyui": self.comfyui_dir}} if self.comfyui_dir else None
        return read_plan(self.plan_file, paths)

    def pytest(self, *arguments: str) -> "Spent":
        """Run this suite to its end. Raises `RuntimeError` with what it said where it does not pass."""
        command = [sys.executable, "-m", "pytest", *arguments, "-p", "no:cacheprovider", f"--plan={self.plan_file}"]
        command += [f"--reports={self.reports}", *(f"--comfyui-url={url}" for url in self.urls)]
        if self.comfyui_dir:
            command += [f"--comfyui-dir={self.comfyui_dir}"]
        return run(command)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a process took: seconds, seconds of processor time, and kB of memory at its largest."""

    wall: float
    cpu: float
    peak: float
    ended: float
    """When it ended, in seconds since 1970."""


def run(command: Sequence[str]) -> Spent:
    """Run a command to its end."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall, ended = time.perf_counter() - start, time.time()
        if process.returncode:
            said.seek(0)
            last = said.read().decode("utf-8", "replace")[-1500:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n...{last}")
    peak = used.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return Spent(wall=wall, cpu=used.ru_utime + used.ru_stime, peak=peak, ended=ended)


def parser(doc: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """Return the options that most benchmarks have."""
    found = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    found.add_argument("--rounds", type=int, default=rounds, help="medians are of so many (default: %(default)s)")
    return found


def add_matrix(options: argparse.ArgumentParser) -> None:
    """Add the options of what is rendered on the stand-in."""
    options.add_argument(
        "--cells", type=int, choices=sorted(MATRICES), default=18, help="on the stand-in (default: 18)"
    )
    options.add_argument("--seconds", type=float, default=1.0, help="a picture, on the stand-in (default: 1)")


def matrix_of(cells: int) -> Callable[[Path], Path]:
    """Return what writes a plan of so many cells into a folder."""
    checkpoints, prompts = MATRICES[cells]
    return partial(write_plan, checkpoints=checkpoints, prompts=prompts)


@contextlib.contextmanager
def ground(plan_file: Path | None, make: Callable[[Path], Path], *, seconds_per_image: float = 1.0) -> Iterator[Ground]:
    """Return the real ComfyUI that the environment names with its plan; else a stand-in with what `make` writes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if plan_file:
            url, comfyui_dir = os.environ["COMFYUI_URL"].rstrip("/"), os.environ["COMFYUI_DIR"]
            yield Ground(plan_file=plan_file, urls=(url,), reports=folder / "reports", comfyui_dir=comfyui_dir)
            return
        plan_file = make(folder)
        with stand_ins(read_plan(plan_file), seconds_per_image=seconds_per_image) as urls:
            yield Ground(plan_file=plan_file, urls=urls, reports=folder / "reports")


def median(values: Sequence[float]) -> str:
    """Write the median with the smallest and the largest."""
    return f"{statistics.median(values):8.3f} ({min(values):.3f} to {max(values):.3f})"
