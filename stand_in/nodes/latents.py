"""The nodes that make, resize and repeat latents, each with exactly the size that ComfyUI's has."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from stand_in.nodes.node import Values, plain
from stand_in.values import Latent, Pictures, Vae


def _empty(grid: int) -> Callable[..., Values]:
    """Make blank latents; one covers `grid` pixels each way, so odd sizes shrink."""

    def run(*, width: int, height: int, batch_size: int = 1) -> Values:
        return (Latent(width=width // grid * grid, height=height // grid * grid, batch=batch_size, grid=grid),)

    return run


def _upscale(*, samples: Latent, upscale_method: str, width: int, height: int, crop: str) -> Values:
    if width == 0 and height == 0:
        return (samples,)
    if width == 0:
        width = max(64, round(samples.width * height / samples.height))
    elif height == 0:
        height = max(64, round(samples.height * width / samples.width))
    grid = samples.grid
    size = max(64, width) // grid * grid, max(64, height) // grid * grid
    return _resized(samples, size, f"upscaled {upscale_method} {crop}")


def _upscale_by(*, samples: Latent, upscale_method: str, scale_by: float) -> Values:
    grid = samples.grid
    size = round(samples.width // grid * scale_by) * grid, round(samples.height // grid * scale_by) * grid
    return _resized(samples, size, f"upscaled {upscale_method}")


def _resized(samples: Latent, size: tuple[int, int], note: str) -> Values:
    return (replace(samples, width=size[0], height=size[1], notes=(*samples.notes, note)),)


def _repeat(*, samples: Latent, amount: int) -> Values:
    return (replace(samples, batch=samples.batch * amount),)


def _from_batch(*, samples: Latent, batch_index: int, length: int) -> Values:
    first = min(samples.batch - 1, batch_index)
    count = min(samples.batch - first, length)
    notes = (*samples.notes, f"from {first}") if first else samples.notes
    return (replace(samples, batch=count, notes=notes),)


def _encode(*, pixels: Pictures, vae: Vae, **rest: int) -> Values:
    width, height = pixels.images[0].size
    return (
        Latent(
            width=width // 8 * 8,
            height=height // 8 * 8,
            batch=len(pixels.images),
            sampling=pixels.sampling,
            notes=(repr((pixels, vae, sorted(rest.items()))),),
        ),
    )


LATENTS: Final = {
    "EmptyLatentImage": plain(_empty(8)),
    "EmptySD3LatentImage": plain(_empty(8)),
    "EmptyFlux2LatentImage": plain(_empty(16)),
    "EmptyHunyuanImageLatent": plain(_empty(32)),
    "EmptyChromaRadianceLatentImage": plain(_empty(1)),
    "LatentUpscale": plain(_upscale),
    "LatentUpscaleBy": plain(_upscale_by),
    "RepeatLatentBatch": plain(_repeat),
    "LatentFromBatch": plain(_from_batch),
    "VAEEncode": plain(_encode),
    "VAEEncodeTiled": plain(_encode),
}
