"""One plan's whole way: what was run, and what it left."""

from dataclasses import dataclass, field
from pathlib import Path

from stand_in.faults import NodeFailure
from stand_in.serving import Serving
from tests.commands.looking import Result, cell_of
from tests.small_plan import Posing, Suite

TITLE = "Spyke <img src=x onerror=alert(1)> LoRA"
TEXT = "spyke_plasma_v1, standing in a </script><script>alert(2)</script> forest"


class FailingCell(Posing):
    """A stand-in that runs out of memory on one cell, and says so with markup and terminal codes."""

    def __init__(self) -> None:
        self.serving: Serving
        self.failing = "final-novel_pose"

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Fail while that cell is sampled."""
        del node_id
        if class_type == "KSampler" and self.failing and self.failing == cell_of(self.serving, prompt_id):
            raise NodeFailure("torch.OutOfMemoryError", "Allocation <script>alert(3)</script> \x1b[2J failed")


def made_of_pictures(reports: Path) -> list[Path]:
    """Return what is made of the pictures: previews, and the contact sheet."""
    return [*reports.glob("previews/*/*"), *reports.glob("contact-sheet.png")]


@dataclass
class Story:
    """One plan's whole way: each command's result, and what was on the disk after it."""

    suite: Suite
    results: dict[str, Result] = field(default_factory=dict)
    disks: dict[str, dict[str, bytes]] = field(default_factory=dict)
    times: dict[str, dict[Path, int]] = field(default_factory=dict)
    """When what is made of the pictures was written, in nanoseconds."""
    rendered: dict[str, list[str]] = field(default_factory=dict)
    """The cells that the server had rendered by then, in their order."""
    deployed: Path = Path()
    """The whole folder as it was when step 600 was deployed and verified, to be copied."""
