"""The folder that a demo works in: checkpoints as a trainer leaves them, a ComfyUI folder, training images."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from stand_in.drawing import TRAINING_IMAGES, draw_training_image
from stand_in.models import make_models
from stand_in.networks import lora_shapes
from stand_in.training import TrainingRun
from stand_in.weights import read_header, write_weights

_MARGIN: Final = 1.03
"""Checkpoints are this much larger than the run's minimum."""
_MARKER: Final = "SIMULATED.txt"
_MARKER_TEXT: Final = (
    "This folder belongs to the embedded ComfyUI stand-in: its checkpoints hold no training, and its pictures are "
    "drawn, not generated.\nIt may be deleted at any time; nothing here should ever be used as a real LoRA.\n"
)
_SIZE: Final = 512
_OF_THIS_RUN: Final = ("ss_output_name", "ss_steps", "stand_in_text_encoder")
"""What a checkpoint's header must say, or it is of another run."""


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where things are in a demo's folder."""

    folder: Path
    checkpoints: Path
    training_images: Path
    comfyui: Path
    loras: Path
    base_models: Path
    output: Path

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Name the places below `folder`; makes nothing."""
        folder = folder.absolute()
        comfyui = folder / "ComfyUI"
        return cls(
            folder=folder,
            checkpoints=folder / "output" / "loras" / "spyke",
            training_images=folder / "data" / "spyke",
            comfyui=comfyui,
            loras=comfyui / "models" / "loras",
            base_models=comfyui / "models" / "checkpoints",
            output=comfyui / "output",
        )


def make_workspace(run: TrainingRun, folder: Path) -> Workspace:
    """Make what is missing below `folder`; what is there stays as it is. Raises `OSError`."""
    workspace = Workspace.at(folder)
    for path in (workspace.checkpoints, workspace.training_images, workspace.loras, workspace.output):
        path.mkdir(parents=True, exist_ok=True)
    _if_missing(workspace.folder / _MARKER, _MARKER_TEXT.encode)
    base = workspace.base_models / run.base_model
    if not base.exists():
        write_weights(base, {"simulated.weight": (16, 16)}, {"format": "pt"}, seed=base.name)
    if run.workflow is not None:
        make_models(run, workspace.comfyui)
    rank, shapes = lora_shapes(round(run.min_size * _MARGIN), run.max_size, text_encoder=run.trains_text_encoder)
    for file, step in run.checkpoints.items():
        path = workspace.checkpoints / file
        metadata = _metadata(run, step, rank)
        if not path.exists() or _is_of_another_run(path, metadata):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_weights(path, shapes, metadata, seed=f"{run.name} {step}")
    for file, shown in run.others.items():
        path = workspace.loras / file
        if not path.exists():
            metadata = {"format": "pt", "simulated": "true", "stand_in_training": str(shown)}
            write_weights(
                path, {f"lora_unet_mid.{part}.weight": (8, 8) for part in ("lora_down", "lora_up")}, metadata, seed=file
            )
    for index in range(TRAINING_IMAGES):
        path = workspace.training_images / f"{run.name}_{index + 1:02}.png"
        _if_missing(path, lambda index=index: _training_image(index))  # type: ignore[misc]
    return workspace


def _is_of_another_run(path: Path, metadata: dict[str, str]) -> bool:
    """Say whether a checkpoint was made here for another training run, which has a file of the same name."""
    try:
        there = read_header(path).get("__metadata__", {})
    except (OSError, ValueError):
        return False
    return "simulated" in there and any(there.get(key) != metadata.get(key) for key in _OF_THIS_RUN)


def _metadata(run: TrainingRun, step: int, rank: int) -> dict[str, str]:
    """Return what kohya's trainer writes into a header, as far as anybody reads it."""
    return {
        "format": "pt",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": run.name,
        "simulated": "true",
        "ss_base_model_version": "sd_v1",
        "ss_max_train_steps": str(run.last_step),
        "ss_network_alpha": str(rank),
        "ss_network_dim": str(rank),
        "ss_network_module": "networks.lora",
        "ss_num_train_images": "23",
        "ss_output_name": run.name,
        "ss_sd_model_name": run.base_model,
        "ss_steps": str(step),
        "stand_in_training": f"{run.shown_training(step):.4f}",
        **({} if run.trains_text_encoder else {"stand_in_text_encoder": "false"}),
    }


def _training_image(index: int) -> bytes:
    png = io.BytesIO()
    draw_training_image(index, (_SIZE, _SIZE)).save(png, format="png")
    return png.getvalue()


def _if_missing(path: Path, content: Callable[[], bytes]) -> None:
    """Write a file that is not there, in one go."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content())
    os.replace(temporary, path)  # noqa: PTH105 (same on every system)
