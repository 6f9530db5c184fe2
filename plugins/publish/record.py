"""The record of what was published: all files are new, or all are old, or the record says that it is incomplete.

The new files are written beside their places first. Then the record says what is about to happen, each file is put in
place, and the record says that it is done. A file that differs from the record is somebody else's, and is left alone.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Self

from plugins.evidence.files import write_atomically
from plugins.loras.copying import digest_of, drop_parts, let_all_read, new_part, put_in_place, sync_file, sync_folder
from plugins.plan.messages import UserError, counted
from plugins.plan.record import BrokenRecord, Record, Sha256

RECORD: Final = "published.json"

Writer = Callable[[Path], object]
"""Writes a file's content to the path that it is given."""


class PublishError(UserError):
    """Nothing was published, or not all of it; the message says what is in the way and what to do."""


class Published(Record):
    """What was published of which production.

    Paths are absolute; those below the plan's project are written without it, so that it can be moved.
    """

    format: Literal[1] = 1
    plan_name: str
    selected: str
    sha256: Sha256
    """Digest of the production file that the files are about."""
    strength: float | None = None
    """The strength that they name, where the plan has several."""
    deployed: datetime | None = None
    """When the deployment was made that they are about; nothing in older records."""
    preview: tuple[str, ...] = ()
    """Which picture stands for the LoRA, and which stars were not used and why; nothing in older records."""
    files: dict[Path, Sha256]
    folders: tuple[Path, ...] = ()
    """Folders that were made for them, outer ones first; they go with the files, if nothing else lies there."""
    before: Mapping[Path, Sha256] = {}
    """Until it is done: the former files, which are replaced or removed."""
    is_done: bool = True
    """False while files are put in place: they may then be of two productions."""

    def is_ours(self, path: Path) -> bool:
        """Say whether a file is as this suite left it, and so may be replaced or removed."""
        known = {one.get(path) for one in (self.files, self.before)} - {None}
        return bool(known) and path.is_file() and not path.is_symlink() and digest_of(path) in known

    @property
    def places(self) -> list[str]:
        """How many files were written into which folder, in words."""
        folders = Counter(path.parent for path in self.files)
        return [f"wrote {counted(count, 'file')} into {folder}" for folder, count in folders.items()]

    @property
    def paths(self) -> list[Path]:
        """Every file that it names, including the former ones."""
        return [*dict.fromkeys([*self.files, *self.before])]

    def with_paths(self, change: Callable[[Path], Path]) -> Self:
        """Return it with other paths."""
        files, before = ({change(path): one for path, one in of.items()} for of in (self.files, self.before))
        return self.model_copy(
            update={"files": files, "before": before, "folders": tuple(change(one) for one in self.folders)}
        )


def read_published(reports: Path, project: Path) -> Published | None:
    """Return what was published from a reports folder; None where nothing was. Raises `PublishError`."""
    path = reports / RECORD
    try:
        found = Published.read(path)
    except BrokenRecord as error:
        raise PublishError(
            f"{path} is not a readable record of what was published: {error}. Move it away, and the published files "
            "with it."
        ) from error
    return found.with_paths(project.joinpath) if found else None


def publish(new: Published, writers: Mapping[Path, Writer], reports: Path, project: Path) -> Published:
    """Put a set of files in place of the one that was published before.

    `new` comes without digests; they are taken of what the writers wrote. Raises `PublishError`: nothing was changed
    then, or the next `-m publish` goes on from there.
    """
    former = read_published(reports, project)
    _refuse_others(former, writers)
    parts: dict[Path, Path] = {}
    folders = former.folders if former else ()
    try:
        for path, write in writers.items():
            folders += tuple(one for one in reversed(path.parents) if not one.exists())
            path.parent.mkdir(parents=True, exist_ok=True)
            drop_parts(path)
            parts[path] = new_part(path)
            write(parts[path])
            let_all_read(parts[path])
            sync_file(parts[path])
        files = {path: digest_of(part) for path, part in parts.items()}
        new = new.model_copy(update={"files": files, "folders": folders})
        before = {**former.before, **former.files} if former else {}
        _write(new.model_copy(update={"before": before, "is_done": False}), reports, project)
        for path, part in parts.items():
            put_in_place(part, path)
        if former:
            _remove(former, (one for one in before if one not in writers))
            _remove_empty(folders)
        for folder in {path.parent for path in writers}:
            sync_folder(folder)
        _write(new, reports, project)
    except OSError as error:
        raise PublishError(
            f"Publishing stopped: {error.strerror or error} ({error.filename or reports}). Make the folder writable "
            "or free some room, and publish again; until then -m verify says what is there."
        ) from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    return new


def withdraw(published: Published, reports: Path, project: Path) -> list[Path]:
    """Remove what was published and is still as it was; return what was changed by somebody else, and was left.

    What was left stays on record. Raises `OSError`; calling it again goes on from there.
    """
    left = [path for path in published.paths if path.exists() and not published.is_ours(path)]
    _remove(published, published.paths)
    _remove_empty(published.folders)
    if left:
        digests = {**published.before, **published.files}
        files = {path: digests[path] for path in left}
        _write(published.model_copy(update={"files": files, "before": {}, "is_done": True}), reports, project)
    else:
        (reports / RECORD).unlink(missing_ok=True)
        sync_folder(reports)
    return left


def _remove(published: Published, paths: Iterable[Path]) -> None:
    for path in paths:
        if published.is_ours(path):
            path.unlink(missing_ok=True)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in reversed([*folders]):
        with contextlib.suppress(OSError):  # somebody else's file lies there
            folder.rmdir()


def _refuse_others(former: Published | None, paths: Iterable[Path]) -> None:
    others = [path for path in paths if (path.exists() or path.is_symlink()) and not (former and former.is_ours(path))]
    if others:
        lines = "".join(f"\n  {path}" for path in others)
        raise PublishError(
            f"These files are not as this suite left them, and are not replaced:{lines}\n"
            "Nothing was published. Move them away, or remove them, and publish again."
        )


def _write(published: Published, reports: Path, project: Path) -> None:
    published = published.with_paths(lambda path: path.relative_to(project) if path.is_relative_to(project) else path)
    drop_parts(reports / RECORD)
    write_atomically(reports / RECORD, published.written())
    sync_folder(reports)
