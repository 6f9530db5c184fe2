"""When a checkpoint was saved, by the plan, the header and the name, which should agree."""

from collections.abc import Iterator, Mapping
from typing import Final

from plugins.plan.plan import Plan
from plugins.plan.tested import Checkpoint
from plugins.plan.training.header import Header
from plugins.plan.training.names import notes_of

_RUN: Final = ("ss_session_id", "ss_training_started_at")
"""The notes by which kohya's trainers identify one start of a training."""


def contradictions(plan: Plan, headers: Mapping[Checkpoint, Header]) -> Iterator[str]:
    """Yield contradictions between plan and header that would give a checkpoint a wrong name."""
    for checkpoint, header in headers.items():
        path = plan.training_file(checkpoint)
        for word, planned, noted, key, named in _numbers(checkpoint, header):
            if planned is not None and noted not in {None, planned} and not _explained(checkpoint, headers, word):
                name = "" if named is None else f", and its name says {word} {named}"
                yield (
                    f"{path} says that it was saved at {word} {noted} ({key}), but the plan calls it {word} {planned}"
                    f"{name}. Correct the plan's [[checkpoint]], or the file."
                )


def doubts_of_steps(headers: Mapping[Checkpoint, Header]) -> Iterator[str]:
    """Yield contradictions that a resumed training explains, and names that contradict the plan."""
    for checkpoint, header in headers.items():
        for word, planned, noted, key, named in _numbers(checkpoint, header):
            where = f"checkpoint {checkpoint.id}: {checkpoint.file}"
            if planned is None:
                continue
            if noted not in {None, planned}:
                name = "" if named is None else f", its name {word} {named}"
                yield (
                    f"{where} says {word} {noted} ({key}){name}, and the plan {word} {planned}: its training was "
                    "resumed and counted from zero, or the plan is wrong"
                )
            elif named not in {None, planned}:
                header_says = "" if noted is None else f", as its header does ({key})"
                yield f"{where} is called {word} {named}, and the plan says {word} {planned}{header_says}"


def _numbers(checkpoint: Checkpoint, header: Header) -> Iterator[tuple[str, int | None, int | None, str, int | None]]:
    """Yield, for step and epoch, what the plan, the header (with its key) and the name say."""
    name = notes_of(checkpoint.file)
    yield "step", checkpoint.step, header.step, header.step_key, name.step
    yield "epoch", checkpoint.epoch, header.epoch, header.epoch_key, name.epoch


def _explained(checkpoint: Checkpoint, headers: Mapping[Checkpoint, Header], word: str) -> bool:
    """Say whether a resumed training explains that the header's number is smaller than the plan's.

    Then an earlier checkpoint has the same number or a larger one, and is of another start of the training, or of an
    earlier epoch; or this one's own name says what the plan does.
    """
    planned, header = getattr(checkpoint, word), headers[checkpoint]
    noted = getattr(header, word)
    if noted is None or planned is None or noted >= planned:
        return False
    named = getattr(notes_of(checkpoint.file), word) == planned
    for other, before in headers.items():
        number, at = getattr(before, word), getattr(other, word)
        if number is None or at is None or at >= planned or number < noted:
            continue
        started_anew = any(
            header.metadata.get(key) and before.metadata.get(key) and header.metadata[key] != before.metadata[key]
            for key in _RUN
        )
        epochs = before.epoch, header.epoch
        later = word == "step" and None not in epochs and (epochs[0] or 0) < (epochs[1] or 0)
        if named or started_anew or later:
            return True
    return False
