"""A prompt goes in, and a picture or a reason comes out, whatever happens to the socket, the queue and the server."""

import asyncio
import io
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import (
    BadAnswer,
    ComfyUIError,
    ExecutionFailed,
    Interrupted,
    Lost,
    Rejected,
    Silent,
    Unreachable,
)
from plugins.comfyui.run import Phase, Run, ignore_progress
from plugins.comfyui.server import Server
from plugins.comfyui.workflow import Filled, Workflow
from plugins.loras.staging import preflight, stage
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from stand_in.faults import Frame, NodeFailure, WorkerDied
from stand_in.serving import Serving
from tests.plugins.comfyui.conftest import QUICK
from tests.small_plan import Posing
from tests.waiting import until

LORA = "spyke_plasma_v1_step600.safetensors"
Serve = Callable[..., Serving]
Connect = Callable[..., Server]


def filled(plan: Plan, cell_id: str = "step600-forest", *, lora: str | None = LORA, steps: int = 2) -> Filled:
    """Fill the built-in workflow for a cell, under a file name of its own."""
    cell = next(cell for cell in matrix(plan) if cell.id == cell_id)
    sampling = plan.sampling.model_copy(update={"steps": steps})
    base = f"{plan.sampling.base_model}.safetensors"
    prefix = uuid.uuid4().hex
    return Workflow.built_in().fill(cell, sampling, base_model=base, lora_file=lora, prefix=prefix)


@pytest.fixture
def staged(plan: Plan) -> Plan:
    """Return the plan with its checkpoints staged."""
    stage(plan, preflight(plan))
    return plan


def pixels(png: bytes) -> bytes:
    """Return a picture without its file's metadata."""
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB").tobytes()


def failure(call: Callable[[], object]) -> ComfyUIError:
    """Return the error that a call raises."""
    with pytest.raises(ComfyUIError) as raised:
        call()
    return raised.value


@pytest.fixture
def apart() -> Iterator[ThreadPoolExecutor]:
    """Run things apart from the test."""
    with ThreadPoolExecutor() as threads:
        yield threads


def foreign(serving: Serving, plan: Plan) -> str:
    """Put somebody else's prompt in the queue."""
    client, prompt_id = ComfyUI(serving.url), str(uuid.uuid4())
    client.post(filled(plan).graph, client_id="somebody", prompt_id=prompt_id)
    client.close()
    return prompt_id


def history(serving: Serving, prompt_id: str) -> Any:
    """Look up what became of a prompt; None where it did not end."""
    return serving.server.queue.history_of(prompt_id).get(prompt_id)


def test_success_gives_the_picture_and_its_account(staged: Plan, stand_in: Serve, connect: Connect) -> None:
    """A picture comes with the server's times, the graph that it ran, and news from waiting to its end."""
    serving = stand_in(seconds_per_image=0.05)
    workflow, news = filled(staged), list[Run]()
    finished = connect(serving).render(workflow, news.append)
    entry = history(serving, finished.prompt_id)
    name = next(serving.server.folders.root.glob("output/*.png"))
    assert name.read_bytes() == finished.png
    assert workflow.graph == finished.remembered
    stamps = [data["timestamp"] for _, data in entry["status"]["messages"]]
    assert (stamps[0], stamps[-1]) == tuple(round(t.timestamp() * 1000) for t in (finished.started, finished.ended))
    # The history may tell of the end before the socket's last frames come: they are advice, in this order.
    phases = list(dict.fromkeys(run.phase for run in news if run.phase is not Phase.QUEUED))
    steps = list(dict.fromkeys((run.value, run.maximum) for run in news if run.maximum))
    assert [Phase.RUNNING, Phase.SUCCEEDED][: len(phases)] == phases
    assert [(1, 2), (2, 2)][: len(steps)] == steps


