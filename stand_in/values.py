"""What flows along the links of a workflow: no tensors, only the facts that a picture is drawn from.

Every value is frozen and made of plain facts, so the same graph always gives the same picture. What a node did that no
other field tells is in `notes`.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

from PIL import Image

UNKNOWN_TRAINING = 0.65
"""Training fraction that is assumed for a LoRA whose header does not name its steps."""


def digest_of(value: object) -> str:
    """Return a short text that differs where the value does."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


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
    keys: tuple[str, ...] = field(default=(), repr=False)
    """Its tensors' names."""


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
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A text encoder. `last_layer` is None until CLIPSetLastLayer names one; -2 is "clip skip 2"."""

    base: str
    loras: tuple[Applied, ...] = ()
    last_layer: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Vae:
    """A decoder from latents to pixels."""

    base: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """A prompt text as one text encoder understood it."""

    text: str
    clip: Clip
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Other:
    """A value that the drawing only tells from others: a control net, a mask, a style model."""

    kind: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise to start from; none where `seed` is None."""

    seed: int | None


@dataclass(frozen=True, kw_only=True)
class Guider:
    """A model with what it is guided by."""

    model: Model
    positive: Conditioning
    negative: Conditioning | None = None
    cfg: float = 1.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sigmas:
    """A schedule of sampling steps; `denoise` below 1 begins with what is there."""

    steps: int
    denoise: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """One run of a sampler, with everything that went into it."""

    model: Model
    positive: Conditioning
    negative: Conditioning | None
    start: "Latent"
    seed: int | None
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Latent:
    """Latent pictures, `width` x `height` pixels once decoded; not sampled yet while `sampling` is None."""

    width: int
    height: int
    batch: int
    grid: int = 8
    """Pixels that one latent covers, each way."""
    sampling: Sampling | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Decoded pictures of one batch, all of one size."""

    images: tuple[Image.Image, ...]
    sampling: Sampling | None = None
    """What they were decoded from, so that a second pass over them draws the same scene."""

    @cached_property
    def _digest(self) -> str:
        return digest_of([(image.size, image.tobytes()) for image in self.images])

    def __repr__(self) -> str:
        return f"Pictures({self._digest})"

    def __str__(self) -> str:
        width, height = self.images[0].size
        return f"<{len(self.images)} pictures of {width}x{height}>"
