"""Rendering one cell and checking its picture, for generating, stability, proof and rollback alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.run import Run
from plugins.comfyui.server import Finished
from plugins.comfyui.workflow import Filled
from plugins.generate.expected import ExpectedInputs
from plugins.pictures.check import Check, Outcome
from plugins.pictures.checks import check_colours, check_not_blank, check_not_noise, check_workflow
from plugins.pictures.picture import Picture, PictureError, read_picture
from plugins.plan.cells import Cell
from plugins.plan.messages import UserError
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer, render_cell


class CellFailedError(UserError):
    """A cell that gave no picture; the message says why, and where."""


@dataclass(frozen=True, kw_only=True)
class RanCell:
    """A cell whose picture a server made, not checked yet."""

    cell: Cell
    filled: Filled
    """The workflow, as it was sent."""
    finished: Finished
    server: ServerInfo


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A cell's picture with its checks, not saved yet. A picture that failed a check is saved, too."""

    cell: Cell
    filled: Filled
    """The workflow, as it was sent."""
    finished: Finished
    picture: Picture
    checks: tuple[Check, ...]
    """Size, blank, noise and workflow; colours if they are in doubt."""
    server: ServerInfo

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)


@dataclass(frozen=True, kw_only=True)
class CellRenderer:
    """Renders cells of one plan."""

    expected: ExpectedInputs
    base_model: str
    """As the servers list it."""
    lora_name: Callable[[Cell, RenderServer], str | None]
    """Return the LoRA to render a cell with, as a server's picker spells it; None for none."""
    always_on: Callable[[RenderServer], Mapping[str, str]]
    """Return the LoRAs that are always on, by their files, as a server's picker spells them."""
    tag: str
    """A word unique to this run, so that the server saves every picture instead of answering from its cache."""
    name: Callable[[Cell], str] = str
    """Return what a cell renders, for messages."""

    def render(
        self,
        cell: Cell,
        server: RenderServer,
        *,
        progress: Progress | None = None,
        posted: Callable[[], None] = lambda: None,
    ) -> Rendered:
        """Render a cell on a server, and check its picture: `run`, then `checked`.

        Raises `CellFailedError` or `ComfyUIError` where there is no picture.
        """
        return self.checked(self.run(cell, server, progress=progress, posted=posted))

    def run(
        self,
        cell: Cell,
        server: RenderServer,
        *,
        progress: Progress | None = None,
        posted: Callable[[], None] = lambda: None,
    ) -> RanCell:
        """Have a server make a cell's picture.

        1. The workflow is filled in: the plan's settings, the prompt, the seed, and the LoRA as this server spells it.
        2. The server runs it, and once more where a restart lost it; `posted` is called once it is in the queue, and
           whenever it moves on.

        Raises `CellFailedError` or `ComfyUIError` where there is no picture.
        """
        progress = progress or Progress(1)
        filled = self.expected.filled(
            cell,
            base_model=self.base_model,
            lora_file=self.lora_name(cell, server),
            tag=self.tag,
            spelled=self.always_on(server),
        )
        progress.begin(cell, filled.sampler)

        def on_progress(run: Run) -> None:
            posted()
            progress.move(cell, run)

        return RanCell(cell=cell, filled=filled, finished=render_cell(server, filled, on_progress), server=server.info)

    def checked(self, ran: RanCell) -> Rendered:
        """Look at a picture that a server made.

        1. The PNG is decoded.
        2. The picture is checked by itself: its size, blank, noise, and the workflow that it was made from.

        Raises `CellFailedError` where it is no picture.
        """
        cell, filled, finished = ran.cell, ran.filled, ran.finished
        picture = self._decoded(ran)
        return Rendered(
            cell=cell,
            filled=filled,
            finished=finished,
            picture=picture,
            checks=(
                self.expected.check_size(picture, cell),
                check_not_blank(picture),
                check_not_noise(picture),
                check_workflow(
                    picture,
                    sent=filled.graph,
                    remembered=finished.remembered,
                    file=finished.file,
                    stem=filled.file_stem,
                ),
                *check_colours(picture),
            ),
            server=ran.server,
        )

    def _decoded(self, ran: RanCell) -> Picture:
        try:
            return read_picture(ran.finished.png, largest=self.expected.largest)
        except PictureError as error:
            raise CellFailedError(
                f"{ran.server.url} sent no usable picture of {self.name(ran.cell)}: {error}. "
                "If there is a proxy in front of it, check that, then run this again."
            ) from error
