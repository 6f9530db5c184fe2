"""The server that a scenario is played on: a stand-in, or a real ComfyUI; its folder; and what is ours on it."""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.base_model import write_lora
from tests.contract.wire import Run, Wire

LORAS = {
    "a": {"seed": 1, "step": 600},
    "b": {"seed": 2, "step": 920},
    "nomatch": {"seed": 1, "step": 600, "prefix": "nomatch_"},
}
"""LoRA files that scenarios use: two that differ, and one whose keys match no layer."""


LONG = 2000
"""Sampling steps that take far longer than a scenario."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server, and where its folder is."""

    name: str
    url: str
    folder: Path
    base: str
    """The base model, as the picker lists it."""
    made: Path
    """Where the LoRA files of `LORAS` lie ready."""
    patience: float
    """Seconds to wait for an answer or a frame."""
    listened_to: Callable[[], AbstractContextManager[None]] = nullcontext
    """Keeps prompts of more than a few steps from ending before a client listens; a real server is slow by itself."""

    @contextmanager
    def corner(self) -> Iterator["Subject"]:
        """Return a scenario its own corner of the server, and clean it up afterwards."""
        subject = Subject(self)
        try:
            yield subject
        finally:
            subject.clean()


@dataclass
class Subject:
    """A server, and a scenario's own corner of it: everything in it is gone when the scenario is over."""

    server: Server
    corner: str = field(default_factory=lambda: f"contract-{uuid.uuid4().hex[:8]}")
    """Folder of the scenario's own LoRAs, outputs and uploads."""
    wires: list[Wire] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The base model, as the picker lists it."""
        return self.server.base

    @property
    def folder(self) -> Path:
        """The server's own folder."""
        return self.server.folder

    @property
    def loras(self) -> Path:
        """Where the scenario's own LoRAs are."""
        return self.folder / "models" / "loras" / self.corner

    @property
    def output(self) -> Path:
        """Where the scenario's pictures go."""
        return self.folder / "output" / self.corner

    def connect(self, client_id: str | None = None) -> Wire:
        """Return a client that listens; its first frame was read."""
        wire = self.wire(client_id)
        wire.listen()
        return wire

    def wire(self, client_id: str | None = None) -> Wire:
        """Return a client that does not listen yet."""
        wire = Wire(self.server.url, patience=self.server.patience, client_id=client_id)
        self.wires.append(wire)
        return wire

    def lora(self, name: str = "a", kind: str | None = None) -> str:
        """Put one of `LORAS` (its name, unless `kind` says which) in the corner; give its name in the picker."""
        self.loras.mkdir(parents=True, exist_ok=True)
        half = self.loras / f".{name}.tmp"
        shutil.copyfile(self.server.made / f"{kind or name}.safetensors", half)
        # A rename, as the suite stages: never half a file, and the folder's mtime changes.
        half.replace(self.loras / f"{name}.safetensors")
        return self.listed(name)

    def listed(self, name: str) -> str:
        """Return the name under which the picker lists a LoRA of the corner."""
        return f"{self.corner}{os.sep}{name}.safetensors"

    def prefix(self, stem: str) -> str:
        """Return a file name prefix in the corner."""
        return f"{self.corner}/{stem}"

    def image(self, stem: str, number: int = 1) -> dict[str, str]:
        """Describe a picture in the corner as the server does."""
        return {"filename": f"{stem}_{number:05}_.png", "subfolder": self.corner, "type": "output"}

    def graph(self, lora: str | None = None, *, stem: str = "p", size: int = 64, **sampler: Any) -> dict[str, Any]:
        """Return the recorded workflow with a LoRA, or the baseline without. Other words are the sampler's inputs."""
        source = "10" if lora else "4"
        workflow: dict[str, Any] = {
            "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": self.base}},
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
            "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": self.prefix(stem)}},
        }
        if lora is None:
            del workflow["10"]
        return workflow

    def plain(self, color: int = 0, *, stem: str = "plain", size: int = 16) -> dict[str, Any]:
        """Return a workflow without any model: a picture of one colour."""
        return {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": size, "height": size, "batch_size": 1, "color": color},
            },
            "2": {
                "class_type": "SaveImage",
                "inputs": {"images": ["1", 0], "filename_prefix": self.prefix(stem)},
            },
        }

    def forget(self) -> None:
        """Make the server forget its caches: they keep only what the last prompt used."""
        self._aside(self.plain(int(uuid.uuid4().hex[:6], 16), stem="forget"))

    def rest(self) -> None:
        """Make the server forget everything but the base model, which takes long to load; it is node 4."""
        graph = self.graph(stem="rest", size=16)
        self._aside(
            {
                "4": graph["4"],
                "25": graph["5"],
                "28": {"class_type": "VAEDecode", "inputs": {"samples": ["25", 0], "vae": ["4", 2]}},
                "29": {
                    "class_type": "SaveImage",
                    "inputs": {"images": ["28", 0], "filename_prefix": self.prefix("rest")},
                },
            }
        )

    def _aside(self, graph: dict[str, Any]) -> None:
        """Run a prompt that no client hears of but for the queue's length."""
        wire = self.wire()
        wire.wait(wire.submit(graph, client_id=None))

    def busy(self, wire: Wire, seed: int | None = None) -> str:
        """Queue a prompt that takes far longer than a scenario, wait until it samples, and give its id."""
        seed = uuid.uuid4().int % 2**32 if seed is None else seed
        prompt_id = wire.submit(self.graph(stem="busy", steps=LONG, seed=seed))
        wire.frames_until(lambda kind, data: kind == "progress" and data["prompt_id"] == prompt_id)
        return prompt_id

    def stop(self, wire: Wire, prompt_id: str) -> Run:
        """Interrupt a prompt of ours, and follow it to its end."""
        assert 200 == wire.post("/interrupt", {"prompt_id": prompt_id}).status
        return wire.follow(prompt_id)

    def clean(self) -> None:
        """Take everything of ours from the server: prompts, history, files, connections."""
        posted = [prompt_id for wire in self.wires for prompt_id in wire.posted]
        for wire in self.wires:
            wire.close()
        with Wire(self.server.url, patience=self.server.patience) as wire:
            if posted:
                wire.post("/queue", {"delete": posted})
                deadline = time.monotonic() + self.server.patience
                while (running := set(wire.running()) & set(posted)) and time.monotonic() < deadline:
                    for prompt_id in running:
                        wire.post("/interrupt", {"prompt_id": prompt_id})
                    time.sleep(0.02)
                wire.post("/history", {"delete": posted})
        for place in ("models/loras", "output", "input"):
            shutil.rmtree(self.folder / place / self.corner, ignore_errors=True)


def make_loras(folder: Path) -> Path:
    """Write the LoRA files that scenarios copy from."""
    for name, options in LORAS.items():
        write_lora(folder / f"{name}.safetensors", **options)  # type: ignore[arg-type]
    return folder
