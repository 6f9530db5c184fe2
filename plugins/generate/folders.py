"""The folders of a run are kept from other runs for as long as it lasts."""

from contextlib import ExitStack
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from plugins.evidence.files import leads_away
from plugins.generate.preparing import pictures
from plugins.loras.copying import folder_lock
from plugins.plan.messages import UserError
from plugins.plan.plan import Plan


class FolderError(UserError):
    """A folder that a run cannot use; the message names it and what to do."""


def lock_folders(plan: Plan, reports: Path, *, loras: bool = True) -> ExitStack:
    """Lock the reports folder, and the `loras` folder where asked, until what is returned is closed.

    Raises `FolderError` where another run uses one of them, where a link leads out of the reports folder, or where it
    holds another plan's pictures.
    """
    if away := leads_away(reports):
        raise FolderError(
            f"{away} is a link to {away.resolve()}, outside of {reports}, and a run replaces files there. "
            "Remove the link, or name a folder for all that a run leaves: --reports=DIR"
        )
    locks: list[tuple[Path, BaseFileLock]] = [(reports, FileLock(reports / ".lock"))]
    if loras:
        locks.append((plan.paths.loras, folder_lock(plan.paths.loras)))
    with ExitStack() as held:
        for folder, lock in locks:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise FolderError(f"Another run is using {folder}. Wait for it to end, then run this again.") from None
            except OSError as error:
                raise FolderError(f"{lock.lock_file} cannot be locked: {error}. Remove it, or its owner can.") from None
            held.callback(lock.release)
        others = pictures(reports).plan_name()
        if others and others != plan.name:
            raise FolderError(
                f"{reports} holds the pictures of another plan, {others!r}. Give this one a folder of its own: "
                f"--reports={reports.parent / plan.name}"
            )
        return held.pop_all()
