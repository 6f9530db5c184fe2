"""The same cells, as others drive ComfyUI: prompt by prompt, and with comfy-api-simplified. Ours must be ahead.

Run `python -m benchmarks.peers`; it takes some minutes. The prompts are those that `pytest -m generate` posted for a
matrix as large as Spyke's (18 pictures of 512x512, 1 s each, on a stand-in in a process of its own), without those that
are its own affair (the canary, and forgetting). Peers post one, wait for its end, fetch its picture, and post the next;
they go prompt by prompt through the checkpoints, as a person would, and check nothing. Their time is from the first
prompt to the last picture; ours also of the whole process, canary, checks and report included.

On a real ComfyUI: `COMFYUI_URL=... COMFYUI_DIR=... python -m benchmarks.peers --plan=yours.toml`. There prompt by
prompt also loads a LoRA for each picture, which the stand-in does at once.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import add_matrix, ground, matrix_of, median, parser
from benchmarks.posting import Bare, Graph, anew, simplified


def of_cells(graphs: Sequence[Graph], rows: int) -> list[Graph]:
    """Return the cells' graphs prompt by prompt, from those posted checkpoint by checkpoint with others among them."""
    saving = [graph for graph in graphs if any(node["class_type"] == "SaveImage" for node in graph.values())]
    cells = saving[: len(saving) // rows * rows]
    return [graph for row in range(rows) for graph in cells[row::rows]]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> int:
    """Print what was measured."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--plan", type=Path, help="a plan for the ComfyUI that COMFYUI_URL and COMFYUI_DIR name")
    add_matrix(options)
    given = options.parse_args()
    took: dict[str, list[float]] = {name: [] for name in ("whole", "ours", "bound", "one by one", "simplified")}
    with ground(given.plan, matrix_of(given.cells), seconds_per_image=given.seconds) as place:
        bare, url = Bare(place.urls[0]), place.urls[0]
        rows = len(place.plan.prompts) * len(place.plan.sampling.seeds)
        place.pytest("-m", "generate")
        for _ in range(given.rounds):
            before = {prompt_id for prompt_id, *_ in bare.history()}
            spent = place.pytest("-m", "generate", "--regenerate")
            new = [one for one in bare.history() if one[0] not in before]
            cells = of_cells([graph for _, graph, _, _ in new], rows)
            saved = [one for one in new if one[1] in cells]
            took["whole"].append(spent.wall)
            took["ours"].append(saved[-1][3] - saved[0][2])
            took["bound"].append(timed(lambda: bare.all_at_once(anew(cells))))  # noqa: B023 (called at once)
            took["one by one"].append(timed(lambda: bare.one_by_one(anew(cells))))  # noqa: B023
            took["simplified"].append(timed(lambda: simplified(url, anew(cells))))  # noqa: B023
        bare.close()
    ours = statistics.median(took["ours"])
    print(f"{len(cells)} cells; medians of {given.rounds}, in turn:")
    for name, told in (
        ("bound", "all prompts at once, plain HTTP"),
        ("ours", "pytest -m generate, its cells"),
        ("whole", "pytest -m generate, whole process"),
        ("one by one", "one by one, plain HTTP"),
        ("simplified", "comfy-api-simplified"),
    ):
        print(f"  {told:<36}{median(took[name])} s   x {statistics.median(took[name]) / ours:.3f} of ours")
    return 0 if ours <= min(statistics.median(took[name]) for name in ("one by one", "simplified")) else 1


if __name__ == "__main__":
    sys.exit(main())
