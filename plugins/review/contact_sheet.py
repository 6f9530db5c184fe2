"""The matrix as one labelled picture, to be shared where a page cannot go."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plugins.evidence.files import write_atomically
from plugins.pictures.picture import FORMATS, UNREADABLE
from plugins.plan.tested import BASELINE
from plugins.review.lettering import BELOW, GROUND, MARGIN, TEXT, Text, pitch
from plugins.review.previews import Source, beside, training_source
from plugins.review.review import Flag, Review, Row, step_name

_GAP: Final = 8
_PIXELS: Final = 12_000_000
"""A sheet has about this many at most, whatever the matrix, as a phone's photo has: a chat window takes and opens it.
It is enough for 90 pictures at 320 px and for 700 at 96 px."""
_SIDES: Final = (320, 256, 192, 128, 96, 64)
"""Longest side of one picture on the sheet, in pixels; the first that keeps the sheet within `_PIXELS`. In smaller ones
nothing can be seen: what does not fit then is left to the page, and the sheet says so."""
_BESIDE: Final = 60
"""Pixels that a row needs besides its pictures, about: prompt, digests, flags."""
_SHOWS: Final = "shows"
"""The name under which a sheet keeps the digest of what it shows."""
_COMPRESSION: Final = 3
"""Of PNG, 0 to 9: a third of the time of 6, for the same size."""

_DIM: Final = "#5b5b57"
_FLAGS: Final = {"failed": ("#a31b14", "white"), "warning": ("#ffc94d", TEXT), "missing": ("#e4e4e1", _DIM)}

_Line = tuple[Row, float | None]
"""A row of pictures at one strength; None where the plan has but one."""


def write_contact_sheet(review: Review, path: Path) -> None:
    """Draw the sheet and put it at `path`, whole or not at all. Raises `OSError`.

    A sheet that shows the same is left: drawing it would take an eighth of a run that has nothing else to do.
    """
    digest, shows = _digest(review), PngInfo()
    if _shown(path) == digest:
        return
    shows.add_text(_SHOWS, digest)
    buffer = BytesIO()
    _Sheet.of(review).draw().save(buffer, "PNG", compress_level=_COMPRESSION, pnginfo=shows)
    write_atomically(path, buffer.getvalue())


def _digest(review: Review) -> str:
    """Return a digest of all that a sheet shows."""
    references = [training_source(path).name for paths in review.shown_references for path in paths]
    digest = hashlib.sha256(f"{review.plan.model_dump_json()} {review.simulated} {references}".encode())
    for entry in review.by_id.values():
        digest.update(f"{entry.cell.id} {entry.digest} {entry.flags}".encode())
    return digest.hexdigest()


def _shown(path: Path) -> str:
    """Read what a sheet shows from the sheet; empty where there is none, or where it does not say so."""
    try:
        with Image.open(path) as sheet:
            return str(sheet.info.get(_SHOWS, ""))
    except UNREADABLE:
        return ""


def _lines(review: Review) -> tuple[_Line, ...]:
    return tuple((row, strength) for row in review.rows for strength in review.strengths)


@dataclass(frozen=True)
class _Sheet:
    """Places on the sheet, in pixels from its top left corner."""

    review: Review
    width: int
    """Of one picture."""
    height: int
    columns: tuple[str, ...]
    lines: tuple[_Line, ...]
    """The rows that there is room for, each at every strength."""

    @classmethod
    def of(cls, review: Review) -> "_Sheet":
        """Choose the size of the pictures."""
        size = next((one.evidence.picture for one in review.entries if one.evidence), review.plan.sampling)
        columns = ((_REFERENCE,) if any(review.shown_references) else ()) + review.columns
        lines = _lines(review)
        for side in _SIDES:
            scale = side / max(size.width, size.height)
            width, height = max(round(size.width * scale), 48), max(round(size.height * scale), 48)
            line = len(columns) * (width + _GAP) * (height + _BESIDE)
            if len(lines) * line <= _PIXELS:
                break
        return cls(review, width, height, columns, lines[: max(_PIXELS // line, 1)])

    @property
    def small(self) -> int:
        """Size of the letters, in pixels."""
        return 12 if self.width >= 192 else 10  # noqa: PLR2004 (narrower ones hold a digest only in small letters)

    @property
    def caption(self) -> int:
        """Height of the line below a picture, in pixels."""
        return pitch(self.small) + BELOW

    def draw(self) -> Image.Image:
        """Draw row by row onto the sheet: no picture is held for longer than its row."""
        total = 2 * MARGIN + len(self.columns) * (self.width + _GAP) - _GAP
        head = [*self._head(total)]
        titles = [[*self._title(line, total)] for line in self.lines]
        words = sum(strip.height for strip in head) + sum(text.height for texts in titles for text in texts)
        pictures = len(self.lines) * (self.height + self.caption)
        sheet = Image.new("RGB", (total, words + pictures + MARGIN), GROUND)
        top = _paste(head, sheet, 0)
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the GIL while it works
            for line, texts in zip(self.lines, titles, strict=True):
                top = _paste([text.drawn() for text in texts], sheet, top)
                for index, picture in enumerate(pool.map(partial(self._picture, line), self.columns)):
                    sheet.paste(picture, (self._left(index), top))
                top += self.height + self.caption
        return sheet

    def _left(self, index: int) -> int:
        """Where a column begins."""
        return MARGIN + index * (self.width + _GAP)

    def _source(self, column: str, line: _Line) -> Source | None:
        """Return the picture at one place of the sheet; None where there is none."""
        if column == _REFERENCE:
            images = self.review.shown_references[self.review.rows.index(line[0])]
            return training_source(images[0]) if images else None
        entry = self.review.entry(column, *line)
        return self.review.source(entry) if entry.evidence else None

    def _tile(self, source: Source) -> Image.Image | None:
        """Shrink a picture: from its preview beside the page where there is one, which is read five times as fast."""
        with contextlib.suppress(*UNREADABLE):
            if preview := beside(source, self.review.reports):
                return self._read(preview)
        with contextlib.suppress(*UNREADABLE):
            return self._read(source.path)
        return None

    def _read(self, path: Path) -> Image.Image:
        with Image.open(path, formats=FORMATS) as picture:
            picture.draft("RGB", (self.width, self.height))  # JPEG can be read smaller than it is
            tile = picture.convert("RGB")
        tile.thumbnail((self.width, self.height), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return tile

    def _head(self, total: int) -> Iterator[Image.Image]:
        plan = self.review.plan
        if self.review.simulated:
            words = "SIMULATED: a stand-in drew these pictures; they say nothing about a LoRA"
            yield Text(words, total, size=16, colour=TEXT, ground="#ffd84d").drawn()
        yield Text(plan.title, total, size=22).drawn()
        facts = ", ".join((*([f"workflow {plan.workflow.name}"] if plan.workflow else []), *plan.settings))
        yield Text(facts, total, size=self.small, colour=_DIM).drawn()
        if len(self.lines) < (there := len(_lines(self.review))):
            words = f"The first {len(self.lines)} of {there} rows; all of them are in report.html"
            yield Text(words, total, size=16, colour=TEXT, ground=_FLAGS["warning"][0]).drawn()
        names = {BASELINE: step_name(None), _REFERENCE: f"training images, {len(self.review.references)} in all"}
        expect = {_REFERENCE: "", BASELINE: ""}
        for checkpoint in plan.tested:
            names[checkpoint.id], expect[checkpoint.id] = step_name(checkpoint), checkpoint.expect
        yield self._across(
            [Text(names[c], self.width, size=self.small + 3, margin=0).drawn() for c in self.columns], total
        )
        notes = [Text(expect[c], self.width, size=self.small, colour=_DIM, margin=0).drawn() for c in self.columns]
        yield self._across(notes, total)

    def _title(self, line: _Line, total: int) -> Iterator[Text]:
        row, strength = line
        seed = f"seed {row.seed}" if strength is None else f"seed {row.seed}, strength {strength:g}"
        yield Text(f"{row.purpose or row.prompt}, {seed}", total, size=self.small + 3, above=8)
        yield Text(row.text, total, size=self.small, colour=_DIM)

    def _across(self, parts: list[Image.Image], total: int) -> Image.Image:
        strip = Image.new("RGB", (total, max(part.height for part in parts)), GROUND)
        for index, part in enumerate(parts):
            strip.paste(part, (self._left(index), 0))
        return strip

    def _picture(self, line: _Line, column: str) -> Image.Image:
        """One picture with its flags on it and its digest below."""
        source = self._source(column, line)
        tile = self._tile(source) if source else None
        flags = [Flag("failed", "cannot be read")] if source and not tile else []
        if column == _REFERENCE:
            return self._framed(tile, flags)
        entry = self.review.entry(column, *line)
        framed = self._framed(tile, [*entry.flags, *flags])
        both = Image.new("RGB", (self.width, self.height + self.caption), GROUND)
        both.paste(framed, (0, 0))
        both.paste(Text(entry.digest[:8], self.width, size=self.small, colour=_DIM, margin=0).drawn(), (0, self.height))
        return both

    def _framed(self, tile: Image.Image | None, flags: list[Flag]) -> Image.Image:
        frame = Image.new("RGB", (self.width, self.height), "#e4e4e1" if tile or flags else GROUND)
        if tile:
            frame.paste(tile, ((self.width - tile.width) // 2, (self.height - tile.height) // 2))
        bottom = self.height
        for strip in reversed([self._strip(flag) for flag in flags]):
            bottom -= strip.height
            frame.paste(strip, (0, bottom))
        return frame

    def _strip(self, flag: Flag) -> Image.Image:
        ground, colour = _FLAGS[flag.kind]
        words = f"{flag.title}: {flag.short}" if flag.short else str(flag)
        return Text(words, self.width, size=self.small, colour=colour, ground=ground, margin=4, lines=3).drawn()


_REFERENCE: Final = "(reference)"  # no column can be called so: ids have no brackets


def _paste(strips: list[Image.Image], sheet: Image.Image, top: int) -> int:
    """Put strips below each other, and give the place below them."""
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return top
