"""What a server's log says of the keys of a LoRA: which of them no weight of the base model took.

ComfyUI loads what fits and goes on; only its log names the rest, a line for each key (docs/comfyui.md, "A LoRA that
fits nothing").
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SKIPPED: Final = re.compile(r"lora key not loaded: (.+?)\s*$")
_CAPACITY: Final = 300
"""Entries that ComfyUI keeps; of a longer log the beginning is lost."""
_ZONES: Final = timedelta(minutes=15)
"""Time zones are apart by whole multiples of this."""
_MARGIN: Final = timedelta(milliseconds=5)
_KINDS: Final = (
    ("text encoder", re.compile(r"^(?:lora_te\d?_|text_encoders?(?:_\d)?\.)")),
    ("attention", re.compile(r"attn|attention", re.IGNORECASE)),
    ("feed-forward", re.compile(r"mlp|ff[._]|ffn|feed_forward", re.IGNORECASE)),
    ("others", re.compile("")),
)
"""The first one that is found in a key is its kind."""


class _Entry(BaseModel):
    """One write to the server's output."""

    model_config = ConfigDict(frozen=True)

    t: datetime
    m: str


class _Log(BaseModel):
    entries: tuple[_Entry, ...]


@dataclass(frozen=True, kw_only=True)
class KeyLog:
    """What a server wrote while it ran one prompt."""

    lines: tuple[str, ...]
    is_whole: bool
    """Whether nothing of that time is lost."""

    @classmethod
    def read(cls, answer: object, *, started: datetime, ended: datetime) -> "KeyLog | None":
        """Read what /internal/logs/raw answered right after a prompt; None where that is no log.

        A server runs one prompt at a time: what it wrote between start and end is of this prompt, and of nobody else's.
        The log has no time zone; its last entry, which is new, tells it.
        """
        try:
            entries = _Log.model_validate(answer).entries
        except ValidationError:
            return None
        times = [one.t.replace(tzinfo=one.t.tzinfo or UTC) for one in entries]
        if not times:
            return None
        zone = round((times[-1] - ended) / _ZONES) * _ZONES
        first, last = started + zone - _MARGIN, ended + zone + _MARGIN
        texts = [one.m for one, time in zip(entries, times, strict=True) if first <= time <= last]
        lines = tuple(line for text in texts for line in _COLOURS.sub("", text).splitlines())
        return cls(lines=lines, is_whole=len(entries) < _CAPACITY or times[0] < first)

    def skipped(self, keys: Collection[str]) -> "Skipped | None":
        """Return which of a LoRA's keys were not loaded; None where there are none, but some lines are lost."""
        named = {found[1] for line in self.lines if (found := _SKIPPED.search(line))}
        skipped = Skipped(keys=tuple(sorted(named & set(keys))), of=len(keys), is_whole=self.is_whole)
        return skipped if skipped.keys or self.is_whole else None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """The keys of a LoRA that a server did not load."""

    keys: tuple[str, ...]
    of: int
    """How many keys the LoRA has."""
    is_whole: bool = True
    """Whether these are all: of a long log the beginning is lost."""

    @property
    def is_all(self) -> bool:
        """Whether none was loaded, so that the LoRA does nothing."""
        return bool(self.keys) and len(self.keys) >= self.of

    def __str__(self) -> str:
        """Say how many of how many were skipped, and of which kinds."""
        if not self.keys:
            return f"ComfyUI loaded all {self.of} keys"
        least = "" if self.is_whole else "at least "
        kinds = ", ".join(f"{kind}: {count}" for kind, count in _counted(self.keys).items())
        return f"ComfyUI did not load {least}{len(self.keys)} of {self.of} keys ({kinds}), such as {self.keys[0]}"


def _counted(keys: Iterable[str]) -> dict[str, int]:
    """Count the keys of each kind."""
    counts = {kind: 0 for kind, _ in _KINDS}
    for key in keys:
        counts[next(kind for kind, pattern in _KINDS if pattern.search(key))] += 1
    return {kind: count for kind, count in counts.items() if count}
