"""Writing so that a reader sees the complete old file or the complete new one."""

import os
from pathlib import Path

from plugins.loras.copying import let_all_read, new_part, put_in_place


def write_atomically(path: Path, content: bytes | str, *, flushed: bool = True) -> None:
    """Put `content` at `path` in one step, making its folder if need be. Text is UTF-8.

    It is `flushed` to the disk first, so that it is whole also after a power cut; what only an open page reads need
    not be. Raises `OSError`; the file that was there is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    part = new_part(path)
    try:
        with part.open("wb") as file:
            file.write(data)
            if flushed:
                file.flush()
                os.fsync(file.fileno())
        let_all_read(part)  # a web server, a colleague
        put_in_place(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
