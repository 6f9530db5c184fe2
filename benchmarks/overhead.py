"""How much longer `pytest -m generate` takes than the bare bound: at most 1.08 x, 1.02 x without its start.

Run `python -m benchmarks.overhead`; it takes about four minutes. A matrix as large as Spyke's (5 checkpoints and the
baseline on 3 prompts: 18 pictures of 512x512, 1 s each) is generated anew on a stand-in in a process of its own, in
turn with the bound: the very prompts that the server got from the suite, posted all at once over plain HTTP, each
picture fetched when it is told of, and nothing else.

The suite posts three prompts more than there are cells: the first cell again, to see whether the server gives the same
picture twice, and a tiny one before either, which makes the server forget what it has in memory. The bound renders them
too; the last line holds the suite against the bound's share for the cells alone.

On a real ComfyUI, at most 1.10 x: `COMFYUI_URL=... COMFYUI_DIR=... python -m benchmarks.overhead --plan=yours.toml`.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import Spent, add_matrix, ground, matrix_of, median, parser
from benchmarks.posting import Bare, Graph, anew

BOUND, BOUND_WITHOUT_START, BOUND_REAL = 1.08, 1.02, 1.10


def measure(
    plan_file: Path | None, make: Callable[[Path], Path], *, rounds: int, seconds: float
) -> tuple[list[Spent], list[float], list[float], list[Graph], int]:
    """Generate and post in turn; gives what ours took, also from its first prompt on, the bound, prompts and cells."""
    ours, running, bound, graphs, cells = [], [], [], [], 0
    with ground(plan_file, make, seconds_per_image=seconds) as place:
        bare = Bare(place.urls[0])
        cells = len(place.plan.prompts) * len(place.plan.sampling.seeds) * (len(place.plan.checkpoints) + 1)
        place.pytest("-m", "generate")  # stages the files, warms up
        for _ in range(rounds):
            before = {prompt_id for prompt_id, *_ in bare.history()}
            spent = place.pytest("-m", "generate", "--regenerate")
            new = [one for one in bare.history() if one[0] not in before]
            graphs = [graph for _, graph, _, _ in new]
            ours.append(spent)
            running.append(spent.ended - new[0][2])
            prompts = anew(graphs)
            start = time.perf_counter()
            bare.all_at_once(prompts)
            bound.append(time.perf_counter() - start)
        bare.close()
    return ours, running, bound, graphs, cells


def main() -> int:
    """Print what was measured."""
    options = parser(__doc__)
    options.add_argument("--plan", type=Path, help="a plan for the ComfyUI that COMFYUI_URL and COMFYUI_DIR name")
    add_matrix(options)
    given = options.parse_args()
    ours, running, bound, graphs, cells = measure(
        given.plan, matrix_of(given.cells), rounds=given.rounds, seconds=given.seconds
    )
    walls = [one.wall for one in ours]
    whole = statistics.median(one / other for one, other in zip(walls, bound, strict=True))
    without = statistics.median(one / other for one, other in zip(running, bound, strict=True))
    allowed, allowed_without = (BOUND_REAL, BOUND_REAL) if given.plan else (BOUND, BOUND_WITHOUT_START)
    cpu = statistics.median(one.cpu for one in ours)
    print(f"{cells} cells, {len(graphs)} prompts; medians of {given.rounds}, in turn:")
    print(f"  all prompts at once, plain HTTP    {median(bound)} s")
    print(f"  pytest -m generate, whole process  {median(walls)} s   x {whole:.3f}, at most {allowed:.2f}")
    print(f"  from its first prompt to its end   {median(running)} s   x {without:.3f}, at most {allowed_without:.2f}")
    print(f"  its own processor time             {cpu:8.3f} s")
    alone = statistics.median(bound) * cells / (cells + 1)
    print(f"  against the {cells} cells alone         {alone:8.3f} s   x {statistics.median(walls) / alone:.3f}")
    return 0 if whole <= allowed and without <= allowed_without else 1


if __name__ == "__main__":
    sys.exit(main())
