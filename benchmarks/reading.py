"""How long a workflow of 200 nodes takes to read, and to fill for a cell: under 5 ms of processor time.

Run `python -m benchmarks.reading`; it takes some seconds. The graph is one of two passes whose model comes through 190
nodes, every tenth of which loads a LoRA. The types are those of ComfyUI 0.33.0. Printed is the best of many; exits with
1 where the bound is not kept.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from plugins.comfyui.node_types import read_types
from plugins.comfyui.workflow import BUILT_IN, Workflow
from plugins.plan.tested import Sampling

BOUND: Final = 0.005
_ROUNDS: Final = 200
_NODES: Final = 190
_DECLARATIONS: Final = Path(__file__).parents[1] / "stand_in" / "declarations" / "0.33.0.json"


def _graph() -> dict[str, Any]:
    """Return two passes, the second of them on a latent that is twice as large, behind a long chain of models."""
    graph: dict[str, Any] = {
        node: {**content, "inputs": dict(content["inputs"])} for node, content in BUILT_IN.items() if node != "2"
    }
    model: list[Any] = ["1", 0]
    for number in range(_NODES):
        inputs: dict[str, Any] = {"model": model}
        if number % 10:
            inputs |= {"shift": 3.0}
        else:
            inputs |= {"lora_name": f"style{number}.safetensors", "strength_model": 1.0}
        name = "ModelSamplingAuraFlow" if number % 10 else "LoraLoaderModelOnly"
        graph[f"{100 + number}"] = {"class_type": name, "inputs": inputs}
        model = [f"{100 + number}", 0]
    graph["3"]["inputs"]["clip"] = ["1", 1]
    graph["7"]["inputs"]["model"] = model
    larger = {"samples": ["7", 0], "upscale_method": "bislerp", "scale_by": 2.0}
    graph["10"] = {"class_type": "LatentUpscaleBy", "inputs": larger}
    graph["11"] = {"class_type": "KSampler", "inputs": {**graph["7"]["inputs"], "latent_image": ["10", 0]}}
    graph["8"]["inputs"]["samples"] = ["11", 0]
    return graph


def _best(work: Callable[[], object]) -> float:
    """Return the least processor time that some work took, in seconds."""
    spent = []
    for _ in range(_ROUNDS):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def main() -> int:
    """Print what was measured."""
    types, sampling, graph = read_types(json.loads(_DECLARATIONS.read_bytes())), Sampling(seeds=(1,)), _graph()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "workflow.json")
        path.write_text(json.dumps(graph), encoding="utf-8")

        def read() -> Workflow:
            return Workflow.read(path, types=types, sampling=sampling)

        filler = read().filler
        reading = _best(read)
        filling = _best(
            lambda: filler.fill(
                sampling, prompt="a cat", seed=1, base_model=None, lora_file="a.safetensors", prefix="a"
            )
        )
    print(f"{len(graph)} nodes, best of {_ROUNDS}: read {reading * 1e3:.2f} ms, filled {filling * 1e3:.2f} ms")
    print(f"ratio to the bound of {BOUND * 1e3:g} ms: {(reading + filling) / BOUND:.2f}")
    return 0 if reading + filling <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
