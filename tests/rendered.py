"""A cell rendered on a server and kept, compared with no other."""

from collections.abc import Callable

from plugins.evidence.evidence import Evidence
from plugins.generate.preparing import Prepared
from plugins.plan.cells import Cell
from plugins.render.progress import Progress
from plugins.render.render_server import RenderServer


def rendered_and_kept(
    prepared: Prepared,
    cell: Cell,
    server: RenderServer,
    *,
    progress: Progress | None = None,
    posted: Callable[[], None] = lambda: None,
) -> Evidence:
    """Render a cell, and keep its picture and its evidence."""
    rendered = prepared.renderer.render(cell, server, progress=progress, posted=posted)
    evidence = prepared.recorder.evidence_of(rendered)
    prepared.store.write_picture(cell, rendered.finished.png)
    prepared.store.write_evidence(cell, evidence)
    return evidence
