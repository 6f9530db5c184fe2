"""What flows along the links of a workflow: no tensors, only the facts that a picture is drawn from.

Every value is frozen and made of plain facts, so the same graph always gives the same picture.
"""

from dataclasses import dataclass

from PIL import Image

UNKNOWN_TRAINING = 0.65
"""Training fraction that is assumed for a LoRA whose header does not name its steps."""


@dataclass(frozen=True, kw_only=True)
class Lora:
    """What a LoRA file holds, as far as the drawing cares."""

    trigger: str
    """`ss_output_name` of its header; empty where it has none."""
    fraction: float
    """How far the training had come, 0 to 1: `ss_steps` of `ss_max_train_steps`."""
    digest: str
    """Differs as soon as one byte of the file differs."""
    fits_model: bool
    """Whether any of its keys names a layer of the diffusion model (docs/comfyui.md, "A LoRA that fits nothing")."""
    fits_clip: bool


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A LoRA with the strength it was applied with."""

    lora: Lora
    strength: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """A diffusion model, with the LoRAs that were applied to it, in order."""

    base: str
    loras: tuple[Applied, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A text encoder. `last_layer` is None until CLIPSetLastLayer names one; -2 is "clip skip 2"."""

    base: str
    loras: tuple[Applied, ...] = ()
    last_layer: int | None = None


@dataclass(frozen=True, kw_only=True)
class Vae:
    """A decoder from latents to pixels."""

    base: str


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """A prompt text as one text encoder understood it."""

    text: str
    clip: Clip


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """One run of KSampler, with everything that went into it."""

    model: Model
    positive: Conditioning
    negative: Conditioning
    start: "Latent"
    seed: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float


@dataclass(frozen=True, kw_only=True)
class Latent:
    """Latent pictures, `width` x `height` pixels once decoded; not sampled yet while `sampling` is None."""

    width: int
    height: int
    batch: int
    sampling: Sampling | None = None


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Decoded pictures of one batch, all of one size."""

    images: tuple[Image.Image, ...]

    def __str__(self) -> str:
        width, height = self.images[0].size
        return f"<{len(self.images)} pictures of {width}x{height}>"
