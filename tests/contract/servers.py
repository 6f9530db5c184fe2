"""The servers that scenarios are played on: the stand-in, always; a real ComfyUI where the environment names one.

COMFYUI_URL         its address: nothing is ever sent anywhere else
COMFYUI_DIR         its folder, on this machine
COMFYUI_BASE_MODEL  the base model to use, if it is not the one that base_model.py writes
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import requests

from stand_in.faults import Faults, Frame
from stand_in.serving import serve
from stand_in.versions import TODAY, Version
from stand_in.weights import write_weights
from tests.contract.base_model import BASE
from tests.contract.subject import Server
from tests.contract.wire import Wire

STAND_IN: Final = "stand-in"
REAL: Final = "real"
_QUICK_STEPS: Final = 5


class Pace(Faults):
    """Short prompts cost no time; steps after the fifth take theirs, so that a prompt can be caught at it."""

    def __init__(self) -> None:
        self._heard = threading.Event()
        self._heard.set()

    @contextmanager
    def listened_to(self) -> Iterator[None]:
        """Keep such prompts at their sixth step until a client was greeted on its socket."""
        self._heard.clear()
        yield
        self._heard.set()

    def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
        """Wait."""
        del prompt_id, node_id
        if step > _QUICK_STEPS:
            time.sleep(0.02)
            self._heard.wait(60)

    def frames(self, event: str, data: dict[str, Any], client_id: str | None) -> Iterable[Frame]:
        """Note the greeting, which goes to a socket that is registered."""
        if "sid" in data:
            self._heard.set()
        return super().frames(event, data, client_id)


@contextmanager
def stand_in(folder: Path, made: Path, *, dialect: Version = TODAY, patience: float = 30.0) -> Iterator[Server]:
    """Serve a stand-in over a fresh folder."""
    base = folder / "models" / "checkpoints" / BASE
    write_weights(base, {"w": (4,)}, {"format": "pt"}, seed="base")
    pace = Pace()
    with serve(folder, faults=pace, dialect=dialect) as serving:
        yield Server(
            name=STAND_IN,
            url=serving.url,
            folder=folder,
            base=BASE,
            made=made,
            patience=patience,
            listened_to=pace.listened_to,
        )


def why_not_real() -> str | None:
    """Say why there is no real server to play on; None if there is one."""
    missing = [name for name in ("COMFYUI_URL", "COMFYUI_DIR") if not os.environ.get(name)]
    return f"no real ComfyUI: set {' and '.join(missing)} (see CONTRIBUTING.md)" if missing else None


def real(made: Path) -> Server:
    """Return the real server that the environment names. Raises `ValueError` where it cannot be used, and why."""
    url, folder = os.environ["COMFYUI_URL"].rstrip("/"), Path(os.environ["COMFYUI_DIR"]).expanduser().absolute()
    base = os.environ.get("COMFYUI_BASE_MODEL", BASE)
    if not (folder / "models" / "loras").is_dir():
        raise ValueError(f"COMFYUI_DIR: {folder} is no ComfyUI folder, it has no models/loras")
    with Wire(url, patience=30.0) as wire:
        try:
            told = wire.get("/object_info/CheckpointLoaderSimple").body["CheckpointLoaderSimple"]
            listed = told["input"]["required"]["ckpt_name"][0]
            remaining = wire.get("/prompt").body["exec_info"]["queue_remaining"]
        except (requests.RequestException, LookupError, TypeError) as error:
            raise ValueError(f"COMFYUI_URL: no ComfyUI answers at {url} ({error})") from error
    if base not in listed:
        raise ValueError(
            f"{url} has no base model {base}. Write one (python -m tests.contract.base_model {folder}), "
            f"or name another with COMFYUI_BASE_MODEL: {', '.join(listed) or 'it lists none'}"
        )
    if remaining:
        raise ValueError(f"{url} is busy with {remaining} prompts of somebody else's; the contract needs it idle")
    return Server(name=REAL, url=url, folder=folder, base=base, made=made, patience=120.0)
