"""Starting ComfyUI when nothing answers (mission, task 2: `cd ~/tools/ComfyUI && python main.py`)."""

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mirakuru import HTTPExecutor
from mirakuru.exceptions import ExecutorError, ProcessExitedWithError, TimeoutExpired

from plugins.comfyui.errors import Unreachable

_LAST_LINES: Final = 15
_VENV_FOLDERS: Final = (".venv", "venv")
_OURS: Final = frozenset({"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "COMFYUI_HEADERS"})
"""Of this suite alone: its Python, and the secrets of a proxy, which no custom node needs to see."""


class Started:
    """A ComfyUI that we started, and so may stop. Its output is in `log`."""

    def __init__(self, command: Sequence[str], *, folder: Path, url: str, log: Path, timeout: float) -> None:
        self.log: Final = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._output = log.open("w", encoding="utf-8")
        self._process = _Process(
            list(command),
            url=f"{url}/system_stats",
            method="GET",
            cwd=str(folder),
            envvars=environment(folder),
            stdout=self._output,
            stderr=self._output,
            timeout=timeout,
        )
        told = " ".join(command)
        try:
            self._process.start()
        except (OSError, ExecutorError) as error:
            self.stop()
            raise Unreachable(
                f"ComfyUI was started in {folder} ({told}), but {_why(error, timeout)}{self._tail()}"
            ) from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server that we started, and whatever it started."""
        process = self._process.process
        if process is not None and hasattr(os, "killpg"):
            with contextlib.suppress(ExecutorError):
                self._process.stop(signal.SIGTERM, expected_returncode=-signal.SIGTERM)
        elif process is not None:
            process.terminate()
            process.wait(timeout=10)
        self._output.close()

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-_LAST_LINES:]
        said = "".join(f"\n  | {line}" for line in lines) or "\n  | (nothing)"
        return f" The last lines of its log, {self.log}:{said}"


class _Process(HTTPExecutor):
    """A server process whose end before it answers is noticed, whatever its exit code."""

    @property
    def envvars(self) -> dict[str, str]:
        """Mirakuru adds all that this process has; what is this suite's alone is taken out again."""
        return {name: value for name, value in super().envvars.items() if name not in _OURS}

    def after_start_check(self) -> bool:
        if self.process is not None and (code := self.process.poll()) is not None:
            raise ProcessExitedWithError(self, code)
        return super().after_start_check()


def environment(folder: Path) -> dict[str, str]:
    """Return the environment for ComfyUI: this suite's own Python left out, ComfyUI's own virtual one found.

    `python` must mean what it means to a person in `folder`, not the interpreter that pytest happens to run in.
    """
    env = {name: value for name, value in os.environ.items() if name not in _OURS}
    own = Path(sys.prefix).resolve()
    places = [place for place in env.get("PATH", "").split(os.pathsep) if place and not _below(Path(place), own)]
    scripts = "Scripts" if os.name == "nt" else "bin"
    found = [str(folder / venv / scripts) for venv in _VENV_FOLDERS if (folder / venv / scripts).is_dir()]
    return env | {"PATH": os.pathsep.join([*found, *places])}


def _below(place: Path, own: Path) -> bool:
    return sys.prefix != sys.base_prefix and place.resolve().is_relative_to(own)


def _why(error: Exception, timeout: float) -> str:
    if isinstance(error, ProcessExitedWithError):
        return f"it ended at once (exit code {error.exit_code})."
    if isinstance(error, TimeoutExpired):
        return f"it did not answer within {timeout:.0f} s (`timeout` under [comfyui] in the plan)."
    return f"that failed: {error}."
