"""The nodes that sample, and those that make what they sample with."""

# ruff: noqa: D102  (the one method of a node does what its class says)

import time
from dataclasses import replace
from typing import Any, Final

from stand_in.nodes.node import Node, Ui, Values, plain
from stand_in.values import Conditioning, Guider, Latent, Model, Noise, Other, Sampling, Sigmas


class Sampler(Node):
    """Takes its time, step by step, and notes what the picture will be drawn from."""

    def sample(self, sampling: Sampling) -> Latent:
        """Return the latent that was sampled."""
        start = time.monotonic()
        for step in range(1, sampling.steps + 1):
            due = start + self.kit.seconds_per_image * step / sampling.steps
            self.kit.sleep(max(0.0, due - time.monotonic()))
            self.kit.step(step, sampling.steps)
        return replace(sampling.start, sampling=sampling)


class KSampler(Sampler):
    """Samples with settings of its own."""

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
        return (self.sample(sampling),), {}


class KSamplerAdvanced(Sampler):
    """Samples a part of the steps."""

    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401
        del args
        steps, first = inputs["steps"], inputs["start_at_step"]
        last = min(inputs["end_at_step"], steps)
        sampling = Sampling(
            model=inputs["model"],
            positive=inputs["positive"],
            negative=inputs["negative"],
            start=inputs["latent_image"],
            seed=inputs["noise_seed"] if inputs["add_noise"] == "enable" else None,
            steps=max(0, last - first),
            cfg=inputs["cfg"],
            sampler=inputs["sampler_name"],
            scheduler=inputs["scheduler"],
            denoise=1 - min(first, steps) / steps,
            notes=(f"{first} to {last} of {steps}, {inputs['return_with_leftover_noise']}",),
        )
        return (self.sample(sampling),), {}


class SamplerCustom(Sampler):
    """Samples with a schedule and a method of other nodes."""

    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401
        del args
        guider = Guider(
            model=inputs["model"], positive=inputs["positive"], negative=inputs["negative"], cfg=inputs["cfg"]
        )
        noise = Noise(seed=inputs["noise_seed"] if inputs["add_noise"] else None)
        return self._guided(noise, guider, inputs["sampler"], inputs["sigmas"], inputs["latent_image"]), {}

    def _guided(self, noise: Noise, guider: Guider, sampler: Other, sigmas: Sigmas, start: Latent) -> Values:
        latent = self.sample(
            Sampling(
                model=guider.model,
                positive=guider.positive,
                negative=guider.negative,
                start=start,
                seed=noise.seed,
                steps=sigmas.steps,
                cfg=guider.cfg,
                sampler=repr(sampler.notes),
                scheduler=repr(sigmas.notes),
                denoise=sigmas.denoise,
                notes=guider.notes,
            )
        )
        return latent, latent


class SamplerCustomAdvanced(SamplerCustom):
    """Samples with noise, guider, schedule and method of other nodes."""

    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401
        del args
        names = ("noise", "guider", "sampler", "sigmas", "latent_image")
        return self._guided(*(inputs[name] for name in names)), {}


class Scheduler(Node):
    """Makes a schedule of so many steps."""

    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401
        del args
        return (Sigmas(steps=inputs["steps"], denoise=inputs.get("denoise", 1.0), notes=(self.note(inputs),)),), {}


def _split(*, sigmas: Sigmas, step: int) -> Values:
    high = replace(sigmas, steps=min(step, sigmas.steps), notes=(*sigmas.notes, f"up to {step}"))
    rest = max(0, sigmas.steps - step)
    share = rest / sigmas.steps if sigmas.steps else 0.0
    return high, Sigmas(steps=rest, denoise=share * sigmas.denoise, notes=(*sigmas.notes, f"from {step}"))


def _split_by_share(*, sigmas: Sigmas, denoise: float) -> Values:
    return _split(sigmas=sigmas, step=sigmas.steps - round(sigmas.steps * denoise))


def _basic_guider(*, model: Model, conditioning: Conditioning) -> Values:
    return (Guider(model=model, positive=conditioning),)


def _cfg_guider(*, model: Model, positive: Conditioning, negative: Conditioning, cfg: float) -> Values:
    return (Guider(model=model, positive=positive, negative=negative, cfg=cfg),)


def _dual_guider(*, model: Model, cond1: Conditioning, negative: Conditioning, cfg_conds: float, **rest: Any) -> Values:  # noqa: ANN401
    notes = (repr(sorted(rest.items(), key=lambda item: item[0])),)
    return (Guider(model=model, positive=cond1, negative=negative, cfg=cfg_conds, notes=notes),)


SAMPLING: Final[dict[str, type[Node]]] = {
    **{node.__name__: node for node in (KSampler, KSamplerAdvanced, SamplerCustom, SamplerCustomAdvanced)},
    **dict.fromkeys(
        (
            *("BasicScheduler", "Flux2Scheduler", "KarrasScheduler", "ExponentialScheduler", "SDTurboScheduler"),
            *("AlignYourStepsScheduler", "BetaSamplingScheduler", "OptimalStepsScheduler", "GITSScheduler"),
        ),
        Scheduler,
    ),
    "SplitSigmas": plain(_split),
    "SplitSigmasDenoise": plain(_split_by_share),
    "BasicGuider": plain(_basic_guider),
    "CFGGuider": plain(_cfg_guider),
    "DualCFGGuider": plain(_dual_guider),
    "RandomNoise": plain(lambda *, noise_seed: (Noise(seed=noise_seed),)),
    "DisableNoise": plain(lambda: (Noise(seed=None),)),
}
