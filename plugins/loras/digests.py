"""Digests of large files, taken once for each change of a file: generating again reads no LoRA a second time.

Only staging may use this: equal time and place do not prove that a file is unchanged. So what a deployment stands on
(gate, production file, verification) is always read again, by `copying.digest_of`.
"""

import contextlib
import json
import time
from pathlib import Path
from typing import Final

from plugins.loras.copying import digest_of

DIGESTS: Final = ".digests.json"
"""In a reports folder, for all runs that use it."""
_SETTLED_SECONDS: Final = 2.0
"""A file that was changed later than this before it was read may be changed again without its time showing it: FAT
counts in steps of 2 s."""


class Digests:
    """Remembers digests in a file. If that cannot be read or written, nothing is remembered."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, list[object]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            self._known = dict(json.loads(file.read_bytes()))
        self._asked: dict[str, list[object]] = {}

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file: the remembered one if its size, times and place are the same."""
        now, stamp = time.time_ns(), _stamp(path)
        match self._known.get(str(path)):
            case [*then, str(digest)] if then == stamp:
                settled = True
            case _:
                digest = digest_of(path)
                settled = _stamp(path) == stamp and now - max(stamp[1:3]) > _SETTLED_SECONDS * 1e9
        if settled:
            self._asked[str(path)] = [*stamp, digest]
        return digest

    def save(self) -> None:
        """Keep what was asked for, for the next run."""
        if self._asked != self._known:
            with contextlib.suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(json.dumps(self._asked), "utf-8")


def _stamp(path: Path) -> list[int]:
    """Size, time of the last write, time of the last change of whatever kind, place."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
