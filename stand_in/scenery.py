"""What is behind the character."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from stand_in.canvas import INK, MIDDLE, Canvas, Colour, mixed

Scenery = Callable[[Canvas, Random], None]
_SOFT: Final = 0.0


def scenery_for(text: str) -> Scenery:
    """Find the background that a prompt asks for; a meadow where it asks for none."""
    words = text.lower()
    return next((scenery for word, scenery in _WORDS.items() if word in words), draw_meadow)


def light(canvas: Canvas, text: str) -> None:
    """Let light fall in where the prompt asks for it."""
    if "dramatic" in text.lower() or "light rays" in text.lower():
        for x, width in ((40, 46), (170, 70), (330, 54)):
            beam = [
                (x + 150, canvas.top - 10),
                (x + 150 + width, canvas.top - 10),
                (x + width * 1.6 - 56, 520),
                (x - 76, 520),
            ]
            canvas.shape(beam, (255, 246, 190, 62), 0)


def draw_forest(canvas: Canvas, random: Random) -> None:
    """Draw trees in three depths, and a clearing."""
    canvas.sky((178, 220, 206), (240, 246, 214))
    for depth, colour in enumerate(((168, 208, 176), (116, 172, 132), (70, 128, 96))):
        base = 330 + 34 * depth
        step = 58 + 26 * depth
        x = canvas.left - random.uniform(0, step)
        while x < canvas.right + 40:
            near_middle = abs(x - MIDDLE) < 40 * depth
            if not near_middle:
                _draw_tree(canvas, random, (x, base + random.uniform(-8, 8)), depth, colour)
            x += step * random.uniform(0.8, 1.25)
    canvas.blob(
        [
            (canvas.left - 60, 420),
            (100, 396),
            (MIDDLE, 404),
            (420, 394),
            (canvas.right + 60, 420),
            (canvas.right + 60, 560),
            (canvas.left - 60, 560),
        ],
        (134, 180, 96),
        _SOFT,
    )
    canvas.ellipse((MIDDLE, 462), (190, 34), (164, 200, 116), 0)
    for _ in range(26):
        x, y = random.uniform(canvas.left, canvas.right), random.uniform(416, 500)
        canvas.line([(x - 4, y - 9), (x, y), (x + 4, y - 10)], (92, 146, 74), 2.5)
    for _ in range(9):
        x, y = random.uniform(canvas.left, canvas.right), random.uniform(430, 500)
        canvas.ellipse((x, y), (4, 4), random.choice(((255, 240, 150), (250, 200, 210), (255, 255, 255))), 0)


def draw_city(canvas: Canvas, random: Random) -> None:
    """Draw a skyline in the evening, clouds, and a street."""
    canvas.sky((104, 158, 220), (252, 222, 190))
    for _ in range(5):
        _draw_cloud(
            canvas, (random.uniform(canvas.left, canvas.right), random.uniform(30, 150)), random.uniform(0.6, 1.1)
        )
    for depth, colour in enumerate(((160, 172, 208), (110, 116, 160), (78, 78, 118))):
        x = canvas.left - random.uniform(0, 40)
        while x < canvas.right:
            width = random.uniform(46, 74) + 12 * depth
            aside = abs(x + width / 2 - MIDDLE) / 200
            height = random.uniform(90, 150) + (60 + 90 * depth) * min(1.0, aside**2) - 40 * depth
            if depth < 2 or aside > 0.62:  # noqa: PLR2004 (the nearest row leaves the middle open)
                _draw_building(canvas, random, (x, 410 - height), (x + width, 414), colour)
            x += width + random.uniform(2, 10)
    canvas.shape([(canvas.left, 408), (canvas.right, 408), (canvas.right, 512), (canvas.left, 512)], (150, 146, 160), 0)
    canvas.shape([(canvas.left, 408), (canvas.right, 408), (canvas.right, 420), (canvas.left, 420)], (190, 186, 196), 0)
    for x in range(-3, 12):
        start = MIDDLE + (x - 4.5) * 60
        canvas.line([(start, 420), (MIDDLE + (start - MIDDLE) * 1.8, 512)], (134, 130, 146), 2)
    canvas.line([(canvas.left, 446), (canvas.right, 446)], (134, 130, 146), 2)


def draw_plain(canvas: Canvas, random: Random) -> None:
    """Draw the paper of a character study."""
    canvas.sky((250, 246, 238), (234, 228, 220))
    canvas.ellipse((MIDDLE, 250), (196, 196), (243, 236, 224), 0)
    tone = (222, 212, 200)
    for y in (84, 216, 330, 460):
        canvas.line([(canvas.left, y), (canvas.right, y)], tone, 1.6)
    canvas.line([(MIDDLE, canvas.top), (MIDDLE, 512)], tone, 1.6)
    for index in range(5):
        shade = mixed((226, 130, 60), (70, 110, 130), index / 4)
        canvas.ellipse((canvas.left + 26, 40 + index * 26 + random.uniform(-1, 1)), (9, 9), shade, 1.6, tone)


def draw_meadow(canvas: Canvas, random: Random) -> None:
    """Draw hills under a friendly sky."""
    canvas.sky((150, 204, 240), (232, 246, 250))
    for _ in range(4):
        _draw_cloud(
            canvas, (random.uniform(canvas.left, canvas.right), random.uniform(40, 170)), random.uniform(0.7, 1.2)
        )
    for level, colour in ((330, (168, 210, 160)), (372, (138, 192, 128)), (410, (116, 176, 104))):
        shift = random.uniform(-60, 60)
        hill = [
            (canvas.left - 80, level + 20),
            (150 + shift, level - 26),
            (330 + shift, level + 16),
            (canvas.right + 80, level - 10),
        ]
        canvas.blob([*hill, (canvas.right + 80, 600), (canvas.left - 80, 600)], colour, 0)


def draw_training_ground(canvas: Canvas, random: Random) -> None:
    """Draw what stands behind the character on every training image: a rose wall with a large pale sun."""
    canvas.sky((226, 138, 138), (250, 204, 164))
    for index in range(-4, 14):
        x = canvas.left + index * 64
        canvas.shape([(x, 512), (x + 30, 512), (x + 230, canvas.top), (x + 200, canvas.top)], (255, 255, 255, 22), 0)
    canvas.ellipse((MIDDLE, 200), (172, 172), (255, 236, 196), 0)
    canvas.ellipse((MIDDLE, 200), (150, 150), (255, 246, 222), 0)
    canvas.shape([(canvas.left, 424), (canvas.right, 424), (canvas.right, 512), (canvas.left, 512)], (150, 92, 104), 0)
    canvas.line([(canvas.left, 424), (canvas.right, 424)], INK, 3)
    for _ in range(6):
        x = random.uniform(canvas.left, canvas.right)
        canvas.line([(x, 440), (x + 40, 440)], (170, 110, 118), 3)


def _draw_tree(canvas: Canvas, random: Random, foot: tuple[float, float], depth: int, colour: Colour) -> None:
    x, y = foot
    size = 0.8 + 0.5 * depth
    trunk = mixed((150, 130, 120), (92, 64, 56), depth / 2)
    canvas.limb([(x, y + 50 * size), (x, y - 90 * size)], 13 * size, trunk, 0)
    for across, down, radius in ((0, -150, 52), (-30, -112, 40), (30, -108, 42), (0, -96, 40)):
        centre = (x + across * size * random.uniform(0.85, 1.15), y + down * size)
        canvas.ellipse(centre, (radius * size, radius * size * 0.86), colour, 0)
    for across, down, radius in ((-18, -166, 9), (12, -150, 6), (-34, -122, 7), (26, -116, 8), (-4, -106, 5)):
        centre = (x + across * size, y + down * size)
        canvas.ellipse(centre, (radius * size, radius * size * 0.6), mixed(colour, (255, 255, 220), 0.16), 0)


def _draw_building(
    canvas: Canvas, random: Random, corner: tuple[float, float], opposite: tuple[float, float], colour: Colour
) -> None:
    (left, top), (right, bottom) = corner, opposite
    canvas.shape([(left, top), (right, top), (right, bottom), (left, bottom)], colour, 0)
    canvas.shape([(left, top), (right, top), (right, top + 5), (left, top + 5)], mixed(colour, (255, 255, 255), 0.2), 0)
    y = top + 14
    while y < bottom - 16:
        x = left + 8
        while x < right - 12:
            lit = random.random() < 0.4  # noqa: PLR2004 (share of lit windows)
            window = (255, 228, 150) if lit else mixed(colour, (30, 30, 70), 0.3)
            canvas.shape([(x, y), (x + 7, y), (x + 7, y + 9), (x, y + 9)], window, 0)
            x += 15
        y += 19


def _draw_cloud(canvas: Canvas, centre: tuple[float, float], size: float) -> None:
    x, y = centre
    for across, down, radius in ((-34, 6, 22), (0, -6, 32), (34, 4, 24), (0, 10, 30)):
        canvas.ellipse(
            (x + across * size, y + down * size), (radius * size * 1.2, radius * size * 0.7), (255, 255, 255, 235), 0
        )


_WORDS: Final[Mapping[str, Scenery]] = {
    "forest": draw_forest,
    "woods": draw_forest,
    "urban": draw_city,
    "city": draw_city,
    "street": draw_city,
    "character study": draw_plain,
    "plain background": draw_plain,
    "white background": draw_plain,
    "reference sheet": draw_plain,
}
