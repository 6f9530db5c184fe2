"""Copying the checkpoints into ComfyUI's loras folder, under step-labelled names."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from plugins.loras.copying import copy_part, digest_of, put_in_place, stamp_of
from plugins.loras.errors import HeaderError, StagingError
from plugins.loras.header import Header, read_header
from plugins.loras.saved import contradictions
from plugins.plan.messages import counted
from plugins.plan.plan import Plan
from plugins.plan.tested import PRODUCTION, Checkpoint, Tested
from plugins.plan.training.weights import sample_of


class Action(StrEnum):
    """What staging did to one evaluation copy."""

    NEW = "new"
    UNCHANGED = "already there"
    REPLACED = "replaced"
    LEFT = "where the trainer left them"
    RIVAL = "a rival, where it lies"


@dataclass(frozen=True, kw_only=True)
class Staged:
    """One checkpoint in ComfyUI's loras folder, under the name that its pictures are made with."""

    checkpoint: Tested
    file: Path
    sha256: str
    header: Header
    action: Action
    stamp: tuple[int, int, int]
    """Size, time and place of the file when its digest was taken."""

    @property
    def is_changed(self) -> bool:
        """Whether the file is no longer the one that was staged."""
        try:
            return stamp_of(self.file) != self.stamp
        except OSError:
            return True


def preflight(plan: Plan) -> dict[Checkpoint, Header]:
    """Read the header of every training output and sample its weights, changing nothing.

    Raises `StagingError` naming all that are missing or broken.
    """
    folder = plan.paths.checkpoints
    if not folder.is_dir():
        raise StagingError(
            f"The training output folder {folder} is not there. "
            "Correct `project` or `checkpoints` under [paths] in the plan, or try --demo."
        )
    headers: dict[Checkpoint, Header] = {}
    problems: list[str] = []
    for checkpoint in plan.checkpoints:
        source = plan.training_file(checkpoint)
        try:
            if source.is_file() and _leads_into_loras(plan, source):
                problems.append(f"{source} is a link into {plan.paths.loras}, where files are replaced and removed")
            elif source.is_file() and (ours := _replaced_by_us(plan, source)):
                problems.append(f"{source} is the same file as {ours}, which is replaced or removed by a run")
            elif source.is_file():
                headers[checkpoint] = read_header(source)
                problems += _useless(source, headers[checkpoint])
            else:
                in_cloud = source.with_name(f".{source.name}.icloud").exists()
                where = "is in iCloud alone: have the Finder download it" if in_cloud else "is missing"
                problems.append(f"{source} {where} (checkpoint {checkpoint.id})")
        except HeaderError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{source} cannot be read: {error.strerror or error}")
    problems += contradictions(plan, headers)
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise StagingError(
            f"{len(problems)} of the plan's {len(plan.checkpoints)} checkpoints cannot be staged:{lines}\n"
            "  Nothing was copied. Finish the training, or correct the plan's [[checkpoint]] tables."
        )
    return headers


def _leads_into_loras(plan: Plan, source: Path) -> bool:
    """Say whether a training output is a link out of its folder, to a file in the loras folder."""
    real, own = (Path(os.path.realpath(path)) for path in (source, plan.paths.checkpoints))
    return real.is_relative_to(os.path.realpath(plan.paths.loras)) and not real.is_relative_to(own)


def _replaced_by_us(plan: Plan, source: Path) -> Path | None:
    """Return the evaluation copy or production file that a training output really is, through a link."""
    real = os.path.realpath(source)
    targets = [plan.production_file, *(plan.paths.loras / plan.staged_file(one) for one in plan.checkpoints)]
    return next((target for target in targets if os.path.realpath(target) == real), None)


def _useless(source: Path, header: Header) -> Iterator[str]:
    """Yield why a file's weights cannot give a useful picture."""
    sample = sample_of(source, header)
    if sample.is_zero:
        yield f"{source} changes nothing: all its weights are zero. Train on, or take it out of the plan"
    elif sample.tensors and sample.not_finite == sample.tensors:
        yield (
            f"{source} holds NaN or infinity in all {sample.tensors} tensors that were looked into: the training "
            "failed, and its pictures would be black. Take it out of the plan"
        )


