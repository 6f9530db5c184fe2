"""A stand-in on which one thing goes wrong, and what a run before it comes to."""

import inspect
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import ComfyUIError
from plugins.comfyui.server import Server
from plugins.comfyui.timing import Timing
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.preparing import Prepared, prepare
from plugins.loras.staging import preflight
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.render import rendering
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer
from plugins.render.rendering import Rendering
from stand_in.faults import Frame
from stand_in.serving import Serving, serve
from stand_in.versions import TODAY, Version
from tests.faults.front import Front, before
from tests.rendered import rendered_and_kept
from tests.small_plan import Posing
from tests.verdicts.faked_run import without_training_images
from tests.waiting import until

CELLS = ("baseline-forest", "step600-forest", "final-forest")
"""What is rendered before every fault."""
Work = Callable[[Cell, RenderServer, Progress, Callable[[], None]], Evidence]
"""What is done for one cell on one server."""
THEIRS = "theirs"
"""How the ids of somebody else's prompts begin."""
_LONGEST_SECONDS = 120.0
"""How long a run may take at most."""


class Times:
    """True the first so many times that it is asked."""

    def __init__(self, times: int) -> None:
        self._numbers = itertools.count()
        self._times = times

    def __call__(self) -> bool:
        """Count."""
        return next(self._numbers) < self._times


