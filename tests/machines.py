"""Machines of a Dask cluster on this one: each a worker process, beside a stand-in with a ComfyUI folder of its own."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aiohttp import web

from plugins.comfyui.timing import Timing
from stand_in.serving import Serving, serve
from tests.small_plan import ROOT, Posing
from tests.waiting import until

IMPATIENT = Timing(reach=1.0, reach_fraction=0.001)
"""Gives up soon on a server that does not answer."""


class SwitchableServer(Posing):
    """A stand-in that dies when told to, says that it is one when told to, or keeps still while told to."""

    def __init__(self) -> None:
        self.calm()

    def calm(self) -> None:
        """Be as any other."""
        self.dead = self.honest = self.still = False

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Answer as a proxy does before a server that died."""
        if self.dead:
            return web.Response(status=502, text="nobody is there")
        return None if self.honest else await super().answer(request)

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Wait before sampling."""
        del prompt_id, node_id
        while class_type == "KSampler" and self.still:
            time.sleep(0.01)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A worker process, and the stand-in beside it."""

    name: str
    worker: "subprocess.Popen[bytes]"
    serving: Serving
    switch: SwitchableServer
    comfyui: Path

    @property
    def loras(self) -> Path:
        """Its loras folder."""
        return self.comfyui / "models" / "loras"

    def mend(self) -> None:
        """Make it as new."""
        self.switch.calm()
        shutil.rmtree(self.loras)
        self.loras.mkdir()


class Machines:
    """A scheduler in this process, and machines that join it."""

    def __init__(self, folder: Path, comfyui: Path, stack: ExitStack) -> None:
        from distributed import LocalCluster  # noqa: PLC0415 (takes a second, and only slow tests want it)

        self._folder = folder
        self._comfyui = comfyui
        self._stack = stack
        self._scheduler = stack.enter_context(
            LocalCluster(
                n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
            )
        )

    @property
    def address(self) -> str:
        """The scheduler's."""
        return str(self._scheduler.scheduler_address)

    def start(self, *names: str, cwd: Path = ROOT) -> list[Machine]:
        """Start machines, and wait until their workers are there."""
        started = [self._start(name, cwd) for name in names]
        self.wait_for(*names)
        return started

    def wait_for(self, *names: str) -> None:
        """Wait until workers are there."""
        until(lambda: set(names) <= {one.name for one in self._scheduler.scheduler.workers.values()})

    def _start(self, name: str, cwd: Path) -> Machine:
        comfyui = self.folder_of(name)
        switch = SwitchableServer()
        serving = self._stack.enter_context(serve(comfyui, faults=switch))
        self._stack.callback(switch.calm)
        worker = self.join(name, url=serving.url, comfyui=comfyui, cwd=cwd)
        return Machine(name=name, worker=worker, serving=serving, switch=switch, comfyui=comfyui)

    def folder_of(self, name: str) -> Path:
        """Make a machine's ComfyUI folder."""
        comfyui = self._folder / name / "ComfyUI"
        shutil.copytree(self._comfyui, comfyui)
        return comfyui

    def join(self, name: str, *, url: str, comfyui: Path, cwd: Path = ROOT) -> "subprocess.Popen[bytes]":
        """Start a worker process that drives the ComfyUI at an address."""
        command = [sys.executable, "-m", "dask", "worker", self.address, "--name", name, "--nthreads", "1"]
        command += ["--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--local-directory", str(self._folder)]
        log = self._stack.enter_context((self._folder / f"{name}.log").open("wb"))
        environment = {"COMFYUI_URL": url, "COMFYUI_DIR": str(comfyui)}
        worker = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self._stack.callback(worker.wait)
        self._stack.callback(worker.kill)
        return worker

    @classmethod
    @contextmanager
    def over(cls, folder: Path, comfyui: Path) -> Iterator[Self]:
        """Return a scheduler; its machines have copies of a ComfyUI folder, and end with the block."""
        with ExitStack() as stack:
            yield cls(folder, comfyui, stack)
