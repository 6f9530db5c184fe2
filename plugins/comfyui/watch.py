"""Watching one prompt of ours: where it is, what the event socket says of it, and which time-out has expired."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from plugins.comfyui.answers import HistoryEntry, Message, Queue
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import BadAnswer, Unreachable
from plugins.comfyui.run import Run, fold
from plugins.comfyui.timing import Timing


class Location(StrEnum):
    """Where a prompt of ours is."""

    RUNNING = "running"
    WAITING = "waiting while nothing runs"
    BEHIND_OURS = "waiting behind another prompt of ours"
    BEHIND_OTHERS = "waiting behind somebody else's prompt"
    ENDED = "in the history"
    GONE = "neither in the queue nor in the history"
    OUT_OF_REACH = "out of reach"

    @property
    def is_known(self) -> bool:
        """Whether the server has it."""
        return self not in {Location.GONE, Location.OUT_OF_REACH}


@dataclass(frozen=True, kw_only=True)
class PromptStatus:
    """What one look at a server's queue and history shows of a prompt."""

    location: Location
    ahead: tuple[str, ...] = ()
    """The prompts that come before it, the running one among them."""
    entry: HistoryEntry | None = None
    """What the history says, once the prompt has ended."""
    reason: str = ""
    """Why the server was out of reach."""


def status_of(client: ComfyUI, prompt_id: str, *, ours: frozenset[str]) -> PromptStatus:
    """Look up where a prompt is. `ours` are the ids of all prompts of ours on this server.

    A prompt moves from the queue to the history, so the history is looked at before and after the queue.
    """
    try:
        entry = client.history(prompt_id)
        if entry is None:
            queue = client.queue()
            if prompt_id in (*queue.running, *queue.pending):
                return _in_queue(queue, prompt_id, ours)
            entry = client.history(prompt_id)
    except (Unreachable, BadAnswer) as error:
        return PromptStatus(location=Location.OUT_OF_REACH, reason=str(error))
    return PromptStatus(location=Location.GONE if entry is None else Location.ENDED, entry=entry)


def _in_queue(queue: Queue, prompt_id: str, ours: frozenset[str]) -> PromptStatus:
    if prompt_id in queue.running:
        return PromptStatus(location=Location.RUNNING)
    ahead = (*queue.running, *queue.pending[: queue.pending.index(prompt_id)])
    if not queue.running:
        return PromptStatus(location=Location.WAITING, ahead=ahead)
    behind = Location.BEHIND_OTHERS if ours.isdisjoint(queue.running) else Location.BEHIND_OURS
    return PromptStatus(location=behind, ahead=ahead)


class Timeouts:
    """The time-outs of one prompt: each reason to wait has one of its own, and none uses up another's.

    `timeout` is the plan's, in seconds: a prompt may run, or wait while nothing runs, that long without a sign of
    life. Behind another prompt of ours it has no time-out, since that one has; behind somebody else's, each prompt
    ahead has `limit` seconds. `clock` gives seconds; a test passes its own.
    """

    def __init__(self, *, timeout: float, timing: Timing, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits = {
            Location.RUNNING: timeout,
            Location.WAITING: timeout,
            Location.BEHIND_OTHERS: timeout * timing.others,
            Location.GONE: timing.gone,
            Location.OUT_OF_REACH: timing.reach_of(timeout),
        }
        self._progress: object = None
        self._position: object = None
        self._alive = self._answered = clock()
        self._gone: float | None = None

    def limit(self, location: Location) -> float:
        """Return the seconds after which the time-out of a location expires."""
        return self._limits.get(location, float("inf"))

    def expired(self, status: PromptStatus, progress: object, *, moved: float | None = None) -> Location | None:
        """Return the location whose time-out has expired, or None, after a look and the latest progress.

        `moved` is when that progress came, by the clock, which may be long before the end of a look that took its time.
        A server that is out of reach now and then neither loses a prompt nor shows life.
        """
        now, location = self._clock(), status.location
        if progress != self._progress:
            life = now if moved is None else moved
            self._progress, self._alive, self._answered = progress, max(self._alive, life), max(self._answered, life)
        if location is Location.OUT_OF_REACH:
            return self._after(self._answered, location)
        self._answered = now
        if (location, status.ahead) != self._position:
            self._position, self._alive = (location, status.ahead), now
        if location is not Location.GONE:
            self._gone = None
            return self._after(self._alive, location)
        self._gone = now if self._gone is None else self._gone
        return self._after(self._gone, location)

    def _after(self, since: float, location: Location) -> Location | None:
        return location if self._clock() - since > self.limit(location) else None


class Watch:
    """What the event socket says of one prompt, until it ends.

    The socket's thread calls `on_message`; the waiting thread calls `wait_for_news`. `on_progress` is called whenever
    the run moves on.
    """

    def __init__(self, run: Run, on_progress: Callable[[Run], None], *, timing: Timing) -> None:
        self.run = run
        self._on_progress = on_progress
        self._timing = timing
        self._news = threading.Event()
        self._looked = self.moved = time.monotonic()

    @property
    def progress(self) -> object:
        """What changes whenever the socket says that the prompt moved on."""
        return replace(self.run, answers=True)

    def on_message(self, message: Message) -> None:
        """Fold in a message of the socket."""
        run = fold(self.run, message)
        if run != self.run:
            self.run, self.moved = run, time.monotonic()
            self._on_progress(run)
            if run.phase.ended or run.closed:
                self._news.set()

    def note(self, *, answers: bool) -> None:
        """Note whether the server answered when it was looked at last."""
        if answers != self.run.answers:
            self.run = replace(self.run, answers=answers)
            self._on_progress(self.run)

    def wait_for_news(self) -> bool:
        """Wait for news, but not for long; return whether it is time to look at the history."""
        self._news.wait(self._timing.written if self.run.phase.ended else self._timing.poll)
        self._news.clear()
        now = time.monotonic()
        if not self.run.phase.ended and now - self._looked < self._timing.poll * 0.9:
            return False
        self._looked = now
        return True
