"""Fetching a finished picture, which may not be there yet, break off, or come as something else."""

import threading
from typing import Any, Final

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_not_result,
    sleep_using_event,
    wait_exponential,
)

from plugins.comfyui.client import ComfyUI, ImageRef
from plugins.comfyui.errors import BadAnswer, Unreachable

_PAUSE_SECONDS: Final = 0.25
"""The first pause before it is tried again; each one after it is twice as long."""
_FETCH_SECONDS: Final = 5.0
"""How long a finished picture may not be there to fetch yet, or break off."""
_PNG: Final = (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82")
"""What a whole PNG file begins with, and what its last chunk is."""


def fetch(client: ComfyUI, image: ImageRef, *, reach: float, stopping: threading.Event) -> bytes:
    """Fetch a finished picture; a server that is restarted meanwhile has `reach` seconds to come back.

    What is no whole PNG by then is given as it is: whoever reads it says what it is instead. Raises `Unreachable` or
    `BadAnswer` where nothing came, at the latest.
    """

    def is_over(state: RetryCallState) -> bool:
        error = state.outcome and state.outcome.exception()
        patience = reach if isinstance(error, Unreachable) else _FETCH_SECONDS
        return stopping.is_set() or (state.seconds_since_start or 0.0) > patience

    again = Retrying(
        retry=retry_if_exception_type((Unreachable, BadAnswer)) | retry_if_not_result(_is_whole),
        stop=is_over,
        wait=wait_exponential(multiplier=_PAUSE_SECONDS, max=_FETCH_SECONDS),
        sleep=sleep_using_event(stopping),
        retry_error_callback=_as_it_is,
    )
    png: bytes = again(client.view, image)
    return png


def _is_whole(png: bytes) -> bool:
    """Tell a whole PNG from a proxy's page, and from what was cut short on its way."""
    start, end = _PNG
    return png.startswith(start) and end in png[-64:]


def _as_it_is(state: RetryCallState) -> Any:  # noqa: ANN401 (tenacity's)
    """Return what came last, or raise it."""
    return state.outcome.result() if state.outcome else None
