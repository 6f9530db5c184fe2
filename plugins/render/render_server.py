"""Where cells are rendered: on a ComfyUI that this process talks to, or on one beside a worker of a cluster."""

from collections.abc import Callable
from typing import Protocol

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.errors import Lost
from plugins.comfyui.run import Run, ignore_progress
from plugins.comfyui.server import Finished
from plugins.comfyui.workflow import Filled


class RenderServer(Protocol):
    """The interface of `Server`, wherever the server is."""

    @property
    def info(self) -> ServerInfo:
        """The server's version and machine."""

    def forget_weights(self, *, again: bool = False) -> None:
        """Make the server read LoRA files again: at the first call, and with `again`."""

    def render(self, workflow: Filled, on_progress: Callable[[Run], None]) -> Finished:
        """Run a workflow and fetch its picture. Raises `ComfyUIError`."""

    def log(self) -> object:
        """Return the last lines of the server's log as it answers them; None where it shows none."""

    def close(self) -> None:
        """Cancel our prompts, and nobody else's."""


def render_cell(server: RenderServer, filled: Filled, on_progress: Callable[[Run], None] = ignore_progress) -> Finished:
    """Render one workflow, and once more where it was lost: no other place runs a cell again on its server.

    A server that was restarted has lost its queue, but is there again. Before its first picture it reads LoRA files
    again. Beside a Dask worker, that worker does all this. `on_progress` is called once the workflow is queued, and
    whenever it moves on. Raises `ComfyUIError`.
    """
    server.forget_weights()
    try:
        return server.render(filled, on_progress)
    except Lost:
        return server.render(filled, on_progress)
