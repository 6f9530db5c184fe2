"""The server's LoRA picker must offer the files that were staged, and mean these very files."""

import time
from collections.abc import Sequence
from typing import Final

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

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
    """Give the server's LoRA list once every staged file is in it (mission, task 1: verify copies).

    Raises `NotListed` where one does not appear, or where the server reads another file under its name: then its
    pictures would be made from other bytes than those staged.
    """
    again = Retrying(
        retry=retry_if_exception_type(NotListed),
        stop=stop_after_delay(_LISTED_SECONDS),
        wait=wait_fixed(0.25),
        sleep=time.sleep,
        reraise=True,
    )
    return again(_look, plan, server, staged)


def _look(plan: Plan, server: Server, staged: Sequence[Staged]) -> tuple[str, ...]:
    listed = server.client.loras()
    for one in staged:
        url = server.client.url
        name = find_lora(plan.picker_name(one.file.name), listed, server=url, folder=one.file.parent)
        told = server.client.lora_metadata(name)
        if told == {} and header_size(one.file) > _LARGEST_READ:
            continue
        if told is not None and dict(told) != dict(one.header.metadata):
            raise NotListed(
                f"{url} has another file under the name {name} than {one.file}: its header says "
                f"{_step(told)}, the staged file's {_step(one.header.metadata)}. It reads another folder: name "
                "its ComfyUI folder with --comfyui-dir, or correct `comfyui` and `loras` under [paths] in the plan."
            )
    return listed


def _step(metadata: object) -> str:
    step = metadata.get("ss_steps") if isinstance(metadata, dict) else None
    return f"step {step}" if step else "other things"
