"""A Dask cluster: many machines, each with a worker that drives the ComfyUI beside it.

This process alone decides which cell goes where, as it does for servers at hand, so that a worker that dies costs no
cell. Dask transports the work, by its `concurrent.futures` executor, bound to one worker.
"""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, wait
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from distributed import KilledWorker

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.choices import ServerChoices
from plugins.comfyui.deadline import Deadline
from plugins.comfyui.ending import stopped
from plugins.comfyui.errors import BadAnswer, ComfyUIError, Interrupted, Unreachable
from plugins.comfyui.run import Run
from plugins.comfyui.server import Finished
from plugins.comfyui.timing import Timing
from plugins.comfyui.workflow import Filled
from plugins.loras.staging import Staged
from plugins.plan.plan import Plan
from plugins.render import worker as worker_module
from plugins.render.scheduler import checked_address, connect
from plugins.render.worker import LoraFile, WorkerAgent, WorkerSettings, on_worker, suite_digest

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

_BLOCK: Final = 4 << 20
"""Bytes of a LoRA that are sent at a time."""


class DaskServer:
    """The ComfyUI beside one worker: a `RenderServer` to render on."""

    def __init__(self, cluster: "Cluster", executor: Executor, *, address: str, worker: str) -> None:
        self.worker: Final = worker
        self.address: Final = address
        self._cluster = cluster
        self._executor = executor
        self._pending: set[Future[Any]] = set()
        self._closed = False
        self._info: ServerInfo | None = None
        self._loras: dict[str, tuple[str, LoraFile]] = {}
        """The LoRAs that the worker is known to have, by digest, with their names in the picker."""

    @property
    def info(self) -> ServerInfo:
        """The server's version and machine."""
        if self._info is None:
            raise Unreachable(f"The Dask worker {self.worker} has not reported its ComfyUI.")
        return self._info

    def choices(self, classes: tuple[str, ...] = ()) -> ServerChoices:
        """Ask the server for its version, what it offers, and how it describes node classes. Raises `ComfyUIError`."""
        self._info, choices = self._call(WorkerAgent.describe, seconds=self._cluster.timing.describe)(classes)
        return choices

    def ensure_lora(self, lora: LoraFile, staged: Staged) -> str:
        """Put a LoRA into the server's folder, unless its bytes are there; return its name in the picker.

        Raises `Unreachable` where it cannot be put there.
        """
        if lora.sha256 not in self._loras:
            name = self._call(WorkerAgent.find)(lora)
            if name is None:
                with self._cluster.sending:  # two workers may share a folder: the second finds it there
                    name = self._call(WorkerAgent.find)(lora) or self._send(lora, staged)
            self._loras[lora.sha256] = name, lora
        return self._loras[lora.sha256][0]

    def _send(self, lora: LoraFile, staged: Staged) -> str:
        with staged.file.open("rb") as file:
            first = True
            while block := file.read(_BLOCK):
                self._call(WorkerAgent.receive)(lora, block, first=first)
                first = False
        return self._call(WorkerAgent.install)(lora)

    def forget_weights(self, *, again: bool = False) -> None:
        """Clear the server's memory if `again`; before its first picture that happens anyway."""
        if again:
            self._call(WorkerAgent.forget)()

    def render(self, workflow: Filled, on_progress: Callable[[Run], None]) -> Finished:
        """Run a workflow and fetch its picture; `on_progress` is called once, when it is sent."""
        used = {node["inputs"].get("lora_name") for node in workflow.graph.values()}
        loras = tuple(lora for name, lora in self._loras.values() if name in used)
        return self._call(WorkerAgent.render, sent=lambda: on_progress(Run(prompt_id="")))(workflow, loras)

    def log(self) -> object:
        """Have the worker ask the server's log. Raises `ComfyUIError`."""
        return self._call(WorkerAgent.log, seconds=self._cluster.timing.describe)()

    def close(self) -> None:
        """Cancel our prompts, and nobody else's, here and beside the other workers."""
        self._closed = True
        for future in tuple(self._pending):
            future.cancel()
        self._cluster.withdraw()

    def leave(self) -> Future[None]:
        """Have the worker withdraw the prompts of this run, and begin nothing more of it."""
        return self._executor.submit(on_worker, self._cluster.settings, WorkerAgent.close)

    def _call(
        self,
        call: Callable[Concatenate[WorkerAgent, Given], Answer],
        *,
        seconds: float = float("inf"),
        sent: Callable[[], None] = lambda: None,
    ) -> Callable[Given, Answer]:
        """Return what calls a method of the worker's agent and waits for it, as long as the worker is there."""

        def do(*given: Given.args, **named: Given.kwargs) -> Answer:
            if self._closed:
                raise stopped()
            future: Future[Answer] = self._executor.submit(  # what the agent raises there is raised here
                on_worker,  # type: ignore[arg-type]
                self._cluster.settings,
                call,
                *given,
                **named,
            )
            self._pending.add(future)
            sent()
            try:
                return self._result(future, seconds)
            finally:
                self._pending.discard(future)

        return do

    def _result(self, future: "Future[Answer]", seconds: float) -> Answer:
        deadline = Deadline(seconds)
        try:
            while not (future.cancelled() or wait([future], timeout=self._cluster.timing.poll).done):
                if not self._cluster.has(self.address) or deadline.expired:
                    future.cancel()
            return future.result()
        except CancelledError:
            if self._closed:
                raise Interrupted(f"The run was stopped while {self.worker} worked on this picture.") from None
            raise self._gone() from None
        except KilledWorker:
            raise self._gone() from None
        except ComfyUIError as error:
            raise type(error)(f"Dask worker {self.worker}: {error}") from None

    def _gone(self) -> Unreachable:
        if not self._cluster.is_reachable:
            return Unreachable(
                f"The Dask scheduler at {self._cluster.address} does not answer any more. Start it and its workers, "
                "then run this again; what is finished is kept."
            )
        return Unreachable(
            f"The Dask worker {self.worker} ({self.address}) is gone. Start it again, then run this again; "
            "what is finished is kept."
        )


