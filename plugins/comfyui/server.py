"""One ComfyUI server to render on: a prompt goes in, a picture or a reason comes out."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from plugins.comfyui.client import ComfyUI, ServerInfo
from plugins.comfyui.errors import (
    BadAnswer,
    BrokenAnswer,
    ComfyUIError,
    ExecutionFailed,
    Interrupted,
    Lost,
    Rejected,
    Silent,
    Unreachable,
)
from plugins.comfyui.events import Events
from plugins.comfyui.fetching import fetch
from plugins.comfyui.patience import Patience, reach_of
from plugins.comfyui.run import Phase, Run, from_history, images
from plugins.comfyui.sight import Sight, Where, look
from plugins.comfyui.waiting import Waiting
from plugins.comfyui.workflow import Filled

Told = TypeVar("Told")

_PAUSE_SECONDS: Final = 0.25
"""The first pause before something is tried again; each one after it is twice as long."""
_LET_GO_SECONDS: Final = 10.0
"""How long a server may take to stop a prompt that it was told to: it looks between nodes and sampling steps."""
_POSTS: Final = 3
"""How often a workflow is sent that the server breaks down over."""
_SILENCES: Final = 2
"""How many prompts may give no sign of life, one after the other, before nothing more is sent."""
_AGAIN: Final = "run this again; what is finished is kept."
_ADVICE: Final = {
    "OutOfMemory": f"Close what else uses its memory, or ask for smaller pictures in the plan, then {_AGAIN}",
    "No space left": f"Make room on the server's disk, then {_AGAIN}",
}
"""What to do about an error of a node, by a word of its message."""


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
        self._silences = 0
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
                try:
                    self._forget()
                except Lost:  # restarted, or its queue was cleared: in that case it may not have forgotten
                    self._forget()
                self._forgot = True

    def _forget(self) -> None:
        self.client.free()
        graph = {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        }
        self._run(Filled(graph=graph, save="2", sampler="1"), lambda _: None)

    def ask(self, question: Callable[[ComfyUI], Told]) -> Told:
        """Have the client ask something; a server that is not there just now is given some time to come back."""
        pause, until = _PAUSE_SECONDS, time.monotonic() + reach_of(self._timeout)
        while not self._given_up:
            try:
                return question(self.client)
            except (Unreachable, BrokenAnswer) as error:
                self._pause_after(error, pause, until)
                pause *= 2
        raise Unreachable(f"{self._given_up} This picture was not begun.")

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
                f"instead of 1. To try once more, {_AGAIN}"
            )
        try:
            png = fetch(self.client, found[0], reach=reach_of(self._timeout), stopping=self._stopping)
        except (Unreachable, BadAnswer) as error:
            raise type(error)(f"{error} The picture was made, but cannot be had. To try once more, {_AGAIN}") from error
        now = datetime.now(UTC)
        ran = entry.get("prompt")
        return Finished(
            prompt_id=prompt_id,
            png=png,
            workflow=ran[2] if isinstance(ran, list) and len(ran) > 2 else None,  # noqa: PLR2004 (number, id, graph)
            started=run.started or now,
            ended=run.ended or now,
        )

    def _run(self, workflow: Filled, on_progress: Callable[[Run], None]) -> tuple[str, dict[str, Any]]:
        """Post a workflow and wait for its end; give its id and what the history says."""
        prompt_id = str(uuid.uuid4())
        waiting = Waiting(Run(prompt_id=prompt_id), on_progress)
        with self._lock:
            if self._stopping.is_set():
                raise Interrupted("The run was stopped before this picture was begun.")
            if self._given_up:
                raise Unreachable(f"{self._given_up} This picture was not begun.")
            self._ours.add(prompt_id)
        self._events.follow(prompt_id, waiting.hear)
        try:
            posts = self._post(workflow, prompt_id)
            on_progress(waiting.run)  # it is in the queue
            entry = self._wait(waiting)
            if posts > 1:  # one that was thought lost on its way may have come late
                self._withdraw((prompt_id,))
        except (ExecutionFailed, Lost):
            raise
        except Silent as error:
            self._let_go(waiting, error)
            raise
        except (ComfyUIError, KeyboardInterrupt):
            self._withdraw((prompt_id,))  # nobody waits for it any more
            raise
        else:
            self._silences = 0
            return prompt_id, entry
        finally:
            self._events.unfollow(prompt_id)
            with self._lock:
                self._ours.discard(prompt_id)

    def _let_go(self, waiting: Waiting, error: Silent) -> None:
        """Withdraw a prompt that gave no sign of life; give the server up unless it stops, and goes on to the next."""
        prompt_id = waiting.run.prompt_id
        self._silences += 1
        self._withdraw((prompt_id,))
        until = time.monotonic() + _LET_GO_SECONDS
        while error.was_running and self._silences < _SILENCES and time.monotonic() < until:
            if self._look(prompt_id).where is not Where.RUNNING or self._stopping.wait(_PAUSE_SECONDS):
                return
        self._given_up = str(error)

    def _post(self, workflow: Filled, prompt_id: str) -> int:
        """Put a workflow in the queue, once; give how often it was sent.

        A server that is not there just now is given some time to come back. Where an answer did not come, the prompt
        may have been taken all the same: it is sent again only after the server said that it does not have it.
        """
        client_id, pause, posts = self._events.client_id, _PAUSE_SECONDS, 0
        until = time.monotonic() + reach_of(self._timeout)
        where = Where.GONE
        doubt: Unreachable | BrokenAnswer | None = None
        while not where.is_known:
            if where is Where.GONE:
                posts += 1
                try:
                    self.client.post(workflow.graph, client_id=client_id, prompt_id=prompt_id)
                    break
                except (Unreachable, BrokenAnswer) as error:
                    doubt = error
                except Rejected:  # as one that it has already?
                    if doubt is None or not self._look(prompt_id).where.is_known:
                        raise
                    break
            self._pause_after(doubt, pause, until)
            pause *= 2
            where = self._look(prompt_id).where
            if isinstance(doubt, BrokenAnswer) and where is Where.GONE and posts >= _POSTS:
                raise BadAnswer(f"{doubt} It did so {posts} times. Look at its terminal, then {_AGAIN}") from doubt
        return posts

    def _pause_after(self, doubt: ComfyUIError | None, pause: float, until: float) -> None:
        """Wait before something is sent again: as long as the server asks for, where that leaves time for it."""
        left = until - time.monotonic()
        if left < pause:
            self._given_up = self._out_of_reach(str(doubt))
            raise Unreachable(self._given_up)
        asked = doubt.retry_after if isinstance(doubt, Unreachable) else 0.0
        if self._stopping.wait(asked if pause < asked < left else pause):
            raise Interrupted("The run was stopped before this picture was begun.")

    def _wait(self, waiting: Waiting) -> dict[str, Any]:
        """Wait for the end of a prompt: the socket says when to look, the history says what happened."""
        url, patience = self.client.url, Patience(timeout=self._timeout)
        sight = Sight(where=Where.WAITING)
        while True:
            is_time_to_look = waiting.is_time_to_look()
            if self._stopping.is_set():
                raise Interrupted(f"The run was stopped while {url} worked on this picture.")
            if is_time_to_look:
                sight = self._look(waiting.run.prompt_id)
                if sight.entry is not None:
                    return self._judged(from_history(waiting.run, sight.entry), dict(sight.entry))
            if self._given_up:
                raise Unreachable(f"{self._given_up} This picture was not finished.")
            over = patience.over(sight, waiting.run)
            if over is not None:
                raise self._over(over, sight, patience.limit(over))

    def _over(self, over: Where, sight: Sight, seconds: float) -> ComfyUIError:
        """Say which wait came to its end, and what to do; where it is the server's fault, give the server up."""
        url = self.client.url
        if over is Where.GONE:
            return Lost(
                f"{url} knows nothing of this picture any more: it was restarted, or its queue was cleared. "
                f"{_AGAIN.capitalize()}"
            )
        if over is Where.OUT_OF_REACH:
            self._given_up = self._out_of_reach(sight.told)
            return Unreachable(self._given_up)
        if over is Where.BEHIND_OTHERS:
            self._given_up = (
                f"{url} has been at work on somebody else's picture for {seconds:.0f} s, and ours wait behind it. "
                f"When it is done, {_AGAIN} To wait longer, raise `timeout` under [comfyui] in the plan."
            )
            return Unreachable(self._given_up)
        return Silent(
            f"{url} gave no sign of life for {seconds:.0f} s. If it is only slow, raise `timeout` under "
            f"[comfyui] in the plan; else look at its terminal, restart it, and {_AGAIN}",
            was_running=over is Where.RUNNING,
        )

    def _out_of_reach(self, told: str) -> str:
        return (
            f"{self.client.url} has not answered for {reach_of(self._timeout):.0f} s. Look at its terminal; when it "
            f"runs again, {_AGAIN} To wait longer, raise `timeout` under [comfyui] in the plan. Last: {told}"
        )

    def _look(self, prompt_id: str) -> Sight:
        with self._lock:
            ours = frozenset(self._ours)
        return look(self.client, prompt_id, ours=ours)

    def _judged(self, run: Run, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the entry of a run that succeeded; raise what became of it otherwise."""
        if run.phase is Phase.SUCCEEDED:
            return entry
        if run.phase is Phase.INTERRUPTED:
            raise Interrupted(f"Somebody interrupted this picture on {self.client.url}. To have it, {_AGAIN}")
        advice = next(
            (told for word, told in _ADVICE.items() if word in run.error), f"Look at its terminal, then {_AGAIN}"
        )
        raise ExecutionFailed(f"{self.client.url} failed on this picture: {run.error}. {advice}")
