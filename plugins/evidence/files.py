"""Writing so that a reader sees the old file or the new one, whole, and never half of either."""

import os
import tempfile
from pathlib import Path

from plugins.loras.copying import let_all_read, put_in_place


def leads_away(reports: Path) -> Path | None:
    """Return the first folder of a run's pictures that is a link to outside of `reports`, or None."""
    kept = [reports / name for name in ("pictures", "proof", "previews", "live")]
    folders = [path for folder in kept for path in (folder, *folder.glob("*"))]
    home = _real(reports)
    return next((path for path in folders if path.is_dir() and not _real(path).is_relative_to(home)), None)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def write_atomically(path: Path, content: bytes | str) -> None:
    """Put `content` at `path` in one step, making its folder if need be. Text is UTF-8.

    Raises `OSError`; the file that was there is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        let_all_read(part)  # a web server, a colleague
        put_in_place(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