def test_refusal_is_told_and_leaves_nothing(staged: Plan, stand_in: Serve, connect: Connect) -> None:
    """A workflow that the server refuses is told in words: node, input, what was sent, what is allowed."""
    serving = stand_in()
    server = connect(serving)
    told = str(failure(lambda: server.render(filled(staged, lora="nope.safetensors"), ignore_progress)))
    listed = ", ".join(staged.staged_file(checkpoint) for checkpoint in staged.checkpoints)
    start = f"{serving.url} refused the workflow: \n  node 2 (LoraLoader), input lora_name: sent 'nope.safetensors', "
    assert told.startswith(f"{start}allowed ")
    assert sorted(listed.split(", ")) == sorted(told.removeprefix(f"{start}allowed ").split(", "))
    assert set() == server._ours


class Failing(Posing):
    """A stand-in whose sampler fails."""

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Run out of memory while sampling."""
        del prompt_id, node_id
        if class_type == "KSampler":
            raise NodeFailure("torch.OutOfMemoryError", "Allocation on device \x1b[31m0")


def begun(running: threading.Event) -> Callable[[Run], None]:
    """Return a callback that sets an event once sampling began."""

    def on_progress(run: Run) -> None:
        if run.value:
            running.set()

    return on_progress


def test_node_error_is_told(staged: Plan, stand_in: Serve, connect: Connect) -> None:
    """A node that raises is told with its id, class, exception and message; terminal codes in it are spelled out."""
    serving = stand_in(faults=Failing())
    error = failure(lambda: connect(serving).render(filled(staged), ignore_progress))
    assert isinstance(error, ExecutionFailed)
    start = f"{serving.url} failed on this picture: node 7 (KSampler) raised torch.OutOfMemoryError: "
    assert str(error).startswith(f"{start}Allocation on device \\x1b[31m0")


def test_interrupted_by_somebody_else(
    staged: Plan, stand_in: Serve, connect: Connect, apart: ThreadPoolExecutor
) -> None:
    """A picture that somebody interrupts is told as that, not as an error of a node."""
    serving = stand_in(seconds_per_image=30)
    running = threading.Event()
    rendering = apart.submit(connect(serving).render, filled(staged, steps=50), begun(running))
    assert running.wait(30)
    serving.server.executor.interrupt()
    error = failure(lambda: rendering.result(30))
    assert isinstance(error, Interrupted)
    told = f"Somebody interrupted this picture on {serving.url}. To render it, run this again; "
    assert f"{told}what is finished is kept." == str(error)


def test_lost_queue_is_noticed(staged: Plan, stand_in: Serve, connect: Connect, apart: ThreadPoolExecutor) -> None:
    """A prompt that is neither in the history nor in the queue any more is lost, and the message says what to do."""
    serving = stand_in(seconds_per_image=600)
    foreign(serving, staged)
    rendering = apart.submit(connect(serving).render, filled(staged), ignore_progress)
    until(lambda: [1, 1] == list(map(len, serving.server.queue.current())))  # theirs runs, and ours waits
    serving.server.queue.clear()
    error = failure(lambda: rendering.result(30))
    assert isinstance(error, Lost)
    assert (
        f"{serving.url} has lost this picture: it was restarted, or its queue was cleared. "
        "Run this again; what is finished is kept."
    ) == str(error)


class Muted(Posing):
    """A stand-in whose socket connects, and then says nothing of any prompt."""

    def frames(self, event: str, data: dict[str, Any], client_id: str | None) -> Iterable[Frame]:
        """Send the queue's length alone."""
        del client_id
        if event == "status":
            yield event, data


