"""A client that knows nothing but HTTP and WebSocket, for tests of the stand-in."""

import io
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
import websocket
from PIL import Image

from stand_in.weights import write_weights

Frame = tuple[str, dict[str, Any]]
SHAPES = {
    "lora_unet_mid_block_attentions_0_proj_in.alpha": (),
    "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": (4, 64, 1, 1),
    "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": (64, 4, 1, 1),
    "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha": (),
    "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 64),
    "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": (64, 4),
}


def write_lora(path: Path, step: int, *, prefix: str = "", seed: str = "") -> Path:
    """Write a small LoRA of that training step; a prefix makes its keys match nothing."""
    metadata = {
        "ss_base_model_version": "sd_v1",
        "ss_network_module": "networks.lora",
        "ss_steps": str(step),
        "ss_network_dim": "8",
        "ss_max_train_steps": "920",
        "format": "pt",
        "ss_output_name": "spyke_plasma_v1",
        "ss_num_train_images": "23",
    }
    write_weights(path, {prefix + name: shape for name, shape in SHAPES.items()}, metadata, seed=f"{step} {seed}")
    return path


def graph(
    lora: str | None = "a.safetensors", *, prefix: str = "probe", size: int = 64, **sampler: Any
) -> dict[str, Any]:
    """Return the recorded workflow; without a LoRA, the baseline. Other words are inputs of the sampler."""
    source = "10" if lora else "4"
    workflow: dict[str, Any] = {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "AnythingXL_inkBase.safetensors"}},
        "11": {"class_type": "CLIPSetLastLayer", "inputs": {"clip": [source, 1], "stop_at_clip_layer": -2}},
        "10": {
            "class_type": "LoraLoader",
            "inputs": {
                "model": ["4", 0],
                "clip": ["4", 1],
                "lora_name": lora,
                "strength_model": 1.0,
                "strength_clip": 1.0,
            },
        },
        "6": {
            "class_type": "CLIPTextEncode",
            "inputs": {"clip": ["11", 0], "text": "spyke_plasma_v1, standing in a forest"},
        },
        "7": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["11", 0], "text": ""}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": size, "height": size, "batch_size": 1}},
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "model": [source, 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
                "seed": 1,
                "steps": 2,
                "cfg": 7.0,
                "sampler_name": "euler_ancestral",
                "scheduler": "normal",
                "denoise": 1.0,
                **sampler,
            },
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": prefix}},
    }
    if lora is None:
        del workflow["10"]
    return workflow


@dataclass(frozen=True)
class Run:
    """One prompt from its POST to its end marker."""

    prompt_id: str
    frames: list[Frame]
    history: dict[str, Any]
    picture: Image.Image | None

    @property
    def pixels(self) -> bytes:
        """The picture without its file's metadata."""
        assert self.picture is not None, self.history
        return self.picture.convert("RGB").tobytes()

    @property
    def image(self) -> dict[str, str]:
        """The first output, as /view wants it."""
        image: dict[str, str] = self.history["outputs"]["9"]["images"][0]
        return image


@dataclass
class Client:
    """One client with an open WebSocket."""

    url: str
    client_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        """Connect."""
        self.socket = websocket.create_connection(
            f"{self.url.replace('http', 'ws')}/ws?clientId={self.client_id}", timeout=20
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET a path."""
        return requests.get(self.url + path, timeout=20, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        """POST JSON to a path."""
        return requests.post(self.url + path, json=body, timeout=20, **options)

    def submit(self, workflow: dict[str, Any], **options: Any) -> str:
        """Queue a prompt and give its id."""
        body = {"prompt": workflow, "client_id": self.client_id, "prompt_id": str(uuid.uuid4()), **options}
        response = self.post("/prompt", body)
        assert 200 == response.status_code, response.text
        prompt_id: str = response.json()["prompt_id"]
        return prompt_id

    def frame(self) -> Frame:
        """Return the next text frame."""
        message = json.loads(self.socket.recv())
        return message["type"], message["data"]

    def frames_until(self, last: Callable[[Frame], bool]) -> list[Frame]:
        """Return the frames up to and with the one that is asked for."""
        frames = [self.frame()]
        while not last(frames[-1]):
            frames.append(self.frame())
        return frames

    def frames_of(self, prompt_id: str) -> list[Frame]:
        """Return the frames up to a prompt's end marker."""
        return self.frames_until(lambda frame: frame == ("executing", {"node": None, "prompt_id": prompt_id}))

    def run(self, workflow: dict[str, Any], **options: Any) -> Run:
        """Queue a prompt and follow it to its end."""
        prompt_id = self.submit(workflow, **options)
        return self.follow(prompt_id)

    def follow(self, prompt_id: str) -> Run:
        """Follow a prompt to its end."""
        frames = self.frames_of(prompt_id)
        history = self.get(f"/history/{prompt_id}").json()[prompt_id]
        images = history["outputs"].get("9", {}).get("images")
        return Run(prompt_id, frames, history, self.picture(images[0]) if images else None)

    def picture(self, image: dict[str, str]) -> Image.Image:
        """Fetch a picture."""
        response = self.get("/view", params=image)
        assert 200 == response.status_code
        with Image.open(io.BytesIO(response.content)) as picture:
            picture.load()
            return picture
