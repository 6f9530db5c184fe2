"""What a command did to the disk, and what it printed."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from plugins.loras.locking import LOCK
from stand_in.serving import Serving

Result = subprocess.CompletedProcess[str]
T = TypeVar("T")


def snapshot(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Read every file below a folder but the locks, by its name; folders are there with a slash and no bytes."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] not in without and path.name != LOCK:
            found[f"{name}/" if path.is_dir() else name] = b"" if path.is_dir() else path.read_bytes()
    return found


def outcomes(result: Result) -> dict[str, str]:
    """Return how each test ended, by its id without the file, as `-v` prints it."""
    found = re.findall(r"::(\S+) (PASSED|FAILED|SKIPPED|ERROR)", result.stdout)
    return dict(found)


def counts(result: Result) -> dict[str, int]:
    """Return the numbers of pytest's last line: `{"passed": 6}`, deselected ones aside."""
    lines = [line for line in result.stdout.splitlines() if re.match(r"=+ .* in [\d.]+s", line)]
    found = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", lines[-1])} if lines else {}
    return {
        word: number for word, number in found.items() if word in {"passed", "failed", "skipped", "errors", "error"}
    }


def cell_of(serving: Serving, prompt_id: str) -> str:
    """Tell which cell a prompt renders by the name that it saves under; empty for any other."""
    queue = serving.server.queue
    items = [*queue.current()[0], *queue.current()[1]]
    items += [entry["prompt"] for entry in queue.history_of(prompt_id).values()]
    for item in items:
        for node in item[2].values() if item[1] == prompt_id else ():
            name = re.fullmatch(r"[^/]+/(.+)-[0-9a-f]{8}", str(node["inputs"].get("filename_prefix")))
            if node["class_type"] == "SaveImage" and name and not name[1].endswith("-proof"):
                return name[1]
    return ""


def told(result: Result) -> str:
    """Return all that a command printed, with its line breaks and indents as single spaces, and `pytest` for itself."""
    printed = " ".join(f"{result.stdout} {result.stderr}".split())
    return printed.replace(shlex.join([sys.executable, "-m", "pytest"]), "pytest")


def together(jobs: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Do things at the same time, since each command waits a good while for its imports."""
    with ThreadPoolExecutor(3) as threads:
        futures = {name: threads.submit(job) for name, job in jobs.items()}
        return {name: future.result() for name, future in futures.items()}
