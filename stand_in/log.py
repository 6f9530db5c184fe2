"""The server's log, as `/internal/logs/raw` shows it."""

import threading
from collections import deque
from datetime import datetime
from typing import Any, Final

_CAPACITY: Final = 300
"""Lines that are kept, as in ComfyUI; a LoRA of another family writes more than that."""
INFO: Final = "\x1b[32m[INFO]\x1b[0m "
WARNING: Final = "\x1b[1m\x1b[33m[WARNING]\x1b[0m "


class Log:
    """The last lines that were written; safe from any thread."""

    def __init__(self, *, levels: bool) -> None:
        self._levels = levels
        self._lock = threading.Lock()
        self._entries: deque[dict[str, str]] = deque(maxlen=_CAPACITY)

    def write(self, text: str, *, level: str = INFO) -> None:
        """Write a line."""
        now = datetime.now().isoformat(timespec="microseconds")  # noqa: DTZ005 (ComfyUI's own have no zone)
        with self._lock:
            self._entries.append({"t": now, "m": f"{level if self._levels else ''}{text}\n"})

    def raw(self) -> dict[str, Any]:
        """Return the lines with their times, and the size of the terminal."""
        with self._lock:
            return {"entries": list(self._entries), "size": {"cols": 80, "rows": 24}}
