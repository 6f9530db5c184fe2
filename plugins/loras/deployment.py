"""The production LoRA: put in place in one step, with what it replaces kept, and evaluation copies removed."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plugins.loras.copying import copy_part, digest_of, sync_folder
from plugins.loras.errors import DeploymentError
from plugins.plan.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What putting the production file in place did."""

    file: Path
    sha256: str
    replaced_sha256: str | None
    """Digest of the production file that was there before; None where there was none."""
    backup: Path | None
    """Where it was kept; None where it is a checkpoint, which the training folder still has."""


def install(source: Path, target: Path, *, sha256: str, known: frozenset[str]) -> Installed:
    """Make `target` the bytes of `source`, which must have the digest `sha256`.

    The former file at `target` is kept beside it as `NAME.replaced-DIGEST` (a name that no picker lists), unless
    its digest is among the `known` ones. At any moment `target` is the former file or the new one, whole.

    Raises `DeploymentError`; the former file is then still in place.
    """
    part: Path | None = None
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
            return Installed(file=target, sha256=sha256, replaced_sha256=former, backup=None)
        part, digest = copy_part(source, target)
        if digest != sha256 or digest_of(part) != sha256:
            raise DeploymentError(
                f"{source} changed while it was copied (SHA-256 {digest[:12]}, judged was {sha256[:12]}). "
                "Nothing was deployed. Run pytest -m generate again, so that what is deployed is what was judged."
            )
        backup = _keep(target, former) if former and former not in known else None
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise DeploymentError(
            f"{target} could not be deployed: {error.strerror or error} ({error.filename or target}). "
            "The former production file is untouched; make the folder writable or free some room, then deploy again."
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
    return Installed(file=target, sha256=sha256, replaced_sha256=former, backup=backup)


def restore(installed: Installed, sources: Mapping[str, Path]) -> str:
    """Put back what was in production before `installed`, and say what was done.

    `sources` gives a file for each known digest. A production file that somebody changed since is left alone.
    Raises `DeploymentError` or `OSError` where the former file cannot be put back; it is then still in its backup.
    """
    target, former = installed.file, installed.replaced_sha256
    if former == installed.sha256:
        return f"{target} already held these bytes, and was left as it is."
    if target.exists() and digest_of(target) != installed.sha256:
        return f"{target} was changed by somebody else meanwhile, and was left as it is."
    if former is None:
        target.unlink(missing_ok=True)
        sync_folder(target.parent)
        return f"{target} was not there before, and was removed again."
    if installed.backup:
        installed.backup.replace(target)
        sync_folder(target.parent)
    else:
        install(sources[former], target, sha256=former, known=frozenset({installed.sha256}))
    return f"The former {target} was put back (SHA-256 {former[:12]})."


def _keep(target: Path, digest: str) -> Path:
    """Keep the production file under a name that tells its bytes; the same bytes are kept once."""
    backup = target.with_name(f"{target.name}.replaced-{digest[:16]}")
    if backup.exists() and digest_of(backup) == digest:
        return backup
    part = backup.with_name(f".{backup.name}.part")
    part.unlink(missing_ok=True)
    try:
        try:
            os.link(target, part)
        except OSError:  # a file system without hard links
            shutil.copyfile(target, part)
        part.replace(backup)
    finally:
        part.unlink(missing_ok=True)
    return backup


@dataclass(frozen=True, kw_only=True)
class CleanUp:
    """Which evaluation copies were removed, and which were left, with the reason."""

    removed: tuple[Path, ...]
    left: Mapping[Path, str]


def remove_evaluation_copies(plan: Plan, known: frozenset[str]) -> CleanUp:
    """Remove the plan's evaluation copies: only these names, and only with bytes of a `known` checkpoint.

    Anything else under such a name is somebody's work; it is left, and reported.
    """
    removed: list[Path] = []
    left: dict[Path, str] = {}
    for path in evaluation_copies(plan):
        try:
            if path.is_symlink() or not path.is_file():
                left[path] = "it is not a plain file"
            elif digest_of(path) not in known:
                left[path] = "its bytes are none of the checkpoints'; look at it and remove it yourself"
            elif not any(_still_has(plan.training_file(one), path) for one in plan.checkpoints):
                left[path] = "no training output has these bytes any more, so this is the last copy"
            else:
                path.unlink()
                removed.append(path)
        except OSError as error:
            left[path] = f"it cannot be removed ({error.strerror or error})"
    return CleanUp(removed=tuple(removed), left=left)


def _still_has(training: Path, copy: Path) -> bool:
    """Say whether a training output, by itself, still has the bytes of a copy."""
    if not training.is_file() or training.samefile(copy) or training.stat().st_size != copy.stat().st_size:
        return False
    return digest_of(training) == digest_of(copy)


def evaluation_copies(plan: Plan) -> tuple[Path, ...]:
    """Name the evaluation copies that lie in the loras folder now."""
    paths = (plan.paths.loras / plan.staged_file(checkpoint) for checkpoint in plan.checkpoints)
    return tuple(path for path in paths if path.exists() or path.is_symlink())
