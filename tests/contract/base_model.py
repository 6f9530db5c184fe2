"""Writes a small base model that a real ComfyUI runs, and LoRAs that fit it: random weights, nothing to download.

    python -m tests.contract.base_model ~/ComfyUI                     models/checkpoints/tiny_sd15.safetensors
    python -m tests.contract.base_model ~/ComfyUI --lora a-200 --lora b-400   and models/loras/a-200.safetensors, ...
    python -m tests.contract.base_model ~/ComfyUI --lora a=200                whose header says 200 steps

A LoRA's step is the one that is given, else the number at the end of its name, else 600.

64x64 pixels with 2 steps take about a second on two cores. The pictures are noise, but every LoRA, prompt and
seed makes another one. Needs numpy, and no torch.
"""

# ruff: noqa: T201  (a program of its own)

import argparse
import json
import math
import os
import re
import struct
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from tests.contract.tiny_shapes import Shape, base_shapes, lora_shapes

BASE: Final = "tiny_sd15.safetensors"
_ALPHA: Final = 8.0
_STEP: Final = 600
_CHUNK: Final = 1 << 22
_METADATA: Final = {
    "format": "pt",
    "ss_base_model_version": "sd_v1",
    "ss_max_train_steps": "920",
    "ss_network_alpha": str(_ALPHA),
    "ss_network_dim": "8",
    "ss_network_module": "networks.lora",
    "ss_num_train_images": "23",
}

Fill = Callable[[str, Shape], tuple[float, float]]
"""Gives the mean of a tensor's numbers, and their standard deviation around it."""


def write_base(path: Path, *, seed: int = 64) -> None:
    """Write the base model, 502 MB. The same seed gives the same bytes."""
    _write(path, base_shapes(), {"format": "pt"}, seed, _base_fill)


def write_lora(path: Path, *, seed: int, step: int = _STEP, name: str = "contract", prefix: str = "") -> None:
    """Write a LoRA, 1.5 MB, with the header of a trainer; a prefix before its keys makes it match nothing."""
    metadata = {**_METADATA, "ss_output_name": name, "ss_steps": str(step)}
    shapes = {prefix + key: shape for key, shape in lora_shapes().items()}
    _write(path, shapes, metadata, seed, _lora_fill)


def _base_fill(name: str, shape: Shape) -> tuple[float, float]:
    """Norm weights 1, biases 0, matrices such that what goes through keeps its size."""
    if len(shape) == 1:
        return (1.0 if name.endswith("weight") else 0.0), 0.0
    return 0.0, 1 / math.sqrt(math.prod(shape[1:]))


def _lora_fill(name: str, shape: Shape) -> tuple[float, float]:
    """Strong enough to be seen: the change is half as large as what it changes."""
    if not shape:
        return _ALPHA, 0.0
    return 0.0, (0.5 if "lora_up" in name else 1.0) / math.sqrt(shape[1])


def _write(path: Path, shapes: Mapping[str, Shape], metadata: Mapping[str, str], seed: int, fill: Fill) -> None:
    """Write tensor by tensor, in small pieces, so that hardly any memory is needed; the file appears when whole."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with half.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name, shape in shapes.items():
                # A tensor's numbers follow from seed and name alone, wherever it lies in the file.
                numbers = np.random.Generator(np.random.SFC64([seed, zlib.crc32(name.encode())]))
                _write_tensor(file, math.prod(shape), numbers, *fill(name, shape))
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _write_tensor(file: BinaryIO, count: int, numbers: np.random.Generator, mean: float, deviation: float) -> None:
    for start in range(0, count, _CHUNK):
        length = min(_CHUNK, count - start)
        values = np.full(length, mean, np.float32)
        if deviation:
            values += numbers.standard_normal(length, np.float32) * np.float32(deviation)
        file.write(values.astype("<f2").tobytes())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what the command line asks for, below a ComfyUI folder."""
    parser = argparse.ArgumentParser(prog="base_model.py", description=__doc__.partition("\n")[0])
    parser.add_argument("comfyui", type=Path, help="the ComfyUI folder")
    parser.add_argument("--seed", type=int, default=64, help="other seeds give other weights (default: 64)")
    parser.add_argument("--name", default=BASE, help=f"file name of the base model (default: {BASE})")
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="NAME[=STEP]",
        type=_name_and_step,
        help=f"also write this LoRA, of this training step (default: the number at its name's end, or {_STEP}); repeat",
    )
    options = parser.parse_args(arguments)
    models = options.comfyui.expanduser() / "models"
    if not models.is_dir():
        print(f"{options.comfyui} is no ComfyUI folder: it has no models/.", file=sys.stderr)
        return 1
    base = models / "checkpoints" / options.name
    write_base(base, seed=options.seed)
    print(f"wrote {base}")
    for number, (name, step) in enumerate(options.lora, start=1):
        lora = models / "loras" / f"{name.removesuffix('.safetensors')}.safetensors"
        write_lora(lora, seed=options.seed + number, step=step, name=lora.stem)
        print(f"wrote {lora}, of step {step}")
    return 0


def _name_and_step(text: str) -> tuple[str, int]:
    name, _, step = text.partition("=")
    at_the_end = re.search(r"\d+$", name.removesuffix(".safetensors"))
    return name, int(step or (at_the_end[0] if at_the_end else _STEP))


if __name__ == "__main__":
    sys.exit(main())
