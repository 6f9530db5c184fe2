"""The character, from its cloak to its hair, drawn from the back to the front."""

from typing import Final

from stand_in.canvas import GROUND, Canvas, Colour, Point, mixed
from stand_in.face import draw_hair_behind, draw_head
from stand_in.looks import Look
from stand_in.poses import Pose

SKIN: Final = (252, 220, 192)
_WHITE: Final = (250, 248, 244)
_SHADE: Final = (214, 214, 226)
_GOLD: Final = (236, 184, 72)
_DARK_GOLD: Final = (176, 122, 38)
_GEM: Final = (70, 220, 210)
_STEEL: Final = (120, 142, 176)
_SHIRT: Final = (164, 182, 200)
_TUNIC: Final = (44, 74, 88)
_TROUSERS: Final = (74, 80, 104)
_BREECHES: Final = (88, 72, 84)
_SHOES: Final = (66, 62, 72)
_BOOTS: Final = (128, 78, 46)


def draw_figure(canvas: Canvas, pose: Pose, look: Look, sway: float) -> None:
    """Draw the character; `sway`, -1 to 1, moves what is loose."""
    reach = 62 + 58 * pose.crouch
    canvas.ellipse((256, GROUND), (reach, 9), (40, 30, 60, 70), line=0)
    if look.cloak:
        _draw_cloak_behind(canvas, pose, look, sway)
    draw_hair_behind(canvas, pose, look, sway)
    squatting = pose.crouch > 0.6  # noqa: PLR2004 (from here on the knees are in front)
    if not squatting:
        _draw_legs(canvas, pose, look)
    _draw_torso(canvas, pose, look)
    if squatting:
        _draw_legs(canvas, pose, look)
    _draw_arms(canvas, pose, look)
    if look.pauldron:
        _draw_pauldron(canvas, (pose.right_leg if look.pauldron == "left" else pose.left_leg)[1])
    if look.cloak:
        _draw_collar(canvas, pose, look)
    draw_head(canvas, pose, look, sway)


def _draw_cloak_behind(canvas: Canvas, pose: Pose, look: Look, sway: float) -> None:
    x, y = pose.chest
    whole = look.cloak == 1
    hem = min(GROUND - 6, y + (206 if whole else 92))
    spread = (92 if whole else 64) + 44 * pose.crouch
    swing = 12 * sway
    fill = _WHITE if whole else mixed(_WHITE, (176, 176, 184), 0.6)
    edge = [
        (x - 34, y - 22),
        (x - 58, y + 10),
        (x - 0.82 * spread + swing / 2, (y + hem) / 2 + 14),
        (x - spread + swing, hem - 6),
        (x - 0.62 * spread + swing, hem + 4),
        (x - 0.3 * spread + swing, hem - 8),
        (x + swing, hem + 2),
        (x + 0.34 * spread + swing, hem - 8),
        (x + 0.66 * spread + swing, hem + 4),
        (x + spread + swing, hem - 6),
        (x + 0.82 * spread + swing / 2, (y + hem) / 2 + 14),
        (x + 58, y + 10),
        (x + 34, y - 22),
    ]
    canvas.blob(edge, fill)
    for share in (-0.62, -0.3, 0.34, 0.66):
        top: Point = (x + share * 56, y + 30)
        canvas.curve(
            [top, (x + share * 0.8 * spread, (y + hem) / 2), (x + share * spread + swing, hem - 14)], _SHADE, 4
        )


def _draw_collar(canvas: Canvas, pose: Pose, look: Look) -> None:
    x, y = pose.chest
    whole = look.cloak == 1
    fill = _WHITE if whole else mixed(_WHITE, (176, 176, 184), 0.6)
    drop = 30 if whole else 18
    for side in (-1, 1):
        canvas.blob(
            [
                (x + side * 4, y - 16),
                (x + side * 30, y - 28),
                (x + side * 58, y - 4),
                (x + side * 64, y + drop),
                (x + side * 42, y + drop + 6),
                (x + side * 22, y + 14),
            ],
            fill,
        )
        if whole:
            canvas.curve(
                [(x + side * 63, y + drop - 2), (x + side * 42, y + drop + 2), (x + side * 22, y + 10)], _GOLD, 4
            )
    if whole:
        canvas.ellipse((x, y - 2), (11, 11), _GOLD)
        canvas.ellipse((x, y - 2), (5, 5), _GEM, 0)