class Socketless(Posing):
    """A stand-in behind a proxy that lets no socket through."""

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Refuse sockets."""
        return web.Response(status=502) if request.path.endswith("/ws") else await super().answer(request)


class Doubling(Posing):
    """A stand-in whose frames come twice, the end before everything else."""

    def frames(self, event: str, data: dict[str, Any], client_id: str | None) -> Iterable[Frame]:
        """Tell the end of each prompt first, and everything twice."""
        del client_id
        if event == "execution_start":
            yield "execution_success", data
            yield "executing", {"node": None, "prompt_id": data["prompt_id"]}
        yield event, data
        yield event, data


class Late(Posing):
    """A stand-in that takes its time to write the history."""

    def before_history(self, prompt_id: str) -> None:
        """Wait, as long as several looks take."""
        del prompt_id
        time.sleep(0.3)


@pytest.mark.parametrize(
    "faults", [Muted(), Socketless(), Doubling(), Late()], ids=lambda faults: type(faults).__name__
)
def test_picture_comes_whatever_the_socket_does(
    staged: Plan, stand_in: Serve, connect: Connect, faults: Posing
) -> None:
    """A silent, absent or lying socket, and a history that is written late, cost a moment and no picture."""
    serving = stand_in(faults=faults)
    finished = connect(serving).render(filled(staged), ignore_progress)
    assert (64, 64) == Image.open(io.BytesIO(finished.png)).size
    assert "success" == history(serving, finished.prompt_id)["status"]["status_str"]
    assert 1 == len(serving.server.queue.history())


class Pausing(Posing):
    """A stand-in that pauses after a picture's first step until it goes on."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
        """Wait, before the second step."""
        del prompt_id, node_id
        if step > 1:
            assert self.goes_on.wait(30)


def test_socket_dropped_in_the_middle(
    staged: Plan, stand_in: Serve, connect: Connect, apart: ThreadPoolExecutor
) -> None:
    """A socket that drops while a picture is sampled costs neither that picture nor the next one's progress."""
    faults = Pausing()
    serving = stand_in(faults=faults)
    server = connect(serving)
    for cell in ("step600-forest", "step600-novel_pose"):
        faults.goes_on.clear()
        dropped = server._events.client_id
        running = threading.Event()
        rendering = apart.submit(server.render, filled(staged, cell), begun(running))
        assert running.wait(30)
        serving.drop(dropped)
        faults.goes_on.set()
        assert rendering.result(30).png.startswith(b"\x89PNG")
        until(lambda dropped=dropped: server._events.client_id != dropped)  # type: ignore[misc]
    assert 2 == len(serving.server.queue.history())


def test_silent_worker_is_given_up(staged: Plan, stand_in: Serve, connect: Connect) -> None:
    """A worker that is dead but accepts is given up after the plan's time, and the message names the option."""

    class Dead(Posing):
        def before_prompt(self, prompt_id: str) -> None:
            del prompt_id
            raise WorkerDied

    serving = stand_in(faults=Dead())
    begun = time.monotonic()
    error = failure(lambda: connect(serving, timeout=0.3).render(filled(staged), ignore_progress))
    assert isinstance(error, Silent)
    assert 20 > time.monotonic() - begun > 0.3
    assert (
        f"{serving.url} gave no sign of life for 0 s. If it is only slow, raise "
        "`timeout` under [comfyui] in the plan; else look at its terminal, restart it, "
        "and run this again; what is finished is kept."
    ) == str(error)


@pytest.mark.slow
def test_server_that_froze_is_given_up_in_its_time(staged: Plan, stand_in: Serve, connect: Connect) -> None:
    """A server that takes requests and answers none is said not to answer; then it is not waited for once more."""

    class Freezing(Posing):
        def __init__(self) -> None:
            self.frozen = False

        def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
            del prompt_id, node_id
            self.frozen = self.frozen or class_type == "KSampler"
            while self.frozen:
                time.sleep(0.01)

        async def answer(self, request: web.Request) -> web.StreamResponse | None:
            while self.frozen:  # noqa: ASYNC110 (a thread of the stand-in sets it)
                await asyncio.sleep(0.01)
            return await super().answer(request)

    faults, news = Freezing(), list[Run]()
    server = connect(stand_in(faults=faults), timeout=1.0, timing=replace(QUICK, answer=6.0, connect=0.2, reach=0.1))
    begun = time.monotonic()
    error = failure(lambda: server.render(filled(staged), news.append))
    took = time.monotonic() - begun
    faults.frozen = False
    assert isinstance(error, Unreachable)
    assert "has not answered for 0 s. Look at its terminal" in str(error)
    assert [True, False] == list(dict.fromkeys(run.answers for run in news))
    assert took < 11


