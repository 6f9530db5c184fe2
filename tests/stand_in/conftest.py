"""A stand-in over a fresh folder for each test, and a client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stand_in.serving import Serving, serve
from stand_in.weights import write_weights
from tests.stand_in.raw_client import Client, write_lora


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """Make a ComfyUI folder with a base model and the LoRA `a.safetensors`."""
    write_weights(
        tmp_path / "models/checkpoints/AnythingXL_inkBase.safetensors", {"w": (4,)}, {"format": "pt"}, seed="base"
    )
    write_lora(tmp_path / "models/loras/a.safetensors", 600)
    return tmp_path


@pytest.fixture
def serving(comfyui: Path) -> Iterator[Serving]:
    """Serve the folder, without a pause for sampling."""
    with serve(comfyui) as serving:
        yield serving


@pytest.fixture
def client(serving: Serving) -> Iterator[Client]:
    """Connect a client."""
    with Client(serving.url) as client:
        yield client
