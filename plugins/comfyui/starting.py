"""Starting a ComfyUI where nothing answers, as a person would: `cd ~/ComfyUI && python main.py`."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import requests

from plugins.comfyui.deadline import Retry
from plugins.comfyui.errors import Unreachable
from plugins.comfyui.timing import Timing

_LAST_LINES: Final = 15
_VENV_FOLDERS: Final = (".venv", "venv")
_OURS: Final = frozenset({"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "COMFYUI_HEADERS"})
"""Of this suite alone: its Python, and the secrets of a proxy, which no custom node needs to see."""


class Started:
    """A ComfyUI that we started, and so may stop. Its output is in `log`.

    `timeout` is the plan's, in seconds. Raises `Unreachable` where it does not answer by then, or ends.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, url: str, log: Path, timeout: float) -> None:
        self.log: Final = log
        self._url: Final = url
        self._timing: Final = Timing()
        self._process: subprocess.Popen[bytes] | None = None
        log.parent.mkdir(parents=True, exist_ok=True)
        self._output = log.open("wb")
        try:
            problem = self._start(command, folder=folder, timeout=timeout)
        except BaseException:
            self.stop()
            raise
        if problem:
            self.stop()
            raise Unreachable(f"ComfyUI was started in {folder} ({' '.join(command)}), but {problem}{self._tail()}")

    def stop(self) -> None:
        """End the server that we started, and whatever it started."""
        if self._process is not None:
            self._end(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._timing.let_go)
            self._end(getattr(signal, "SIGKILL", signal.SIGTERM))
            self._process.wait()
        self._output.close()

    def _start(self, command: Sequence[str], *, folder: Path, timeout: float) -> str:
        """Start the server and wait until it answers; return what went wrong, or nothing."""
        if self._answers():
            return f"that failed: something else answers at {self._url} already."
        env = environment(folder)
        try:
            self._process = subprocess.Popen(  # noqa: S603 (the plan's own command)
                [program_of(command[0], folder, env), *command[1:]],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,  # so that Ctrl-C leaves its end to us
            )
        except FileNotFoundError:
            return (
                f"that failed: there is no program {command[0]!r}. Name ComfyUI's own Python in `start` under "
                "[comfyui] in the plan: .venv/bin/python, on Windows .venv\\Scripts\\python.exe, in the portable "
                "ComfyUI ..\\python_embeded\\python.exe."
            )
        except OSError as error:
            return f"that failed: {error}."
        attempts = Retry(timeout, pause=self._timing.pause, longest=self._timing.pause)
        while not self._answers():
            if (code := self._process.poll()) is not None:
                return f"it ended at once (exit code {code})."
            if not attempts.wait():
                return f"it did not answer within {timeout:.0f} s (`timeout` under [comfyui] in the plan)."
        return ""

    def _answers(self) -> bool:
        with requests.Session() as session:
            session.trust_env = False  # a proxy from the environment cannot reach this machine's own loopback address
            try:
                return session.get(f"{self._url}/system_stats", timeout=self._timing.connect).ok
            except requests.RequestException:
                return False

    def _end(self, number: int) -> None:
        """Signal the server and all that it started; on Windows, which has no process groups, the server alone."""
        assert self._process is not None  # noqa: S101 (for mypy)
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
        else:
            self._process.terminate()

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-_LAST_LINES:]
        quoted = "".join(f"\n  | {line}" for line in lines) or "\n  | (nothing)"
        return f" The last lines of its log, {self.log}:{quoted}"


def environment(folder: Path) -> dict[str, str]:
    """Return the environment for ComfyUI: this suite's own Python left out, ComfyUI's own virtual one found.

    `python` must mean what it means to a person in `folder`, not the interpreter that pytest happens to run in.
    """
    env = {name: value for name, value in os.environ.items() if name not in _OURS}
    own = Path(sys.prefix).resolve()
    folders = [path for path in env.get("PATH", "").split(os.pathsep) if path and not _below(Path(path), own)]
    scripts = "Scripts" if os.name == "nt" else "bin"
    found = [str(folder / venv / scripts) for venv in _VENV_FOLDERS if (folder / venv / scripts).is_dir()]
    return env | {"PATH": os.pathsep.join([*found, *folders])}


def program_of(word: str, folder: Path, env: Mapping[str, str]) -> str:
    """Return the whole path of the program that a person in `folder` would start by this word, or the word itself.

    Windows, left to itself, looks where this process is, not in `folder`, and on this process's PATH, not on `env`'s;
    so does `shutil.which`.
    """
    if Path(word).name != word:
        return str(folder / word)
    endings = [*env.get("PATHEXT", "").split(os.pathsep), ""] if os.name == "nt" else [""]
    found = (folder / place / f"{word}{ending}" for place in env["PATH"].split(os.pathsep) for ending in endings)
    return next((str(path) for path in found if path.is_file() and os.access(path, os.X_OK)), word)


def _below(path: Path, own: Path) -> bool:
    return sys.prefix != sys.base_prefix and path.resolve().is_relative_to(own)
