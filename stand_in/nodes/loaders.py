"""The nodes that load LoRAs, with facts in place of tensors.

A node object lives as long as its id and class stay in the prompts that run one after the other; a LoRA loader
keeps the last LoRA it loaded, which is why a replaced file is served stale (docs/comfyui.md, "Stale weights").
"""

# ruff: noqa: D102  (the one method of a node does what its class says)

from dataclasses import replace
from pathlib import Path

from stand_in.log import WARNING
from stand_in.nodes.node import Node, Ui, Values
from stand_in.values import Applied, Clip, Lora, Model
from stand_in.weights import not_loaded, read_lora


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

    def apply(
        self, model: Model, clip: Clip | None, name: str, strength_model: float, strength_clip: float = 0.0
    ) -> tuple[Model, Clip | None]:
        """Return model and text encoder with a LoRA on them; at strength 0 its file is not even opened."""
        if strength_model == 0 and strength_clip == 0:
            return model, clip
        lora = self.load(name)
        for key in not_loaded(lora, with_clip=clip is not None):
            self.kit.log.write(f"lora key not loaded: {key}", level=WARNING)
        if strength_model and lora.fits_model:
            model = replace(model, loras=(*model.loras, Applied(lora=lora, strength=strength_model)))
        if clip is not None and strength_clip and lora.fits_clip:
            clip = replace(clip, loras=(*clip.loras, Applied(lora=lora, strength=strength_clip)))
        return model, clip


def _place(path: Path) -> tuple[int, int, int]:
    """Return what identifies a file's place on the disk, whatever it holds."""
    seen = path.stat()
    return seen.st_dev, seen.st_ino, seen.st_size


class LoraLoader(LoraNode):
    """Applies a LoRA to diffusion model and text encoder."""

    def __call__(
        self, *, model: Model, clip: Clip, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[Values, Ui]:
        return self.apply(model, clip, lora_name, strength_model, strength_clip), {}


class LoraLoaderModelOnly(LoraNode):
    """Applies a LoRA to the diffusion model alone."""

    def __call__(self, *, model: Model, lora_name: str, strength_model: float) -> tuple[Values, Ui]:
        return self.apply(model, None, lora_name, strength_model)[:1], {}


class CLIPSetLastLayer(Node):
    """Skips the text encoder's last layers."""

    def __call__(self, *, clip: Clip, stop_at_clip_layer: int) -> tuple[Values, Ui]:
        return (replace(clip, last_layer=stop_at_clip_layer),), {}