def _draw_torso(canvas: Canvas, pose: Pose, look: Look) -> None:
    (x, y), (hip, low) = pose.chest, pose.hips
    cloth = mixed(_SHIRT, _TUNIC, look.outfit)
    hem = low + (16 if look.outfit else 4)
    wide = 44 if look.outfit else 37
    canvas.limb([(x, y - 20), (x, y - 8)], 22, SKIN)
    canvas.blob(
        [
            (x - 20, y - 14),
            (x - 40, y - 2),
            (x - 35, (y + low) / 2),
            (hip - wide, hem - 4),
            (hip, hem + 4),
            (hip + wide, hem - 4),
            (x + 35, (y + low) / 2),
            (x + 40, y - 2),
            (x + 20, y - 14),
        ],
        cloth,
    )
    if look.outfit:
        belt = low - 12
        canvas.limb([(hip - 35, belt), (hip + 35, belt)], 9, mixed(_BOOTS, _SHIRT, 0.3 * (1 - look.outfit)), 2.5)
    if look.outfit == 1:
        canvas.line([(x, y + 16), (hip, low - 22)], _GOLD, 3)
        canvas.ellipse((hip, low - 12), (8, 8), _GOLD, 2.5)
    if not look.outfit:
        canvas.curve([(x - 14, y - 12), (x, y - 2), (x + 14, y - 12)], mixed(_SHIRT, (255, 255, 255), 0.5), 5)


def _draw_legs(canvas: Canvas, pose: Pose, look: Look) -> None:
    cloth, shoes = mixed(_TROUSERS, _BREECHES, look.outfit), mixed(_SHOES, _BOOTS, look.outfit)
    for side, (hip, knee, foot) in ((-1, pose.left_leg), (1, pose.right_leg)):
        canvas.limb([hip, knee, (foot[0], foot[1] - 10)], 29, cloth)
        if look.outfit:
            top = _along(knee, foot, 0.45)
            canvas.limb([top, (foot[0], foot[1] - 12)], 29, shoes)
            canvas.limb([_across(knee, foot, 0.42, -13), _across(knee, foot, 0.42, 13)], 7, _lit(shoes), 2.5)
        canvas.blob(
            [
                (foot[0] - 15, foot[1] - 16),
                (foot[0] + 15, foot[1] - 16),
                (foot[0] + 17 + 5 * (side > 0), foot[1] + 4),
                (foot[0], foot[1] + 8),
                (foot[0] - 17 - 5 * (side < 0), foot[1] + 4),
            ],
            shoes,
        )


def _draw_pauldron(canvas: Canvas, knee: Point) -> None:
    """Draw the plate on a knee."""
    x, y = knee
    canvas.blob(
        [(x - 25, y + 6), (x - 22, y - 16), (x, y - 28), (x + 22, y - 16), (x + 25, y + 6), (x, y + 26)], _STEEL
    )
    canvas.blob([(x - 15, y - 8), (x, y - 19), (x + 15, y - 8), (x, y - 4)], _lit(_STEEL), 0)
    canvas.curve([(x - 22, y + 8), (x, y + 16), (x + 22, y + 8)], _GOLD, 5)
    canvas.ellipse((x, y + 1), (6, 6), _GOLD, 2.5)


def _draw_arms(canvas: Canvas, pose: Pose, look: Look) -> None:
    cloth = mixed(_SHIRT, _TUNIC, look.outfit)
    for shoulder, elbow, hand in (pose.left_arm, pose.right_arm):
        sleeve = hand if look.outfit == 1 else _along(shoulder, elbow, 0.8)
        canvas.limb([shoulder, elbow, hand], 21, SKIN)
        if look.outfit:
            canvas.limb([shoulder, elbow, _along(elbow, sleeve, 0.72)], 24, cloth)
        else:
            canvas.limb([shoulder, sleeve], 25, cloth)
        canvas.ellipse(hand, (13, 13), SKIN)
    if look.bracer:
        _, elbow, hand = pose.left_arm if look.bracer == "right" else pose.right_arm
        _draw_bracer(canvas, elbow, hand)


def _draw_bracer(canvas: Canvas, elbow: Point, hand: Point) -> None:
    """Draw the bracer on a forearm."""
    start, end = _along(elbow, hand, 0.22), _along(elbow, hand, 0.74)
    canvas.shape(
        [
            _across(elbow, hand, 0.16, -19),
            _across(elbow, hand, 0.16, 19),
            _across(elbow, hand, 0.8, 16),
            _across(elbow, hand, 0.8, -16),
        ],
        _GOLD,
    )
    canvas.line([_across(elbow, hand, 0.3, -15), _across(elbow, hand, 0.3, 15)], _DARK_GOLD, 3)
    canvas.line([_across(elbow, hand, 0.68, -13), _across(elbow, hand, 0.68, 13)], _DARK_GOLD, 3)
    middle = _along(start, end, 0.5)
    canvas.ellipse(middle, (7, 7), _GEM, 2.5)


def _along(first: Point, second: Point, share: float) -> Point:
    return first[0] + (second[0] - first[0]) * share, first[1] + (second[1] - first[1]) * share


def _across(first: Point, second: Point, share: float, aside: float) -> Point:
    """Return a point beside the line from first to second."""
    x, y = _along(first, second, share)
    run, rise = second[0] - first[0], second[1] - first[1]
    length = (run**2 + rise**2) ** 0.5 or 1.0
    return x - rise / length * aside, y + run / length * aside


def _lit(colour: Colour) -> Colour:
    return mixed(colour, (255, 255, 255), 0.35)
