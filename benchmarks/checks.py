"""How much longer generating on the demo takes with all checks than without: at most 10 %.

Run `python -m benchmarks.checks`; it takes about two minutes. The shipped plan's matrix is generated on the demo's
stand-in again and again, in turn with every check and with none: nothing is asked of the picture, of its workflow, of
its baseline, of the other pictures and of the training images; no server is made to forget its weights, and no picture
is rendered twice (of 18 pictures, a nineteenth is 5.6 % by itself). Decoding and hashing stay, since the evidence needs
them. Printed are the medians, the median of the rounds' ratios, and this process's own processor time for each 512x512
picture. Exits with 1 where the ratio is above the bound.
"""

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.server import Server
from plugins.demo.process import StandIn
from plugins.demo.training import training_run
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate import cell_renderer, record
from plugins.generate.comparing import Comparing
from plugins.generate.expected import ExpectedInputs
from plugins.generate.generation import Generation
from plugins.generate.preparing import prepare
from plugins.generate.stability import Stability
from plugins.loras.staging import preflight
from plugins.pictures.check import Check, Outcome
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan

BOUND: Final = 1.10
_ROUNDS: Final = 5
_SECONDS_PER_IMAGE: Final = 0.3
"""The demo's own."""
_PLAN: Final = Path(__file__).resolve().parents[1] / "plans" / "spyke.toml"
_CHECKS: Final[tuple[tuple[object, str], ...]] = (
    (ExpectedInputs, "check_size"),
    (cell_renderer, "check_not_blank"),
    (cell_renderer, "check_not_noise"),
    (cell_renderer, "check_workflow"),
    (record, "check_no_training_copy"),
)
_PASSED: Final = Check(name="left out", outcome=Outcome.PASSED)


@contextlib.contextmanager
def without_checks() -> Iterator[None]:
    """Generate without checks, as long as the block lasts."""

    def compare(comparing: Comparing, cell: Cell, evidence: Evidence, **_others: Any) -> Evidence:  # noqa: ANN401
        comparing._keep(cell, evidence)  # noqa: SLF001
        return evidence

    with contextlib.ExitStack() as stack:
        for owner, name in _CHECKS:
            stack.enter_context(patch.object(owner, name, lambda *_, **__: _PASSED))
        stack.enter_context(patch.object(record, "fingerprint", lambda _: b""))
        stack.enter_context(patch.object(Stability, "is_due", lambda *_: False))
        stack.enter_context(patch.object(Comparing, "compare", compare))
        stack.enter_context(patch.object(Server, "forget_weights", lambda *_, **__: None))
        yield


def _plan_in(workspace: Path) -> Plan:
    paths = {
        "project": str(workspace),
        "checkpoints": "output/loras/spyke",
        "comfyui": "ComfyUI",
        "training_images": "data/spyke",
    }
    return read_plan(_PLAN, {"paths": paths})


def _generate(plan: Plan, url: str, reports: Path) -> tuple[float, float]:
    """Generate the whole matrix anew; gives seconds, and seconds of this process's own processor time."""
    client = ComfyUI(url)
    server = Server(client, client.info(), timeout=60)
    prepared = prepare(plan, (server,), Store(reports), headers=preflight(plan))
    cells = matrix(plan)
    start, own = time.perf_counter(), time.process_time()
    run = Generation(prepared, cells, regenerate=True)
    for cell in cells:
        run.evidence_of(cell, show=lambda _: None)
    spent = time.perf_counter() - start, time.process_time() - own
    run.close()
    return spent


def measure(folder: Path, *, rounds: int = _ROUNDS) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Generate in turn with and without checks; gives (seconds, own processor seconds) of every round of both."""
    workspace = folder / "workspace"
    with_checks, without = [], []
    with StandIn.start(workspace, run=training_run(read_plan(_PLAN)), seconds_per_image=_SECONDS_PER_IMAGE) as stand_in:
        plan = _plan_in(workspace)
        bare = plan.model_copy(update={"paths": plan.paths.model_copy(update={"training_images": None})})
        _generate(plan, stand_in.url, folder / "first")  # stages the files, warms up
        for _ in range(rounds):
            with_checks.append(_generate(plan, stand_in.url, folder / "with"))
            with without_checks():
                without.append(_generate(bare, stand_in.url, folder / "without"))
    return with_checks, without


def main() -> int:
    """Print what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        with_checks, without = measure(Path(folder))
    cells = len(matrix(read_plan(_PLAN)))
    print(f"{cells} pictures of 512x512, {_SECONDS_PER_IMAGE} s each; medians of {_ROUNDS} runs, in turn:")
    for name, runs in (("with all checks", with_checks), ("without", without)):
        seconds, own = (statistics.median(values) for values in zip(*runs, strict=True))
        spread = f"{min(one for one, _ in runs):.2f} to {max(one for one, _ in runs):.2f}"
        print(f"  {name:<16} {seconds:.2f} s ({spread}); own processor time {1000 * own / cells:.1f} ms a picture")
    ratios = sorted(one / other for (one, _), (other, _) in zip(with_checks, without, strict=True))
    ratio = statistics.median(ratios)
    print(f"ratio {ratio:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}); at most {BOUND:.2f} is allowed")
    return 0 if ratio <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
