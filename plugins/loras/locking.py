"""One run at a time writes into a folder: the lock is in that folder, so every writer finds it."""

import contextlib
import errno
import getpass
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from plugins.loras.errors import FolderInUse

LOCK: Final = ".lora-acceptance.lock"
"""A hidden file of a type that no picker lists. It stays when a run ends: removing it could break another run's lock.
"""
_MARK: Final = ".lora-acceptance.held"
"""Used instead if the file system has no locks: it exists while a run does."""
_NO_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_LONGEST_NOTE: Final = 200
"""Bytes."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other runs out of an existing folder: of any user, and of any machine that shares the file system's locks.

    Raises `FolderInUse` with the name of whoever holds it, and `OSError` where it cannot be locked.
    """
    with _locked(folder) as lock:
        _write_holder(Path(lock.lock_file))
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[BaseFileLock]:
    path = folder / LOCK
    _refuse_foreign(path)
    lock: BaseFileLock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderInUse(f"{_in_use(folder, path)} Wait for it to end, then run this again.") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        path = folder / _MARK
        lock = SoftFileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise FolderInUse(
                f"{_in_use(folder, path)} Wait for it to end, then run this again. If it was killed, remove {path}: "
                "on this file system a lock outlives its run."
            ) from None
    try:
        yield lock
    finally:
        lock.release()


def _refuse_foreign(path: Path) -> None:
    """Refuse a file that is no lock of ours: the holder's name is written into it. Raises `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        there = path.lstat()
        if not stat.S_ISREG(there.st_mode) or there.st_nlink > 1:
            raise OSError(errno.EEXIST, "it is a link, or no plain file", str(path))


def _in_use(folder: Path, path: Path) -> str:
    """Say that another run uses a folder, and whose it is, if its lock says so."""
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:  # some systems let nobody read it now
        file.seek(1)
        if note := " ".join(file.read(_LONGEST_NOTE).decode("utf-8", "replace").split()):
            return f"Another run is using {folder} ({note})."
    return f"Another run is using {folder}."


def _write_holder(path: Path) -> None:
    """Write who holds a lock into it. Windows lets nobody read the first byte of a locked file: it is left out."""
    if path.name != LOCK:
        return
    user = "somebody"
    with contextlib.suppress(OSError, KeyError):  # a user without a name, as in a container
        user = getpass.getuser()
    since = datetime.now().astimezone().isoformat(" ", "minutes")
    with contextlib.suppress(OSError):  # somebody else's, or a file system without modes
        path.chmod(0o666)  # the next user must be able to open it, whatever this one's umask
    with contextlib.suppress(OSError), path.open("r+b", buffering=0) as file:
        file.seek(1)
        file.write(f"{user} on {platform.node()}, process {os.getpid()}, since {since}".encode()[: _LONGEST_NOTE - 1])
        file.truncate()
