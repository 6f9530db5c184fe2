"""A Dask cluster of 4 workers on one machine, one of which is killed in mid-run: no cell is lost.

Run `python -m benchmarks.cluster`; it takes about two minutes. A matrix of 47 cells is generated on 4 stand-ins in
processes of their own, each with a ComfyUI folder of its own and a Dask worker beside it. One cell is rendered twice,
so 48 pictures are shared: 12 for each. Then the same once more, and once a quarter of the cells has its evidence, one
worker is killed (SIGKILL). From then on three servers share what is left, so the run may take up to 4/3 as long.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from distributed import LocalCluster

from benchmarks.common import ROOT, Ground, median, parser, stand_ins, write_plan
from plugins.evidence.store import Store
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan

WORKERS: Final = 4
BOUND: Final = WORKERS / (WORKERS - 1)


@contextlib.contextmanager
def cluster(plan: Plan, folder: Path, seconds: float) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """Start a scheduler and workers, each beside a stand-in of its own; gives its address, and the workers."""
    with contextlib.ExitStack() as stack:
        scheduler = stack.enter_context(
            LocalCluster(
                n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
            )
        )
        workers = []
        for number in range(WORKERS):
            comfyui = folder / f"machine{number}" / "ComfyUI"
            shutil.copytree(plan.paths.comfyui, comfyui)
            there = plan.model_copy(update={"paths": plan.paths.model_copy(update={"comfyui": comfyui})})
            (url,) = stack.enter_context(stand_ins(there, seconds_per_image=seconds))
            address = str(scheduler.scheduler_address)
            command = [sys.executable, "-m", "dask", "worker", address, "--no-nanny", "--no-dashboard"]
            command += ["--host", "127.0.0.1", "--local-directory", str(folder), "--name", f"gpu{number}"]
            beside = {**os.environ, "COMFYUI_URL": url, "COMFYUI_DIR": str(comfyui)}
            worker = subprocess.Popen(command, cwd=ROOT, env=beside, stderr=subprocess.DEVNULL)
            stack.callback(worker.wait)
            stack.callback(worker.kill)
            workers.append(worker)
        while len(scheduler.scheduler.workers) < WORKERS:
            time.sleep(0.05)
        yield address, workers


def kill_later(worker: "subprocess.Popen[bytes]", reports: Path, cells: int) -> None:
    """End a worker at once, when so many cells have their evidence."""
    while len(list(reports.glob("pictures/*/*.json"))) < cells:
        time.sleep(0.05)
    worker.kill()


def generate(seconds: float, *, killing: bool) -> float:
    """Generate the matrix; gives the seconds of the whole process. Raises `RuntimeError` where a cell is lost."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = write_plan(folder, checkpoints=46, prompts=1, small=True)
        plan, reports = read_plan(file), folder / "reports"
        with cluster(plan, folder, seconds) as (address, workers):
            cells = matrix(plan)
            if killing:
                args = (workers[0], reports, len(cells) // WORKERS)
                threading.Thread(target=kill_later, args=args, daemon=True).start()
            spent = Ground(plan_file=file, urls=(), reports=reports).pytest("-m", "generate", f"--cluster={address}")
            if killing and workers[0].poll() is None:
                raise RuntimeError("No worker was killed.")
        store = Store(reports)
        if lost := [cell.id for cell in cells if store.read(cell) is None]:
            raise RuntimeError(f"These cells were lost: {', '.join(lost)}.")
        return spent.wall


def main() -> int:
    """Print what was measured."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--seconds", type=float, default=2.0, help="a picture (default: 2)")
    given = options.parse_args()
    whole = [generate(given.seconds, killing=False) for _ in range(given.rounds)]
    killed = [generate(given.seconds, killing=True) for _ in range(given.rounds)]
    ratio = sorted(killed)[len(killed) // 2] / sorted(whole)[len(whole) // 2]
    print(
        f"47 cells and one again, {given.seconds:g} s each, on {WORKERS} workers; whole process, {given.rounds} rounds:"
    )
    print(f"  all of them work:     {median(whole)} s")
    print(f"  one is killed:        {median(killed)} s, no cell lost, ratio {ratio:.3f} (bound {BOUND:.3f})")
    return 0 if ratio <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
