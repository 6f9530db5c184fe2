"""Text on the contact sheet: wrapped, measured, and drawn."""

from bisect import bisect_right
from dataclasses import KW_ONLY, dataclass
from functools import cache, cached_property
from math import ceil
from typing import Final

from PIL import Image, ImageDraw, ImageFont

MARGIN: Final = 16
BELOW: Final = 6
"""Pixels below set text."""
GROUND: Final = "#f4f4f3"
TEXT: Final = "#1c1c1b"
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Text:
    """Text within `width` pixels: wrapped, and cut after so many lines.

    It is drawn where it is pasted: that of all rows, drawn, would take a third of the sheet's memory.
    """

    words: str
    width: int
    _: KW_ONLY
    size: int
    colour: str = TEXT
    ground: str = GROUND
    margin: int = MARGIN
    above: int = 0
    lines: int = 4

    @cached_property
    def _wrapped(self) -> list[str]:
        there_is_room_for = self.lines * self.width  # letters, at one pixel each: there is an end to wrapping
        words = " ".join(self.words.split())[:there_is_room_for]
        wrapped = _wrapped(words, self.width - 2 * self.margin, _font(self.size))
        if len(wrapped) > self.lines:
            wrapped = [*wrapped[: self.lines - 1], wrapped[self.lines - 1][:-1] + "..."]
        return wrapped

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.above + pitch(self.size) * len(self._wrapped) + (BELOW if self._wrapped else 0)

    def drawn(self) -> Image.Image:
        """Draw it."""
        strip = Image.new("RGB", (self.width, self.height), self.ground)
        pen = ImageDraw.Draw(strip)
        for number, line in enumerate(self._wrapped):
            top = self.above + 2 + number * pitch(self.size)
            pen.text((self.margin, top), line, self.colour, _font(self.size))
        return strip


def pitch(size: int) -> int:
    """Return the height of a line of text, in pixels."""
    return round(size * 1.35)


@cache
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _wrapped(words: str, width: int, font: _Font) -> list[str]:
    """Break text into lines no wider than `width` pixels, between words where that is possible."""
    lines: list[str] = []
    line, reach = "", 0.0
    space = font.getlength(" ")
    for word in words.split(" "):
        wide = font.getlength(word)
        if reach + space + wide <= width:
            line, reach = f"{line} {word}".strip(), reach + space + wide
            continue
        if line:
            lines.append(line)
        line, reach = word, wide
        while reach > width and len(line) > 1:
            fits = bisect_right(range(1, len(line)), width, key=lambda end: ceil(font.getlength(line[:end])))
            lines.append(line[: max(fits, 1)])
            line = line[max(fits, 1) :]
            reach = font.getlength(line)
    return [*lines, line] if line else lines
