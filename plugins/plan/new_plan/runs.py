"""The training runs in a folder: which files are checkpoints of one LoRA, and in which order they were saved."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from plugins.plan.messages import UserError, counted
from plugins.plan.training.header import Header, NotSafetensors, read_header
from plugins.plan.training.names import ENDINGS, PICKLES, NameNotes, notes_of, without_pair
from plugins.plan.training.steps import Saved, is_restarted
from plugins.plan.training.weights import same_weights, sample_of

_DEPTH: Final = 2
_MOST: Final = 10_000
"""Files and folders that are looked at; a training folder has some hundreds."""
_NO_CHECKPOINTS: Final = re.compile(r"(?i)-state$|^backups?$|^samples?$|^logs?$|^tensorboard$|^\.|^__")
_NO_NAMES: Final = frozenset({"", "at", "epoch", "final", "last", "step"})
"""Names that kohya's and DiffSynth's trainers use for a LoRA without a name; all are of one run."""
_TIME: Final = re.compile(r"[-_]?\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}$")
"""OneTrainer puts the time of saving into each name."""
_FINAL: Final = re.compile(r"(?i)[-_. ](?:final|last)$")
"""What some add to the name of the last checkpoint."""
_NUMBER: Final = re.compile(r"\d+$")
_LORA: Final = re.compile(
    r"lora|lokr|hada|oft_|boft|glora|\.(?:a1|on_input|diff|w_norm|dora_scale)(?:\.|$)", re.IGNORECASE
)
_GENERIC: Final = frozenset({"adapter_model", "pytorch_lora_weights", "lora", "model"} | _NO_NAMES)
"""Stems that name the trainer's format, not the LoRA."""


class NewPlanError(UserError):
    """No plan can be written; the message says why, and what to type instead."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One checkpoint that was found."""

    path: Path
    file: str
    """Its name below the training folder, with `/`."""
    header: Header
    name: NameNotes

    @property
    def saved(self) -> Saved:
        """When it was saved, by its header and its name."""
        return Saved(header_step=self.header.step, header_epoch=self.header.epoch, name=self.name)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A checkpoint as the plan lists it."""

    found: Found
    step: int | None
    epoch: int | None
    is_final: bool = False
    same_as: str = ""
    """The file that holds the same tensors, and is left out."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run's checkpoints, from the first to the last."""

    folder: Path
    stem: str
    """The LoRA's name as its files have it; empty where they have none."""
    entries: tuple[Entry, ...]
    others: tuple[str, ...] = ()
    """Files beside them that are no checkpoints of this run, each with the reason."""


def find_run(folder: Path) -> Run:
    """Find the one training run in a folder, up to two levels deep; a file stands for the run that it belongs to.

    Raises `NewPlanError` where there is none, or several, or one whose checkpoints are pairs of files.
    """
    only = folder if folder.is_file() else None
    top = folder.parent if only else folder
    if not top.is_dir():
        raise NewPlanError(f"There is no folder {folder}. Name the one where the trainer left its checkpoints.")
    files, pickles = _files(top)
    found, others = _checkpoints(top, files)
    _see_no_pairs(found)
    groups = _grouped(found)
    numbered = {key: one for key, one in groups.items() if any(each.name.is_numbered for each in one)}
    runs = numbered or groups
    if only:
        runs = {key: group for key, group in groups.items() if any(one.path.samefile(only) for one in group)}
    if not runs:
        raise NewPlanError(_nothing(top, pickles, others))
    if len(runs) > 1:
        lines = "".join(f"\n  {_command(group[-1].path)}   {_shown(group)}" for group in runs.values())
        raise NewPlanError(
            f"{top} holds {len(runs)} training runs. Name a checkpoint of the one that you mean:{lines}"
            f"{_perhaps_one(runs)}"
        )
    ((key, group),) = runs.items()
    strangers = [
        f"{one.file}: another LoRA, by its name" for name, rest in groups.items() if name != key for one in rest
    ]
    stem = "" if key[1].lower() in _GENERIC else key[1]
    return Run(folder=top, stem=stem, entries=tuple(_ordered(group)), others=(*strangers, *others))


def _files(top: Path) -> tuple[list[Path], list[Path]]:
    """Return the safetensors files and the pickles below a folder; states, backups and samples are passed over."""
    files: list[Path] = []
    pickles: list[Path] = []
    seen = 0
    for here, folders, names in os.walk(top):
        depth = len(Path(here).relative_to(top).parts)
        folders[:] = sorted(one for one in folders if not _NO_CHECKPOINTS.search(one)) if depth < _DEPTH else []
        for name in sorted(names):
            seen += 1
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                files.append(Path(here, name))
            elif name.lower().endswith(PICKLES):
                pickles.append(Path(here, name))
        if seen > _MOST:
            raise NewPlanError(f"{top} holds more than {_MOST} files. Name the folder of one training run.")
    return files, pickles


