"""Where cells are rendered: a ComfyUI that this process talks to, or one beside a worker of a cluster."""

from collections.abc import Callable
from typing import Protocol

from plugins.comfyui.client import ServerInfo
from plugins.comfyui.errors import Lost
from plugins.comfyui.run import Run
from plugins.comfyui.server import Finished
from plugins.comfyui.workflow import Filled


class RenderServer(Protocol):
    """What `Server` does, wherever the server is."""

    @property
    def info(self) -> ServerInfo:
        """What the server says of itself."""

    def forget_weights(self, *, again: bool = False) -> None:
        """Make the server read LoRA files anew, once; again where asked."""

    def render(self, workflow: Filled, on_progress: Callable[[Run], None]) -> Finished:
        """Run a workflow and fetch its picture. Raises `ComfyUIError`."""

    def close(self) -> None:
        """Withdraw our prompts, and nobody else's."""


def render_cell(place: RenderServer, filled: Filled, on_progress: Callable[[Run], None]) -> Finished:
    """Render one workflow: all that is done on the server's side of the seam. Raises `ComfyUIError`."""
    place.forget_weights()
    try:
        return place.render(filled, on_progress)
    except Lost:  # the server was restarted: its queue is gone, but it is there again
        return place.render(filled, on_progress)
