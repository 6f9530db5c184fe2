"""The server's LoRA picker must offer the files that were staged, and mean these very files."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import NotListed
from plugins.comfyui.names import find_lora
from plugins.comfyui.server import Server
from plugins.loras.header import header_size
from plugins.loras.staging import Staged
from plugins.plan.plan import Plan

_LISTED_SECONDS: Final = 10.0
"""How long a picker may take to notice a new file: it looks at the folder's time, which a network share may delay."""

_LARGEST_READ: Final = 1 << 20
"""Bytes; of a longer header ComfyUI's /view_metadata says that there is none."""


def picker_names(plan: Plan, server: Server, staged: Sequence[Staged]) -> tuple[str, ...]:
    """Return the server's LoRA list once every staged file is in it (mission, task 1: verify copies).

    Raises `NotListed` where one does not appear, or where the server reads another file under its name: then its
    pictures would be made from other bytes than those staged.
    """
    return _waiting()(_look, plan, server, staged)


def picker_name(client: ComfyUI, name: str, *, file: Path, metadata: Mapping[str, str]) -> str:
    """Return a LoRA as the server spells it, once it is in the picker; `name` is seen from the server's models/loras.

    Raises `NotListed` as `picker_names` does.
    """
    return _waiting()(lambda: _find(client, name, client.loras(), file=file, metadata=metadata))


def _waiting() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(NotListed),
        stop=stop_after_delay(_LISTED_SECONDS),
        wait=wait_fixed(0.25),
        sleep=time.sleep,
        reraise=True,
    )


def _look(plan: Plan, server: Server, staged: Sequence[Staged]) -> tuple[str, ...]:
    listed = server.client.loras()
    for one in staged:
        name = plan.picker_name(one.file.name)
        _find(server.client, name, listed, file=one.file, metadata=one.header.metadata)
    return listed


def _find(client: ComfyUI, name: str, listed: Sequence[str], *, file: Path, metadata: Mapping[str, str]) -> str:
    found = find_lora(name, listed, server=client.url, folder=file.parent)
    told = client.lora_metadata(found)
    if told == {} and header_size(file) > _LARGEST_READ:
        return found
    if told is not None and dict(told) != dict(metadata):
        raise NotListed(
            f"{client.url} has another file under the name {found} than {file}: its header says "
            f"{_step(told)}, the staged file's {_step(metadata)}. It reads another folder: name "
            "its ComfyUI folder with --comfyui-dir, or correct `comfyui` and `loras` under [paths] in the plan."
        )
    return found


def _step(metadata: Mapping[str, str]) -> str:
    step = metadata.get("ss_steps")
    return f"step {step}" if step else "other things"
