"""Files that a person or an earlier run wrote: read whole, unless they are far larger than any such file is."""

import errno
import os
from pathlib import Path
from typing import Final

LARGEST: Final = 32 << 20
"""Bytes. The largest that this suite writes, evidence with a workflow of a thousand nodes, has less than 1 MB."""


def read_small(path: Path, *, largest: int = LARGEST) -> bytes:
    """Read a file of at most `largest` bytes.

    Raises `OSError`, also for what is no plain file (a pipe would be waited for without end), or too large.
    """
    if path.exists() and not path.is_file():
        code = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(code, f"{os.strerror(code)}; it is not a plain file", str(path))
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"{os.strerror(errno.EFBIG)}, with more than {largest / 1e6:.0f} MB", str(path))
    return content
