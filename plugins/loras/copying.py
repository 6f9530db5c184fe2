"""Copying large files so that a reader sees the old bytes or the new ones, whole."""

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from glob import escape
from pathlib import Path
from typing import BinaryIO, Final

if sys.platform == "linux":
    import fcntl

_BLOCK: Final = 4 * 1024 * 1024
_PART: Final = 64 * 1024
_PARTS: Final = 64
_FICLONE: Final = 0x40049409
"""Linux: make a file share another's blocks until one of them is written to (ioctl_ficlone(2))."""

_HELD_SECONDS: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses between the tries to replace a file that another program holds."""


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_parts(path: Path) -> str:
    """Return the SHA-256 of parts of a file that are spread evenly over it, in hexadecimal: base models are large.

    The parts of a small file are all of it. Another model differs in every part; a change of a few tensors may be
    missed.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for start in [*range(0, size, max(size // _PARTS, _PART)), max(size - _PART, 0)]:
            file.seek(start)
            digest.update(file.read(_PART))
    return digest.hexdigest()


def stamp_of(path: Path) -> tuple[int, int, int]:
    """Return a file's (size, time, place). A difference proves a change; equality proves nothing."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def drop_parts(target: Path) -> None:
    """Remove unfinished copies to `target`, by the names that `new_part` gives."""
    for left in target.parent.glob(f".{escape(target.name)}.{'[a-z0-9_]' * 8}.part"):
        left.unlink(missing_ok=True)


def new_part(target: Path) -> Path:
    """Begin a copy to `target`: an empty file beside it, with a name of its own."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    return Path(name)


def copy_part(source: Path, target: Path) -> tuple[Path, str]:
    """Copy `source` to a new file beside `target`; return that and the SHA-256 of what was read.

    The bytes pass once: each block is hashed and written. Where the file system copies on write (Btrfs, XFS, bcachefs),
    none is written, and the clone is read for its digest. The copy is flushed to the disk. `OSError` leaves nothing
    behind, and what a killed run left is removed.
    """
    drop_parts(target)
    part = new_part(target)
    try:
        with part.open("r+b") as writer, source.open("rb") as reader:
            if _cloned(reader, writer):
                digest = hashlib.file_digest(writer, "sha256")
            else:
                digest = hashlib.sha256()
                while block := reader.read(_BLOCK):
                    digest.update(block)
                    writer.write(block)
            writer.flush()
            os.fsync(writer.fileno())
        let_all_read(part)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part, digest.hexdigest()


def put_in_place(part: Path, target: Path) -> None:
    """Rename a file that `new_part` began to its target, in one step.

    On Windows and on network shares another program that has the target open for a moment (a virus scanner, OneDrive, a
    browser) refuses that; this is retried for a moment. Raises `OSError`.
    """
    for seconds in _HELD_SECONDS:
        try:
            part.replace(target)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    part.replace(target)


def let_all_read(part: Path) -> None:
    """Let a ComfyUI that runs as another user read a file that `new_part` made. Some file systems have no modes."""
    with contextlib.suppress(OSError):
        part.chmod(0o644)


def sync_file(path: Path) -> None:
    """Make a file's bytes outlast a power cut."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _cloned(source: BinaryIO, target: BinaryIO) -> bool:
    """Let an empty file share all blocks of another; return false if the system or the file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except OSError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` outlast a power cut, if the system and the file system can."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):  # the rename is done; some network file systems cannot flush a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