@pytest.mark.slow
def test_waiting_behind_our_own_picture_is_no_silence(
    staged: Plan, stand_in: Serve, connect: Connect, apart: ThreadPoolExecutor
) -> None:
    """A picture that waits behind a slow one of ours is not given up while that one makes progress."""
    begun: list[str] = []

    class FirstSlow(Posing):
        def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
            del node_id, step
            begun.append(prompt_id)
            if prompt_id == begun[0]:
                time.sleep(1.0)

    serving = stand_in(faults=FirstSlow())
    server = connect(serving, timeout=5.0)
    first = apart.submit(server.render, filled(staged, steps=6), ignore_progress)
    until(serving.server.queue.remaining)
    second = apart.submit(server.render, filled(staged, "final-forest"), ignore_progress)
    assert [b"\x89PNG"] * 2 == [one.result(30).png[:4] for one in (first, second)]


class TakenUnanswered(Posing):
    """A stand-in behind a proxy that takes one POST, passes it on or not, and hangs up."""

    def __init__(self, *, passed_on: bool) -> None:
        self.passed_on = passed_on
        self.posts = 0
        self.serving: Serving

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Cut the first POST's connection."""
        if request.path == "/prompt" and request.method == "POST":
            self.posts += 1
            if self.posts == 1:
                if self.passed_on:
                    body = await request.json()
                    graph = body["prompt"]
                    extra = {"client_id": body["client_id"]}
                    self.serving.server.queue.put((0, body["prompt_id"], graph, extra, ["9"]))
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
        return await super().answer(request)


@pytest.mark.parametrize(("passed_on", "posts"), [(True, 1), (False, 2)], ids=["accepted", "not_accepted"])
def test_unanswered_post_is_looked_for_before_it_is_repeated(
    staged: Plan,
    stand_in: Serve,
    connect: Connect,
    passed_on: bool,  # noqa: FBT001 (a parameter of the test)
    posts: int,
) -> None:
    """A POST without an answer is sent again only where the server does not know the prompt: never rendered twice."""
    faults = TakenUnanswered(passed_on=passed_on)
    faults.serving = serving = stand_in(faults=faults)
    finished = connect(serving).render(filled(staged), ignore_progress)
    assert b"\x89PNG" == finished.png[:4]
    assert (posts, [finished.prompt_id]) == (faults.posts, list(serving.server.queue.history()))


class Gone(Pausing):
    """A stand-in that can be out of reach."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = threading.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Hang up while out of reach."""
        if self.gone.is_set() and request.path != "/system_stats":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return await super().answer(request)


@pytest.mark.parametrize("comes_back", [True, False], ids=["comes_back", "stays_away"])
def test_server_out_of_reach(
    staged: Plan,
    stand_in: Serve,
    connect: Connect,
    apart: ThreadPoolExecutor,
    comes_back: bool,  # noqa: FBT001 (a parameter of the test)
) -> None:
    """A server that cannot be reached for a moment costs nothing; one that stays away is told, with what to do."""
    timing = replace(QUICK, reach=30.0 if comes_back else 0.3)
    faults = Gone()
    serving = stand_in(faults=faults)
    running, server = threading.Event(), connect(serving, timing=timing)
    rendering = apart.submit(server.render, filled(staged), begun(running))
    assert running.wait(30)
    faults.gone.set()
    faults.goes_on.set()
    if comes_back:
        time.sleep(0.2)
        faults.gone.clear()
        assert b"\x89PNG" == rendering.result(30).png[:4]
    else:
        serving.drop(next(iter(serving.server.hub._sockets)))
        error = failure(lambda: rendering.result(30))
        faults.gone.clear()
        assert isinstance(error, Unreachable)
        assert f"{serving.url} has not answered for 1 s. Look at its terminal; when it runs again, " in str(error)


