"""What became of one prompt: a pure fold of the server's messages, fed by the socket and by the history alike."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from plugins.comfyui.client import ImageRef


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


def fold(run: Run, message: Mapping[str, Any]) -> Run:
    """Return the run as it is after a message; messages of other prompts, and unknown ones, change nothing.

    The order of messages is that of COMFYUI.md ("WebSocket"), but none is relied on: an end stays an end.
    """
    data = message.get("data")
    if not isinstance(data, Mapping) or data.get("prompt_id") != run.prompt_id:
        return run
    kind = message.get("type")
    if kind == "executing" and data.get("node") is None:
        return replace(run, closed=True)
    return run if run.phase.ended else replace(run, **_changes(str(kind), data))


def _changes(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Name what a message changes in a run that has not ended."""
    changes: dict[str, Any] = {}
    match kind:
        case "execution_start":
            changes = {"phase": Phase.RUNNING, "started": _time(data)}
        case "executing":
            changes = {"phase": Phase.RUNNING, "node": str(data.get("node")), "value": 0, "maximum": 0}
        case "progress":
            value, maximum = _whole(data.get("value")), _whole(data.get("max"))
            if value is not None and maximum is not None:
                changes = {"phase": Phase.RUNNING, "node": str(data.get("node")), "value": value, "maximum": maximum}
        case "execution_success":
            changes = {"phase": Phase.SUCCEEDED, "ended": _time(data)}
        case "execution_error":
            changes = {"phase": Phase.FAILED, "ended": _time(data), "error": _told(data)}
        case "execution_interrupted":
            changes = {"phase": Phase.INTERRUPTED, "ended": _time(data)}
    return changes


def from_history(run: Run, entry: Mapping[str, Any]) -> Run:
    """Return the run as the history tells it, which is the truth: what was folded before counts for nothing."""
    told = Run(prompt_id=run.prompt_id)
    status = entry.get("status")
    status = status if isinstance(status, Mapping) else {}
    messages = status.get("messages")
    for message in messages if isinstance(messages, list | tuple) else ():
        if isinstance(message, list | tuple) and len(message) == 2:  # noqa: PLR2004 (type, data)
            told = fold(told, {"type": message[0], "data": message[1]})
    succeeded = status.get("status_str") == "success" and status.get("completed") is True
    if not succeeded and told.phase not in {Phase.FAILED, Phase.INTERRUPTED}:
        told = replace(told, phase=Phase.FAILED, error="the server's history says so, without a reason")
    elif succeeded:
        told = replace(told, phase=Phase.SUCCEEDED)
    return replace(told, closed=True)


def images(entry: Mapping[str, Any], node: str) -> tuple[ImageRef, ...]:
    """Return the pictures that `node` saved, as the history of a prompt lists them."""
    outputs = entry.get("outputs")
    output = outputs.get(node) if isinstance(outputs, Mapping) else None
    listed = output.get("images") if isinstance(output, Mapping) else None
    return tuple(
        ImageRef(
            filename=str(image.get("filename", "")),
            subfolder=str(image.get("subfolder", "")),
            type=str(image.get("type", "output")),
        )
        for image in (listed if isinstance(listed, list | tuple) else ())
        if isinstance(image, Mapping)
    )


def _whole(number: object) -> int | None:
    """Return a count that the server told; None for what is none, such as JSON's NaN and Infinity."""
    if isinstance(number, float):
        return int(number) if math.isfinite(number) else None
    return number if isinstance(number, int) else None


def _time(data: Mapping[str, Any]) -> datetime | None:
    stamp = data.get("timestamp")
    try:
        return datetime.fromtimestamp(stamp / 1000, UTC) if isinstance(stamp, int | float) else None
    except (ValueError, OverflowError, OSError):
        return None


def _told(data: Mapping[str, Any]) -> str:
    """Put an execution error into words: node, exception, message."""
    message = " ".join(str(data.get("exception_message", "")).split())
    return f"node {data.get('node_id')} ({data.get('node_type')}) raised {data.get('exception_type')}: {message[:500]}"
