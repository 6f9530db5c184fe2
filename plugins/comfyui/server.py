"""One ComfyUI server to render on: a prompt goes in, a picture or a reason comes out."""

import contextlib
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from plugins.comfyui.answers import HistoryEntry, ServerInfo
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.deadline import Retry
from plugins.comfyui.ending import AGAIN, expiry_of, failure_of, not_begun, not_finished, out_of_reach, stopped
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
from plugins.comfyui.run import Run, from_history, ignore_progress
from plugins.comfyui.watch import Location, PromptStatus, Timeouts, Watch, status_of
from plugins.comfyui.workflow import Filled

Answer = TypeVar("Answer")

_POSTS: Final = 3
"""How often a workflow is sent that the server breaks down over."""
_SILENCES: Final = 2
"""How many prompts may give no sign of life, one after the other, before nothing more is sent."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A prompt that gave a picture."""

    prompt_id: str
    png: bytes
    remembered: Any
    """The graph that the server's history says it ran."""
    file: str
    """What the server's history calls the picture."""
    started: datetime
    ended: datetime


class Server:
    """A server, its event socket, and the prompts of ours that are on it. Safe to use from several threads.

    `timeout` is the plan's, in seconds; all other times are the client's `timing`.
    """

    def __init__(self, client: ComfyUI, info: ServerInfo, *, timeout: float) -> None:
        self.client: Final = client
        self.info: Final = info
        self._timeout: Final = timeout
        self._reach: Final = client.timing.reach_of(timeout)
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
        """Withdraw our prompts, and nobody else's, then close the connections."""
        self._stopping.set()
        with self._lock:
            ours = sorted(self._ours)
        if ours:
            self._withdraw(ours)
        self._events.close()
        self.client.close()

    def forget_weights(self, *, again: bool = False) -> None:
        """Make the server read LoRA files anew, at the first call and with `again`, as after a file was replaced.

        It keeps weights by name (docs/comfyui.md, "Stale weights"). `/free` clears them after the prompt that the
        server is busy with or takes next; so a tiny prompt without any model follows, and this waits for it.
        """
        with self._forgetting:
            if again or not self._forgot:
                try:
                    self._forget()
                except Lost:  # restarted, or its queue was cleared: in that case it may not have forgotten
                    self._forget()
                self._forgot = True

    def log(self) -> object:
        """Return the last lines of the server's log as it answers them; None where it shows none."""
        return self.client.log()

    def ask(self, question: Callable[[ComfyUI], Answer]) -> Answer:
        """Return what the client answers; a server that is not there just now is given some time to come back."""
        attempts = self._attempts(self._reach)
        while not self._given_up:
            try:
                return question(self.client)
            except (Unreachable, BrokenAnswer) as error:
                self._pause(attempts, error)
        raise not_begun(self._given_up)

    def render(self, workflow: Filled, on_progress: Callable[[Run], None]) -> Finished:
        """Run a workflow and fetch its picture; `on_progress` is called once it is queued, and whenever it moves on.

        Raises `Rejected`, `RunError`, `Unreachable` or `BadAnswer`, each saying what happened on which server.
        """
        prompt_id, entry = self._run(workflow, on_progress)
        run = from_history(prompt_id, entry)
        found = entry.outputs.get(workflow.save, ())
        if len(found) != 1:
            raise BadAnswer(
                f"{self.client.url} finished prompt {prompt_id}, but node {workflow.save} saved {len(found)} pictures "
                f"instead of 1. To try once more, {AGAIN}"
            )
        try:
            png = fetch(self.client, found[0], reach=self._reach, stopping=self._stopping)
        except (Unreachable, BadAnswer) as error:
            raise type(error)(
                f"{error} The picture was made, but cannot be fetched. To try once more, {AGAIN}"
            ) from error
        now = datetime.now(UTC)
        return Finished(
            prompt_id=prompt_id,
            png=png,
            remembered=entry.graph,
            file=found[0].filename,
            started=run.started or now,
            ended=run.ended or now,
        )

    def _forget(self) -> None:
        self.client.free()
        graph = {
            "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        }
        self._run(Filled(graph=graph, save="2", sampler="1"), ignore_progress)

    def _run(self, workflow: Filled, on_progress: Callable[[Run], None]) -> tuple[str, HistoryEntry]:
        """Post a workflow and wait for its end; return its id and what the history says."""
        prompt_id = str(uuid.uuid4())
        watch = Watch(Run(prompt_id=prompt_id), on_progress, timing=self.client.timing)
        with self._lock:
            if self._stopping.is_set():
                raise stopped()
            if self._given_up:
                raise not_begun(self._given_up)
            self._ours.add(prompt_id)
        self._events.follow(prompt_id, watch.on_message)
        try:
            posts = self._post(workflow, prompt_id)
            on_progress(watch.run)  # it is in the queue
            entry = self._wait(watch)
            if posts > 1:  # one that was thought lost on its way may have come late
                self._withdraw((prompt_id,))
        except (ExecutionFailed, Lost):
            raise
        except Silent as error:
            self._abandon(prompt_id, error)
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

    def _post(self, workflow: Filled, prompt_id: str) -> int:
        """Put a workflow in the queue, once; return how often it was sent.

        A server that is not there just now is given some time to come back. Where an answer did not come, the prompt
        may have been taken all the same: it is sent again only after the server said that it does not have it.
        """
        attempts, posts = self._attempts(self._reach), 0
        location = Location.GONE
        doubt: Unreachable | BrokenAnswer | None = None
        while not location.is_known:
            if location is Location.GONE:
                posts += 1
                try:
                    self.client.post(workflow.graph, client_id=self._events.client_id, prompt_id=prompt_id)
                    break
                except (Unreachable, BrokenAnswer) as error:
                    doubt = error
                except Rejected:  # as one that it has already?
                    if doubt is None or not self._look(prompt_id).location.is_known:
                        raise
                    break
            self._pause(attempts, doubt)
            location = self._look(prompt_id).location
            if isinstance(doubt, BrokenAnswer) and location is Location.GONE and posts >= _POSTS:
                raise BadAnswer(f"{doubt} It did so {posts} times. Look at its terminal, then {AGAIN}") from doubt
        return posts

    def _wait(self, watch: Watch) -> HistoryEntry:
        """Wait for the end of a prompt: the socket says when to look, the history says what happened."""
        url, timeouts = self.client.url, Timeouts(timeout=self._timeout, timing=self.client.timing)
        status = PromptStatus(location=Location.WAITING)
        while True:
            is_time_to_look = watch.wait_for_news()
            failure: ComfyUIError | None = None
            if is_time_to_look and not self._stopping.is_set():
                status = self._look(watch.run.prompt_id)
                watch.note(answers=status.location is not Location.OUT_OF_REACH)
                if status.entry is not None:
                    failure = failure_of(from_history(watch.run.prompt_id, status.entry), url=url)
                    if failure is None:
                        return status.entry
            if self._stopping.is_set() and not isinstance(failure, ExecutionFailed):  # interrupted by us, if at all
                raise Interrupted(f"The run was stopped while {url} worked on this picture.")
            if failure:
                raise failure
            if self._given_up:
                raise not_finished(self._given_up)
            if expired := timeouts.expired(status, watch.progress, moved=watch.moved):
                error = expiry_of(expired, url=url, seconds=timeouts.limit(expired), reason=status.reason)
                if isinstance(error, Unreachable):
                    self._given_up = str(error)
                raise error

    def _abandon(self, prompt_id: str, error: Silent) -> None:
        """Withdraw a prompt that gave no sign of life; give the server up unless it stops, and goes on to the next."""
        self._silences += 1
        self._withdraw((prompt_id,))
        timing = self.client.timing
        attempts = Retry(timing.let_go, pause=timing.pause, longest=timing.pause, stopping=self._stopping)
        while error.was_running and self._silences < _SILENCES:
            if self._look(prompt_id).location is not Location.RUNNING:
                return
            if not attempts.wait():
                break
        self._given_up = str(error)

    def _attempts(self, seconds: float) -> Retry:
        timing = self.client.timing
        return Retry(seconds, pause=timing.pause, longest=timing.longest_pause, stopping=self._stopping)

    def _pause(self, attempts: Retry, doubt: Unreachable | BrokenAnswer | None) -> None:
        """Pause before something is sent again, as long as the server asks for; give the server up after its time."""
        if attempts.wait(asked=doubt.retry_after if isinstance(doubt, Unreachable) else 0.0):
            return
        if self._stopping.is_set():
            raise stopped()
        error = out_of_reach(url=self.client.url, seconds=self._reach, reason=str(doubt))
        self._given_up = str(error)
        raise error

    def _look(self, prompt_id: str) -> PromptStatus:
        with self._lock:
            ours = frozenset(self._ours)
        return status_of(self.client, prompt_id, ours=ours)

    def _withdraw(self, prompt_ids: Sequence[str]) -> None:
        """Take prompts of ours out of the queue, and stop the one that is running."""
        with contextlib.suppress(ComfyUIError):
            # one that was given up would take the whole time once more, and nothing hangs on its answer
            self.client.delete(prompt_ids, wait=self.client.timing.connect if self._given_up else None)
            for prompt_id in self.client.queue().running:
                if prompt_id in prompt_ids:
                    self.client.interrupt(prompt_id)
