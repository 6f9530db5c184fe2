"""When each checkpoint was saved: by the plan, else by the file's header, else by its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from plugins.plan.training.header import NotSafetensors, read_header
from plugins.plan.training.names import NameNotes, notes_of


@dataclass(frozen=True, kw_only=True)
class Saved:
    """When a checkpoint was saved, by its header and by its name; None where they do not say."""

    header_step: int | None
    header_epoch: int | None
    name: NameNotes

    @property
    def step(self) -> int | None:
        """Its step by the header, else by the name."""
        return self.name.step if self.header_step is None else self.header_step

    @property
    def epoch(self) -> int | None:
        """Its epoch by the name, else by the header; a name's number outlives a resume."""
        return self.header_epoch if self.name.epoch is None else self.name.epoch


def saved_of(folder: Path, file: str) -> Saved:
    """Read what a training file says; one that is missing or broken says what its name does."""
    step = epoch = None
    try:
        if (path := folder / file).is_file():
            header = read_header(path)
            step, epoch = header.step, header.epoch
    except (NotSafetensors, OSError):
        pass  # said where it is staged
    return Saved(header_step=step, header_epoch=epoch, name=notes_of(file))


def with_steps(tables: Sequence[Any], folder: Path) -> list[Any]:
    """Give each [[checkpoint]] table its `step`, or else its `epoch`, where it has neither and the file says it.

    In the headers of a resumed training the steps start again from zero; then names and epochs tell its checkpoints
    apart.
    """
    open_ = {
        index: saved_of(folder, table["file"])
        for index, table in enumerate(tables)
        if isinstance(table, dict) and isinstance(table.get("file"), str) and not {"step", "epoch"} & table.keys()
    }
    open_ = {index: saved for index, saved in open_.items() if _is_below(tables[index]["file"])}
    restarted = is_restarted(tuple(open_.values()))
    return [
        {**table, **_found(open_[index], restarted=restarted)} if index in open_ else table
        for index, table in enumerate(tables)
    ]


def is_restarted(saved: Sequence[Saved]) -> bool:
    """Say whether the headers' steps started again from zero: two are the same, or they fall while the epochs rise."""
    known = [one for one in saved if one.header_step is not None and one.name.is_numbered]
    steps = [one.header_step or 0 for one in sorted(known, key=lambda one: (one.epoch or 0, one.header_step or 0))]
    return any(after <= before for before, after in pairwise(steps))


def _found(saved: Saved, *, restarted: bool) -> Mapping[str, int]:
    step = saved.name.step if restarted else saved.step
    if step is not None:
        return {"step": step}
    return {} if saved.epoch is None or not saved.name.is_numbered else {"epoch": saved.epoch}


def _is_below(file: str) -> bool:
    """Say whether a name stays in the training folder; others are reported as mistakes."""
    return not Path(file).is_absolute() and ".." not in Path(file).parts and "\0" not in file
