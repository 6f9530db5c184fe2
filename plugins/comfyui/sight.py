"""Where a prompt of ours is: one look at the server's queue and history."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from plugins.comfyui.client import ComfyUI, Queue
from plugins.comfyui.errors import BadAnswer, Unreachable


class Where(StrEnum):
    """Where a prompt of ours was seen."""

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
        return self not in {Where.GONE, Where.OUT_OF_REACH}


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What one look at the server told of a prompt."""

    where: Where
    ahead: tuple[str, ...] = ()
    """The prompts that come before it, that which runs among them."""
    entry: Mapping[str, Any] | None = None
    """What the history says, once it has ended."""
    told: str = ""
    """Why the server was out of reach."""


def look(client: ComfyUI, prompt_id: str, *, ours: frozenset[str]) -> Sight:
    """Say where a prompt is, and give what the history says of it once it has ended. `ours` are all prompts of ours.

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
        return Sight(where=Where.OUT_OF_REACH, told=str(error))
    return Sight(where=Where.GONE if entry is None else Where.ENDED, entry=entry)


def _in_queue(queue: Queue, prompt_id: str, ours: frozenset[str]) -> Sight:
    if prompt_id in queue.running:
        return Sight(where=Where.RUNNING)
    ahead = (*queue.running, *queue.pending[: queue.pending.index(prompt_id)])
    if not queue.running:
        return Sight(where=Where.WAITING, ahead=ahead)
    return Sight(where=Where.BEHIND_OTHERS if ours.isdisjoint(queue.running) else Where.BEHIND_OURS, ahead=ahead)
