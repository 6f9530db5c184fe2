"""A surface to draw flat, outlined shapes on, in units that do not depend on the picture's size.

The drawing square is 512 units high and 400 wide at least; its middle is x = 256, its ground line y = 460.
Pictures are drawn larger and scaled down, so that edges are smooth.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int] | tuple[int, int, int, int]
SIDE: Final = 512.0
MIDDLE: Final = 256.0
GROUND: Final = 460.0
INK: Final = (58, 40, 50)
"""Colour of every outline."""
_NARROWEST: Final = 400.0
_LARGE: Final = 1200 * 1200
_SMOOTH: Final = 6


class Canvas:
    """Draws into a picture of `size` pixels; shapes are filled, and outlined where `line` is not 0."""

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        self._factor = 2 if width * height <= _LARGE else 1
        self._image = Image.new("RGB", (width * self._factor, height * self._factor))
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._scale = self._factor * min(width / _NARROWEST, height / SIDE)
        self._left = self._factor * width / 2 - MIDDLE * self._scale
        self._top = self._factor * height - SIDE * self._scale
        self.left, self.top = (-self._left / self._scale, -self._top / self._scale)
        self.right = self.left + self._factor * width / self._scale
        self.bottom = SIDE

    def picture(self) -> Image.Image:
        """Return the finished picture, at its own size."""
        return self._image.reduce(self._factor) if self._factor > 1 else self._image

    def sky(self, top: Colour, bottom: Colour) -> None:
        """Fill the whole picture, one colour running into the other."""
        strip = Image.new("RGB", (1, 2))
        strip.putpixel((0, 0), top[:3])
        strip.putpixel((0, 1), bottom[:3])
        height = self._image.height
        # Stretched beyond the edge: the outer quarters of a two-pixel strip are flat.
        tall = strip.resize((1, height * 2), Image.Resampling.BILINEAR)
        band = tall.crop((0, height // 2, 1, height // 2 + height))
        self._image.paste(band.resize(self._image.size))

    def shape(self, points: Iterable[Point], fill: Colour, line: float = 3.2, ink: Colour = INK) -> None:
        """Fill a shape with corners."""
        pixels = self._pixels(points)
        self._draw.polygon(pixels, fill)
        if line:
            self._stroke([*pixels, pixels[0], pixels[1]], line, ink)

    def blob(self, points: Sequence[Point], fill: Colour, line: float = 3.2, ink: Colour = INK) -> None:
        """Fill a round shape through these points."""
        self.shape(_rounded(points), fill, line, ink)

    def ellipse(self, centre: Point, radii: Point, fill: Colour, line: float = 3.2, ink: Colour = INK) -> None:
        """Fill an ellipse."""
        (x, y), (across, down) = centre, radii
        box = self._pixels([(x - across, y - down), (x + across, y + down)])
        self._draw.ellipse(box, fill, ink if line else None, max(1, round(line * self._scale)))

    def limb(self, points: Sequence[Point], width: float, fill: Colour, line: float = 3.2, ink: Colour = INK) -> None:
        """Draw a round-ended band along a line: an arm, a leg, a trunk."""
        pixels = self._pixels(points)
        if line:
            self._stroke(pixels, width + 2 * line, ink)
        self._stroke(pixels, width, fill)

    def line(self, points: Sequence[Point], colour: Colour = INK, width: float = 3.2) -> None:
        """Draw a line with round ends."""
        self._stroke(self._pixels(points), width, colour)

    def curve(self, points: Sequence[Point], colour: Colour = INK, width: float = 3.2) -> None:
        """Draw a smooth open line through these points."""
        smooth = [point for index in range(len(points) - 1) for point in _between(points, index, closed=False)]
        self.line([*smooth, points[-1]], colour, width)

    def _pixels(self, points: Iterable[Point]) -> list[Point]:
        return [(self._left + x * self._scale, self._top + y * self._scale) for x, y in points]

    def _stroke(self, pixels: Sequence[Point], width: float, colour: Colour) -> None:
        thick = max(1, round(width * self._scale))
        self._draw.line(pixels, colour, thick, joint="curve")
        if thick > 2:  # noqa: PLR2004 (thinner ends need no rounding)
            radius = thick / 2
            for x, y in (pixels[0], pixels[-1]):
                self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours; `share` 0 gives the first, 1 the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first[:3], second[:3], strict=True))
    return red, green, blue


def _rounded(points: Sequence[Point]) -> list[Point]:
    return [point for index in range(len(points)) for point in _between(points, index, closed=True)]


def _between(points: Sequence[Point], index: int, *, closed: bool) -> Iterable[Point]:
    """Points of a Catmull-Rom curve from `points[index]` up to the next."""
    count = len(points)

    def at(number: int) -> Point:
        return points[number % count] if closed else points[min(max(number, 0), count - 1)]

    before, start, end, after = at(index - 1), at(index), at(index + 1), at(index + 2)
    for part in range(_SMOOTH):
        t = part / _SMOOTH
        yield (
            _spline(before[0], start[0], end[0], after[0], t),
            _spline(before[1], start[1], end[1], after[1], t),
        )


def _spline(before: float, start: float, end: float, after: float, t: float) -> float:
    slope, other = (end - before) / 2, (after - start) / 2
    rise = start - end
    return start + t * (slope + t * (-3 * rise - 2 * slope - other + t * (2 * rise + slope + other)))
