"""The stand-in in a process of its own, which dies with its parent. Imports nothing heavy."""

import os
import queue
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stand_in.training import TrainingRun

_ROOT: Final = Path(__file__).resolve().parents[2]
_READY: Final = "ready "
_LAST_LINES: Final = 40


class StandInError(Exception):
    """The stand-in did not start; the message ends with its last output."""


class StandIn:
    """A stand-in that answers at `url` until `stop`, or until this process ends in any way."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    @classmethod
    def start(
        cls,
        workspace: Path,
        *,
        run: TrainingRun,
        seconds_per_image: float = 0.3,
        timeout: float = 30.0,
        port: int = 0,
    ) -> Self:
        """Create what is missing of a training run in `workspace`, and answer on `port`, 0 for any free one.

        Waits up to `timeout` seconds. Raises `StandInError`, or `OSError` where the workspace cannot be made.
        """
        workspace = workspace.absolute()
        workspace.mkdir(parents=True, exist_ok=True)
        run_file = workspace / "training-run.json"
        run_file.write_text(run.to_json(), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "stand_in", "--until-stdin-closes"),
            *("--workspace", str(workspace), "--run", str(run_file)),
            *("--port", str(port), "--seconds-per-image", str(seconds_per_image)),
        ]
        process = subprocess.Popen(  # noqa: S603 (this suite's own program)
            command,
            cwd=_ROOT,
            # PYTHONSAFEPATH would hide the package, which lies in `cwd`; empty, it is off.
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "PYTHONSAFEPATH": ""},
            # Ctrl-C in a terminal is for the parent, which may still want to tidy up here before it goes.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(process, lines), name="stand-in output", daemon=True).start()
        stand_in = cls(process, "")
        try:
            stand_in.url = _await_url(lines, timeout)
        except BaseException:
            process.kill()
            stand_in.stop()
            raise
        return stand_in

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self, timeout: float = 10.0) -> None:
        """End it and wait until it is gone; harmless when it has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _read(process: "subprocess.Popen[str]", lines: "queue.SimpleQueue[str | None]") -> None:
    """Pass on the child's output until it ends, so that the pipe never fills up."""
    if process.stdout is not None:
        with process.stdout as output:
            for line in output:
                lines.put(line.rstrip("\n"))
    lines.put(None)


def _await_url(lines: "queue.SimpleQueue[str | None]", timeout: float) -> str:
    said: deque[str] = deque(maxlen=_LAST_LINES)
    try:
        while (line := lines.get(timeout=timeout)) is not None:
            if line.startswith(_READY):
                return line.removeprefix(_READY)
            said.append(line)
    except queue.Empty:
        reason = f"did not answer within {timeout:g} s"
    else:
        reason = "ended before it answered"
    words = "\n".join(said) or "(none)"
    raise StandInError(f"The embedded stand-in {reason}. Its last words:\n{words}")
