"""A Dask cluster: many machines, each with a worker that drives the ComfyUI beside it.

This process alone decides which cell goes where, as it does for servers at hand, so that a worker that dies costs no
cell. Dask carries the work there: by its `concurrent.futures` executor, bound to one worker.
"""

import contextlib
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, wait
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

from distributed import Client, KilledWorker

from plugins.comfyui.choices import ServerChoices
from plugins.comfyui.client import ServerInfo
from plugins.comfyui.errors import BadAnswer, ComfyUIError, Interrupted, Unreachable
from plugins.comfyui.run import Run
from plugins.comfyui.server import Finished
from plugins.comfyui.workflow import Filled
from plugins.loras.staging import Staged
from plugins.plan.plan import Plan
from plugins.render import worker as worker_module
from plugins.render.worker import LoraFile, WorkerAgent, WorkerSettings, on_worker, suite_digest

Given = ParamSpec("Given")
Told = TypeVar("Told")

_CONNECT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
"""How often it is looked whether the workers are still there."""
_OFFER_SECONDS: Final = 60.0
"""How long a worker may take to say what its ComfyUI is."""
_LEAVE_SECONDS: Final = 15.0
"""How long it is waited for workers to withdraw their prompts."""
_LONGEST_GREETING: Final = 1 << 20
"""Bytes; Dask's is of about a hundred, and what others say reads as far more."""
_BLOCK: Final = 4 << 20
"""Bytes of a LoRA that are sent at a time."""


