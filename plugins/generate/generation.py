"""One run over the selected cells: valid pictures are reused, the others rendered ahead, and all are compared."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from itertools import chain
from typing import Final

from PIL import Image

from plugins.comfyui.errors import ComfyUIError
from plugins.evidence.evidence import Evidence
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.comparing import Comparing
from plugins.generate.cost import Cost, pace_of
from plugins.generate.disk import unkept_message
from plugins.generate.key_check import KeyCheck
from plugins.generate.population import RowPopulations, several_populations
from plugins.generate.preparing import Prepared
from plugins.generate.stability import Stability
from plugins.plan.cells import Cell, matrix
from plugins.plan.messages import counted
from plugins.plan.tested import Checkpoint
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer
from plugins.render.rendering import Rendering

Show = Callable[[str], None]
"""Shows a line of progress to whoever waits."""


class Generation:
    """The chosen cells and the baselines that they are compared with, in the matrix's order.

    `regenerate` renders cells that have evidence, too; `row_by_row` renders the selected cells in their order, each
    after its baseline, instead of all baselines first. `on_kept` is called with each picture that was rendered, once it
    is saved, by the thread that rendered it.
    """

    def __init__(
        self,
        prepared: Prepared,
        chosen: Sequence[Cell],
        *,
        regenerate: bool,
        row_by_row: bool = False,
        on_kept: Callable[[Cell, Image.Image], None] = lambda _cell, _image: None,
    ) -> None:
        self.failures: Final[dict[Cell, str]] = {}
        """Why a cell has no picture."""
        self.rendered = 0
        self._renderer: Final = prepared.renderer
        self._recorder: Final = prepared.recorder
        self._store: Final = prepared.store
        self._on_kept = on_kept
        self._keys: Final = KeyCheck()
        self._saved_again: Final = prepared.saved_again
        each = [(cell.baseline, self._original(cell)) for cell in chosen]
        in_order = chain.from_iterable(each if row_by_row else zip(*each, strict=True))
        cells = [*dict.fromkeys(in_order)]
        reusable = {} if regenerate else {cell: found for cell in cells if (found := self._recorder.reusable(cell))}
        self._rows: Final = RowPopulations(cells, reusable, prepared.files)
        self._reused: Final = self._rows.kept
        self._anew: Final = len(reusable) - len(self._reused)
        self._reused.update({cell: found for cell in chosen if (found := self._still_shared(cell))})
        self._stability: Final = Stability(self._renderer, self._store.reports)
        self._comparing: Final = Comparing(self._store, noise_of=self._stability.noise_of)
        ours = frozenset(cells)
        for cell in matrix(prepared.expected.plan):
            # a cell of an earlier run (`-k step600`) may have a picture of this one
            is_known = cell in ours or self._original(cell) != cell
            if found := self._reused.get(cell) if is_known else self._recorder.current(cell):
                self._comparing.know(cell, found)
        wanted = [cell for cell in cells if cell not in self._reused]
        urls = [server.info.url for server in prepared.servers]
        pace = pace_of(self._comparing.known.values(), urls)
        asked = {*cells, *chosen}
        self.cost: Final = Cost(cells=len(asked), reused=len(asked) - len(wanted), seconds=pace, servers=len(urls))
        self._judged: dict[Cell, Evidence] = {}
        self._rendering = Rendering(wanted, servers=prepared.servers, work=self._make, rows=self._rows)

    def is_ready(self, cell: Cell) -> bool:
        """Return whether a cell has its picture, or will have none: there is nothing to wait for."""
        original = self._original(cell)
        return original in self._reused or original in self._judged or self._rendering.is_done(original)

    @property
    def reused(self) -> int:
        """How many pictures had evidence already."""
        return len(self._reused)

    def evidence_of(self, cell: Cell, *, show: Show) -> Evidence:
        """Return a cell's evidence, with the results of its comparison with its baseline and the others.

        Raises `CellFailedError` where there is no picture.
        """
        if cell not in self._judged:
            if cell in self.failures:
                raise CellFailedError(self.failures[cell])
            found = self._reused.get(cell) or self._made(cell, show)
            if cell.checkpoint:
                with contextlib.suppress(CellFailedError):
                    self.evidence_of(cell.baseline, show=show)
            try:
                self._judged[cell] = self._comparing.compare(cell, found, staged=self._recorder.staged_for(cell))
            except OSError as error:  # the picture is kept; the next run compares it
                self.failures[cell] = unkept_message(self._store.folder, error)
                raise CellFailedError(self.failures[cell]) from error
        return self._judged[cell]

    @property
    def known(self) -> Mapping[Cell, Evidence]:
        """The evidence of this run's cells so far, and of those of earlier runs that still holds."""
        return self._comparing.known

    @property
    def gave_back(self) -> Mapping[RenderServer, str]:
        """The servers that returned cells for others to render, and why."""
        return self._rendering.gave_back

    def close(self) -> None:
        """Withdraw what is still queued."""
        self._rendering.close()

    def last_lines(self) -> Iterator[str]:
        """Yield the last lines for the terminal: pictures made, servers that returned cells, stability."""
        again = "; --regenerate renders them again" if self.reused else ""
        yield f"pictures: {self.rendered} rendered, {self.reused} reused{again}"
        if self._anew:
            yield f"{counted(self._anew, 'picture')} rendered again: each row needs one ComfyUI version and machine"
        yield from several_populations(self.known.values())
        for server, reason in self.gave_back.items():
            what = reason.partition(". ")[0].rstrip(".")  # what to do about it stands where a cell failed
            yield f"{server.info} returned cells for other servers to render: {what}."
        yield from self._keys.last_lines()
        yield from self._stability.last_lines()

    def _make(self, cell: Cell, server: RenderServer, progress: Progress, posted: Callable[[], None]) -> Evidence:
        """Make a cell's picture and its evidence. This is a cell's whole life, in a thread of the executor's.

        1. Run: the workflow is filled in, and the server makes the picture.
           After a checkpoint's first picture, ask the server's log which keys of its LoRA were not loaded; where none
           was, its other cells are not rendered.
        2. Look: the four checks of the picture itself (`CellRenderer.checked`).
           The first picture is rendered twice, to see by how much the server's pictures differ by themselves.
        3. Put the evidence together: what the picture was made from, if the LoRA file is still the one that was staged.
           The picture is compared with the training images.
        4. Keep the picture, as the server sent it.
        5. Compare it with its baseline and with all other cells, and keep the evidence: it is written last.
        6. Tell the other rooms: the review makes the preview while the next cell renders.

        Raises `CellFailedError` or `ComfyUIError` where there is no picture to keep, or it cannot be kept.
        """
        if why := self._keys.useless(cell):
            raise CellFailedError(why)
        staged = self._recorder.staged_for(cell)
        # what comes next waits until the log was asked whether this LoRA does anything
        is_due, is_first = self._keys.is_due(cell, server), self._stability.is_due(server)
        try:
            alone = is_due or is_first
            ran = self._renderer.run(cell, server, progress=progress, posted=(lambda: None) if alone else posted)
            key_check = self._keys.look(cell, server, ran.finished, staged)
            if not is_first:
                posted()
            rendered = self._renderer.checked(ran)
        except BaseException:
            if is_first:
                self._stability.not_measured(server)
            raise
        with ThreadPoolExecutor(1) as beside:  # this picture is not held up by the second one
            measured = [beside.submit(self._stability.measure, rendered, server, posted)] if is_first else []
            evidence = self._recorder.evidence_of(rendered)
            if key_check:
                evidence = evidence.with_check(key_check)
            image = rendered.picture.image
            try:
                self._store.write_picture(cell, rendered.finished.png)
                evidence = self._comparing.compare(cell, evidence, staged=staged, image=image)
            except OSError as error:
                raise CellFailedError(unkept_message(self._store.folder, error)) from error
            self._on_kept(cell, image)
        for one in measured:
            one.result()
        return evidence

    def _original(self, cell: Cell) -> Cell:
        """Return the cell whose picture a cell shows: its own, but for a checkpoint that was saved twice."""
        first = self._saved_again.get(cell.checkpoint) if isinstance(cell.checkpoint, Checkpoint) else None
        return replace(cell, checkpoint=first) if first else cell

    def _still_shared(self, cell: Cell) -> Evidence | None:
        """Return the evidence of a cell that shows another's picture, where that one is reused and still the same."""
        original = self._original(cell)
        theirs = self._reused.get(original)
        found = self._recorder.reusable(cell) if theirs and original != cell else None
        if theirs is None or found is None:
            return None
        is_same = (found.rendered_as, found.picture.sha256) == (original.column, theirs.picture.sha256)
        return found if is_same else None

    def _made(self, cell: Cell, show: Show) -> Evidence:
        """Wait for a cell's picture; a checkpoint that was saved twice takes over that of the first."""
        original = self._original(cell)
        if original == cell:
            return self._awaited(cell, show)
        try:
            evidence = self._recorder.shared(cell, original, self.evidence_of(original, show=show))
            png = self._store.picture_path(original).read_bytes()
            self._store.write_picture(cell, png)
        except CellFailedError as error:
            self.failures[cell] = str(error)
            raise
        except OSError as error:
            self.failures[cell] = unkept_message(self._store.folder, error)
            raise CellFailedError(self.failures[cell]) from error
        with Image.open(BytesIO(png)) as picture:
            self._on_kept(cell, picture)
        return evidence

    def _awaited(self, cell: Cell, show: Show) -> Evidence:
        try:
            found = self._rendering.result(cell, meanwhile=show)
        except (ComfyUIError, CellFailedError, OSError) as error:
            self.failures[cell] = str(error)
            raise CellFailedError(str(error)) from error
        self.rendered += 1
        return found
