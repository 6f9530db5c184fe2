"""Whether a server gives the same picture again: every comparison of pixels depends on it."""

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from plugins.evidence.files import write_atomically
from plugins.plan.small_files import read_small

STABILITY: Final = "canary.json"


class StabilityCheck(BaseModel):
    """One cell rendered twice by one server. `difference` is the mean over pixels and channels, of 255."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cell: str
    server: str
    worker: str = ""
    comfyui_version: str
    device: str
    stable: bool
    difference: float

    def __str__(self) -> str:
        server = f"{self.server} beside {self.worker}" if self.worker else self.server
        if self.stable:
            return f"{server} is bit-stable: {self.cell}, rendered again, came out the same, pixel for pixel"
        return (
            f"{server} is not bit-stable: {self.cell}, rendered again, differs by {self.difference:.2f} of 255. "
            "Production will be compared by nearness instead of pixel for pixel."
        )


def write_stability(canary: StabilityCheck, reports: Path) -> None:
    """Keep what was measured, for the proof of a deployment."""
    write_atomically(reports / STABILITY, canary.model_dump_json(indent=2) + "\n")


def read_stability(reports: Path) -> StabilityCheck | None:
    """Return what was measured last; None where nothing was, or where it cannot be read."""
    try:
        return StabilityCheck.model_validate_json(read_small(reports / STABILITY))
    except (OSError, ValidationError, RecursionError):
        return None
