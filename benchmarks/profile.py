"""Where a cell's processor time goes: by room and library, then by function.

Run `python -m benchmarks.profile`; it takes about a minute. A matrix is generated on a stand-in that takes no time to
sample, with this module as a pytest plugin: every thread is profiled by its own processor time, from the first test to
the last. `--again` profiles the same command once more, when nothing is left to do; `--small` takes pictures of 64x64
that are compared with no training images, so that what is left is the suite's own. Profiling makes Python slower, and
leaves what runs in C as it is: the shares tell where to look, `benchmarks.scale` how long it takes.
"""

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.common import ROOT, Ground, stand_ins, write_plan
from plugins.plan.reading import read_plan

_WRITTEN: Final = "BENCHMARK_PROFILE"
"""The environment's name for the file that a profiled run writes."""
_SHOWN: Final = 30
_PROFILES: Final[list[cProfile.Profile]] = []


def _profiled(*_: object) -> None:
    """Profile the thread that this is called in."""
    _PROFILES.append(cProfile.Profile(time.thread_time))
    _PROFILES[-1].enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Begin, in this thread and in each that is started from now on."""
    threading.setprofile(_profiled)  # is called by a thread's first step, and replaced by the profiler
    _profiled()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Write what was found."""
    threading.setprofile(None)
    if _PROFILES:
        _PROFILES[0].disable()
        found = pstats.Stats(_PROFILES[0])
        for one in _PROFILES[1:]:
            one.create_stats()
            if getattr(one, "stats", None):
                found.add(one)
        found.dump_stats(os.environ[_WRITTEN])


def _part(file: str) -> str:
    """Name what a file belongs to: a room of this suite, a library, or Python itself."""
    path = Path(file)
    if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
        return "/".join(path.relative_to(ROOT).parts[:2])
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1].removesuffix(".py")
    return (
        f"Python's {path.parent.name if path.parent.name in {'json', 'http', 'logging', 'concurrent'} else path.stem}"
    )


def _parts(stats: dict[Any, Any]) -> Iterator[tuple[str, float]]:
    """Yield seconds of each part; what is written in C counts for who called it."""
    for (file, _, _), (_, _, own, _, callers) in stats.items():
        if file == "~":
            yield from ((_part(caller[0]) if caller[0] != "~" else "C", one[2]) for caller, one in callers.items())
        else:
            yield _part(file), own


def tell(file: Path, cells: int) -> None:
    """Print ms of each part, and of the functions that take most."""
    stats: dict[Any, Any] = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    parts: Counter[str] = Counter()
    for name, seconds in _parts(stats):
        parts[name] += seconds  # type: ignore[assignment]
    print(f"{1000 * sum(parts.values()) / cells:8.2f} ms a cell, profiled; of these:")
    for name, seconds in parts.most_common(_SHOWN):
        print(f"{1000 * seconds / cells:8.2f}  {name}")
    print("functions, by their own time and with what they call; calls a cell:")
    for (path, line, name), (_, calls, own, whole, _) in sorted(stats.items(), key=lambda one: -one[1][2])[:_SHOWN]:
        place = name if path == "~" else f"{Path(path).parent.name}/{Path(path).name}:{line} {name}"
        print(f"{1000 * own / cells:8.2f} {1000 * whole / cells:8.2f} {calls / cells:8.1f}  {place}")


def main() -> int:
    """Print where the time went."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--checkpoints", type=int, default=9)
    options.add_argument("--prompts", type=int, default=12)
    options.add_argument("--small", action="store_true", help="pictures of 64x64, compared with no training images")
    options.add_argument("--again", action="store_true", help="profile the command when nothing is left to do")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = write_plan(folder, checkpoints=given.checkpoints, prompts=given.prompts, small=given.small)
        written = os.environ[_WRITTEN] = str(folder / "profile")
        with stand_ins(read_plan(file), seconds_per_image=0.0) as urls:
            place = Ground(plan_file=file, urls=urls, reports=folder / "reports")
            if given.again:
                place.pytest("-m", "generate")
            place.pytest("-m", "generate", "-p", "benchmarks.profile")
        tell(Path(written), (given.checkpoints + 1) * given.prompts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
