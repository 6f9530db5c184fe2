"""Connecting to a Dask scheduler: its address, and whether a scheduler answers there."""

import contextlib
import socket
from typing import Final
from urllib.parse import urlsplit

from distributed import Client

from plugins.comfyui.errors import BadAnswer, Unreachable
from plugins.comfyui.timing import Timing

_LONGEST_GREETING: Final = 1 << 20
"""Bytes; Dask's has about a hundred, and other greetings, read as a length, far more."""


def connect(address: str, *, timing: Timing) -> Client:
    """Return a client of the scheduler at an address. Raises `Unreachable` or `BadAnswer`."""
    try:
        _check_greeting(address, seconds=timing.connect)
        return Client(address, timeout=timing.connect, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"No Dask scheduler answers at {address} ({error}). Start one (uv run python -m dask scheduler), "
            "and a worker beside each ComfyUI; or leave out --cluster."
        ) from None


def checked_address(address: str) -> str:
    """Return a scheduler's address with its scheme. Raises `BadAnswer`."""
    whole = address if "://" in address else f"tcp://{address}"
    with contextlib.suppress(ValueError):
        parts = urlsplit(whole)
        if parts.scheme in {"tcp", "tls", "ws", "wss", "ucx"} and parts.hostname and parts.port:
            return whole
    raise BadAnswer(f"{address!r} is not the address of a Dask scheduler; write it like tcp://10.0.0.5:8786")


def _check_greeting(address: str, *, seconds: float) -> None:
    """Refuse a server that does not greet like Dask; Dask itself would wait for it forever, or believe its length.

    A scheduler sends the length of its first message at once, before any request: 8 bytes, little-endian. Raises
    `OSError` or `BadAnswer`.
    """
    parts = urlsplit(address)
    if parts.scheme != "tcp":
        return
    other = BadAnswer(
        f"What answers at {address} is no Dask scheduler. A scheduler prints its address when it starts: its port is "
        "8786 unless another was given; 8787 is its dashboard."
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        try:
            greeting = connection.recv(8)
        except TimeoutError:
            raise other from None
    if not 0 < int.from_bytes(greeting, "little") < _LONGEST_GREETING:
        raise other