class Cluster:
    """The workers of a Dask scheduler, for one run.

    Raises `Unreachable` or `BadAnswer` where there is no scheduler, or a worker without this suite.
    """

    def __init__(self, address: str, plan: Plan, *, timing: Timing = Timing()) -> None:  # noqa: B008 (a frozen value)
        self.address: Final = checked_address(address)
        self.timing: Final = timing
        self.settings: Final = WorkerSettings(
            run=f"acceptance-{uuid.uuid4().hex}",
            suite=suite_digest(),
            url=plan.comfyui.servers[0],
            comfyui=str(plan.paths.comfyui),
            loras=_loras_below_comfyui(plan),
            timeout=plan.comfyui.timeout,
            timing=timing,
        )
        self.sending: Final = threading.Lock()
        """Held while the bytes of a LoRA are sent, since all of them pass through the scheduler."""
        self.is_reachable = True
        self._client = connect(self.address, timing=timing)
        self._looking = threading.Lock()
        self._known_until = Deadline(0.0)
        self._addresses: frozenset[str] = frozenset()
        """The workers' at the last look."""
        self._withdrawn = False
        try:
            self.servers: Final = self._workers()
        except BaseException:
            self._client.close()
            raise

    def _workers(self) -> tuple[DaskServer, ...]:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            raise Unreachable(
                f"The Dask scheduler at {self.address} has no workers. Start one beside each ComfyUI, from a checkout "
                f"of this suite: uv run python -m dask worker {self.address} --no-nanny --name gpu1"
            )
        lacking = [
            str(workers[address]["name"])
            for address, found in self._client.run(find_spec, worker_module.__name__, on_error="return").items()
            if isinstance(found, Exception) or not found
        ]
        if lacking:
            raise BadAnswer(
                f"These Dask workers do not find this suite: {', '.join(lacking)}. Start each from a checkout of it: "
                f"cd CHECKOUT && uv run python -m dask worker {self.address} --no-nanny --name gpu1"
            )
        return tuple(
            DaskServer(
                self,
                self._client.get_executor(workers=[address], allow_other_workers=False, pure=False),
                address=address,
                worker=str(one["name"]),
            )
            for address, one in workers.items()
        )

    def has(self, address: str) -> bool:
        """Return whether a worker is there; the scheduler is asked once a second."""
        with self._looking:
            if self._known_until.expired:
                try:
                    self._addresses = frozenset(self._client.nthreads())
                    self.is_reachable = True
                except (OSError, RuntimeError):
                    self._addresses, self.is_reachable = frozenset(), False
                self._known_until = Deadline(self.timing.poll)
            return address in self._addresses

    def withdraw(self) -> None:
        """Have all workers withdraw the prompts of this run, once."""
        with self._looking:
            withdrawn, self._withdrawn = self._withdrawn, True
        if not withdrawn and self.is_reachable:
            wait([server.leave() for server in self.servers if self.has(server.address)], timeout=self.timing.leave)

    def close(self) -> None:
        """Close the connection to the scheduler. Its workers stay, for the next run."""
        for server in self.servers:
            server.close()
        self._client.close()


def lora_file(plan: Plan, staged: Staged) -> LoraFile:
    """Return what a worker must know about a LoRA: its staged name, bytes and header."""
    name = plan.staged_file(staged.checkpoint)
    return LoraFile(
        file=name,
        picker_name=plan.picker_name(name),
        sha256=staged.sha256,
        metadata=dict(staged.header.metadata),
    )


def _loras_below_comfyui(plan: Plan) -> str:
    """Return the loras folder as seen from ComfyUI's; where the plan's lies elsewhere, it is the usual one."""
    paths = plan.paths
    if paths.loras.is_relative_to(paths.comfyui):
        return paths.loras.relative_to(paths.comfyui).as_posix()
    return str(PurePosixPath("models", "loras"))
