"""The character's face and hair."""

import math
from typing import Final

from stand_in.canvas import INK, Canvas, Point, mixed
from stand_in.looks import Look
from stand_in.poses import Pose

_SKIN: Final = (252, 220, 192)
_BLUSH: Final = (244, 150, 130, 120)
_WHITE: Final = (255, 255, 255)
_RADII: Final = (72.0, 66.0)


def draw_hair_behind(canvas: Canvas, pose: Pose, look: Look, sway: float) -> None:
    """Draw the hair that the head hides partly."""
    x, y = pose.head
    shade = mixed(look.hair, (40, 10, 20), 0.22)
    if look.spikes:
        canvas.shape(_spikes((x, y), 74, 30 * look.spikes, 11, sway), shade)
    else:
        canvas.blob(
            [
                (x - 50, y - 62),
                (x - 84, y - 8),
                (x - 80, y + 58),
                (x - 40, y + 72),
                (x + 40, y + 72),
                (x + 80, y + 58),
                (x + 84, y - 8),
                (x + 50, y - 62),
            ],
            shade,
        )


def draw_head(canvas: Canvas, pose: Pose, look: Look, sway: float) -> None:
    """Draw face and front hair; looking up moves them towards the crown."""
    x, y = pose.head
    up = 20 * pose.gaze
    for side in (-1, 1):
        canvas.ellipse((x + side * 69, y + 12 - up * 0.3), (11, 15), _SKIN)
    canvas.blob(
        [
            (x, y - 66),
            (x - 52, y - 46),
            (x - _RADII[0], y + 4),
            (x - 50, y + 50),
            (x, y + _RADII[1] + 2),
            (x + 50, y + 50),
            (x + _RADII[0], y + 4),
            (x + 52, y - 46),
        ],
        _SKIN,
    )
    _draw_face(canvas, (x, y + 16 - up), look, pose.gaze)
    _draw_fringe(canvas, (x, y - up * 0.55), look, sway)


def _draw_face(canvas: Canvas, middle: Point, look: Look, gaze: float) -> None:
    x, y = middle
    for side in (-1, 1):
        eye = (x + side * 31, y)
        canvas.ellipse(eye, (16, 20), _WHITE, 0)
        iris = (eye[0], eye[1] + 1 - 6 * gaze)
        canvas.ellipse(iris, (12.5, 16 - 2 * gaze), mixed(look.eyes, INK, 0.35), 0)
        canvas.ellipse((iris[0], iris[1] + 5), (9, 8), mixed(look.eyes, _WHITE, 0.25), 0)
        canvas.ellipse((iris[0], iris[1] - 1), (5.5, 7.5), INK, 0)
        canvas.ellipse((iris[0] - 5, iris[1] - 7), (4.5, 5), _WHITE, 0)
        canvas.ellipse((iris[0] + 5, iris[1] + 6), (2.5, 2.5), _WHITE, 0)
        canvas.curve(
            [(eye[0] - side * 14, y - 12), (eye[0], y - 22), (eye[0] + side * 15, y - 14), (eye[0] + side * 19, y - 7)],
            INK,
            5.5,
        )
        canvas.curve(
            [(eye[0] - side * 12, y - 33), (eye[0] + side * 2, y - 37 - 3 * gaze), (eye[0] + side * 16, y - 31)],
            mixed(look.hair, INK, 0.5),
            4,
        )
        canvas.ellipse((x + side * 47, y + 25), (11, 6), _BLUSH, 0)
    canvas.line([(x - 1, y + 19), (x + 1, y + 19)], (214, 150, 120), 3.5)
    if gaze > 0.5:  # noqa: PLR2004 (halfway up)
        canvas.ellipse((x, y + 35), (7, 8), (176, 70, 70), 2.5)
    else:
        canvas.curve([(x - 10, y + 32), (x, y + 37), (x + 10, y + 31)], INK, 3.5)


def _draw_fringe(canvas: Canvas, middle: Point, look: Look, sway: float) -> None:
    x, y = middle
    shine = mixed(look.hair, _WHITE, 0.4)
    if look.spikes:
        deep = 8 * look.spikes
        top = _spikes((x, y - 4), 72, 24 * look.spikes, 7, sway, first=188, last=352)
        fringe = [
            (x + 74, y + 16),
            (x + 60, y - 18),
            (x + 46, y + 4 + deep),
            (x + 34, y - 26),
            (x + 12 + 4 * sway, y + 2 + deep),
            (x + 2, y - 28),
            (x - 22 + 4 * sway, y + 4 + deep),
            (x - 34, y - 24),
            (x - 50, y + 6 + deep),
            (x - 60, y - 16),
            (x - 74, y + 16),
        ]
        canvas.shape([*top, *fringe], look.hair)
        canvas.curve([(x - 46, y - 44), (x - 22, y - 56), (x + 4, y - 58)], shine, 6)
        return
    canvas.blob(
        [
            (x, y - 74),
            (x + 52, y - 56),
            (x + 80, y - 8),
            (x + 78, y + 44),
            (x + 64, y + 18),
            (x + 58, y - 12),
            (x + 30, y - 20),
            (x + 4 + 3 * sway, y - 26),
            (x - 26, y - 16),
            (x - 58, y - 10),
            (x - 64, y + 18),
            (x - 78, y + 44),
            (x - 80, y - 8),
            (x - 52, y - 56),
        ],
        look.hair,
    )
    canvas.curve([(x - 46, y - 40), (x - 20, y - 52), (x + 8, y - 53)], shine, 6)


def _spikes(  # noqa: PLR0913 (a shape has that many measures)
    centre: Point, radius: float, length: float, count: int, sway: float, *, first: float = 160, last: float = 380
) -> list[Point]:
    """Return a crown of pointed strands over the head, from one angle to the other (degrees, clockwise)."""
    points: list[Point] = []
    step = (last - first) / count
    for index in range(count):
        angle = first + step * index
        lift = 1.0 + 0.32 * math.sin(index * 2.4)
        for turn, out in ((0.0, 0.0), (0.5 + 0.12 * sway, length * lift), (1.0, 0.0)):
            radians = math.radians(angle + step * turn)
            reach = radius + out
            points.append((centre[0] + reach * math.cos(radians), centre[1] + 0.94 * reach * math.sin(radians)))
    return points
