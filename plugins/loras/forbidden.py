"""LoRAs that must not exist, by the words of the plan's `forbidden`."""

import os
from collections.abc import Iterable
from pathlib import Path


def forbidden_among(names: Iterable[str], words: Iterable[str]) -> tuple[str, ...]:
    """Return the names in which one of the words appears, in any case, as a folder or part of a file name."""
    lowered = [word.casefold() for word in words]
    return tuple(name for name in names if any(word in name.casefold() for word in lowered))


def files_below(folder: Path) -> tuple[str, ...]:
    """Name everything below `folder`, folders too, relative to it with `/`. Links to folders are followed once.

    Raises `OSError` naming a subfolder that cannot be looked into; where `folder` itself is not there, nothing is.
    """
    if not folder.exists():
        return ()

    def stop(error: OSError) -> None:
        raise error

    found: list[str] = []
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, onerror=stop, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found += [Path(here, name).relative_to(folder).as_posix() for name in (*folders, *files)]
    return tuple(sorted(found))
