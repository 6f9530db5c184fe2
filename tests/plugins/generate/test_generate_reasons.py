"""A reason that keeps several pictures from being made is said in full once."""

from plugins.comfyui.ending import not_begun, not_finished, out_of_reach
from plugins.generate.reasons import Reasons
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan


def test_reason_of_several_pictures_is_said_once(plan: Plan) -> None:
    """One server was given up: who was not finished and who was not begun refer to the first, which says why."""
    reasons, (first, second, third, *_) = Reasons(), matrix(plan)
    gone, again = (
        str(out_of_reach(url="http://a:1", seconds=60, reason=reason)) for reason in ("refused", "timed out")
    )

    assert f"{first} gave no picture. {gone}" == reasons.said(first, gone)
    for reason in (gone, again, str(not_finished(gone)), str(not_begun(gone))):
        assert f"{second} gave no picture, for the same reason as {first}." == reasons.said(second, reason)
    assert f"{third} gave no picture, for the same reason as {first}." == reasons.said(third, str(not_begun(again)))


def test_first_picture_says_its_reason_each_time(plan: Plan) -> None:
    """A test that is run again, as by a plugin for that, does not refer to itself."""
    reasons, cell = Reasons(), matrix(plan)[0]

    assert ["baseline x forest gave no picture. Broken."] * 2 == [reasons.said(cell, "Broken.") for _ in range(2)]


def test_other_reason_is_said_in_full(plan: Plan) -> None:
    """Two servers that are gone are two reasons."""
    reasons, (first, second, *_) = Reasons(), matrix(plan)
    one, other = (str(out_of_reach(url=f"http://{name}:1", seconds=60, reason="refused")) for name in "ab")
    reasons.said(first, one)

    assert f"{second} gave no picture. {other}" == reasons.said(second, other)
