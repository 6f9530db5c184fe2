"""What each kind of node does, with facts in place of tensors.

A node object lives as long as its id and class stay in the prompts that run one after the other; LoraLoader
keeps the last LoRA it loaded, which is why a replaced file is served stale (COMFYUI fact 1).
"""

import io
import json
import random
import string
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plugins.demo.drawing import draw
from plugins.demo.faults import Faults
from plugins.demo.folders import Folders
from plugins.demo.values import Applied, Clip, Conditioning, Latent, Lora, Model, Pictures, Sampling, Vae
from plugins.demo.weights import read_base, read_lora

SIMULATED_CHUNK: Final = "simulated"
"""PNG text chunk by which a picture of the stand-in can be told from a real one."""
Values = tuple[Any, ...]
"""A node's outputs, one per slot."""
Ui = dict[str, Any]
"""What an output node shows: `{"images": [...]}`."""


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What nodes work with. `step(done, of)` tells a sampling step, and raises when it must stop."""

    folders: Folders
    faults: Faults
    seconds_per_image: float
    sleep: Callable[[float], None]
    step: Callable[[int, int], None]


class Node(ABC):
    """One node of a workflow; `run` takes the inputs by name."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit

    @abstractmethod
    def run(self, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401 (each node has inputs of its own)
        """Give the outputs, and what to show."""

    def _file(self, kind: str, name: str) -> Path:
        path = self.kit.folders.find(kind, name)
        if path is None:
            raise FileNotFoundError(f"Model in folder '{kind}' with filename '{name}' not found.")
        return path


class CheckpointLoaderSimple(Node):
    """Loads a base model."""

    def run(self, *, ckpt_name: str) -> tuple[Values, Ui]:
        base = read_base(self._file("checkpoints", ckpt_name))
        return (Model(base=base), Clip(base=base), Vae(base=base)), {}


class VAELoader(Node):
    """Loads a decoder of its own."""

    def run(self, *, vae_name: str) -> tuple[Values, Ui]:
        return (Vae(base=vae_name if vae_name == "pixel_space" else read_base(self._file("vae", vae_name))),), {}


class LoraLoader(Node):
    """Applies a LoRA, which it keeps until another path is asked for."""

    _loaded: tuple[Path, Lora] | None = None

    def run(
        self, *, model: Model, clip: Clip, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[Values, Ui]:
        if strength_model == 0 and strength_clip == 0:
            return (model, clip), {}
        lora = self.load(lora_name)
        if strength_model and lora.fits_model:
            model = replace(model, loras=(*model.loras, Applied(lora=lora, strength=strength_model)))
        if strength_clip and lora.fits_clip:
            clip = replace(clip, loras=(*clip.loras, Applied(lora=lora, strength=strength_clip)))
        return (model, clip), {}

    def load(self, name: str) -> Lora:
        """Give the LoRA from memory if it was the last one loaded, by path; else from its file."""
        path = self._file("loras", name)
        if self._loaded is None or self._loaded[0] != path:
            self._loaded = None
            self._loaded = (path, read_lora(self.kit.faults.lora_of(path)))
        return self._loaded[1]


class LoraLoaderModelOnly(LoraLoader):
    """Applies a LoRA to the diffusion model alone."""

    def run(self, *, model: Model, lora_name: str, strength_model: float) -> tuple[Values, Ui]:  # type: ignore[override]
        nothing = Clip(base="")
        (changed, _), ui = super().run(
            model=model, clip=nothing, lora_name=lora_name, strength_model=strength_model, strength_clip=0.0
        )
        return (changed,), ui


class CLIPSetLastLayer(Node):
    """Skips the text encoder's last layers."""

    def run(self, *, clip: Clip, stop_at_clip_layer: int) -> tuple[Values, Ui]:
        return (replace(clip, last_layer=stop_at_clip_layer),), {}


class CLIPTextEncode(Node):
    """Reads a prompt text."""

    def run(self, *, text: str, clip: Clip) -> tuple[Values, Ui]:
        return (Conditioning(text=text, clip=clip),), {}


class EmptyLatentImage(Node):
    """Gives blank latents; a latent covers 8 x 8 pixels, so odd sizes shrink."""

    def run(self, *, width: int, height: int, batch_size: int = 1) -> tuple[Values, Ui]:
        return (Latent(width=width // 8 * 8, height=height // 8 * 8, batch=batch_size),), {}


class KSampler(Node):
    """Samples: takes its time, step by step, and notes what the picture will be drawn from."""

    def run(  # noqa: PLR0913 (the node has ten inputs)
        self,
        *,
        model: Model,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        denoise: float = 1.0,
    ) -> tuple[Values, Ui]:
        start = time.monotonic()
        for step in range(1, steps + 1):
            due = start + self.kit.seconds_per_image * step / steps
            self.kit.sleep(max(0.0, due - time.monotonic()))
            self.kit.step(step, steps)
        sampling = Sampling(
            model=model,
            positive=positive,
            negative=negative,
            start=latent_image,
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler=sampler_name,
            scheduler=scheduler,
            denoise=denoise,
        )
        return (replace(latent_image, sampling=sampling),), {}


class VAEDecode(Node):
    """Draws the pictures."""

    def run(self, *, samples: Latent, vae: Vae) -> tuple[Values, Ui]:
        images = tuple(draw(samples, vae, index) for index in range(samples.batch))
        return (Pictures(images=images),), {}


class EmptyImage(Node):
    """Gives pictures of one colour, without any model."""

    def run(self, *, width: int, height: int, batch_size: int = 1, color: int = 0) -> tuple[Values, Ui]:
        rgb = (color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF)
        return (Pictures(images=tuple(Image.new("RGB", (width, height), rgb) for _ in range(batch_size))),), {}


class SaveImage(Node):
    """Writes pictures as PNG files, with the workflow in them."""

    kind: ClassVar[str] = "output"
    compress_level: ClassVar[int] = 4

    def run(
        self,
        *,
        images: Pictures,
        filename_prefix: str = "ComfyUI",
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> tuple[Values, Ui]:
        place = self.kit.folders.place(filename_prefix, self.kind, images.images[0].size)
        chunks = PngInfo()
        if prompt is not None:
            chunks.add_text("prompt", json.dumps(prompt))
        for key, value in (extra_pnginfo or {}).items():
            chunks.add_text(key, json.dumps(value))
        chunks.add_text(SIMULATED_CHUNK, "drawn by an embedded stand-in, not by a diffusion model")
        shown = []
        for index, image in enumerate(images.images):
            stem = place.stem.replace("%batch_num%", str(index))
            name = f"{stem}_{place.counter + index:05}_.png"
            png = io.BytesIO()
            image.save(png, format="png", pnginfo=chunks, compress_level=self.compress_level)
            (place.folder / name).write_bytes(self.kit.faults.saved(png.getvalue()))
            shown.append({"filename": name, "subfolder": place.subfolder, "type": self.kind})
        return (), {"images": shown}


class PreviewImage(SaveImage):
    """Writes pictures into the temp folder, under a name of this node's own."""

    kind: ClassVar[str] = "temp"
    compress_level: ClassVar[int] = 1

    def __init__(self, kit: Kit) -> None:
        super().__init__(kit)
        letters = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311 (no secret)
        self._prefix = f"ComfyUI_temp_{letters}"

    def run(
        self,
        *,
        images: Pictures,
        filename_prefix: str = "",
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> tuple[Values, Ui]:
        return super().run(
            images=images,
            filename_prefix=filename_prefix or self._prefix,
            prompt=prompt,
            extra_pnginfo=extra_pnginfo,
        )


NODES: Final[dict[str, type[Node]]] = {
    node.__name__: node
    for node in (
        CheckpointLoaderSimple,
        VAELoader,
        LoraLoader,
        LoraLoaderModelOnly,
        CLIPSetLastLayer,
        CLIPTextEncode,
        EmptyLatentImage,
        KSampler,
        VAEDecode,
        EmptyImage,
        SaveImage,
        PreviewImage,
    )
}
