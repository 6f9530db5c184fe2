"""One run over the chosen cells: what holds is kept, the rest is rendered ahead, and all are compared."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from PIL import Image

from plugins.comfyui.errors import ComfyUIError
from plugins.evidence.evidence import Evidence
from plugins.generate.comparing import Comparing
from plugins.generate.disk import told_unkept
from plugins.generate.making import CellFailedError
from plugins.generate.preparing import Prepared
from plugins.generate.stability import StabilityCheck
from plugins.pictures.picture import PictureError
from plugins.plan.cells import Cell, matrix
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer
from plugins.render.rendering import Rendering

Show = Callable[[str], None]
"""Shows a line of progress to whoever waits."""


class Generation:
    """The chosen cells and the baselines that they are compared with, in the matrix's order.

    `regenerate` renders what has evidence already, too. `on_kept` is called with each picture that was rendered, once
    it lies in its place, by the thread that rendered it.
    """

    def __init__(
        self,
        prepared: Prepared,
        chosen: Sequence[Cell],
        *,
        regenerate: bool,
        on_kept: Callable[[Cell, Image.Image], None] = lambda _cell, _image: None,
    ) -> None:
        self.failures: Final[dict[Cell, str]] = {}
        """Why a cell has no picture."""
        self.rendered = 0
        self.stability = ""
        """Whether the server gives the same picture again, in a sentence; empty while it was not measured."""
        self._maker: Final = prepared.maker
        self._on_kept = on_kept
        baselines = dict.fromkeys(cell.baseline for cell in chosen)
        cells = [*baselines, *(cell for cell in chosen if cell.checkpoint)]
        self._reused: Final = (
            {} if regenerate else {cell: found for cell in cells if (found := self._maker.recall(cell))}
        )
        self._comparing: Final = Comparing(self._maker.store)
        ours = frozenset(cells)
        for cell in matrix(self._maker.asked.plan):
            # a cell of an earlier run (`-k step600`) may have a picture of this one
            if found := self._reused.get(cell) if cell in ours else self._maker.current(cell):
                self._comparing.know(cell, found)
        wanted = [cell for cell in cells if cell not in self._reused]
        self._rendering = Rendering(wanted, servers=prepared.places, work=self._render_and_keep)
        self._again: Future[StabilityCheck | None] | None = None
        if wanted:
            again = partial(self._maker.make_again, wanted[0], prepared.places)
            self._again = self._rendering.after(wanted[0], again)
        self._judged: dict[Cell, Evidence] = {}

    @property
    def reused(self) -> int:
        """How many pictures had evidence already."""
        return len(self._reused)

    def evidence(self, cell: Cell, *, show: Show) -> Evidence:
        """Return a cell's evidence, with what the comparison with its baseline and the others says.

        Raises `CellFailedError` where there is no picture.
        """
        if cell not in self._judged:
            if cell in self.failures:
                raise CellFailedError(self.failures[cell])
            found = self._reused.get(cell) or self._awaited(cell, show)
            if cell.checkpoint:
                with contextlib.suppress(CellFailedError):
                    self.evidence(cell.baseline, show=show)
            try:
                self._judged[cell] = self._comparing.judge(cell, found, staged=self._maker.staged_for(cell))
            except OSError as error:  # the picture is kept; the next run compares it
                self.failures[cell] = told_unkept(self._maker.store.folder, error)
                raise CellFailedError(self.failures[cell]) from error
        return self._judged[cell]

    @property
    def known(self) -> Mapping[Cell, Evidence]:
        """The evidence of this run's cells so far, and of those of earlier runs that still holds."""
        return self._comparing.known

    @property
    def gave_back(self) -> Mapping[RenderServer, str]:
        """The servers that gave cells back to others, and why."""
        return self._rendering.gave_back

    def measure_stability(self, show: Show) -> None:
        """Wait for the first cell that was rendered to be rendered once more, and say what that told."""
        if self._again is None:
            return
        show("rendering one picture again, to see whether the server gives the same")
        try:
            canary = self._again.result()
        except (ComfyUIError, PictureError, OSError) as error:
            self.stability = f"Whether the server gives the same picture again was not measured: {error}"
        else:
            self.stability = str(canary or "")

    def close(self) -> None:
        """Withdraw what is still queued."""
        self._rendering.close()

    def _render_and_keep(
        self, cell: Cell, place: RenderServer, board: Progress, posted: Callable[[], None]
    ) -> Evidence:
        """Render a cell and keep its picture, compared with those that are there already; called by a thread."""
        rendered = self._maker.make(cell, place, board, posted)
        staged = self._maker.staged_for(cell)
        try:
            self._maker.store.write_picture(cell, rendered.png)
            evidence = self._comparing.judge(cell, rendered.evidence, staged=staged, image=rendered.image)
        except OSError as error:
            raise CellFailedError(told_unkept(self._maker.store.folder, error)) from error
        self._on_kept(cell, rendered.image)
        return evidence

    def _awaited(self, cell: Cell, show: Show) -> Evidence:
        try:
            found = self._rendering.result(cell, meanwhile=show)
        except (ComfyUIError, CellFailedError, OSError) as error:
            self.failures[cell] = str(error)
            raise CellFailedError(str(error)) from error
        self.rendered += 1
        return found
