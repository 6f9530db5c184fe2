"""The journal of production: a file is put in place in one step, and can be taken back until it is proven.

`begin` replaces the file and keeps what was there; `commit` ends that for good, `undo` puts the former file back.
In between, `pending` returns what was begun, even after the process that began it was killed.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from plugins.loras.copies import still_has
from plugins.loras.copying import copy_part, digest_of, put_in_place, sync_file, sync_folder
from plugins.loras.errors import DeploymentError
from plugins.plan.record import Record, Sha256
from plugins.plan.small_files import read_small


class Installation(Record):
    """What replacing the production file does; kept beside it until it is committed or rolled back."""

    id: str
    """The id of this installation: a record with this id says that it was proven."""
    file: Path
    sha256: Sha256
    replaced_sha256: Sha256 | None
    """Digest of the production file that was there before; None where there was none."""
    backup: Path | None
    """Where that file is kept; None where there was none, or where it had the same bytes."""
    rollback: bool = False
    """Whether it takes an earlier deployment back."""


def begin(source: Path, target: Path, *, sha256: str, is_rollback: bool = False) -> Installation:
    """Replace `target` by the bytes of `source`, which must have the digest `sha256`.

    The former file at `target` is kept beside it as `NAME.replaced-DIGEST` (a name that no picker lists). At any moment
    `target` is the former file or the new one, whole.

    Raises `DeploymentError`; the former file is then still in place.
    """
    part: Path | None = None
    note = _note(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            raise DeploymentError(
                f"{target} is a link to {target.readlink()}. Replacing it would leave that file behind unseen; "
                "remove the link, or point `loras` in the plan at the real folder."
            )
        if target.exists() and not target.is_file():
            raise DeploymentError(f"{target} is not a file. Move it away and deploy again.")
        former = digest_of(target) if target.exists() else None
        if former == sha256:
            return Installation(id=uuid.uuid4().hex, file=target, sha256=sha256, replaced_sha256=former, backup=None)
        part, digest = copy_part(source, target)
        if digest != sha256 or digest_of(part) != sha256:
            raise DeploymentError(
                f"{source} changed while it was copied (SHA-256 {digest[:12]}, judged was {sha256[:12]}). "
                "Nothing was deployed. Run pytest -m generate again, so that what is deployed is what was judged."
            )
        backup = backup_of(target, former) if former else None
        installed = Installation(
            id=uuid.uuid4().hex, file=target, sha256=sha256, replaced_sha256=former, backup=backup, rollback=is_rollback
        )
        _write_note(note, installed)
        if backup and former:
            _keep(target, backup, former)
        sync_folder(target.parent)
        put_in_place(part, target)
        sync_folder(target.parent)
    except OSError as error:
        with contextlib.suppress(DeploymentError, OSError):  # what cannot be taken back now is by the next run
            if begun := pending(target):  # a network folder can refuse a rename that it made
                undo(begun)
            note.unlink(missing_ok=True)
        raise DeploymentError(
            f"{target} could not be deployed: {error.strerror or error} ({error.filename or target}). The former "
            "production file is untouched. Make the folder writable or free some room (on Windows, stop ComfyUI if it "
            "has the file open), then deploy again."
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return installed


def pending(target: Path) -> Installation | None:
    """Return what was begun on `target` and neither committed nor rolled back; None where there is nothing.

    Raises `DeploymentError` where its note cannot be read.
    """
    note = _note(target)
    try:
        begun = Installation.model_validate_json(read_small(note))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        if any(one["type"] == "json_invalid" for one in error.errors()):
            return None  # it was stopped while it wrote this, and before it changed anything
        raise DeploymentError(
            f"{note} is the note of a deployment that another version of this suite began. Finish it with that "
            f"version; or make sure that {target} is the file that you want, and remove the note."
        ) from error
    except OSError as error:
        raise DeploymentError(
            f"{note} cannot be read: {error.strerror or error}. Make it readable; if it is no file of this suite's, "
            "move it away."
        ) from error
    # The note is about the files beside it, wherever it was written: the folder may have been copied or moved since.
    former = begun.replaced_sha256
    return begun.model_copy(update={"file": target, "backup": backup_of(target, former) if former else None})


def undo(installed: Installation) -> str:
    """Put back what was in production before `installed`, and return what was done in words.

    A production file that somebody changed since is left alone. Raises `DeploymentError` or `OSError` where the former
    file cannot be put back; it is then still in its backup, if anywhere.
    """
    target, former, backup = installed.file, installed.replaced_sha256, installed.backup
    if former == installed.sha256:
        _note(target).unlink(missing_ok=True)
        return f"{target} already held these bytes, and was left as it is."
    now = digest_of(target) if target.exists() else None
    if now is not None and now == former:
        done = f"{target} is as it was before (SHA-256 {former[:12]})."
        if backup and backup.exists() and backup.samefile(target):
            backup.unlink()
    elif now not in {None, installed.sha256}:
        done = f"{target} was changed by somebody else meanwhile, and was left as it is."
    elif former is None or backup is None:
        target.unlink(missing_ok=True)
        done = f"{target} was not there before, and was removed again."
    elif not backup.exists() or digest_of(backup) != former:
        raise DeploymentError(
            f"{backup} should be the former production file (SHA-256 {former[:12]}), and is not. Put that file at "
            f"{target} yourself, then remove {_note(target)}."
        )
    else:
        put_in_place(backup, target)
        done = f"The former {target} was put back (SHA-256 {former[:12]})."
    sync_folder(target.parent)
    _note(target).unlink(missing_ok=True)
    return done


def commit(installed: Installation, training: Iterable[Path]) -> Installation:
    """End a proven installation: nothing will be put back any more.

    The backup is removed where one of the `training` outputs still has its bytes. Raises `OSError`; calling it again
    goes on from there.
    """
    backup = installed.backup
    if backup and (not backup.exists() or any(still_has(one, backup) for one in training)):
        backup.unlink(missing_ok=True)
        backup = None
    _note(installed.file).unlink(missing_ok=True)
    sync_folder(installed.file.parent)
    return installed.model_copy(update={"backup": backup})


def backup_of(target: Path, sha256: str) -> Path:
    """Return where a former production file is kept, under a type that no picker lists."""
    return target.with_name(f"{target.name}.replaced-{sha256[:16]}")


def _note(target: Path) -> Path:
    """Return the path of the note about a pending installation: a hidden file of a type that no picker lists."""
    return target.with_name(f".{target.name}.deploying")


def _write_note(note: Path, installed: Installation) -> None:
    """Write what is about to be done, so that it outlasts this process. Nothing is changed before the note is whole."""
    note.write_text(installed.model_dump_json(), encoding="utf-8")
    sync_file(note)


def _keep(target: Path, backup: Path, digest: str) -> None:
    """Keep the production file under a name with its digest; the same bytes are kept once."""
    if backup.exists() and digest_of(backup) == digest:
        return
    part = backup.with_name(f".{backup.name}.part")
    part.unlink(missing_ok=True)
    try:
        try:
            os.link(target, part)
        except OSError:  # a file system without hard links
            shutil.copyfile(target, part)
            sync_file(part)
        part.replace(backup)
    finally:
        part.unlink(missing_ok=True)
