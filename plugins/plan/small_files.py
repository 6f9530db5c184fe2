"""Files that a person or an earlier run wrote: read at once, unless they are far too large for such a file."""

import codecs
import errno
import os
from pathlib import Path
from typing import Final

LARGEST: Final = 32 << 20
"""Bytes. The largest that this suite writes, evidence with a workflow of a thousand nodes, has less than 1 MB."""


def read_small(path: Path, *, largest: int = LARGEST) -> bytes:
    """Read a file of at most `largest` bytes.

    Raises `OSError`, also if it is no regular file (a pipe might never end), or too large.
    """
    if path.exists() and not path.is_file():
        code = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(code, f"{os.strerror(code)}; it is not a plain file", str(path))
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, f"{os.strerror(errno.EFBIG)}, with more than {largest / 1e6:.0f} MB", str(path))
    return content


class NotText(ValueError):
    """A file that is no UTF-8; the message follows the file's name."""


def text_of(content: bytes) -> str:
    """Return the text of a file in UTF-8, with a byte order mark or without. Raises `NotText`."""
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    start = content[:64]
    if marked or (len(start) > 1 and not (any(start[::2]) and any(start[1::2]))):
        raise NotText(
            "is saved as UTF-16. Save it as UTF-8: in Notepad choose that encoding under Save as, in PowerShell write "
            "`Set-Content -Encoding utf8`"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise NotText(
            f"is not UTF-8: a letter in line {line} is in another encoding, such as Windows-1252. Save it as UTF-8"
        ) from error
