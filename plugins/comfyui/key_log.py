"""What a server's log says of the keys of a LoRA: which of them no weight of the base model took.

ComfyUI loads what fits and goes on; only its log names the rest, a line for each key: `lora key not loaded: KEY`.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SKIPPED: Final = re.compile(r"lora key not loaded: (.+?)\s*$")
_CAPACITY: Final = 300
"""Entries that ComfyUI keeps; of a longer log the beginning is lost."""
_KINDS: Final = (
    ("text encoder", re.compile(r"^(?:lora_te\d?_|text_encoders?(?:_\d)?\.)")),
    ("attention", re.compile(r"attn|attention", re.IGNORECASE)),
    ("feed-forward", re.compile(r"mlp|ff[._]|ffn|feed_forward", re.IGNORECASE)),
)


class _Entry(BaseModel):
    """One write to the server's output."""

    model_config = ConfigDict(frozen=True)

    t: str
    m: str


class _Log(BaseModel):
    entries: tuple[_Entry, ...]


@dataclass(frozen=True, kw_only=True)
class KeyLog:
    """A server's log, as it was at one time."""

    entries: tuple[tuple[str, str], ...]
    """Time, as the server writes it, and text."""

    @classmethod
    def read(cls, answer: object) -> "KeyLog | None":
        """Read what /internal/logs/raw answered; None where that is no log."""
        try:
            log = _Log.model_validate(answer)
        except ValidationError:
            return None
        return cls(entries=tuple((one.t, one.m) for one in log.entries))

    def since(self, before: "KeyLog") -> "KeyLog | None":
        """Return what was written after `before` was read; None where entries between may be lost."""
        if not before.entries:
            return self if len(self.entries) < _CAPACITY else None
        last = before.entries[-1]
        if last in self.entries:
            at = len(self.entries) - 1 - self.entries[::-1].index(last)
            return KeyLog(entries=self.entries[at + 1 :])
        return None

    def skipped(self, keys: Collection[str]) -> "Skipped":
        """Return which of a LoRA's keys were not loaded.

        Lines of another LoRA's keys, which somebody else's prompt loaded meanwhile, are not taken for ours: they stand
        together, and some of them are no keys of this one.
        """
        lines = [line for _, text in self.entries for line in _COLOURS.sub("", text).splitlines()]
        found: set[str] = set()
        known = set(keys)
        for is_skipped, block in groupby(lines, key=lambda line: _SKIPPED.search(line) is not None):
            named = {match[1] for line in block if (match := _SKIPPED.search(line))}
            if is_skipped and named <= known:
                found |= named
        return Skipped(keys=tuple(sorted(found)), of=len(known))


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """The keys of a LoRA that a server did not load."""

    keys: tuple[str, ...]
    of: int
    """How many keys the LoRA has."""

    @property
    def is_all(self) -> bool:
        """Whether none was loaded, so that the LoRA does nothing."""
        return bool(self.keys) and len(self.keys) >= self.of

    def __str__(self) -> str:
        """Say how many of how many were skipped, and of which kinds."""
        if not self.keys:
            return f"ComfyUI loaded all {self.of} keys"
        kinds = _kinds(self.keys)
        shown = f" ({', '.join(kinds)})" if kinds else f", such as {self.keys[0]}"
        return f"ComfyUI did not load {len(self.keys)} of {self.of} keys{shown}"


def _kinds(keys: Sequence[str]) -> list[str]:
    """Name the kinds of layers, each with its number."""
    counted = {name: sum(bool(pattern.search(key)) for key in _without(keys, name)) for name, pattern in _KINDS}
    return [f"{count} of {name}" for name, count in counted.items() if count]


def _without(keys: Iterable[str], kind: str) -> list[str]:
    """Return the keys that no earlier kind has."""
    earlier = [pattern for name, pattern in _KINDS[: [name for name, _ in _KINDS].index(kind)]]
    return [key for key in keys if not any(pattern.search(key) for pattern in earlier)]
