"""What can go wrong with a ComfyUI server.

* ComfyUIError
  * Unreachable: nothing answers there, or not in time
  * BadAnswer: something answers, but not as ComfyUI does
    * BrokenAnswer: it broke down over one request; the next may go well
  * NotListed: a base model or LoRA that the server's picker does not have
  * WorkflowError: a workflow that cannot be used
  * Rejected: the server refused a workflow before running it
  * RunError: a prompt was taken, but gave no picture
    * ExecutionFailed: a node raised
    * Interrupted: somebody stopped it
    * Lost: the server no longer knows of it (it was restarted)
    * Silent: no sign of life for too long
"""

from typing import Final

from plugins.plan.messages import UserError

_LONGEST: Final = 4000
"""Letters. A server may say megabytes; a person reads none of them."""


class ComfyUIError(UserError):
    """Something between us and ComfyUI; the message names the server and the next step."""

    def __init__(self, message: str) -> None:
        if len(message) > _LONGEST:  # what we say stands at the start and at the end, a server's words in between
            message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
        super().__init__(message)


class Unreachable(ComfyUIError):
    """Nothing answers at the address, or not in time. `retry_after` is the pause that it asks for, in seconds."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BadAnswer(ComfyUIError):
    """An answer that ComfyUI would not give."""


class BrokenAnswer(BadAnswer):
    """An error of the server itself (5xx), or text that is no JSON."""


class NotListed(ComfyUIError):
    """A name that the server's picker does not have."""


class WorkflowError(ComfyUIError):
    """A workflow file that cannot be used."""


class Rejected(ComfyUIError):
    """The server refused the workflow before running it."""


class RunError(ComfyUIError):
    """A prompt that gave no picture."""


class ExecutionFailed(RunError):
    """A node raised an exception."""


class Interrupted(RunError):
    """Somebody interrupted the prompt."""


class Lost(RunError):
    """The server knows nothing of the prompt any more."""


class Silent(RunError):
    """No sign of life for longer than the plan allows. `was_running`: the server said that it was at work on it."""

    def __init__(self, message: str, *, was_running: bool) -> None:
        super().__init__(message)
        self.was_running = was_running
