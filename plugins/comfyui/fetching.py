"""Fetching a finished picture, which may not be there yet, break off, or come as something else."""

import threading
from typing import Final

from plugins.comfyui.answers import ImageRef
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.deadline import Deadline, Retry
from plugins.comfyui.errors import BadAnswer, Unreachable

_PNG: Final = (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82")
"""What a whole PNG file begins with, and what its last chunk is."""


def fetch(client: ComfyUI, image: ImageRef, *, reach: float, stopping: threading.Event) -> bytes:
    """Fetch a finished picture; a server that is restarted meanwhile has `reach` seconds to come back.

    After the deadline, returns the last bytes even if incomplete; the caller validates. Raises `Unreachable` or
    `BadAnswer` where nothing came.
    """
    timing = client.timing
    attempts = Retry(reach, pause=timing.pause, longest=timing.longest_pause, stopping=stopping)
    there = Deadline(timing.fetch)
    while True:
        try:
            png = client.view(image)
            if _is_whole(png) or there.expired or not attempts.wait():
                return png
        except Unreachable:
            if not attempts.wait():
                raise
        except BadAnswer:
            if there.expired or not attempts.wait():
                raise


def _is_whole(png: bytes) -> bool:
    """Return whether this is a whole PNG: no proxy's page, and not cut short on its way."""
    start, end = _PNG
    return png.startswith(start) and end in png[-64:]