class Empty(Posing):
    """A stand-in whose history says that a node saved nothing."""

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Answer the history of any prompt with a success without pictures."""
        if request.path.startswith("/history/"):
            prompt_id = request.path.rpartition("/")[2]
            status = {"status_str": "success", "completed": True, "messages": []}
            return web.json_response({prompt_id: {"status": status, "outputs": {}}})
        return await super().answer(request)


def test_success_without_a_picture_is_none(staged: Plan, stand_in: Serve, connect: Connect) -> None:
    """A success whose saving node saved no picture is told with that node."""
    serving = stand_in(faults=Empty())
    error = failure(lambda: connect(serving).render(filled(staged), ignore_progress))
    assert isinstance(error, BadAnswer)
    assert "but node 9 saved 0 pictures instead of 1." in str(error)


def test_picture_that_is_gone_is_told(staged: Plan, stand_in: Serve, connect: Connect) -> None:
    """A picture that the server no longer has is told with its 404."""

    class Forgetful(Posing):
        async def answer(self, request: web.Request) -> web.StreamResponse | None:
            return web.Response(status=404) if request.path == "/view" else await super().answer(request)

    serving = stand_in(faults=Forgetful())
    error = failure(lambda: connect(serving).render(filled(staged), ignore_progress))
    assert (
        f"{serving.url} answered GET /view with 404 (Not Found). The picture was made, but cannot be fetched. "
        "To try once more, run this again; what is finished is kept."
    ) == str(error)


class InOrder(Posing):
    """A stand-in whose first prompt runs until it is let go, and whose second runs until it is interrupted."""

    def __init__(self) -> None:
        self.begun, self.let_go = list[str](), threading.Event()
        self.serving: Serving

    def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
        """Wait for the event that this prompt's place asks for."""
        del node_id
        if step == 1:
            self.begun.append(prompt_id)
        if len(self.begun) <= 2:
            (self.let_go if len(self.begun) == 1 else self.serving.server.executor._interrupted).wait(60)


def test_closing_withdraws_ours_alone(
    staged: Plan, stand_in: Serve, connect: Connect, apart: ThreadPoolExecutor
) -> None:
    """Closing deletes our waiting prompts and interrupts our running one; others' before and after are untouched."""
    faults = InOrder()
    serving = faults.serving = stand_in(faults=faults)
    before = foreign(serving, staged)
    server = connect(serving)
    renderings = [apart.submit(server.render, filled(staged, steps=50), ignore_progress) for _ in range(2)]
    until(lambda: serving.server.queue.remaining() == 3)
    after = foreign(serving, staged)
    faults.let_go.set()
    until(lambda: len(faults.begun) == 2)
    server.close()
    errors = [failure(lambda one=rendering: one.result(30)) for rendering in renderings]  # type: ignore[misc]
    until(lambda: history(serving, after))
    assert ["success", "success"] == [history(serving, one)["status"]["status_str"] for one in (before, after)]
    ended = [entry["status"]["messages"][-1][0] for entry in serving.server.queue.history().values()]
    assert ["execution_interrupted", "execution_success", "execution_success"] == sorted(ended)
    assert [f"The run was stopped while {serving.url} worked on this picture."] * 2 == [str(one) for one in errors]
    assert "The run was stopped before this picture was begun." == str(
        failure(lambda: server.render(filled(staged), ignore_progress))
    )


class ToldLate(Posing):
    """A stand-in that is at work until it is interrupted, and says what became of it when that is over."""

    def __init__(self) -> None:
        self.asked, self.over = threading.Event(), threading.Event()
        self.serving: Serving

    def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
        """Be at work."""
        del prompt_id, node_id, step
        self.serving.server.executor._interrupted.wait(60)

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Hold up a look at the history."""
        if request.path.startswith("/history/"):
            self.asked.set()
            while not self.over.is_set():  # noqa: ASYNC110 (set by another thread)
                await asyncio.sleep(0.005)
        return await super().answer(request)


def test_closing_during_a_look_is_not_taken_for_somebody_elses_doing(
    staged: Plan, stand_in: Serve, connect: Connect, apart: ThreadPoolExecutor
) -> None:
    """A picture that we interrupt while its thread asks what became of it was stopped by us, and by nobody else."""
    faults = ToldLate()
    serving = faults.serving = stand_in(faults=faults)
    server = connect(serving)
    rendering = apart.submit(server.render, filled(staged), ignore_progress)
    assert faults.asked.wait(60)
    server.close()
    until(serving.server.queue.history)
    faults.over.set()
    told = failure(lambda: rendering.result(30))
    assert f"The run was stopped while {serving.url} worked on this picture." == str(told)
    ended = [entry["status"]["messages"][-1][0] for entry in serving.server.queue.history().values()]
    assert ["execution_interrupted"] == ended


class Slow(Posing):
    """A stand-in behind a slow line: a POST arrives when it is let through."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.let_through = threading.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Hold a POST up."""
        if request.path == "/prompt" and request.method == "POST":
            self.arrived.set()
            while not self.let_through.is_set():  # noqa: ASYNC110 (set by another thread)
                await asyncio.sleep(0.01)
        return await super().answer(request)


