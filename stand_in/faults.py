"""The seam for things that go wrong: the stand-in asks here at each point where a real server can fail.

A test subclasses `Faults` and overrides the one hook that it needs:

    class OutOfMemory(Faults):
        def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
            if class_type == "KSampler":
                raise NodeFailure("torch.OutOfMemoryError", "Allocation on device")
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

Frame = tuple[str, dict[str, Any]]
"""A WebSocket text frame: its `type` and its `data`."""


class NodeFailure(Exception):
    """An error inside a node, which clients see as an `execution_error` of `exception_type`."""

    def __init__(self, exception_type: str, message: str) -> None:
        super().__init__(message)
        self.exception_type = exception_type


class WorkerDied(BaseException):
    """Raised by a hook to end the worker thread for good: prompts are accepted and never run.

    See docs/comfyui.md, "A dead worker".
    """


class Faults:
    """No fault at all; override what should go wrong. Hooks on nodes run in the worker's thread."""

    def before_prompt(self, prompt_id: str) -> None:
        """Act when the worker has taken a prompt from the queue; may block, or raise `WorkerDied`."""

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Act before a node runs; whatever is raised becomes its `execution_error`."""

    def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
        """Act before each sampling step, counted from 1; may block or raise as `before_node`."""

    def before_history(self, prompt_id: str) -> None:
        """Act between `execution_success` and the history entry."""

    def lora_of(self, path: Path) -> Path:
        """Name the file whose weights are loaded when `path` is asked for."""
        return path

    def saved(self, png: bytes) -> bytes:
        """Change what SaveImage writes to the disk; may raise `OSError`, as a full disk does."""
        return png

    def picture(self, png: bytes) -> bytes:
        """Change what `/view` answers."""
        return png

    def free_now(self) -> bool:
        """Return whether an idle worker applies `/free` at once; if not, after the next prompt."""
        return True

    def frames(self, event: str, data: dict[str, Any], client_id: str | None) -> Iterable[Frame]:
        """Return the frames to send in place of this one: none, others, or the same twice."""
        del client_id
        yield event, data

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Answer a request in place of the server; None lets the server answer."""
        del request
        return None