def _checkpoints(top: Path, files: Iterable[Path]) -> tuple[list[Found], list[str]]:
    """Return the LoRAs among the files, and why the others are none."""
    found: list[Found] = []
    others: list[str] = []
    for path in files:
        file = path.relative_to(top).as_posix()
        try:
            header = read_header(path)
        except NotSafetensors as error:
            others.append(f"{file}: {str(error).removeprefix(f'{path} ')}")
            continue
        if any(_LORA.search(name) for name in header.tensors):
            found.append(Found(path=path, file=file, header=header, name=notes_of(file)))
        else:
            others.append(f"{file}: no LoRA")
    return found, others


def _see_no_pairs(found: Sequence[Found]) -> None:
    halves = [one.file for one in found if without_pair(one.path.stem)[1]]
    if halves:
        raise NewPlanError(
            f"The checkpoints are pairs of files, for high and for low noise: {', '.join(halves[:2])}. Two files make "
            "one checkpoint, and a column takes one file. Write a plan for one half; its workflow can load the other."
        )


def _grouped(found: Iterable[Found]) -> dict[tuple[str, str], list[Found]]:
    """Group checkpoints by their folder, without those that are named after a step, and by the LoRA's name."""
    groups: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        folders = [part for part in Path(one.file).parts[:-1] if not notes_of(f"{part}/x").is_numbered]
        stem = _TIME.sub("", one.name.stem).rstrip("-_. ")
        stem = stem if one.name.is_numbered else _FINAL.sub("", stem)
        stem = "" if stem.lower() in _NO_NAMES else stem
        groups.setdefault(("/".join(folders), stem), []).append(one)
    return groups


def _ordered(group: Sequence[Found]) -> Iterator[Entry]:
    """Yield the checkpoints in the order of training: by step, or by epoch after a resume, and the final one last.

    The last step, which is often saved twice, is one checkpoint.
    """
    numbered = [one for one in group if one.name.is_numbered]
    finals = [one for one in group if not one.name.is_numbered]
    restarted = is_restarted([one.saved for one in numbered])
    entries = sorted((_entry(one, restarted=restarted) for one in numbered), key=_place)
    final = finals[-1] if finals else None
    twice = _saved_twice(final, entries) if final else {}
    yield from (one for one in entries if one.found.path not in twice)
    for other in finals[:-1]:
        yield replace(_entry(other, restarted=restarted), is_final=False)
    if final:
        entry = _entry(final, restarted=restarted)
        if same := next((one for one in entries if one.found.path in twice), None):
            entry = replace(entry, step=entry.step or same.step, epoch=same.epoch, same_as=same.found.file)
        yield replace(entry, is_final=True)


def _entry(one: Found, *, restarted: bool) -> Entry:
    step = one.name.step if restarted else one.saved.step
    epoch = one.saved.epoch if one.name.is_numbered or one.header.epoch is not None else None
    return Entry(found=one, step=step, epoch=epoch if step is None else one.name.epoch)


def _place(entry: Entry) -> tuple[bool, int, str]:
    """Return a numbered checkpoint's sort key: steps before epochs, since nothing says how the two mix."""
    number = entry.epoch if entry.step is None else entry.step
    return entry.step is None, number or 0, entry.found.file


def _saved_twice(final: Found, entries: Sequence[Entry]) -> Mapping[Path, str]:
    """Return the numbered checkpoints that hold the final one's tensors."""
    try:
        samples = {
            one.path: sample_of(one.path, one.header) for one in (final, *(entry.found for entry in entries[-1:]))
        }
        groups = same_weights(samples)
    except OSError:
        return {}
    return {path: final.file for group in groups for path in group if path != final.path}


def _nothing(top: Path, pickles: Sequence[Path], others: Sequence[str]) -> str:
    """Return the error of a folder without checkpoints."""
    if pickles:
        return (
            f"{top} holds pickles and no safetensors files: {', '.join(one.name for one in pickles[:3])}. A pickle can "
            "run code when it is loaded, and is not opened here. Have the trainer save safetensors, or convert them."
        )
    reasons = "".join(f"\n  {one}" for one in others[:8])
    return (
        f"{top} holds no LoRA checkpoints, up to two levels deep.{reasons}\n"
        "Name the folder where the trainer left its .safetensors files."
    )


def _perhaps_one(runs: Mapping[tuple[str, str], Sequence[Found]]) -> str:
    """Return what to do if the runs are checkpoints of one, where their names differ in a bare number alone."""
    first = next(iter(runs.values()))[0]
    number = _NUMBER.search(first.name.stem)
    is_one_each = all(len(group) == 1 for group in runs.values())
    if not (number and is_one_each and len({(folder, _NUMBER.sub("", stem)) for folder, stem in runs}) == 1):
        return ""
    step = int(number[0])
    return (
        f"\nIf they are checkpoints of one training, their names do not say whether {step} is a step or an epoch: "
        f"rename them (-step{step:08} or -{step:06} for an epoch, before {first.path.suffix}), or write a plan for "
        "one, and list the others in it with their `step` or `epoch`."
    )


def _shown(group: Sequence[Found]) -> str:
    return f"{counted(len(group), 'checkpoint')}, such as {group[0].file}"


def _command(path: Path) -> str:
    text = str(path)
    return f"pytest --new-plan={text}" if re.fullmatch(r"[\w@%+=:,./~-]+", text) else f'pytest "--new-plan={text}"'
