"""The folders of a run are kept from other runs for as long as it lasts."""

import errno
import os
from contextlib import ExitStack
from pathlib import Path

from plugins.evidence.store import PICTURES, Store
from plugins.loras.locking import LOCK, lock_folder
from plugins.plan.messages import UserError
from plugins.plan.plan import Plan


class FolderError(UserError):
    """A folder that a run cannot use; the message names it and what to do."""


def lock_folders(plan: Plan, reports: Path, *, loras: bool = True) -> ExitStack:
    """Lock the reports folder, and the `loras` folder where asked, until what is returned is closed.

    Raises `FolderError` where another run uses one of them, where a link leads out of the reports folder, or where it
    holds another plan's pictures; and where a folder beside ComfyUI's own was named.
    """
    comfyui = plan.paths.comfyui
    if loras and plan.paths.loras == comfyui / "models" / "loras" and (meant := _meant(comfyui)):
        raise FolderError(
            f"{comfyui} has no `models` folder, and {meant} has. Name that one: --comfyui-dir={meant}, or `comfyui` "
            "under [paths] in the plan."
        )
    if away := leads_away(reports):
        raise FolderError(
            f"{away} is a link to {away.resolve()}, outside of {reports}, and a run replaces files there. "
            "Remove the link, or name another folder: --reports=DIR"
        )
    with ExitStack() as held:
        try:
            reports.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock_folder(reports))
        except OSError as error:
            raise FolderError(
                f"{reports} cannot be written to: {error.strerror or error} ({error.filename or reports}). Make it "
                "writable, or name another folder: --reports=DIR"
            ) from None
        if loras and plan.paths.comfyui.is_dir():
            _lock_loras(plan.paths.loras, held)
        others = Store(reports).plan_name()
        if others and others != plan.name:
            raise FolderError(
                f"{reports} holds the pictures of another plan, {others!r}. Give this one a folder of its own: "
                f"--reports={reports.parent / plan.name}"
            )
        return held.pop_all()


def leads_away(reports: Path) -> Path | None:
    """Return the first folder of a run's pictures that is a link to outside of `reports`, or None."""
    kept = [reports / name for name in (PICTURES, "proof", "previews", "live")]
    folders = [path for folder in kept for path in (folder, *folder.glob("*"))]
    home = os.path.realpath(reports)
    return next((path for path in folders if path.is_dir() and not path.resolve().is_relative_to(home)), None)


def _meant(comfyui: Path) -> Path | None:
    """Return the ComfyUI folder where one beside it was named: a portable's outer folder, its `models`, its main.py."""
    if os.path.isdir(comfyui / "models"):  # noqa: PTH112 (False where one may not look)
        return None
    nearby = (comfyui / "ComfyUI", comfyui.parent, comfyui.parent.parent)
    return next((one for one in nearby if all(os.path.isdir(one / name) for name in ("models", "custom_nodes"))), None)  # noqa: PTH112


def _lock_loras(folder: Path, held: ExitStack) -> None:
    """Lock a loras folder. One that this user cannot write to needs no lock: nothing there will be changed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held.enter_context(lock_folder(folder))
    except OSError as error:
        if not os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            return
        what = (
            "Free some room there, then run this again."
            if error.errno in {errno.ENOSPC, errno.EDQUOT}
            else "Make that file writable for all who use this folder (chmod a+rw), or remove it while no run uses it."
        )
        raise FolderError(f"{folder / LOCK} cannot be locked: {error.strerror or error}. {what}") from None
