"""What each kind of node does, with facts in place of tensors.

A node object lives as long as its id and class stay in the prompts that run one after the other; LoraLoader
keeps the last LoRA it loaded, which is why a replaced file is served stale (docs/comfyui.md, "Stale weights").
"""

# ruff: noqa: D102  (the one method of a node does what its class says)

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image

from stand_in.drawing import draw
from stand_in.node import Node, Ui, Values
from stand_in.saving import PreviewImage, SaveImage
from stand_in.values import Applied, Clip, Conditioning, Latent, Lora, Model, Pictures, Sampling, Vae
from stand_in.weights import read_base, read_lora


class CheckpointLoaderSimple(Node):
    """Loads a base model."""

    def __call__(self, *, ckpt_name: str) -> tuple[Values, Ui]:
        base = read_base(self.file("checkpoints", ckpt_name))
        return (Model(base=base), Clip(base=base), Vae(base=base)), {}


class VAELoader(Node):
    """Loads a decoder of its own."""

    def __call__(self, *, vae_name: str) -> tuple[Values, Ui]:
        return (Vae(base=vae_name if vae_name == "pixel_space" else read_base(self.file("vae", vae_name))),), {}


class LoraNode(Node):
    """Keeps the LoRA that it loaded last until another path is asked for."""

    _path: Path | None = None
    _place: tuple[int, int, int] | None = None
    _lora: Lora | None = None

    def load(self, name: str) -> Lora:
        """Return the LoRA from memory if it was the last one loaded, by path; else from its file.

        ComfyUI maps files into memory. So a file renamed over the old one is not seen, but one that was written
        into is, as soon as the node runs again.
        """
        path = self.file("loras", name)
        found = self.kit.faults.lora_of(path)
        if self._lora is None or self._path != path or self._place == _place(found):
            self._path, self._place, self._lora = path, None, None
            self._lora = read_lora(found)
            self._place = _place(found)
        return self._lora


def _place(path: Path) -> tuple[int, int, int]:
    """Return what identifies a file's place on the disk, whatever it holds."""
    seen = path.stat()
    return seen.st_dev, seen.st_ino, seen.st_size


class LoraLoader(LoraNode):
    """Applies a LoRA; at strength 0 its file is not even opened."""

    def __call__(
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


class LoraLoaderModelOnly(LoraNode):
    """Applies a LoRA to the diffusion model alone."""

    def __call__(self, *, model: Model, lora_name: str, strength_model: float) -> tuple[Values, Ui]:
        if strength_model == 0:
            return (model,), {}
        lora = self.load(lora_name)
        if not lora.fits_model:
            return (model,), {}
        return (replace(model, loras=(*model.loras, Applied(lora=lora, strength=strength_model))),), {}


class CLIPSetLastLayer(Node):
    """Skips the text encoder's last layers."""

    def __call__(self, *, clip: Clip, stop_at_clip_layer: int) -> tuple[Values, Ui]:
        return (replace(clip, last_layer=stop_at_clip_layer),), {}


class CLIPTextEncode(Node):
    """Reads a prompt text."""

    def __call__(self, *, text: str, clip: Clip) -> tuple[Values, Ui]:
        return (Conditioning(text=text, clip=clip),), {}


class EmptyLatentImage(Node):
    """Gives blank latents; a latent covers 8 x 8 pixels, so odd sizes shrink."""

    def __call__(self, *, width: int, height: int, batch_size: int = 1) -> tuple[Values, Ui]:
        return (Latent(width=width // 8 * 8, height=height // 8 * 8, batch=batch_size),), {}


class KSampler(Node):
    """Samples: takes its time, step by step, and notes what the picture will be drawn from."""

    def __call__(  # noqa: PLR0913 (the node has ten inputs)
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

    def __call__(self, *, samples: Latent, vae: Vae) -> tuple[Values, Ui]:
        images = tuple(draw(samples, vae, index) for index in range(samples.batch))
        return (Pictures(images=images),), {}


class EmptyImage(Node):
    """Gives pictures of one colour, without any model."""

    def __call__(self, *, width: int, height: int, batch_size: int = 1, color: int = 0) -> tuple[Values, Ui]:
        rgb = (color >> 16 & 0xFF, color >> 8 & 0xFF, color & 0xFF)
        return (Pictures(images=tuple(Image.new("RGB", (width, height), rgb) for _ in range(batch_size))),), {}


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
