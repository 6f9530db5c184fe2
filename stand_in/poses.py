"""How the figure stands: where its joints are. "Left" and "right" in names are the viewer's."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from stand_in.canvas import Point


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Joints in canvas units, front view. The viewer's left is the character's right."""

    head: Point = (256, 150)
    chest: Point = (256, 240)
    hips: Point = (256, 326)
    left_arm: tuple[Point, Point, Point] = ((219, 242), (197, 288), (188, 334))
    right_arm: tuple[Point, Point, Point] = ((293, 242), (315, 288), (324, 334))
    left_leg: tuple[Point, Point, Point] = ((240, 330), (236, 388), (233, 450))
    right_leg: tuple[Point, Point, Point] = ((272, 330), (276, 388), (279, 450))
    gaze: float = 0.0
    """0 looks at the viewer, 1 up to the sky."""
    crouch: float = 0.0
    """0 stands, 1 crouches."""


STANDING: Final = Pose()
CROUCHING: Final = Pose(
    head=(256, 244),
    chest=(256, 332),
    hips=(256, 408),
    left_arm=((221, 334), (190, 376), (214, 436)),
    right_arm=((291, 334), (316, 362), (292, 392)),
    left_leg=((240, 412), (180, 386), (200, 452)),
    right_leg=((272, 412), (338, 378), (316, 452)),
    crouch=1.0,
)
_HIP: Final = ((293, 242), (338, 280), (300, 316))
_RAISED: Final = ((293, 242), (342, 238), (356, 184))
_OUT: Final = ((293, 242), (336, 266), (376, 246))
_BEHIND: Final = ((219, 242), (180, 276), (206, 318))
_FORWARD: Final = ((219, 242), (186, 280), (166, 318))
_WIDE: Final = {
    "left_leg": ((240, 330), (226, 390), (214, 450)),
    "right_leg": ((272, 330), (286, 390), (298, 450)),
}
_WALK: Final = {
    "left_leg": ((240, 330), (232, 384), (222, 438)),
    "right_leg": ((272, 330), (288, 386), (296, 452)),
}
RELAXED: Final = replace(STANDING, left_arm=((219, 242), (191, 286), (186, 334)), right_arm=_HIP)
WAVING: Final = replace(STANDING, right_arm=_RAISED)
WALKING: Final = replace(STANDING, left_arm=_FORWARD, left_leg=_WALK["left_leg"], right_leg=_WALK["right_leg"])
HERO: Final = replace(
    STANDING, left_arm=_BEHIND, right_arm=_HIP, left_leg=_WIDE["left_leg"], right_leg=_WIDE["right_leg"]
)
POINTING: Final = replace(STANDING, right_arm=_OUT, left_leg=_WIDE["left_leg"], right_leg=_WIDE["right_leg"])
TRAINING: Final = (
    HERO,
    STANDING,
    WAVING,
    RELAXED,
    POINTING,
    WALKING,
    replace(HERO, left_arm=((219, 242), (172, 240), (156, 188))),
    replace(RELAXED, left_leg=_WIDE["left_leg"], right_leg=_WIDE["right_leg"]),
    replace(WAVING, left_arm=_BEHIND),
)
"""The poses of the training images: none of them crouches."""
_WORDS: Final[Mapping[str, Pose]] = {
    "crouch": CROUCHING,
    "squat": CROUCHING,
    "kneel": CROUCHING,
    "arms at sides": STANDING,
    "waving": WAVING,
    "walking": WALKING,
    "running": WALKING,
    "pointing": POINTING,
    "hands on hips": HERO,
}


def between(first: Pose, second: Pose, share: float) -> Pose:
    """Return the pose a part of the way from one to the other."""

    def mix(one: object, other: object) -> object:
        if isinstance(one, tuple) and isinstance(other, tuple):
            return tuple(mix(a, b) for a, b in zip(one, other, strict=True))
        assert isinstance(one, int | float)  # noqa: S101 (poses hold nothing else)
        assert isinstance(other, int | float)  # noqa: S101
        return one + (other - one) * share

    joints = {field.name: mix(getattr(first, field.name), getattr(second, field.name)) for field in fields(first)}
    return Pose(**joints)  # type: ignore[arg-type]


def asked_for(text: str, choice: int) -> Pose:
    """Return the pose that a prompt asks for; `choice` picks a way of standing where it asks for none."""
    words = text.lower()
    pose = next((pose for word, pose in _WORDS.items() if word in words), (RELAXED, STANDING, HERO)[choice % 3])
    if any(word in words for word in ("looking up", "sky", "upward")):
        pose = replace(pose, gaze=1.0)
    return pose
