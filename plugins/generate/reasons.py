"""Why cells gave no picture: a reason that is several cells' is said in full once, for the first of them."""

from plugins.comfyui.ending import cause_of
from plugins.plan.cells import Cell


class Reasons:
    """What the tests of a run said so far."""

    def __init__(self) -> None:
        self._first: dict[str, Cell] = {}
        """The cell for which each cause was said in full."""

    def said(self, cell: Cell, reason: str) -> str:
        """Return that a cell gave no picture, and why; or which other one gave none for the same reason."""
        first = self._first.setdefault(cause_of(reason), cell)
        if first == cell:
            return f"{cell} gave no picture. {reason}"
        return f"{cell} gave no picture, for the same reason as {first}."
