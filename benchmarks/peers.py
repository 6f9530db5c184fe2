"""The same cells, as others drive ComfyUI, each in a process of its own. Ours must be ahead of all but a bare queue.

Run `python -m benchmarks.peers`; it takes some minutes. The prompts are those that `pytest -m generate` posted for 100
pictures of 512x512, of 0.25 s each, on a stand-in in a process of its own, without those that are its own affair (the
canary, and forgetting). Peers post one, wait for its end, fetch its picture, and post the next; they go prompt by
prompt through the checkpoints, as a person would, and check nothing: plain HTTP and a WebSocket as in ComfyUI's own
examples, comfy-api-simplified, and, where `comfy` is on the PATH, comfy-cli, which is started for each prompt and
fetches no picture. Last, all prompts are posted at once and the pictures fetched, which is the least that there is.
Compared are whole processes, from the command to its end: ours with staging, canary, checks and report.

On a real ComfyUI: `COMFYUI_URL=... COMFYUI_DIR=... python -m benchmarks.peers --plan=yours.toml`. There prompt by
prompt also loads a LoRA for each picture, which the stand-in does at once.
"""

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.common import add_matrix, ground, matrix_of, median, parser, run
from benchmarks.posting import Bare, Graph, anew

OURS, CLI = "pytest -m generate", "comfy-cli"
NAMES: Final = {
    "one-by-one": "one by one, plain HTTP",
    "simplified": "comfy-api-simplified",
    "queued": "all at once, plain HTTP",
}


def of_cells(graphs: Sequence[Graph], rows: int) -> list[Graph]:
    """Return the cells' graphs prompt by prompt, from those posted checkpoint by checkpoint with others among them."""
    saving = [graph for graph in graphs if any(node["class_type"] == "SaveImage" for node in graph.values())]
    cells = saving[: len(saving) // rows * rows]
    return [graph for row in range(rows) for graph in cells[row::rows]]


def posted(way: str, url: str, folder: Path, graphs: Sequence[Graph]) -> float:
    """Return the seconds of a process that has these prompts rendered in one of the plain ways."""
    file = folder / "graphs.json"
    file.write_text(json.dumps(graphs), "utf-8")
    return run([sys.executable, "-m", "benchmarks.posting", way, url, str(file)]).wall


def by_comfy_cli(comfy: str, url: str, folder: Path, graphs: Sequence[Graph]) -> float:
    """Return the seconds of all the processes of comfy-cli, one for each prompt."""
    at = urlsplit(url)
    file = folder / "graph.json"
    command = [comfy, "--skip-prompt", "--no-enable-telemetry", "run", "--wait", "--workflow", str(file)]
    took = 0.0
    for graph in graphs:
        file.write_text(json.dumps(graph), "utf-8")
        took += run([*command, "--host", str(at.hostname), "--port", str(at.port)]).wall
    return took


def main() -> int:
    """Print what was measured."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--plan", type=Path, help="a plan for the ComfyUI that COMFYUI_URL and COMFYUI_DIR name")
    add_matrix(options)
    options.set_defaults(cells=100, seconds=0.25)
    given = options.parse_args()
    comfy = shutil.which("comfy")
    took: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory() as name,
        ground(given.plan, matrix_of(given.cells), seconds_per_image=given.seconds) as place,
    ):
        folder, bare, url = Path(name), Bare(place.urls[0]), place.urls[0]
        peers: dict[str, Callable[[list[Graph]], float]] = {
            told: partial(posted, way, url, folder) for way, told in NAMES.items()
        }
        if comfy:
            peers[CLI] = partial(by_comfy_cli, comfy, url, folder)
        rows = len(place.plan.prompts) * len(place.plan.sampling.seeds)
        place.pytest("-m", "generate")
        for _ in range(given.rounds):
            before = {prompt_id for prompt_id, *_ in bare.history()}
            took.setdefault(OURS, []).append(place.pytest("-m", "generate", "--regenerate").wall)
            new = [graph for prompt_id, graph, _, _ in bare.history() if prompt_id not in before]
            cells = of_cells(new, rows)
            for told, peer in peers.items():
                took.setdefault(told, []).append(peer(anew(cells)))
        bare.close()
    ours = statistics.median(took[OURS])
    print(f"{len(cells)} cells; whole processes, medians of {given.rounds}, in turn:")
    for told, walls in took.items():
        print(f"  {told:<26}{median(walls)} s   x {statistics.median(walls) / ours:.3f} of ours")
    if not comfy:
        print("  comfy-cli is not measured: there is no `comfy` on the PATH")
    return 0 if all(ours <= statistics.median(walls) for told, walls in took.items() if told != NAMES["queued"]) else 1


if __name__ == "__main__":
    sys.exit(main())
