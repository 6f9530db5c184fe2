"""What became of one prompt: a pure fold of the server's messages, fed by the socket and by the history alike."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from plugins.comfyui.answers import HistoryEntry, Message, MessageData


class Phase(StrEnum):
    """How far a prompt has come."""

    QUEUED = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self in {Phase.SUCCEEDED, Phase.FAILED, Phase.INTERRUPTED}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One prompt as the server's messages tell it. Times are the server's, in UTC."""

    prompt_id: str
    phase: Phase = Phase.QUEUED
    node: str | None = None
    value: int = 0
    maximum: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    closed: bool = False
    """The end marker was seen: the history has been written."""
    answers: bool = True
    """Whether the server answered when it was asked last."""


def ignore_progress(run: Run) -> None:
    """Do nothing about how far a prompt has come."""


def fold(run: Run, message: Message) -> Run:
    """Return the run as it is after a message; messages of other prompts, and of unknown kinds, change nothing.

    No order of messages is relied on: an end stays an end.
    """
    if message.data.prompt_id != run.prompt_id:
        return run
    if message.type == "executing" and message.data.node is None:
        return replace(run, closed=True)
    return run if run.phase.ended else replace(run, **_changes(message.type, message.data))


def _changes(kind: str, data: MessageData) -> dict[str, Any]:
    """Return what a message changes in a run that has not ended."""
    changes: dict[str, Any] = {}
    match kind:
        case "execution_start":
            changes = {"phase": Phase.RUNNING, "started": data.timestamp}
        case "executing":
            changes = {"phase": Phase.RUNNING, "node": data.node, "value": 0, "maximum": 0}
        case "progress" if data.value is not None and data.max is not None:
            changes = {"phase": Phase.RUNNING, "node": str(data.node), "value": data.value, "maximum": data.max}
        case "execution_success":
            changes = {"phase": Phase.SUCCEEDED, "ended": data.timestamp}
        case "execution_error":
            changes = {"phase": Phase.FAILED, "ended": data.timestamp, "error": _error(data)}
        case "execution_interrupted":
            changes = {"phase": Phase.INTERRUPTED, "ended": data.timestamp}
    return changes


def from_history(prompt_id: str, entry: HistoryEntry) -> Run:
    """Return the run as the history tells it, which is the truth: what was heard before counts for nothing."""
    run = Run(prompt_id=prompt_id)
    for message in entry.messages:
        run = fold(run, message)
    if entry.status == "success" and entry.completed:
        run = replace(run, phase=Phase.SUCCEEDED)
    elif run.phase not in {Phase.FAILED, Phase.INTERRUPTED}:
        run = replace(run, phase=Phase.FAILED, error="the server's history says so, without a reason")
    return replace(run, closed=True)


def _error(data: MessageData) -> str:
    """Describe an execution error in one line: node, exception, message."""
    message = " ".join(data.exception_message.split())
    return f"node {data.node_id} ({data.node_type}) raised {data.exception_type}: {message[:500]}"