def stage(
    plan: Plan, headers: Mapping[Checkpoint, Header], *, digest: Callable[[Path], str] = digest_of
) -> tuple[Staged, ...]:
    """Copy every checkpoint into the loras folder under its step-labelled name, and say what was done.

    `headers` are those that `preflight` gave. A copy is written beside its name, hashed on its way, and put in place in
    one step. A file that has the right bytes already, by `digest`, is left alone; one with other bytes is replaced.

    Raises `StagingError`; files that were complete stay staged.
    """
    folder = plan.paths.loras
    if not plan.paths.comfyui.is_dir():
        raise StagingError(
            f"The ComfyUI folder {plan.paths.comfyui} is not there. "
            "Correct `comfyui` under [paths] in the plan, name it with --comfyui-dir, or try --demo."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(plan)
        return tuple(_stage_one(plan, checkpoint, header, digest) for checkpoint, header in headers.items())
    except OSError as error:
        raise StagingError(
            f"The checkpoints cannot be staged in {folder}: {error.strerror or error} "
            f"({error.filename or folder}). Make the folder writable, or free some room, and run this again."
        ) from error


def unstaged(
    plan: Plan, headers: Mapping[Checkpoint, Header], *, digest: Callable[[Path], str] = digest_of
) -> tuple[Staged, ...]:
    """Return every checkpoint where the trainer left it, to be sent to servers whose loras folders are elsewhere.

    Raises `StagingError`.
    """
    files = {checkpoint: plan.training_file(checkpoint) for checkpoint in headers}
    try:
        return tuple(_staged(one, file, digest(file), headers[one], Action.LEFT) for one, file in files.items())
    except OSError as error:
        raise StagingError(f"A checkpoint cannot be read: {error}") from error


def rivals_of(plan: Plan, *, digest: Callable[[Path], str] = digest_of) -> tuple[Staged, ...]:
    """Return the rivals, where they lie in the loras folder. Raises `StagingError` naming all that are not there."""
    found, problems = [], []
    for rival in plan.rivals:
        file = plan.training_file(rival)
        try:
            if not file.is_file():
                advice = " Take the table out until something is deployed." if rival.file == PRODUCTION else ""
                problems.append(f"{rival.label}: {file} is not there.{advice}")
                continue
            found.append(_staged(rival, file, digest(file), read_header(file), Action.RIVAL))
        except (HeaderError, OSError) as error:
            problems.append(f"{rival.label}: {error}")
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise StagingError(f"A [[rival]] of the plan cannot be rendered:{lines}\n  Correct `file`, or put it there.")
    return tuple(found)


def _check_room(plan: Plan) -> None:
    """Check that there is room for every copy that may be needed, before the first is made."""
    sizes = {plan.training_file(one): plan.paths.loras / plan.staged_file(one) for one in plan.checkpoints}
    needed = sum(
        source.stat().st_size
        for source, target in sizes.items()
        if not target.exists() or target.stat().st_size != source.stat().st_size
    )
    free = shutil.disk_usage(plan.paths.loras).free
    if needed > free:
        raise StagingError(
            f"{plan.paths.loras} has {free / 1e6:.0f} MB free, and the evaluation copies need {needed / 1e6:.0f} MB. "
            "Nothing was copied. Free some room, and run this again."
        )


def _stage_one(plan: Plan, checkpoint: Checkpoint, header: Header, digest: Callable[[Path], str]) -> Staged:
    source, target = plan.training_file(checkpoint), plan.paths.loras / plan.staged_file(checkpoint)
    existed = target.exists()
    if existed and target.stat().st_size == source.stat().st_size:
        sha256 = digest(source)
        if sha256 == digest(target):
            return _staged(checkpoint, target, sha256, header, Action.UNCHANGED)
    part, sha256 = copy_part(source, target)
    try:
        put_in_place(part, target)
    finally:
        part.unlink(missing_ok=True)
    action = Action.REPLACED if existed else Action.NEW
    return _staged(checkpoint, target, sha256, header, action)


def _staged(checkpoint: Tested, target: Path, sha256: str, header: Header, action: Action) -> Staged:
    stamp = stamp_of(target)
    return Staged(checkpoint=checkpoint, file=target, sha256=sha256, header=header, action=action, stamp=stamp)


def staged_line(staged: tuple[Staged, ...], folder: Path) -> str:
    """One line for the terminal: `staged 5 checkpoints in ... (2 new, 3 already there)`."""
    counts = Counter(one.action for one in staged)
    details = ", ".join(f"{counts[action]} {action}" for action in Action if counts[action])
    return f"staged {counted(len(staged), 'checkpoint')} in {folder} ({details})"
