"""Why cells gave no picture: a reason that several cells share is given in full for the first of them."""

from plugins.comfyui.ending import cause_of
from plugins.plan.cells import Cell


class Reasons:
    """The reasons that the tests of a run gave so far."""

    def __init__(self) -> None:
        self._first: dict[str, Cell] = {}
        """The cell for which each reason was given in full."""

    def said(self, cell: Cell, reason: str) -> str:
        """Return why a cell gave no picture, or which other cell gave none for the same reason."""
        first = self._first.setdefault(cause_of(reason), cell)
        if first == cell:
            return f"{cell} gave no picture. {reason}"
        return f"{cell} gave no picture, for the same reason as {first}."
