"""How the wait for a prompt ended where it gave no picture, in words: what happened on which server, what to do."""

import re
from typing import Final

from plugins.comfyui.errors import ComfyUIError, ExecutionFailed, Interrupted, Lost, Silent, Unreachable
from plugins.comfyui.run import Phase, Run
from plugins.comfyui.watch import Location

AGAIN: Final = "run this again; what is finished is kept."
_OWN: Final = re.compile(r" This picture was not (?:begun|finished)\.$")
"""What is added for one picture to the reason why a server was given up."""
_LONGER: Final = "To wait longer, raise `timeout` under [comfyui] in the plan."
_MEMORY: Final = re.compile(
    r"out[ _]?of[ _]?(?:device[ _]|host[ _])?memory"  # CUDA, ROCm, MPS, XPU, Metal
    r"|(?:not enough|insufficient) (?:gpu |video |gpu video )?memory"  # DirectML, the CPU's allocator
    r"|(?:cannot|could not|unable to|failed to) allocate|alloc_failed|allocation on device|memoryerror"
    r"|invalid buffer size: [\d.]+ [gt]i?b"  # MPS, for what is larger than any buffer
    r"|winerror (?:8|14|1455)\]|paging file|errno 12\]",  # Windows words its messages in the user's language
    re.IGNORECASE,
)
_DISK: Final = re.compile(
    r"no space left|not enough space on the disk|disk (?:is )?full|storagefull|quota exceeded"
    r"|winerror (?:39|112|1295)\]|errno (?:28|122)\]",
    re.IGNORECASE,
)
_READ_ONLY: Final = re.compile(r"read-only file system|errno 30\]|winerror 19\]", re.IGNORECASE)
_ADVICE: Final = (
    (_MEMORY, f"Close what else uses its memory, or ask for smaller pictures in the plan, then {AGAIN}"),
    (_DISK, f"Make room on the server's disk, then {AGAIN}"),
    (_READ_ONLY, f"Make the server's output folder writable, then {AGAIN}"),
)
"""What to do about an error of a node, by what its type or message holds."""


def failure_of(run: Run, *, url: str) -> ComfyUIError | None:
    """Return the error that an ended run comes to; None where it succeeded."""
    if run.phase is Phase.SUCCEEDED:
        return None
    if run.phase is Phase.INTERRUPTED:
        return Interrupted(f"Somebody interrupted this picture on {url}. To render it, {AGAIN}")
    advice = next(
        (advice for words, advice in _ADVICE if words.search(run.error)), f"Look at its terminal, then {AGAIN}"
    )
    return ExecutionFailed(f"{url} failed on this picture: {run.error}. {advice}")


def expiry_of(location: Location, *, url: str, seconds: float, reason: str) -> ComfyUIError:
    """Return the error that an expired time-out comes to; `reason` is why the server was out of reach."""
    if location is Location.GONE:
        return Lost(f"{url} has lost this picture: it was restarted, or its queue was cleared. {AGAIN.capitalize()}")
    if location is Location.OUT_OF_REACH:
        return out_of_reach(url=url, seconds=seconds, reason=reason)
    if location is Location.BEHIND_OTHERS:
        return Unreachable(
            f"{url} has been at work on somebody else's picture for {seconds:.0f} s, and ours wait behind it. "
            f"When it is done, {AGAIN} {_LONGER}"
        )
    return Silent(
        f"{url} gave no sign of life for {seconds:.0f} s. If it is only slow, raise `timeout` under "
        f"[comfyui] in the plan; else look at its terminal, restart it, and {AGAIN}",
        was_running=location is Location.RUNNING,
    )


def out_of_reach(*, url: str, seconds: float, reason: str) -> Unreachable:
    """Return the error of a server that has not answered for too long."""
    return Unreachable(
        f"{url} has not answered for {seconds:.0f} s. Look at its terminal; when it "
        f"runs again, {AGAIN} {_LONGER} Last: {reason}"
    )


def not_begun(reason: str) -> Unreachable:
    """Return the error of a picture that is not sent to a server that was given up, for that reason."""
    return Unreachable(f"{reason} This picture was not begun.")


def not_finished(reason: str) -> Unreachable:
    """Return the error of a picture that was with a server when that was given up, for that reason."""
    return Unreachable(f"{reason} This picture was not finished.")


def cause_of(reason: str) -> str:
    """Return why a picture was not made, without what is of this picture alone, and the server's last answer."""
    return _OWN.sub("", reason).partition(" Last: ")[0]


def stopped() -> Interrupted:
    """Return the error of a picture that was not begun when the run was stopped."""
    return Interrupted("The run was stopped before this picture was begun.")
