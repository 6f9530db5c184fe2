"""One ComfyUI server to render on: a prompt goes in, a picture or a reason comes out."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from plugins.comfyui.client import ComfyUI, ImageRef, ServerInfo
from plugins.comfyui.errors import (
    BadAnswer,
    ComfyUIError,
    ExecutionFailed,
    Interrupted,
    Lost,
    RunError,
    Silent,
    Unreachable,
)
from plugins.comfyui.events import Events
from plugins.comfyui.run import Phase, Run, fold, from_history, images
from plugins.comfyui.workflow import Filled

_LOOK_SECONDS: Final = 1.0
"""How often the history is looked at while the socket says nothing."""
_WRITTEN_SECONDS: Final = 0.02
"""How soon the history is looked at again after the socket told of the end: it is written a moment later (fact 4)."""
_GONE_SECONDS: Final = 3.0
"""How long a prompt must be neither in the history nor in the queue before it is lost: one follows the other."""
_PAUSE_SECONDS: Final = 0.25
"""The first pause before something is tried again; each one after it is twice as long."""
_FETCH_SECONDS: Final = 5.0
"""How long a finished picture may not be there to fetch yet, or break off."""
_REACH_SECONDS: Final = 60.0
"""How long a server that has a prompt of ours may not answer at all, as while it is restarted."""
_GONE: Final = "gone"
_OUT_OF_REACH: Final = "out of reach"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A prompt that gave a picture."""

    prompt_id: str
    png: bytes
    workflow: Any
    """The graph that the server's history says it ran."""
    started: datetime
    ended: datetime


