"""The disk that pictures and evidence are kept on: whether there is room, and the message when it is full."""

import os
import shutil
from collections.abc import Collection
from pathlib import PurePath
from typing import Final

from plugins.evidence.store import EvidenceError, Store
from plugins.plan.cells import Cell

_CHANNELS: Final = 3
"""Bytes of a pixel; a PNG of static is as large, one of anything else smaller."""
_BESIDE: Final = 64_000
"""Bytes of the workflow in a PNG, and of the evidence beside it."""
_REPORT: Final = 10_000_000
"""Bytes of the report and the contact sheet."""

_LONGEST_ON_WINDOWS: Final = 247
"""Letters of a folder that Windows makes, unless long paths are on; a file's name may have 12 more."""


def check_room(store: Store, cells: Collection[Cell], size: tuple[int, int] | None) -> None:
    """Check that there is room for the pictures of the cells that have none yet, before the first is rendered.

    Nothing is checked if their width and height are not known. Raises `EvidenceError`.
    """
    if size is None:
        return
    width, height = size
    own = [cell.prompt.own for cell in cells if not store.picture_path(cell).exists()]
    pixels = [one.get("width", width) * one.get("height", height) for one in own]
    missing = len(pixels)
    needed = sum(each * _CHANNELS + _BESIDE for each in pixels) + (_REPORT if missing else 0)
    there = next(folder for folder in (store.folder, *store.folder.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise EvidenceError(
            f"{store.folder} has {free / 1e6:.0f} MB free, and {missing} pictures of "
            f"{width}x{height} may need {needed / 1e6:.0f} MB. Nothing was rendered. "
            "Free some room, or name a folder on another disk: --reports=DIR"
        )


def unkept_message(folder: PurePath, error: OSError, *, windows: bool = os.name == "nt") -> str:
    """Return the message that a picture or its evidence could not be saved, with what to do."""
    longest = len(str(error.filename or ""))
    if windows and isinstance(error, FileNotFoundError) and longest > _LONGEST_ON_WINDOWS:
        return (
            f"It could not be kept in {folder}: a path there has {longest} letters, too many for Windows while long "
            "paths are off. Name a shorter folder, such as --reports=C:\\kira, or switch them on (LongPathsEnabled)."
        )
    return (
        f"It could not be kept in {folder}: {error.strerror or error}. Make the folder writable, or free some room, "
        "then run this again; what is finished is kept."
    )