class Fault(Posing):
    """Goes wrong from `armed` on: each hook given by name is called with the fault itself first."""

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        self._hooks = hooks
        self.armed = threading.Event()
        self.released = threading.Event()
        """What blocks on purpose ends now."""
        self.serving: Serving
        self.front: Front | None = None
        self.restart: Callable[[], None]
        self.seen: Counter[str] = Counter()
        """How often each path was asked for, with its method."""
        self.saved_of: Counter[str] = Counter()
        """How often a picture of each cell was saved."""
        self.elsewhere: list[str] = []
        """Requests that went where none may go."""
        self.theirs: list[str] = []
        """Somebody else's prompts on the server as it is since its last start."""
        self._cells: dict[str, str] = {}
        self._tasks: list[Any] = []
        self._number = itertools.count(1000)
        self._between = Times(1)

    def _hook(self, name: str, prompt_id: str | None = None) -> Callable[..., Any] | None:
        """Return a hook that acts now; those about nodes leave other people's prompts alone."""
        acts = self.armed.is_set() and not (prompt_id or "").startswith(THEIRS)
        return self._hooks.get(name) if acts else None

    def cell(self, prompt_id: str) -> str:
        """Name the cell that a prompt is for; empty for other prompts."""
        if prompt_id not in self._cells:
            queue = self.serving.server.queue
            items = [*itertools.chain(*queue.current())] + [
                one["prompt"] for one in queue.history_of(prompt_id).values()
            ]
            graph: dict[str, Any] = next((item[2] for item in items if item[1] == prompt_id), {})
            self._cells[prompt_id] = cell_of(graph)
        return self._cells[prompt_id]

    def before_prompt(self, prompt_id: str) -> None:
        """Act when a prompt is taken."""
        if hook := self._hook("before_prompt", prompt_id):
            hook(self, prompt_id)

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Act before a node."""
        del node_id
        if hook := self._hook("before_node", prompt_id):
            hook(self, prompt_id, class_type)
        if class_type == "SaveImage":
            self.saved_of[self.cell(prompt_id)] += 1

    def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
        """Act before a sampling step."""
        del node_id
        if hook := self._hook("before_step", prompt_id):
            hook(self, prompt_id, step)

    def before_history(self, prompt_id: str) -> None:
        """Act before the history is written."""
        if hook := self._hook("before_history", prompt_id):
            hook(self, prompt_id)

    def saved(self, png: bytes) -> bytes:
        """Act when a picture is written."""
        hook = self._hook("saved")
        return hook(self, png) if hook else png

    def frames(self, event: str, data: dict[str, Any], client_id: str | None) -> Iterable[Frame]:
        """Send other frames."""
        hook = self._hook("frames")
        return hook(self, event, data, client_id) if hook else ((event, data),)

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Answer in place of the server."""
        self.seen[f"{request.method} /{request.path.split('/')[1]}"] += 1
        if request.path == "/elsewhere":
            self.elsewhere.append(request.method)
        if self.armed.is_set() and request.path == "/prompt" and self._between():
            self.queue_theirs()
        hook = self._hook("reply")
        found = hook(self, request) if hook else None
        answer: web.StreamResponse | None = await found if inspect.isawaitable(found) else found
        return answer if answer is not None else await super().answer(request)

    async def take(self, request: web.Request, *, prompt_id: str = "", number: float | None = None) -> None:
        """Queue a posted prompt, whatever is answered."""
        body = await request.json()
        place = next(self._number) if number is None else number
        extra = {"client_id": body["client_id"]}
        self.serving.server.queue.put((place, prompt_id or body["prompt_id"], body["prompt"], extra, ["9"]))

    def ours_pending(self) -> list[str]:
        """Return the ids of our prompts that wait, in their order."""
        waiting = sorted(self.serving.server.queue.current()[1], key=lambda item: item[:2])
        return [item[1] for item in waiting if not item[1].startswith(THEIRS)]

    def is_idle(self) -> bool:
        """Return whether nothing waits or runs, of ours or of others."""
        return self.serving.server.queue.remaining() == 0

    def ours_in_queue(self) -> int:
        """Count our prompts that wait or run."""
        return sum(not item[1].startswith(THEIRS) for item in itertools.chain(*self.serving.server.queue.current()))

    def send_raw(self, payload: str | bytes) -> None:
        """Send what no ComfyUI sends to every socket; call it in the server's loop."""
        for socket in list(self.serving.server.hub._sockets.values()):
            self.begin(socket.send_bytes(payload) if isinstance(payload, bytes) else socket.send_str(payload))

    def begin(self, sending: Awaitable[None]) -> None:
        """Send while the server goes on; whoever has hung up hears nothing. Call it in the server's loop."""

        async def send() -> None:
            with suppress(ConnectionError):
                await sending

        self._tasks.append(self.serving.loop.create_task(send()))

    def drop_sockets(self) -> None:
        """Cut every socket."""
        for client_id in list(self.serving.server.hub._sockets):
            self.serving.drop(client_id)

    def queue_theirs(self, *, front: bool = False) -> str:
        """Put somebody else's prompt in the queue: before everything, or after."""
        number = next(self._number)
        prompt_id = f"{THEIRS}-{number}"
        self.theirs.append(prompt_id)
        graph = {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": number}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        }
        extra = {"client_id": "somebody"}
        self.serving.server.queue.put((-number if front else number, prompt_id, graph, extra, ["2"]))
        return prompt_id

    def ends_of_theirs(self) -> set[str]:
        """Tell how other people's prompts ended; those that did not are `unfinished`, or `gone` where none has them."""
        queue = self.serving.server.queue
        left = {item[1] for item in itertools.chain(*queue.current())}
        ends = {key: one["status"]["status_str"] for key, one in queue.history().items()}
        return {ends.get(one, "unfinished" if one in left else "gone") for one in self.theirs}


def cell_of(graph: Mapping[str, Any]) -> str:
    """Return the id of the cell that a workflow is for; empty for another's."""
    prefixes = (node["inputs"].get("filename_prefix", "") for node in graph.values())
    return next(filter(None, prefixes), "").partition("/")[2].rpartition("-")[0]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What became of the cells."""

    pictures: tuple[str, ...]
    kept: dict[str, Evidence]
    """The evidence that is on the disk, by cell."""
    failures: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A plan that is prepared on stand-ins, one for each fault; none is armed yet."""

    faults: tuple[Fault, ...]
    prepared: Prepared
    store: Store
    cells: Sequence[Cell]

    def run(self, *, at_once: int, left: int, patch: pytest.MonkeyPatch, work: Work | None = None) -> Ended:
        """Arm the faults, render the cells, `at_once` at a time on each server, and see what became of them.

        All but `left` of our prompts are to be out of the first server's queue by then, and all out of the others',
        while what holds them up still does. `work` is done in place of `make`.
        """
        patch.setattr(rendering, "AHEAD", at_once)
        for fault in self.faults:
            fault.armed.set()
            fault.queue_theirs()
        pictures, failures, end = [], {}, time.monotonic() + _LONGEST_SECONDS

        def over(line: str) -> None:
            assert end > time.monotonic(), f"the run does not end: {line}"

        run = Rendering(self.cells, servers=self.prepared.servers, work=work or self.make)
        try:
            for cell in self.cells:
                try:
                    run.result(cell, meanwhile=over)
                    pictures.append(cell.id)
                except (ComfyUIError, CellFailedError, OSError) as error:
                    failures[cell.id] = str(error)
            first, *others = self.faults
            until(lambda: first.ours_in_queue() <= left and not any(one.ours_in_queue() for one in others))
        finally:
            for fault in self.faults:
                fault.released.set()
            run.close()
        for fault in self.faults:
            if fault.serving.server.worker.is_alive:
                until(fault.is_idle)
        kept = {cell.id: evidence for cell in self.cells if (evidence := self.store.read(cell))}
        return Ended(pictures=tuple(pictures), kept=kept, failures=failures)

    def make(self, cell: Cell, place: RenderServer, board: Progress, posted: Callable[[], None]) -> Evidence:
        """Render a cell and keep its picture, compared with none."""
        return rendered_and_kept(self.prepared, cell, place, progress=board, posted=posted)


@contextmanager
def standing(fault: Fault, comfyui: Path, *, dialect: Version = TODAY) -> Iterator[str]:
    """Serve a ComfyUI folder on a stand-in with a fault, behind the fault's `Front` where it has one."""
    with ExitStack() as stack:

        def start() -> str:
            fault.theirs.clear()
            fault.serving = stack.enter_context(serve(comfyui, faults=fault, dialect=dialect))
            if fault.front is None:
                return fault.serving.url
            fault.front.lead_to(fault.serving.url)
            return fault.front.url

        def restart() -> None:
            assert fault.front is not None
            fault.front.refuse()
            stack.close()
            start()

        fault.restart = restart
        yield start()


@contextmanager
def staged(
    plan: Plan, *faults: Fault, timeout: float, timing: Timing, fronted: bool = False, dialect: Version = TODAY
) -> Iterator[Stage]:
    """Prepare the plan on a stand-in for each fault, with a `Front` before the first where one is needed.

    They share the plan's ComfyUI folder. Reports lie beside the plan.
    """
    plan, reports = without_training_images(plan), plan.paths.project / "reports"
    with ExitStack() as stack:
        if fronted:
            faults[0].front = stack.enter_context(before())
        servers = []
        for fault in faults:
            url = stack.enter_context(standing(fault, plan.paths.comfyui, dialect=dialect))
            client = ComfyUI(url, timing=timing)
            servers.append(Server(client, client.info(), timeout=timeout))
            stack.callback(servers[-1].close)
            stack.callback(fault.released.set)
        store = Store(reports)
        prepared = prepare(plan, tuple(servers), store, headers=preflight(plan))
        for server in servers:
            server.forget_weights()
        cells = [cell for cell in matrix(plan) if cell.id in CELLS]
        yield Stage(faults=faults, prepared=prepared, store=store, cells=cells)


def json_answer(body: object, *, status: int = 200) -> web.Response:
    """Answer JSON of any shape."""
    return web.Response(text=json.dumps(body), status=status, content_type="application/json")