class Server:
    """A server, its event socket, and the prompts of ours that are on it. Safe to use from several threads."""

    def __init__(self, client: ComfyUI, info: ServerInfo, *, timeout: float) -> None:
        self.client: Final = client
        self.info: Final = info
        self._timeout = timeout
        self._events = Events(client)
        self._ours: set[str] = set()
        self._lock = threading.Lock()
        self._forgetting = threading.Lock()
        self._forgot = False
        self._heard = 0
        self._given_up = ""
        """Why nothing more is sent to this server: it would wait as long as the prompt before it."""
        self._stopping = threading.Event()

    def close(self) -> None:
        """Withdraw our prompts, and nobody else's, then let go of the server."""
        self._stopping.set()
        with self._lock:
            ours = sorted(self._ours)
        if ours:
            self._withdraw(ours)
        self._events.close()
        self.client.close()

    def _withdraw(self, prompt_ids: Sequence[str]) -> None:
        """Take prompts of ours out of the queue, and stop the one that is running."""
        with contextlib.suppress(ComfyUIError):
            self.client.delete(prompt_ids)
            for prompt_id in self.client.queue().running:
                if prompt_id in prompt_ids:
                    self.client.interrupt(prompt_id)

    def forget_weights(self, *, again: bool = False) -> None:
        """Make the server read LoRA files anew from the first call on (COMFYUI.md, fact 1).

        Later calls do nothing, unless files were replaced meanwhile: say so with `again`.

        It keeps weights by name, also when the file was replaced. `/free` clears them after the prompt that the
        server is busy with or takes next; so a tiny prompt without any model follows, and this waits for it.
        """
        with self._forgetting:
            if again or not self._forgot:
                self._forget()
                self._forgot = True

    def _forget(self) -> None:
        self.client.free()
        graph = {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        }
        self._run(Filled(graph=graph, save="2", sampler="1"), lambda _: None)

    def render(self, workflow: Filled, on_progress: Callable[[Run], None]) -> Finished:
        """Run a workflow and fetch its picture; `on_progress` is told once it is queued, and whenever it moves on.

        Raises `Rejected`, `RunError`, `Unreachable` or `BadAnswer`, each saying what happened on which server.
        """
        prompt_id, entry = self._run(workflow, on_progress)
        run = from_history(Run(prompt_id=prompt_id), entry)
        found = images(entry, workflow.save)
        if len(found) != 1:
            raise BadAnswer(
                f"{self.client.url} finished prompt {prompt_id}, but node {workflow.save} saved {len(found)} pictures "
                "instead of 1."
            )
        png = self._fetch(found[0])
        now = datetime.now(UTC)
        ran = entry.get("prompt")
        return Finished(
            prompt_id=prompt_id,
            png=png,
            workflow=ran[2] if isinstance(ran, list) and len(ran) > 2 else None,  # noqa: PLR2004 (number, id, graph)
            started=run.started or now,
            ended=run.ended or now,
        )

    def _fetch(self, image: ImageRef) -> bytes:
        """Fetch a finished picture; the server may not have it on disk yet, or break off."""
        again = Retrying(
            retry=retry_if_exception_type((Unreachable, BadAnswer)),
            stop=stop_after_delay(_FETCH_SECONDS),
            wait=wait_exponential(multiplier=_PAUSE_SECONDS),
            reraise=True,
        )
        return again(self.client.view, image)

    def _run(self, workflow: Filled, on_progress: Callable[[Run], None]) -> tuple[str, dict[str, Any]]:
        """Post a workflow and wait for its end; give its id and what the history says."""
        prompt_id = str(uuid.uuid4())

        def tell(run: Run) -> None:
            self._heard += 1
            on_progress(run)

        waiting = _Waiting(Run(prompt_id=prompt_id), tell)
        with self._lock:
            if self._stopping.is_set():
                raise Interrupted("The run was stopped before this picture was begun.")
            if self._given_up:
                raise Unreachable(f"{self._given_up} This picture was not begun.")
            self._ours.add(prompt_id)
        self._events.follow(prompt_id, waiting.hear)
        try:
            self._post(workflow, prompt_id)
            on_progress(waiting.run)  # it is in the queue
            return prompt_id, self._wait(waiting)
        except RunError as error:
            if isinstance(error, Silent | Interrupted):
                self._withdraw((prompt_id,))
            raise
        except (ComfyUIError, KeyboardInterrupt):
            self._withdraw((prompt_id,))  # nobody waits for it any more
            raise
        finally:
            self._events.unfollow(prompt_id)
            with self._lock:
                self._ours.discard(prompt_id)

    def _post(self, workflow: Filled, prompt_id: str) -> None:
        """Put a workflow in the queue, once. A server that is not there just now is given some time to come back."""
        client_id, pause, until = self._events.client_id, _PAUSE_SECONDS, time.monotonic() + _REACH_SECONDS
        while True:
            try:
                self.client.post(workflow.graph, client_id=client_id, prompt_id=prompt_id)
            except Unreachable as error:
                # The answer did not come; the prompt may have been taken all the same. Look before posting again.
                if self._is_known(prompt_id):
                    return
                if time.monotonic() + pause > until:
                    self._given_up = str(error)
                    raise
                if self._stopping.wait(pause):
                    raise Interrupted("The run was stopped before this picture was begun.") from None
                pause *= 2
            else:
                return

    def _is_known(self, prompt_id: str) -> bool:
        place, entry = self._look(prompt_id)
        return entry is not None or place not in {_GONE, _OUT_OF_REACH}

    def _wait(self, waiting: "_Waiting") -> dict[str, Any]:
        """Wait for the end of a prompt: the socket says when to look, the history says what happened."""
        url, place = self.client.url, ""
        alive, there = _SignOfLife(), _SignOfLife()
        while True:
            waiting.news.wait(_WRITTEN_SECONDS if waiting.run.phase.ended else _LOOK_SECONDS)
            waiting.news.clear()
            if self._stopping.is_set():
                raise Interrupted(f"The run was stopped while {url} worked on this picture.")
            if waiting.run.phase.ended or waiting.is_time_to_look:
                place, entry = self._look(waiting.run.prompt_id)
                if entry is not None:
                    return self._judged(from_history(waiting.run, entry), dict(entry))
            if there.seconds_since(place if place == _GONE else object()) > _GONE_SECONDS:
                raise Lost(
                    f"{url} knows nothing of this picture any more: it was restarted, or its queue was cleared. "
                    "Run pytest -m generate again; what is finished is kept."
                )
            # A prompt that waits behind another of ours is alive while that one is.
            silent = alive.seconds_since((waiting.run, place, self._heard))
            if place == _OUT_OF_REACH and silent > _REACH_SECONDS:
                self._given_up = (
                    f"{url} has not answered for {_REACH_SECONDS:.0f} s. Look at its terminal; when it runs again, "
                    "run pytest -m generate again; what is finished is kept."
                )
                raise Unreachable(self._given_up)
            if silent > self._timeout:
                self._given_up = (
                    f"{url} gave no sign of life for {self._timeout:.0f} s. If it is only slow, raise `timeout` under "
                    "[comfyui] in the plan; else look at its terminal, and restart it."
                )
                raise Silent(self._given_up)

    def _look(self, prompt_id: str) -> tuple[str, Mapping[str, Any] | None]:
        """Say where a prompt is, and give what the history says of it once it has ended.

        A prompt moves from the queue to the history, so the history is looked at before and after the queue.
        """
        try:
            entry = self.client.history(prompt_id)
            if entry is None:
                queue = self.client.queue()
                if prompt_id in queue.running:
                    return "running", None
                if prompt_id in queue.pending:
                    return f"behind {queue.running} and {queue.pending.index(prompt_id)} more", None
                entry = self.client.history(prompt_id)
        except (Unreachable, BadAnswer):
            return _OUT_OF_REACH, None
        return _GONE, entry

    def _judged(self, run: Run, entry: dict[str, Any]) -> dict[str, Any]:
        """Give the entry of a run that succeeded; raise what became of it otherwise."""
        if run.phase is Phase.SUCCEEDED:
            return entry
        if run.phase is Phase.INTERRUPTED:
            raise Interrupted(f"Somebody interrupted this picture on {self.client.url}.")
        raise ExecutionFailed(f"{self.client.url} failed on this picture: {run.error}.")


class _SignOfLife:
    """How long nothing has changed."""

    def __init__(self) -> None:
        self._last: object = None
        self._since = time.monotonic()

    def seconds_since(self, now: object) -> float:
        """Give the seconds since what is seen was last different from `now`."""
        if now != self._last:
            self._last, self._since = now, time.monotonic()
        return time.monotonic() - self._since


class _Waiting:
    """What is known of a prompt while it is waited for; told by the socket's thread, read by the waiting one."""

    def __init__(self, run: Run, on_progress: Callable[[Run], None]) -> None:
        self.run = run
        self.news = threading.Event()
        self._on_progress = on_progress
        self._looked = time.monotonic()

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take in a message of the socket."""
        run = fold(self.run, message)
        if run != self.run:
            self.run = run
            self._on_progress(run)
            if run.phase.ended or run.closed:
                self.news.set()

    @property
    def is_time_to_look(self) -> bool:
        """Whether the history was not looked at for a while; asking counts as looking."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS * 0.9:
            return False
        self._looked = now
        return True
