"""What a real ComfyUI was recorded to answer (tests/contract/recordings)."""

import json
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parents[2] / "contract" / "recordings" / "0.3.64"
RUNS = sorted(path.stem for path in RECORDINGS.glob("run_*.json"))


def recording(name: str) -> Any:
    """Read one recording."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def texts(name: str) -> list[dict[str, Any]]:
    """Return the text frames of a recorded run, in their order."""
    return [frame for frame in recording(name)["frames"] if frame["type"] != "bin"]
