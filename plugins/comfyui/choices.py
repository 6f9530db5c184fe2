"""What a server offers in its drop-downs, held against what a plan asks for and which files were staged."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from plugins.comfyui.answers import ModelFile
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.deadline import Retry
from plugins.comfyui.errors import BadAnswer, ComfyUIError, NotListed
from plugins.comfyui.names import check_offered, find_always_on, find_base_model, find_lora, is_called, is_listed
from plugins.comfyui.timing import Timing
from plugins.loras.header import header_size
from plugins.loras.staging import Staged
from plugins.plan.plan import Plan

Found = TypeVar("Found")

MODEL_FOLDERS: Final = ("checkpoints", "diffusion_models", "text_encoders", "vae", "loras", "controlnet")
"""Folders of files that decide pixels, as ComfyUI calls them; the built-in workflow needs the first alone."""
_BRIEFLY: Final = Timing(connect=2.0, answer=5.0, pause=0.05)
"""For a look at a server that need not be there."""
_TICK: Final = 2.0
"""Seconds: file systems keep times no more exactly than this."""
_LARGEST_READ: Final = 1 << 20
"""Bytes; of a longer header ComfyUI's /view_metadata says that there is none."""


@dataclass(frozen=True, kw_only=True)
class ServerChoices:
    """The entries of a server's drop-downs, as it spells them."""

    url: str
    base_models: tuple[str, ...]
    samplers: tuple[str, ...]
    schedulers: tuple[str, ...]
    diffusion_models: tuple[str, ...] = ()
    """What the server loads a model alone from, without its text encoder and VAE."""
    embeddings: tuple[str, ...] | None = None
    """What `embedding:NAME` in a prompt may name, without file endings; None where the server does not say."""
    nodes: Mapping[str, Any] = field(default_factory=dict)
    """What the server says of the classes of an own workflow, by class."""
    files: Mapping[str, ModelFile] = field(default_factory=dict)
    """The model files that a workflow may name, by their folder and name; none where the server does not say."""

    def base_model(self, plan: Plan) -> str:
        """Return the plan's base model as the server lists it.

        Raises `NotListed` where the server lacks it, or does not offer the plan's sampler or scheduler.
        """
        try:
            found = find_base_model(plan.sampling.base_model, self.base_models, server=self.url)
        except NotListed:
            self._refuse_diffusion_model(plan.sampling.base_model)
            raise
        for key, offered in (("sampler", self.samplers), ("scheduler", self.schedulers)):
            check_offered(getattr(plan.sampling, key), offered, key=key, server=self.url)
        return found

    def _refuse_diffusion_model(self, wanted: str) -> None:
        """Raise `NotListed` with the way to go on, where the built-in workflow cannot load that kind of base model."""
        found = next((name for name in self.diffusion_models if is_called(wanted, name)), None)
        if found:
            raise NotListed(
                f"The base model {wanted!r} is in models/diffusion_models of {self.url} ({found}): a model without its "
                "text encoder and VAE, such as Flux, Qwen-Image or Z-Image. The built-in workflow cannot load it. In "
                "ComfyUI, open the template of that model (Workflow > Browse Templates), choose Workflow > Export "
                "(API), and name that file as `workflow` under [comfyui] in the plan."
            )


def choices_of(client: ComfyUI, *, classes: Sequence[str] = ()) -> ServerChoices:
    """Ask a server what it offers, and what it says of some node classes. Raises `Unreachable` or `BadAnswer`."""
    try:
        diffusion_models = client.options("UNETLoader", "unet_name")
    except BadAnswer:  # of a kind that has none
        diffusion_models = ()
    return ServerChoices(
        url=client.url,
        base_models=client.options("CheckpointLoaderSimple", "ckpt_name"),
        samplers=client.options("KSampler", "sampler_name"),
        schedulers=client.options("KSampler", "scheduler"),
        diffusion_models=diffusion_models,
        embeddings=client.embeddings(),
        nodes=client.node_classes(classes) if classes else {},
        files=model_files(client, MODEL_FOLDERS if classes else MODEL_FOLDERS[:1]),
    )


def model_files(client: ComfyUI, folders: Sequence[str]) -> dict[str, ModelFile]:
    """Return the files of some model folders by folder and name; of two of one name, the one that the server reads."""
    found: dict[str, ModelFile] = {}
    for folder in folders:
        for file in sorted(client.model_files(folder), key=lambda one: one.folder, reverse=True):
            found[f"{folder}/{file.name}".replace("\\", "/")] = file
    return found


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
        listing = _listing(client)
        for one in staged:
            name = plan.picker_name(plan.staged_file(one.checkpoint))
            _find(client, name, listing, file=one.file, metadata=one.header.metadata)
        return listing.names

    return _once_listed(client, look, folder=plan.paths.loras)


