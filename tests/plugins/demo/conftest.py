"""A stand-in over a fresh folder for each test, and a client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_client import Client, write_lora

from plugins.demo.serving import Serving, serve
from plugins.demo.weights import write_weights


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
