"""What every node is, and what nodes work with."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stand_in.catalogue import NodeType
from stand_in.faults import Faults
from stand_in.folders import Folders
from stand_in.log import Log
from stand_in.values import digest_of
from stand_in.weights import read_base

Values = tuple[Any, ...]
"""A node's outputs, one per slot."""
Ui = dict[str, Any]
"""What an output node shows: `{"images": [...]}`."""


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What nodes work with. `step(done, of)` reports a sampling step, and raises when it must stop."""

    folders: Folders
    faults: Faults
    log: Log
    seconds_per_image: float
    sleep: Callable[[float], None]
    step: Callable[[int, int], None]


class Node(ABC):
    """One node of a workflow; called with its inputs by name, it returns its outputs and what to show."""

    def __init__(self, kit: Kit, declared: NodeType) -> None:
        self.kit = kit
        self.declared = declared

    @abstractmethod
    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401 (each has its own)
        """Run."""

    def file(self, kind: str, name: str) -> Path:
        """Find a model file. Raises `FileNotFoundError`."""
        path = self.kit.folders.find(kind, name)
        if path is None:
            raise FileNotFoundError(f"Model in folder '{kind}' with filename '{name}' not found.")
        return path

    def note(self, inputs: dict[str, Any]) -> str:
        """Return this node's class with its inputs, files by their content, as one short text."""
        seen = [(name, self._seen(name, inputs[name])) for name in sorted(inputs.keys() - self.declared.hidden.keys())]
        return f"{self.declared.name} {digest_of(seen)}"

    def _seen(self, name: str, value: object) -> object:
        entry = self.declared.required.get(name) or self.declared.optional.get(name) or [""]
        choices = entry[0] if isinstance(entry[0], dict) else (entry[1:] or [{}])[0].get("options")
        if not isinstance(choices, dict) or value in choices["more"] or choices["files"] == "input":
            return value
        return read_base(self.file(choices["files"], str(value)))


def plain(run: Callable[..., Values]) -> type[Node]:
    """Make a node class of a function that needs nothing but the inputs."""

    class Plain(Node):
        def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401
            return run(*args, **inputs), {}

    Plain.__doc__ = run.__doc__
    return Plain
