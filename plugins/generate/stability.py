"""Whether a server gives the same picture again: every comparison of pixels depends on it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from plugins.comfyui.answers import ServerInfo
from plugins.evidence.files import write_atomically
from plugins.evidence.store import Store
from plugins.generate.cell_renderer import CellRenderer
from plugins.pictures.checks import effect_of
from plugins.plan.cells import Cell
from plugins.plan.small_files import read_small
from plugins.render.render_server import RenderServer

STABILITY: Final = "canary.json"


class StabilityCheck(BaseModel):
    """One cell rendered twice by one server. `difference` is the mean over pixels and channels, of 255."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cell: str
    server: ServerInfo
    stable: bool
    difference: float

    def __str__(self) -> str:
        server = f"{self.server.url} beside {self.server.worker}" if self.server.worker else self.server.url
        if self.stable:
            return f"{server} is bit-stable: {self.cell}, rendered again, came out the same, pixel for pixel"
        return (
            f"{server} is not bit-stable: {self.cell}, rendered again, differs by {self.difference:.2f} of 255. "
            "Production will be compared by nearness instead of pixel for pixel."
        )


def check_stability(
    cell: Cell, *, renderer: CellRenderer, store: Store, servers: Sequence[RenderServer]
) -> StabilityCheck | None:
    """Render a kept cell a second time where it was rendered, compare, and keep the result for a deployment's proof.

    The server forgets all before: it must sample anew, and load models anew, as for the proof. Returns None where there
    is no first picture. Raises `ComfyUIError`, `CellFailedError` or `OSError`.
    """
    first = store.read(cell)
    server = next((one for one in servers if first and one.info == first.server), None)
    if first is None or server is None:
        return None
    server.forget_weights(again=True)
    second = replace(renderer, tag=f"{renderer.tag}-again").render(cell, server)
    with Image.open(store.picture(cell)) as picture:
        difference = effect_of(second.picture.image, picture)
    found = StabilityCheck(
        cell=cell.id,
        server=second.server,
        stable=second.picture.pixels_sha256 == first.picture.pixels_sha256,
        difference=difference,
    )
    write_stability(found, store.folder.parent)
    return found


def write_stability(found: StabilityCheck, reports: Path) -> None:
    """Keep what was measured."""
    write_atomically(reports / STABILITY, found.model_dump_json(indent=2) + "\n")


def read_stability(reports: Path) -> StabilityCheck | None:
    """Return what was measured last; None where nothing was, or where it cannot be read."""
    try:
        return StabilityCheck.model_validate_json(read_small(reports / STABILITY))
    except (OSError, ValidationError, RecursionError):
        return None
