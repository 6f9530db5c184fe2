"""What a server has to offer, held against what a plan asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import NotListed
from plugins.comfyui.names import check_offered, find_base_model
from plugins.plan.plan import Plan


@dataclass(frozen=True, kw_only=True)
class ServerChoices:
    """The entries of a server's drop-downs, as it spells them."""

    url: str
    base_models: tuple[str, ...]
    samplers: tuple[str, ...]
    schedulers: tuple[str, ...]

    def base_model(self, plan: Plan) -> str:
        """Return the plan's base model as the server lists it.

        Raises `NotListed` where the server lacks it, or does not offer the plan's sampler or scheduler.
        """
        found = find_base_model(plan.sampling.base_model, self.base_models, server=self.url)
        for key, offered in (("sampler", self.samplers), ("scheduler", self.schedulers)):
            check_offered(getattr(plan.sampling, key), offered, key=key, server=self.url)
        return found


def choices_of(client: ComfyUI) -> ServerChoices:
    """Ask a server what it offers. Raises `Unreachable` or `BadAnswer`."""
    return ServerChoices(
        url=client.url,
        base_models=client.options("CheckpointLoaderSimple", "ckpt_name"),
        samplers=client.options("KSampler", "sampler_name"),
        schedulers=client.options("KSampler", "scheduler"),
    )


def one_base_model(plan: Plan, offers: Sequence[ServerChoices]) -> str:
    """Return the plan's base model by the one name that all servers list it by. Raises `NotListed`."""
    found = sorted({offer.base_model(plan) for offer in offers})
    if len(found) > 1:
        raise NotListed(
            f"The servers list the base model by different names: {', '.join(found)}. "
            "Put it into the same subfolder of models/checkpoints everywhere, so that one workflow fits all."
        )
    return found[0]