class DaskServer:
    """The ComfyUI beside one worker: a `RenderServer` to render on."""

    def __init__(self, cluster: "Cluster", executor: Executor, *, address: str, worker: str) -> None:
        self.worker: Final = worker
        self.address: Final = address
        self._cluster = cluster
        self._executor = executor
        self._out: set[Future[Any]] = set()
        self._closed = False
        self._info: ServerInfo | None = None
        self._placed: dict[str, tuple[str, LoraFile]] = {}
        """The LoRAs that are known to lie there, by digest, with their names in the picker."""

    @property
    def info(self) -> ServerInfo:
        """What the server says of itself."""
        if self._info is None:
            raise Unreachable(f"The Dask worker {self.worker} has not said what its ComfyUI is.")
        return self._info

    def offer(self) -> ServerChoices:
        """Ask what the server is, and what it offers. Raises `ComfyUIError`."""
        self._info, offer = self._at(WorkerAgent.offer, seconds=_OFFER_SECONDS)()
        return offer

    def place(self, lora: LoraFile, staged: Staged) -> str:
        """See that a LoRA lies in the server's folder, sending its bytes where they lack; give its name in the picker.

        Raises `Unreachable` where it cannot be put there.
        """
        if lora.sha256 not in self._placed:
            name = self._at(WorkerAgent.find)(lora)
            if name is None:
                with self._cluster.sending:  # two workers may share a folder: the second finds it there
                    name = self._at(WorkerAgent.find)(lora) or self._send(lora, staged)
            self._placed[lora.sha256] = name, lora
        return self._placed[lora.sha256][0]

    def _send(self, lora: LoraFile, staged: Staged) -> str:
        with staged.file.open("rb") as file:
            first = True
            while block := file.read(_BLOCK):
                self._at(WorkerAgent.receive)(lora, block, first=first)
                first = False
        return self._at(WorkerAgent.install)(lora)

    def forget_weights(self, *, again: bool = False) -> None:
        """Make the server forget what it has in memory; before its first picture of a run it does so in any case."""
        if again:
            self._at(WorkerAgent.forget)()

    def render(self, workflow: Filled, on_progress: Callable[[Run], None]) -> Finished:
        """Run a workflow and fetch its picture; `on_progress` is told once, when it is on its way."""
        used = {node["inputs"].get("lora_name") for node in workflow.graph.values()}
        loras = tuple(lora for name, lora in self._placed.values() if name in used)
        return self._at(WorkerAgent.render, sent=lambda: on_progress(Run(prompt_id="")))(workflow, loras)

    def close(self) -> None:
        """Withdraw our prompts, and nobody else's, here and beside the other workers."""
        self._closed = True
        for future in tuple(self._out):
            future.cancel()
        self._cluster.withdraw()

    def leave(self) -> Future[None]:
        """Have the worker withdraw the prompts of this run, and begin nothing more of it."""
        return self._executor.submit(on_worker, self._cluster.errand, WorkerAgent.close)

    def _at(
        self,
        call: Callable[Concatenate[WorkerAgent, Given], Told],
        *,
        seconds: float = float("inf"),
        sent: Callable[[], None] = lambda: None,
    ) -> Callable[Given, Told]:
        """Do something beside the worker and wait for it, as long as the worker is there."""

        def do(*given: Given.args, **named: Given.kwargs) -> Told:
            if self._closed:
                raise Interrupted("The run was stopped before this picture was begun.")
            future: Future[Told] = self._executor.submit(  # what the agent raises there is raised here
                on_worker,  # type: ignore[arg-type]
                self._cluster.errand,
                call,
                *given,
                **named,
            )
            self._out.add(future)
            sent()
            try:
                return self._waited(future, seconds)
            finally:
                self._out.discard(future)

        return do

    def _waited(self, future: "Future[Told]", seconds: float) -> Told:
        until = time.monotonic() + seconds
        try:
            while not (future.cancelled() or wait([future], timeout=_LOOK_SECONDS).done):
                if not self._cluster.has(self.address) or time.monotonic() > until:
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

    def __init__(self, address: str, plan: Plan) -> None:
        self.address: Final = _checked(address)
        self.errand: Final = WorkerSettings(
            run=f"acceptance-{uuid.uuid4().hex}",
            suite=suite_digest(),
            url=plan.comfyui.servers[0],
            comfyui=str(plan.paths.comfyui),
            loras=_loras_below_comfyui(plan),
            timeout=plan.comfyui.timeout,
        )
        self.sending: Final = threading.Lock()
        """Held while the bytes of a LoRA are sent: they all go through the scheduler."""
        self.is_reachable = True
        try:
            _check_greeting(self.address)
            self._client = Client(self.address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise Unreachable(
                f"No Dask scheduler answers at {self.address} ({error}). Start one (uv run python -m dask scheduler), "
                "and a worker beside each ComfyUI; or leave out --cluster."
            ) from None
        self._looking = threading.Lock()
        self._looked = 0.0
        self._withdrawn = False
        self._there: frozenset[str] = frozenset()
        try:
            self.servers: Final = self._workers()
        except BaseException:
            self._client.close()
            raise

    def _workers(self) -> tuple[DaskServer, ...]:
        told = self._client.scheduler_info(n_workers=-1)["workers"]
        if not told:
            raise Unreachable(
                f"The Dask scheduler at {self.address} has no workers. Start one beside each ComfyUI, from a checkout "
                f"of this suite: uv run python -m dask worker {self.address} --no-nanny --name gpu1"
            )
        lacking = [
            str(told[address]["name"])
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
            for address, one in told.items()
        )

    def has(self, address: str) -> bool:
        """Say whether a worker is there; the scheduler is asked once a second."""
        with self._looking:
            if time.monotonic() - self._looked > _LOOK_SECONDS:
                try:
                    self._there = frozenset(self._client.nthreads())
                    self.is_reachable = True
                except (OSError, RuntimeError):
                    self._there, self.is_reachable = frozenset(), False
                self._looked = time.monotonic()
            return address in self._there

    def withdraw(self) -> None:
        """Have all workers withdraw the prompts of this run, once."""
        with self._looking:
            withdrawn, self._withdrawn = self._withdrawn, True
        if not withdrawn and self.is_reachable:
            wait([server.leave() for server in self.servers if self.has(server.address)], timeout=_LEAVE_SECONDS)

    def close(self) -> None:
        """Let go of the cluster. Its workers stay, for the next run."""
        for server in self.servers:
            server.close()
        self._client.close()


def lora_file(plan: Plan, staged: Staged) -> LoraFile:
    """Describe a LoRA as a worker must have it: under its staged name."""
    name = plan.staged_file(staged.checkpoint)
    return LoraFile(
        file=name,
        picker_name=plan.picker_name(name),
        sha256=staged.sha256,
        metadata=dict(staged.header.metadata),
    )


def _checked(address: str) -> str:
    """Return a scheduler's address with its scheme. Raises `BadAnswer`."""
    whole = address if "://" in address else f"tcp://{address}"
    with contextlib.suppress(ValueError):
        parts = urlsplit(whole)
        if parts.scheme in {"tcp", "tls", "ws", "wss", "ucx"} and parts.hostname and parts.port:
            return whole
    raise BadAnswer(f"{address!r} is not the address of a Dask scheduler; write it like tcp://10.0.0.5:8786")


def _check_greeting(address: str) -> None:
    """See that what answers greets as Dask does; Dask itself would wait for it without end, or take it at its word.

    A scheduler says at once, before it is asked, how long its first message is: 8 bytes, little-endian.
    Raises `OSError` or `BadAnswer`.
    """
    parts = urlsplit(address)
    if parts.scheme != "tcp":
        return
    other = BadAnswer(
        f"What answers at {address} is no Dask scheduler. Its address is the one that it says when it starts, with the "
        "port 8786 unless told otherwise; 8787 is its dashboard."
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=_CONNECT_SECONDS) as connection:
        try:
            greeting = connection.recv(8)
        except TimeoutError:
            raise other from None
    if not 0 < int.from_bytes(greeting, "little") < _LONGEST_GREETING:
        raise other


def _loras_below_comfyui(plan: Plan) -> str:
    """Name the loras folder as seen from ComfyUI's; where the plan's lies elsewhere, it is the usual one."""
    paths = plan.paths
    if paths.loras.is_relative_to(paths.comfyui):
        return paths.loras.relative_to(paths.comfyui).as_posix()
    return str(PurePosixPath("models", "loras"))
