"""What a server offers in its drop-downs, held against what a plan asks for and which files were staged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.deadline import Retry
from plugins.comfyui.errors import NotListed
from plugins.comfyui.names import check_offered, find_base_model, find_lora
from plugins.loras.header import header_size
from plugins.loras.staging import Staged
from plugins.plan.plan import Plan

Found = TypeVar("Found")

_LARGEST_READ: Final = 1 << 20
"""Bytes; of a longer header ComfyUI's /view_metadata says that there is none."""


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


def one_base_model(plan: Plan, choices: Sequence[ServerChoices]) -> str:
    """Return the plan's base model by the one name that all servers list it by. Raises `NotListed`."""
    found = sorted({one.base_model(plan) for one in choices})
    if len(found) > 1:
        raise NotListed(
            f"The servers list the base model by different names: {', '.join(found)}. "
            "Put it into the same subfolder of models/checkpoints everywhere, so that one workflow fits all."
        )
    return found[0]


def picker_names(plan: Plan, client: ComfyUI, staged: Sequence[Staged]) -> tuple[str, ...]:
    """Return the server's LoRA list once every staged file is in it.

    Raises `NotListed` where one does not appear, or where the server reads another file under its name: then its
    pictures would be made from other bytes than those staged.
    """

    def look() -> tuple[str, ...]:
        listed = client.loras()
        for one in staged:
            name = plan.picker_name(one.file.name)
            _find(client, name, listed, file=one.file, metadata=one.header.metadata)
        return listed

    return _once_listed(client, look)


def picker_name(client: ComfyUI, name: str, *, file: Path, metadata: Mapping[str, str]) -> str:
    """Return a LoRA as the server spells it, once it is in the picker; `name` is seen from the server's models/loras.

    Raises `NotListed` as `picker_names` does.
    """
    return _once_listed(client, lambda: _find(client, name, client.loras(), file=file, metadata=metadata))


def _once_listed(client: ComfyUI, look: Callable[[], Found]) -> Found:
    """Look until nothing is missing any more; a picker may notice a new file late."""
    timing = client.timing
    attempts = Retry(timing.listed, pause=timing.pause, longest=timing.pause)
    while True:
        try:
            return look()
        except NotListed:
            if not attempts.wait():
                raise


def _find(client: ComfyUI, name: str, listed: Sequence[str], *, file: Path, metadata: Mapping[str, str]) -> str:
    found = find_lora(name, listed, server=client.url, folder=file.parent)
    read = client.lora_metadata(found)
    if read == {} and header_size(file) > _LARGEST_READ:
        return found
    if read is not None and dict(read) != dict(metadata):
        raise NotListed(
            f"{client.url} has another file under the name {found} than {file}: its header says "
            f"{_step(read)}, the staged file's {_step(metadata)}. It reads another folder: name "
            "its ComfyUI folder with --comfyui-dir, or correct `comfyui` and `loras` under [paths] in the plan."
        )
    return found


def _step(metadata: Mapping[str, str]) -> str:
    step = metadata.get("ss_steps")
    return f"step {step}" if step else "other things"
