"""Nothing is deployed that was not tested: every checkpoint on every prompt, as the files are now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from plugins.comfyui.choices import choices_of
from plugins.comfyui.own_workflow import classes_for
from plugins.comfyui.server import Server
from plugins.evidence.deployments import Serving
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.key_check import KEYS
from plugins.generate.model_files import files_used
from plugins.pictures.check import Outcome
from plugins.plan.cells import Cell, column
from plugins.plan.messages import UserError
from plugins.plan.plan import Plan
from plugins.plan.tested import Checkpoint

NEEDED: Final = ("size", "blank", "noise", "workflow", "LoRA effect", "twin")
"""The checks that must have been made of every judged picture, whatever their outcome."""


class GateError(UserError):
    """The selection may not be deployed; the message names every cell that prevents it."""


def tested_cells(plan: Plan) -> tuple[Cell, ...]:
    """Return the cells that a selection rests on: every checkpoint at every strength on every prompt; no baselines."""
    return tuple(cell for checkpoint in plan.checkpoints for cell in column(plan, checkpoint))


def pass_gate(
    expected: ExpectedInputs,
    store: Store,
    selected: Checkpoint,
    strength: float | None = None,
    *,
    accepted: Collection[str] = (),
) -> dict[Cell, Evidence]:
    """Return the evidence that the selection rests on. `accepted` are ids of cells that count whatever was checked.

    Raises `GateError` where a cell of any checkpoint has no evidence of the bytes that its training file has now, was
    not checked, or is of a row whose pictures were not made alike; where all are another plan's; or where a picture of
    the selected one, at the `strength` that it was judged at, failed a check.
    """
    cells = tested_cells(expected.plan)
    if unknown := sorted({*accepted} - {cell.id for cell in cells}):
        raise GateError(
            f"--accept={unknown[0]} names no picture of {expected.plan.title}. Write its id as in the tests, "
            f"such as --accept={next(column(expected.plan, selected)).id}. Nothing was deployed."
        )
    looked_up = {cell: expected.found(store, cell) for cell in cells}
    missing = {cell: reason for cell, reason in looked_up.items() if isinstance(reason, str)}
    others = store.plan_name() if len(missing) == len(cells) else ""
    if others and others != expected.plan.name:
        raise GateError(
            f"{store.folder.parent} holds the pictures of another plan, {others!r}, and this is {expected.plan.name!r}."
            " Name the folder that this one's pictures are in: --reports=DIR. Nothing was deployed."
        )
    problems = [f"{cell}: {reason}" for cell, reason in missing.items()]
    shut = set(missing)
    evidence = {} if missing else {cell: found for cell, found in looked_up.items() if isinstance(found, Evidence)}
    doubtful: list[str] = []
    for cell, found in evidence.items():
        is_judged = (cell.checkpoint, cell.strength) == (selected, strength)
        doubts = [] if cell.id in accepted else doubts_about(found, is_selected=is_judged)
        problems += [f"{cell}: {one}" for one in doubts]
        doubtful += [cell.id] if doubts else []
        if unlike := _unlike_its_row(cell, evidence, store):
            problems.append(f"{cell}: {unlike}")
            shut.add(cell)
        shut |= {cell} if doubts else set()
    base_models = sorted({found.base_model for found in evidence.values()})
    if len(base_models) > 1:
        problems.append(f"the pictures were made on several base models ({', '.join(base_models)}) and do not compare")
    if problems:
        count = len(shut) or len(cells)
        lines = "".join(f"\n  {problem}" for problem in problems)
        take = f"\nTo accept a picture as it is, name it: --accept={doubtful[0]}" if doubtful else ""
        raise GateError(
            f"{selected.id} cannot be deployed: {count} of {len(cells)} pictures are missing or did not pass.{lines}\n"
            f"Nothing was deployed. Render what is missing, and look at the report again: pytest -m generate{take}"
            f"{_never_rendered(store, cells, missing.keys())}"
        )
    return evidence


def accepted_among(evidence: Mapping[Cell, Evidence], accepted: Collection[str]) -> dict[str, str]:
    """Return the problems of each picture that a person accepted, by the cell's id."""
    return {
        cell.id: "; ".join(doubts_about(found, is_selected=True)) or "it had passed"
        for cell, found in evidence.items()
        if cell.id in accepted
    }


def check_files(
    expected: ExpectedInputs, evidence: Mapping[Cell, Evidence], servers: Sequence[Server]
) -> tuple[Serving, ...]:
    """Check that the servers still have the model files that the pictures were made from. Returns what each has now.

    Raises `GateError`, or `ComfyUIError` where one cannot be asked.
    """
    base_model = next(iter(evidence.values())).base_model
    classes, comfyui = classes_for(expected.plan), expected.plan.paths.comfyui
    now = {}
    for server in servers:
        choices = server.ask(partial(choices_of, classes=classes))
        now[server.info] = files_used(expected, choices, base_model=base_model, comfyui=comfyui)
    there = replace(expected, files=now)
    changed = {name: None for found in evidence.values() for name in there.changed_files(found)}
    if changed:
        raise GateError(
            f"{' and '.join(changed)} is another file now than when the pictures were rendered, so production would "
            "not render what was judged. Put the former file back, or render again: pytest -m generate. "
            "Nothing was deployed."
        )
    return tuple(Serving(server=server, files=files) for server, files in now.items())


def doubts_about(evidence: Evidence, *, is_selected: bool) -> list[str]:
    """Return the problems of a picture itself: checks that were not made, and, if it is selected, that failed."""
    return _unchecked(evidence) + ([str(check) for check in evidence.failures] if is_selected else [])


def _never_rendered(store: Store, cells: Collection[Cell], missing: Collection[Cell]) -> str:
    """Say how to go on without a checkpoint of which no more pictures are rendered, since none of its keys fit."""
    unfit = {cell.column: None for cell in cells if cell not in missing and _fits_nothing(store, cell)}
    found = [name for name in unfit if any(cell.column == name for cell in missing)]
    if not found:
        return ""
    return f"\nNone of the keys of {' and '.join(found)} fit the base model: take its [[checkpoint]] out of the plan."


def _fits_nothing(store: Store, cell: Cell) -> bool:
    try:
        found = store.read(cell)
    except EvidenceError:
        return False
    return found is not None and any(check.name == KEYS for check in found.failures)


def _unlike_its_row(cell: Cell, evidence: Mapping[Cell, Evidence], store: Store) -> str:
    """Return how a picture's server differs from its baseline's, or the first of its row; empty if it does not.

    What older evidence does not contain is not compared.
    """
    try:
        baseline = store.read(cell.baseline)
    except EvidenceError:
        baseline = None  # a damaged one is rendered again by the next run; the pictures compare with each other
    other = baseline or next(found for one, found in evidence.items() if one.baseline == cell.baseline)
    unlike = "; ".join(evidence[cell].unlike(other))
    return f"not comparable with {'the baseline' if baseline else 'its row'}: it was made on {unlike}" if unlike else ""


def _unchecked(evidence: Evidence) -> list[str]:
    """Return the checks of a picture that were not made, for example because the run was killed."""
    outcomes = {check.name: check.outcome for check in evidence.checks}
    return [
        f"its check {name!r} was not made"
        for name in NEEDED
        if outcomes.get(name, Outcome.NOT_CHECKED) is Outcome.NOT_CHECKED
    ]