def always_on_names(plan: Plan, listed: Sequence[str], *, server: str) -> dict[str, str]:
    """Return the LoRAs that are always on, by their files, as a server's picker spells them. Raises `NotListed`."""
    return {
        one.file: find_always_on(plan.picker_name(one.file), listed, server=server, folder=plan.paths.loras)
        for one in plan.loras
    }


def picker_name(client: ComfyUI, name: str, *, file: Path, metadata: Mapping[str, str]) -> str:
    """Return a LoRA as the server spells it, once it is in the picker; `name` is seen from the server's models/loras.

    Raises `NotListed` as `picker_names` does.
    """
    return _once_listed(
        client,
        lambda: _find(client, name, _listing(client), file=file, metadata=metadata),
        folder=file.parent,
    )


def _once_listed(client: ComfyUI, look: Callable[[], Found], *, folder: Path) -> Found:
    """Look until nothing is missing any more; a picker may notice a new file late.

    A server lists a folder anew once its time changes. A file that came within the clock's tick of the last listing
    leaves the same time behind and would never be seen, so the folder's time is set to now before each further look.
    """
    timing = client.timing
    attempts = Retry(timing.listed, pause=timing.pause, longest=timing.pause)
    while True:
        try:
            return look()
        except NotListed:
            if not attempts.wait():
                raise
            with contextlib.suppress(OSError):  # somebody else's folder: then waiting is all there is
                os.utime(folder)


@dataclass(frozen=True)
class _Listing:
    """A server's LoRAs: as the picker offers them, and as files."""

    names: tuple[str, ...]
    files: tuple[ModelFile, ...]


def _listing(client: ComfyUI) -> _Listing:
    return _Listing(client.loras(), client.model_files("loras"))


def _find(client: ComfyUI, name: str, listing: _Listing, *, file: Path, metadata: Mapping[str, str]) -> str:
    found = find_lora(name, listing.names, server=client.url, folder=file.parent)
    read = client.lora_metadata(found)
    is_read = read is not None and not (read == {} and header_size(file) > _LARGEST_READ)
    if is_read and dict(read or {}) != dict(metadata):
        raise NotListed(
            f"{client.url} has another file under the name {found} than {file}: its header says "
            f"{_step(read or {})}, the staged file's {_step(metadata)}. It reads another folder: name "
            "its ComfyUI folder with --comfyui-dir, or correct `comfyui` and `loras` under [paths] in the plan."
        )
    if other := _other_file(listing.files, found, file):
        raise NotListed(
            f"{client.url} reads another file under the name {found} than {file}: {other}. A folder that it searches "
            "first holds a file of this name: move that away, or give the plan another name."
        )
    return found


def _other_file(files: Sequence[ModelFile], name: str, file: Path) -> str:
    """Say how the file that a server reads under a name differs from the staged one; empty where it does not.

    Where only one folder holds the name, the size decides; times may be another machine's.
    """
    named = sorted((one for one in files if one.name == name), key=lambda one: one.folder)
    status = file.stat()
    if named and named[0].size != status.st_size:
        return f"it has {named[0].size} bytes, and the staged one has {status.st_size}"
    if len(named) > 1 and abs(named[0].modified - status.st_mtime) > _TICK:
        return f"{len(named)} folders hold it, and the first one's was written at another time"
    return ""


def _step(metadata: Mapping[str, str]) -> str:
    step = metadata.get("ss_steps")
    return f"step {step}" if step else "other things"


def said_of(plan: Plan) -> str:
    """Say whether the plan's first server has what the plan asks for; where none answers, that it was not checked."""
    client = ComfyUI(plan.comfyui.servers[0], timing=_BRIEFLY)
    folder = plan.paths.loras
    try:
        found = choices_of(client).base_model(plan)
        there = [one.name for one in folder.glob("*.safetensors")] if folder.is_dir() else []
        listed = client.loras()
    except NotListed as error:
        return f"warning: {error}"
    except ComfyUIError:
        return f"No ComfyUI answers at {client.url}, so that base model, sampler and folder were not checked."
    finally:
        client.close()
    said = f"{client.url} has {found}, the sampler and the scheduler."
    if not plan.paths.comfyui.is_dir():
        return f"{said}\nwarning: {plan.paths.comfyui} is not there; name its folder with --comfyui-dir=DIR"
    if there and not any(is_listed(plan.picker_name(name), listed, folder=folder) for name in there):
        return f"{said}\nwarning: it reads another folder than {folder}; name its folder with --comfyui-dir=DIR"
    return said
