"""The report page: one fragment of HTML with its own style and script, for pytest-html to put on top."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from plugins.plan.cells import at, named
from plugins.plan.messages import minute_of
from plugins.plan.tested import BASELINE, Rival
from plugins.review.metrics import bleed_in_words
from plugins.review.plot import HEIGHT, WIDTH, plots
from plugins.review.previews import Preview, Source, make_previews, training_source
from plugins.review.review import Entry, Review, step_name

MANY: Final = 500
"""With more pictures than this, rows are laid out one by one as they come into view."""

TEMPLATES: Final = Path(__file__).parent / "template"


def render_page(review: Review, previews: Mapping[Path, Preview] | None = None) -> str:
    """Return the page as a fragment that needs nothing else, and asks no server for anything.

    `previews` are those of its `sources`, where they were made already. Where there are too many pictures to embed,
    their previews are written below `review.reports`/previews. Raises `OSError` where they cannot be.
    """
    if previews is None:
        previews = make_previews(sources(review), review.reports)
    pages = environment(TEMPLATES)
    pages.filters["link"] = _link
    pages.globals["source"] = _source
    return pages.get_template("page.html").render(
        review=review,
        plan=review.plan,
        previews={entry.cell.id: previews.get(review.source(entry).path) for entry in review.by_id.values()},
        references=[[previews[path] for path in paths if path in previews] for paths in review.shown_references],
        names={c.id if c else BASELINE: step_name(c) for c in (None, *review.plan.tested)},
        at=at,
        rivals={one.id for one in review.plan.rivals},
        plots=plots(review),
        canvas=(WIDTH, HEIGHT),
        many=MANY,
        data=_data(review, previews),
    )


@cache
def environment(templates: Path) -> Environment:
    """Return what fills in the templates of a folder: all text is escaped, and a missing value is an error."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def frame_script() -> Markup:
    """Return the script that puts a fragment (`#review` or `#deployment`) first, and folds pytest-html's part away."""
    return _source("shell.js")


def sources(review: Review) -> Iterator[Source]:
    """Every picture that the page shows: cells, the references beside them, and the nearest to each."""
    for entry in review.by_id.values():
        if entry.evidence:
            yield review.source(entry)
    references = [path for paths in review.shown_references for path in paths]
    nearest = [entry.nearest for entry in review.by_id.values() if entry.nearest]
    yield from map(training_source, dict.fromkeys(references + nearest))


def _data(review: Review, previews: Mapping[Path, Preview]) -> dict[str, Any]:
    """Return what the page's script works with, in JSON's own types."""
    plan = review.plan
    return {
        "plan": {"name": plan.name, "digest": plan.digest},
        "key": review.filling or _key(review),
        "filling": review.filling,
        "rate": plan.selection.rate,
        "simulated": review.simulated,
        "command": review.command,
        "checkpoints": [
            {"id": c.id, "name": step_name(c), "argument": c.argument, "rival": isinstance(c, Rival)}
            for c in plan.tested
        ],
        "strengths": [f"{strength:g}" for strength in review.strengths if strength is not None],
        "bleed": dict(_bleeding(review)),
        "rows": [{"id": row.id, "prompt": row.prompt} for row in review.rows],
        "criteria": [
            {
                "id": criterion.id,
                "text": criterion.text,
                "required": criterion.required,
                "prompts": list(plan.looked_for(criterion)),
            }
            for criterion in plan.criteria
        ],
        "cells": {entry.cell.id: cell_data(entry, previews) for entry in review.by_id.values()},
    }


def _bleeding(review: Review) -> Iterator[tuple[str, str]]:
    """Yield what each column changes without the trigger word, in a sentence, by its id and strength."""
    for one in review.metrics:
        if sentence := bleed_in_words(one):
            yield named(one.checkpoint, one.strength), sentence


def _key(review: Review) -> str:
    """Digest of all pictures' pixels, by which a browser keeps what is marked on them."""
    pixels = "".join(f"{entry.cell.id} {entry.pixels}\n" for entry in review.by_id.values())
    return hashlib.sha256(pixels.encode()).hexdigest()[:32]


def cell_data(entry: Entry, previews: Mapping[Path, Preview]) -> dict[str, Any]:
    """Return what the page's script knows of one cell."""
    cell = entry.cell
    return {
        "column": cell.column,
        "row": cell.row,
        "strength": None if cell.strength is None else f"{cell.strength:g}",
        "picture": _link(entry.picture) if entry.evidence else "",
        "digest": entry.digest,
        "pixels": entry.pixels,
        "size": [entry.evidence.picture.width, entry.evidence.picture.height] if entry.evidence else [],
        "nearest": _nearest(entry, previews),
        "flags": [{"kind": flag.kind, "title": flag.title, "text": str(flag)} for flag in entry.flags],
        "settings": list(_settings(entry)),
    }


def _nearest(entry: Entry, previews: Mapping[Path, Preview]) -> dict[str, str] | None:
    """Return the training image that a picture is nearest to; without an address where it cannot be shown."""
    if not entry.evidence or not entry.evidence.nearest:
        return None
    record = entry.evidence.nearest
    there = previews.get(entry.nearest) if entry.nearest else None
    usual = "" if record.usual is None else f"; training images are usually {record.usual:.2f} from each other"
    distance = f"distance {record.distance:.2f}{usual}"
    return {"name": record.image, "src": there.src if there else "", "distance": distance}


def _settings(entry: Entry) -> Iterator[tuple[str, str, bool]]:
    """Yield (name, value, whether it tells which checkpoint this is) for the lines beside a large picture."""
    if entry.evidence is None:
        return
    made = entry.evidence
    size = made.picture
    yield "Seed", str(entry.cell.seed), False
    yield "Negative prompt", made.negative_text or "(none)", False
    yield "Base model", made.base_model, False
    if made.lora:
        strength = "as in the workflow" if made.lora.strength is None else f"{made.lora.strength:g}"
        yield "LoRA", f"{made.lora.file}, strength {strength}", True
        yield "LoRA SHA-256", made.lora.sha256, True
    for one in made.always_on:
        yield "Always on", f"{one.file}, strength {one.strength:g}", False
    yield "Picture SHA-256", size.sha256, True
    yield "Size", f"{size.width} x {size.height}", False
    seconds = (made.run.ended - made.run.started).total_seconds()
    server = made.server
    yield "Rendered", f"{minute_of(made.run.ended)}, in {seconds:.1f} s", True
    yield "Server", f"ComfyUI {server.comfyui_version}, {server.machine}, {server.url}", False
    for check in made.checks:
        yield f"Check: {check.name}", ": ".join(filter(None, [check.outcome, check.message])), True


def _link(path: PurePosixPath) -> str:
    """Return a relative address; names with `#`, `%` or spaces stay whole."""
    return quote(path.as_posix())


def _source(*names: str) -> Markup:
    """Return parts of the page that are ours and not to be escaped: style sheets and scripts."""
    return Markup("\n").join(Markup((TEMPLATES / name).read_text("utf-8")) for name in names)  # noqa: S704 (ours)
