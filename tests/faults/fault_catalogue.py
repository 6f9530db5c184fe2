"""Faults of a server and of the network, each planted in a stand-in."""

# ruff: noqa: ARG001  (a hook takes what it is given)

import asyncio
import errno
import struct
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import WSMsgType, web

from stand_in.faults import Frame, NodeFailure, WorkerDied
from tests.faults.faulty_server import THEIRS, Fault, Times, json_answer

TARGET = "step600-forest"
"""The cell that goes wrong where one does."""
PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>Bad\n Gateway</h1>nginx</body></html>"
Reply = Callable[[Fault, web.Request], Any]


def is_post(request: web.Request) -> bool:
    """Tell a workflow that is posted."""
    return request.method == "POST" and request.path == "/prompt"


def is_about(path: str) -> Callable[[web.Request], bool]:
    """Tell requests for one path, and what is below it."""
    return lambda request: f"{request.path}/".startswith(f"{path}/")


def page(status: int, **headers: str) -> web.Response:
    """Answer as a proxy does."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(text=PAGE, status=status, content_type="text/html", headers=names)


def reset(request: web.Request) -> web.Response:
    """Cut the connection."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def cut(request: web.Request, body: bytes) -> web.StreamResponse:
    """Announce more than is sent."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body) + 1000), "Content-Type": "image/png"})
    await response.prepare(request)
    await response.write(body)
    return reset(request)


async def never(fault: Fault, request: web.Request) -> web.Response:
    """Answer when all is over."""
    while not fault.released.is_set():  # noqa: ASYNC110 (set by another thread)
        await asyncio.sleep(0.01)
    return reset(request)


def answering(when: Callable[[web.Request], bool], answer: Callable[[], web.Response], *, times: int = 10**9) -> Fault:
    """Answer some requests otherwise, so many times."""
    still = Times(times)
    return Fault(reply=lambda _, request: answer() if when(request) and still() else None)


def resetting(when: Callable[[web.Request], bool], *, times: int = 10**9) -> Fault:
    """Cut the connections of some requests, so many times."""
    still = Times(times)
    return Fault(reply=lambda _, request: reset(request) if when(request) and still() else None)


def silent_for(when: Callable[[web.Request], bool], *, times: int = 10**9) -> Fault:
    """Accept some requests and never answer them."""
    still = Times(times)
    return Fault(reply=lambda fault, request: never(fault, request) if when(request) and still() else None)


# --- the socket


def socket_dropped(times: int) -> Fault:
    """Cut the sockets when a step is sampled, so many times."""
    still = Times(times)

    def before_step(fault: Fault, prompt_id: str, step: int) -> None:
        if still():
            fault.drop_sockets()

    return Fault(before_step=before_step)


def on_sockets(answer: Callable[[Fault, web.Request], Any]) -> Fault:
    """Answer the request for a socket otherwise; the one that there is, is cut."""
    dropped = Times(1)

    def reply(fault: Fault, request: web.Request) -> Any:
        if dropped():
            fault.drop_sockets()
        return answer(fault, request) if request.path == "/ws" else None

    return Fault(reply=reply)


async def upgrade_and_close(fault: Fault, request: web.Request) -> web.WebSocketResponse:
    """Open a socket and close it at once."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.close()
    return socket


async def garbage(fault: Fault, request: web.Request) -> web.Response:
    """Answer what is no HTTP."""
    if request.transport is not None:
        request.transport.write(b"\x00\xff 220 ready\r\n\r\n")
        await asyncio.sleep(0.01)
    return reset(request)


# --- frames


def framing(frames: Callable[[Fault, str, dict[str, Any]], Iterable[Frame]]) -> Fault:
    """Send other frames about prompts; the queue's length is told as it is."""

    def hook(fault: Fault, event: str, data: dict[str, Any], client_id: str | None) -> Iterable[Frame]:
        return ((event, data),) if "prompt_id" not in data else frames(fault, event, data)

    return Fault(frames=hook)


