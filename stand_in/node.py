"""What every node is, and what nodes work with."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stand_in.faults import Faults
from stand_in.folders import Folders

Values = tuple[Any, ...]
"""A node's outputs, one per slot."""
Ui = dict[str, Any]
"""What an output node shows: `{"images": [...]}`."""


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What nodes work with. `step(done, of)` reports a sampling step, and raises when it must stop."""

    folders: Folders
    faults: Faults
    seconds_per_image: float
    sleep: Callable[[float], None]
    step: Callable[[int, int], None]


class Node(ABC):
    """One node of a workflow; called with its inputs by name, it returns its outputs and what to show."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit

    @abstractmethod
    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401 (each has its own)
        """Run."""

    def file(self, kind: str, name: str) -> Path:
        """Find a model file. Raises `FileNotFoundError`."""
        path = self.kit.folders.find(kind, name)
        if path is None:
            raise FileNotFoundError(f"Model in folder '{kind}' with filename '{name}' not found.")
        return path