def test_prompt_that_arrives_after_closing_is_withdrawn(
    staged: Plan, stand_in: Serve, connect: Connect, apart: ThreadPoolExecutor
) -> None:
    """A prompt that was on its way when we closed is withdrawn as soon as it has arrived."""
    faults = Slow()
    serving = stand_in(faults=faults, seconds_per_image=5)
    server = connect(serving)
    rendering = apart.submit(server.render, filled(staged, steps=50), ignore_progress)
    assert faults.arrived.wait(30)
    server.close()
    faults.let_through.set()
    assert isinstance(failure(lambda: rendering.result(30)), Interrupted)
    until(lambda: serving.server.queue.remaining() == 0)


class AppliesFreeLate(Posing):
    """A stand-in that applies /free after the next prompt, as ComfyUI may."""

    def free_now(self) -> bool:
        """Wait for the next prompt."""
        return False


@pytest.mark.parametrize("faults", [Posing(), AppliesFreeLate()], ids=["at_once", "after_the_next_prompt"])
def test_replaced_lora_is_rendered_anew(staged: Plan, stand_in: Serve, connect: Connect, faults: Posing) -> None:
    """A LoRA replaced under its name renders as the old one, until the server is made to forget its weights."""
    serving = stand_in(faults=faults)
    final = staged.staged_file(staged.checkpoints[-1])
    server = connect(serving)
    old = pixels(server.render(filled(staged), ignore_progress).png)
    new = pixels(server.render(filled(staged, lora=final), ignore_progress).png)
    assert old != new
    server.render(filled(staged), ignore_progress)
    (staged.paths.loras / LORA).write_bytes((staged.paths.loras / final).read_bytes())
    assert old == pixels(server.render(filled(staged), ignore_progress).png)
    server.forget_weights()
    assert new == pixels(server.render(filled(staged), ignore_progress).png)


def test_weights_are_forgotten_once(staged: Plan, stand_in: Serve, connect: Connect) -> None:
    """However many cells ask, from however many threads, the server forgets once a run; a failure is tried again."""
    serving = stand_in()
    server = connect(serving)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: server.forget_weights(), range(8)))
    assert 1 == len(serving.server.queue.history())
    other = connect(stand_in(faults=FailingOnce()))
    assert isinstance(failure(other.forget_weights), ExecutionFailed)
    other.forget_weights()
    del staged


class FailingOnce(Posing):
    """A stand-in that fails on its first node."""

    def __init__(self) -> None:
        self.failed = False

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Fail, once."""
        del prompt_id, node_id, class_type
        if not self.failed:
            self.failed = True
            raise OSError(28, "No space left on device")


def test_refused_forgetting_is_told(stand_in: Serve, connect: Connect) -> None:
    """A server that cannot forget is an error, and not a picture of old weights."""

    class Unwilling(Posing):
        async def answer(self, request: web.Request) -> web.StreamResponse | None:
            return web.Response(status=405) if request.path == "/free" else await super().answer(request)

    serving = stand_in(faults=Unwilling())
    error = failure(connect(serving).forget_weights)
    assert f"{serving.url} answered POST /free with 405 (Method Not Allowed)." == str(error)
    assert not isinstance(error, Rejected)