def backwards() -> Fault:
    """Send a prompt's frames in reverse order, when it is over."""
    kept: list[Frame] = []

    def frames(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
        kept.insert(0, (event, data))
        if event == "executing" and data["node"] is None:
            yield from kept
            kept.clear()

    return framing(frames)


def held_back(frames_at_once: int) -> Fault:
    """Hold frames back, as a proxy that buffers does, and send so many together, whichever prompts they are about."""
    kept: list[Frame] = []

    def frames(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
        kept.append((event, data))
        if len(kept) >= frames_at_once:
            yield from kept
            kept.clear()

    return framing(frames)


def raw(*payloads: str | bytes) -> Fault:
    """Send what no ComfyUI sends, before the frames of a start."""

    def frames(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
        if event == "execution_start":
            for payload in payloads:
                fault.send_raw(payload)
        yield event, data

    return framing(frames)


def odd_types(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
    """Send kinds of frames that are not known, about our prompt."""
    for kind in ("execution_paused", "", "progress_text", "logs", "\x1b[2J", "progress_state"):
        yield kind, {"prompt_id": data["prompt_id"], "node": {"value": [1]}, "nodes": []}
    yield event, data


def odd_values(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
    """Send known kinds with values that make no sense."""
    values: tuple[Any, ...] = (None, [], {}, "x" * 100, -1, 10**300, 1e999, True)
    for value in values:
        yield "progress", {"prompt_id": data["prompt_id"], "node": value, "value": value, "max": value}
        yield "executing", {"prompt_id": data["prompt_id"], "node": value or "7", "timestamp": value}
        yield "execution_start", {"prompt_id": data["prompt_id"], "timestamp": value}
    yield event, data


def of_others(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
    """Tell failures of prompts that are not ours, in ids like ours and unlike any."""
    for other in (data["prompt_id"].upper(), f"{data['prompt_id']} ", "", None, ["x"], {"a": 1}, 7):
        yield "execution_error", {"prompt_id": other, "exception_message": "not yours"}
        yield "execution_success", {"prompt_id": other}
        yield "executing", {"prompt_id": other, "node": None}
    yield event, data


def huge(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
    """Tell outputs of 20 MB when a prompt starts."""
    if event == "execution_start":
        yield "executed", {"prompt_id": data["prompt_id"], "node": "9", "output": {"text": ["x" * (20 << 20)]}}
        fault.send_raw(struct.pack(">II", 1, 1) + bytes(20 << 20))
    yield event, data


def false_failure(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
    """Tell an error and an interruption where there is none."""
    if event == "execution_start":
        yield "execution_error", {"prompt_id": data["prompt_id"], "exception_message": "not so"}
        yield "execution_interrupted", {"prompt_id": data["prompt_id"]}
    yield event, data


def not_utf8() -> Fault:
    """Send a text frame that is no text, which ends the connection."""

    def frames(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
        if event == "execution_start":
            for socket in list(fault.serving.server.hub._sockets.values()):
                assert socket._writer is not None
                fault.begin(socket._writer.send_frame(b"\xff\xfe\xfd", WSMsgType.TEXT))
        yield event, data

    return framing(frames)


def claimed_success() -> Fault:
    """Tell that the target succeeded, and another prompt too, then let it run out of memory."""

    def frames(fault: Fault, event: str, data: dict[str, Any]) -> Iterable[Frame]:
        if event == "execution_start":
            yield "execution_success", {"prompt_id": data["prompt_id"], "timestamp": 1}
            yield "execution_success", {"prompt_id": "00000000-0000-4000-8000-000000000000", "timestamp": 1}
        yield event, data

    fault = framing(frames)
    fault._hooks["before_node"] = out_of_memory
    return fault


# --- the POST


def lost_answer(how: Reply, *, times: int = 1) -> Fault:
    """Take a posted workflow, and let the answer be lost."""
    still = Times(times)

    async def taken(fault: Fault, request: web.Request) -> Any:
        await fault.take(request)
        answer = how(fault, request)
        return await answer if asyncio.iscoroutine(answer) else answer

    return Fault(reply=lambda fault, request: taken(fault, request) if is_post(request) and still() else None)


def lost_answer_and_no_looking() -> Fault:
    """Lose the answer to a POST, and break down over the next looks at queue and history."""
    first, looks = Times(1), Times(6)
    begun: list[int] = []

    async def taken(fault: Fault, request: web.Request) -> web.Response:
        await fault.take(request)
        begun.append(1)
        return reset(request)

    def reply(fault: Fault, request: web.Request) -> Any:
        if is_post(request) and first():
            return taken(fault, request)
        looking = request.path == "/queue" or request.path.startswith("/history")
        return page(500) if begun and looking and looks() else None

    return Fault(reply=reply)


def late_copy() -> Fault:
    """Hold the first POST back until it was sent again: one copy runs first, one waits behind the others."""
    posts: list[str] = []
    begun: list[str] = []

    async def both(fault: Fault, request: web.Request) -> web.Response:
        prompt_id = (await request.json())["prompt_id"]
        await fault.take(request, number=-1)
        await fault.take(request, number=10**6)
        return json_answer({"prompt_id": prompt_id, "number": 1, "node_errors": {}})

    async def reply(fault: Fault, request: web.Request) -> Any:
        if not is_post(request):
            return None
        prompt_id = (await request.json())["prompt_id"]
        posts.append(prompt_id)
        if posts[0] != prompt_id or posts.count(prompt_id) > 2:
            return None
        return reset(request) if posts.count(prompt_id) == 1 else await both(fault, request)

    def before_step(fault: Fault, prompt_id: str, step: int) -> None:
        """Wait until another is in between: two copies that follow each other would be one to the server.

        The other one waits until the second copy is withdrawn, as it would be by far with real pictures.
        """
        first, until = posts[0], time.monotonic() + 30
        if prompt_id in begun or fault.released.is_set():
            return
        while posts.count(first) < 2 or (prompt_id == first and len(fault.ours_pending()) < 2):
            time.sleep(0.005)
        while first in begun and first in fault.ours_pending() and time.monotonic() < until:
            time.sleep(0.005)
        begun.append(prompt_id)

    return Fault(reply=reply, before_step=before_step)


def refused_copy() -> Fault:
    """Lose the answer to a POST whose prompt comes late, and refuse the second as one that is there already."""
    posts: list[str] = []

    async def reply(fault: Fault, request: web.Request) -> Any:
        if not is_post(request):
            return None
        prompt_id = (await request.json())["prompt_id"]
        posts.append(prompt_id)
        if posts[0] != prompt_id or posts.count(prompt_id) > 2:
            return None
        if posts.count(prompt_id) == 1:
            return reset(request)
        await fault.take(request)
        error = {"type": "duplicate_prompt_id", "message": "prompt_id is taken", "details": "", "extra_info": {}}
        return json_answer({"error": error, "node_errors": {}}, status=400)

    return Fault(reply=reply)


def other_id() -> Fault:
    """Take workflows under ids of the server's own, as an old ComfyUI does, and be at work on them for long."""
    begun: list[str] = []

    async def taken(fault: Fault, request: web.Request) -> web.Response:
        other = f"of-the-server-{(await request.json())['prompt_id']}"
        await fault.take(request, prompt_id=other)
        while other not in begun and not fault.released.is_set():  # noqa: ASYNC110 (another thread's doing)
            await asyncio.sleep(0.005)
        return json_answer({"prompt_id": other, "number": 1, "node_errors": {}})

    def before_node(fault: Fault, prompt_id: str, class_type: str) -> None:
        if class_type == "KSampler":
            begun.append(prompt_id)
            fault.serving.server.executor._interrupted.wait(30)

    reply = lambda fault, request: taken(fault, request) if is_post(request) else None  # noqa: E731 (as elsewhere)
    return Fault(reply=reply, before_node=before_node)


def broken_for_target() -> Fault:
    """Break down over the target's workflow, every time."""

    async def reply(fault: Fault, request: web.Request) -> web.Response | None:
        return page(500) if is_post(request) and TARGET in await request.text() else None

    return Fault(reply=reply)


def refused_target() -> Fault:
    """Refuse the target's workflow, in a shape that no ComfyUI has."""

    async def reply(fault: Fault, request: web.Request) -> web.Response | None:
        wrong = is_post(request) and TARGET in await request.text()
        return json_answer(["no", {"because": "<b>quota</b>\x1b[31m"}], status=400) if wrong else None

    return Fault(reply=reply)


def answered_late() -> Fault:
    """Answer a POST when its prompt is over, so that all frames come first."""

    async def taken(fault: Fault, request: web.Request) -> web.Response:
        await fault.take(request)
        prompt_id = (await request.json())["prompt_id"]
        history = fault.serving.server.queue.history_of
        while not history(prompt_id) and not fault.released.is_set():  # noqa: ASYNC110 (another thread's doing)
            await asyncio.sleep(0.005)
        return json_answer({"prompt_id": prompt_id, "number": 1, "node_errors": {}})

    return Fault(reply=lambda fault, request: taken(fault, request) if is_post(request) else None)


# --- the worker


def out_of_memory(fault: Fault, prompt_id: str, class_type: str) -> None:
    """Run out of memory on the target."""
    if class_type == "KSampler" and fault.cell(prompt_id) == TARGET:
        raise NodeFailure("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory")


def full_disk(fault: Fault, png: bytes) -> bytes:
    """Find no room for the target's picture."""
    if TARGET.encode() in png:
        raise OSError(errno.ENOSPC, "No space left on device")
    return png


def failing(kind: str, message: str) -> Fault:
    """Fail on the target with an error of any words."""

    def before_node(fault: Fault, prompt_id: str, class_type: str) -> None:
        if class_type == "VAEDecode" and fault.cell(prompt_id) == TARGET:
            raise NodeFailure(kind, message)

    return Fault(before_node=before_node)


def dies(at: int) -> Fault:
    """Let the worker die at the prompt with this number, while the server goes on taking more."""
    fine = Times(at - 1)

    def before_prompt(fault: Fault, prompt_id: str) -> None:
        if not fine():
            raise WorkerDied

    return Fault(before_prompt=before_prompt)


def hangs() -> Fault:
    """Hang on the target until it is interrupted."""

    def before_node(fault: Fault, prompt_id: str, class_type: str) -> None:
        if class_type == "KSampler" and fault.cell(prompt_id) == TARGET:
            fault.serving.server.executor._interrupted.wait(30)

    return Fault(before_node=before_node)


def interrupted_too_late() -> Fault:
    """Let the target hang until it is to be interrupted, and somebody else's picture run by the time it is."""
    hanging, theirs_run, told = threading.Event(), threading.Event(), threading.Event()

    class TooLate(Fault):
        def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
            if prompt_id.startswith(THEIRS) and hanging.is_set():
                theirs_run.set()
                told.wait(30)
            super().before_node(prompt_id, node_id, class_type)

    def before_node(fault: Fault, prompt_id: str, class_type: str) -> None:
        if class_type == "KSampler" and fault.cell(prompt_id) == TARGET:
            fault.queue_theirs()
            hanging.wait(30)

    async def reply(fault: Fault, request: web.Request) -> None:
        if request.path == "/interrupt":
            hanging.set()
            while not theirs_run.is_set() and not fault.released.is_set():  # noqa: ASYNC110 (another thread's doing)
                await asyncio.sleep(0.005)
            fault.serving.loop.call_later(0.05, told.set)

    return TooLate(reply=reply, before_node=before_node)


def slow_loading(seconds: float) -> Fault:
    """Load models when each picture is about to be sampled, without a word."""

    def before_node(fault: Fault, prompt_id: str, class_type: str) -> None:
        if class_type == "KSampler":
            fault.released.wait(seconds)

    return Fault(before_node=before_node)


# --- restarts


def restarting(when: Callable[[Fault, str], bool]) -> Fault:
    """Restart the server when a step of a prompt is sampled: queue and history are lost."""

    def before_step(fault: Fault, prompt_id: str, step: int) -> None:
        if step == 1 and when(fault, prompt_id):
            executor = fault.serving.server.executor
            fault._tasks.append(executor)
            restart_apart(fault)
            executor._interrupted.wait(30)

    return Fault(before_step=before_step)


def restart_apart(fault: Fault) -> None:
    """Restart from another thread than the worker's, which the restart waits for."""
    thread = threading.Thread(target=fault.restart)
    thread.start()
    fault._tasks.append(thread)


def away(fault: Fault, seconds: float | None) -> None:
    """Refuse everybody for a while, or for good."""
    assert fault.front is not None
    fault.front.refuse()
    if seconds is not None:
        fault.released.wait(seconds)
        fault.front.accept()


def going_away(seconds: float | None) -> Fault:
    """Be away while the second picture is sampled."""
    second = iter(range(1000))

    def before_prompt(fault: Fault, prompt_id: str) -> None:
        if next(second) == 1:
            away(fault, seconds)

    return Fault(before_prompt=before_prompt)


# --- history and pictures


def odd_history(entry: Callable[[str], object], *, times: int = 10**9, only: str = "") -> Fault:
    """Answer the history of a finished prompt in another shape, so many times."""
    still = Times(times)

    def reply(fault: Fault, request: web.Request) -> web.Response | None:
        prompt_id = request.path.rpartition("/")[2]
        about = request.path.startswith("/history/") and fault.serving.server.queue.history_of(prompt_id)
        wanted = about and only in fault.cell(prompt_id)
        return json_answer(entry(prompt_id)) if wanted and still() else None

    return Fault(reply=reply)


def history_of(outputs: object, status: object = None) -> Callable[[str], object]:
    """Write a history entry."""
    success = {"status_str": "success", "completed": True, "messages": []}
    return lambda prompt_id: {prompt_id: {"status": success if status is None else status, "outputs": outputs}}


def late_history(fault: Fault, prompt_id: str) -> None:
    """Take a while to write the history."""
    time.sleep(0.3)


def viewing(answer: Callable[[web.Request, bytes], Any], *, times: int = 10**9, only: str = "") -> Fault:
    """Answer /view otherwise, given the picture, so many times."""
    still = Times(times)

    def reply(fault: Fault, request: web.Request) -> Any:
        if request.path != "/view" or only not in request.query["filename"] or not still():
            return None
        query = request.query
        path = fault.serving.server.folders.root / "output" / query["subfolder"] / query["filename"]
        return answer(request, path.read_bytes())

    return Fault(reply=reply)


async def dripping(request: web.Request, body: bytes) -> web.StreamResponse:
    """Send a body in chunks, with pauses."""
    response = web.StreamResponse()
    await response.prepare(request)
    for start in range(0, len(body), 1024):
        await response.write(body[start : start + 1024])
        await asyncio.sleep(0.01)
    await response.write_eof()
    return response


# --- other people


def crowded() -> Fault:
    """Have somebody queue before every prompt of ours, behind it, and in front of all."""

    def before_prompt(fault: Fault, prompt_id: str) -> None:
        fault.queue_theirs(front=True)
        fault.queue_theirs()

    return Fault(before_prompt=before_prompt)


def occupied(enough: Callable[[Fault], bool]) -> Fault:
    """Have somebody's prompt run, before ours, until enough has happened."""
    first = Times(1)

    class Occupied(Fault):
        def before_prompt(self, prompt_id: str) -> None:
            if prompt_id.startswith(THEIRS) and self.armed.is_set():
                while not enough(self) and not self.released.is_set():
                    time.sleep(0.005)
            super().before_prompt(prompt_id)

    def reply(fault: Fault, request: web.Request) -> None:
        if is_post(request) and first():
            fault.queue_theirs(front=True)

    return Occupied(reply=reply)


def interrupted() -> Fault:
    """Have somebody interrupt the target."""

    def before_step(fault: Fault, prompt_id: str, step: int) -> None:
        if fault.cell(prompt_id) == TARGET:
            fault.serving.server.executor.interrupt()

    return Fault(before_step=before_step)


def taken_out(*, all_of_them: bool) -> Fault:
    """Have somebody clear the queue, or delete one prompt of ours from it, while the first is sampled."""
    first = Times(1)

    def before_step(fault: Fault, prompt_id: str, step: int) -> None:
        queue = fault.serving.server.queue
        if step == 1 and first():
            while len(fault.ours_pending()) < 2:
                time.sleep(0.005)
            if all_of_them:
                queue.clear()
            else:
                queue.delete(fault.ours_pending()[0])

    return Fault(before_step=before_step)


def restarting_once() -> Fault:
    """Restart while the first picture is sampled."""
    first = Times(1)
    return restarting(lambda *_: first())


def every_third_cut() -> Fault:
    """Cut every third answer to whatever is asked or posted."""
    numbers = iter(range(10**9))
    return Fault(reply=lambda _, request: reset(request) if next(numbers) % 3 == 2 else None)


def hanging_up() -> Fault:
    """Close each connection as soon as an answer has passed, without saying so."""

    def reply(fault: Fault, request: web.Request) -> None:
        assert fault.front is not None
        fault.front.hangs_up = True

    return Fault(reply=reply)


def for_seconds(seconds: float) -> Callable[[Fault], bool]:
    """Return what is true from so long after its first call on."""
    begun: list[float] = []

    def is_over(fault: Fault) -> bool:
        begun.append(time.monotonic())
        return begun[-1] - begun[0] > seconds

    return is_over
