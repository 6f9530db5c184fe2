"""What waits, what runs and what is over: the queue and the history, in memory only."""

import copy
import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from stand_in.graph import Workflow

HISTORY_LIMIT: Final = 10_000
SECRETS: Final = ("auth_token_comfy_org", "api_key_comfy_org")
"""Extra data that the history does not keep: keys for paid nodes."""

Item = tuple[float, str, Workflow, dict[str, Any], list[str]]
"""A queued prompt as the API has it: number, id, workflow, extra_data, outputs."""


@dataclass(kw_only=True)
class Outcome:
    """How a prompt ended, as its history entry has it."""

    completed: bool = True
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


class PromptQueue:
    """Prompts ordered by number, then by id. `changed` is called, under the lock, at every change."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._lock = threading.RLock()
        self._wake = threading.Condition(self._lock)
        self._pending: list[Item] = []
        self._running: dict[str, Item] = {}
        self._history: dict[str, dict[str, Any]] = {}
        self._flags: dict[str, bool] = {}
        self._closed = False

    def put(self, item: Item) -> None:
        """Queue a prompt. Raises `TypeError` when number and id are those of another one, as ComfyUI does."""
        with self._wake:
            heapq.heappush(self._pending, item)
            self._changed()
            self._wake.notify()

    def take(self) -> Item | None:
        """Wait for the next prompt and mark it as running; None when woken for another reason."""
        with self._wake:
            if not self._pending and not self._closed:
                self._wake.wait()
            if not self._pending or self._closed:
                return None
            item = heapq.heappop(self._pending)
            # The history has the prompt as it was taken, whatever the run does to it.
            self._running[item[1]] = copy.deepcopy(item)
            self._changed()
            return item

    def done(self, prompt_id: str, outcome: Outcome) -> None:
        """Move a prompt from running to the history."""
        with self._lock:
            item = self._running.pop(prompt_id)
            while len(self._history) > HISTORY_LIMIT:
                del self._history[next(iter(self._history))]
            for secret in SECRETS:
                item[3].pop(secret, None)
            self._history[prompt_id] = {
                "prompt": item,
                "outputs": outcome.outputs,
                "status": {
                    "status_str": "success" if outcome.completed else "error",
                    "completed": outcome.completed,
                    "messages": outcome.messages,
                },
                "meta": outcome.meta,
            }
            self._changed()

    def remaining(self) -> int:
        """Count the prompts that wait or run."""
        with self._lock:
            return len(self._pending) + len(self._running)

    def current(self) -> tuple[list[Item], list[Item]]:
        """Return what runs, and what waits in heap order (not sorted)."""
        with self._lock:
            return list(self._running.values()), list(self._pending)

    def clear(self) -> None:
        """Drop everything that waits."""
        with self._lock:
            self._pending = []
            self._changed()

    def delete(self, prompt_id: str) -> None:
        """Drop one prompt that waits; one that runs, or is unknown, is left alone."""
        with self._lock:
            for index, item in enumerate(self._pending):
                if item[1] == prompt_id:
                    if len(self._pending) == 1:
                        self.clear()  # so that `changed` is called twice, as in ComfyUI
                    else:
                        del self._pending[index]
                        heapq.heapify(self._pending)
                    self._changed()
                    return

    def history(self, *, most: int | None = None, offset: int = -1) -> dict[str, Any]:
        """Return the finished prompts, oldest first: `most` of them from `offset` on, or the last ones."""
        with self._lock:
            entries = list(self._history.items())
        if most is None:
            return dict(entries[max(offset, 0) :])
        first = len(entries) - most if offset < 0 else offset
        return dict(entries[max(first, 0) :][: max(most, 1)])

    def history_of(self, prompt_id: str) -> dict[str, Any]:
        """Return one finished prompt under its id; nothing while it is unknown or unfinished."""
        with self._lock:
            entry = self._history.get(prompt_id)
            return {} if entry is None else {prompt_id: copy.deepcopy(entry)}

    def forget(self, prompt_id: str) -> None:
        """Drop one entry of the history."""
        with self._lock:
            self._history.pop(prompt_id, None)

    def forget_all(self) -> None:
        """Drop the history."""
        with self._lock:
            self._history = {}

    def set_flag(self, name: str, *, wake: bool) -> None:
        """Leave word for the worker, which looks when it has nothing to run, or after a prompt."""
        with self._wake:
            self._flags[name] = True
            if wake:
                self._wake.notify()

    def take_flags(self) -> dict[str, bool]:
        """Return the words left since the last time."""
        with self._lock:
            flags, self._flags = self._flags, {}
            return flags

    def close(self) -> None:
        """Wake the worker for the last time."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
