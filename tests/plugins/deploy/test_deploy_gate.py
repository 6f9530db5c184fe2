"""Nothing is deployed that was not tested: the gate names every cell that is in the way."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.comfyui.answers import ModelFile
from plugins.comfyui.choices import ServerChoices
from plugins.deploy import gate
from plugins.deploy.gate import GateError
from plugins.evidence.deployments import Serving
from plugins.evidence.evidence import FileRecord
from plugins.generate.model_files import files_used
from plugins.pictures.check import Check, Outcome
from plugins.plan.cells import Cell, matrix
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import BASE, BLANK, NEEDED, expected_inputs_of, keep

PASSED_ALL = tuple(Check(name=name, outcome=Outcome.PASSED) for name in NEEDED)


def everything(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_full_matrix_opens_the_gate(judged: Judged) -> None:
    """With evidence of every checkpoint on every prompt, the evidence is given, without the baselines."""
    selected = judged.selected()

    assert [cell.id for cell in selected.evidence] == [
        "step600-forest",
        "step600-novel_pose",
        "final-forest",
        "final-novel_pose",
    ]
    assert tuple(selected.evidence) == gate.tested_cells(judged.plan)


def test_missing_baseline_does_not_shut_the_gate(judged: Judged) -> None:
    """The selection rests on the checkpoints' pictures; the baseline is only a help."""
    judged.store.evidence_path(matrix(judged.plan)[0]).unlink()

    assert len(judged.selected().evidence) == 4


def _not_rendered(judged: Judged, cell: Cell) -> str:
    judged.store.evidence_path(cell).unlink()
    return f"{cell}: it was not rendered"


def _broken(judged: Judged, cell: Cell) -> str:
    judged.store.evidence_path(cell).write_text("{")
    return f"{cell}: {judged.store.evidence_path(cell)} is not readable evidence ("


def _painted_over(judged: Judged, cell: Cell) -> str:
    judged.store.picture_path(cell).write_bytes(b"painted over")
    return f"{cell}: {judged.store.picture_path(cell)} was changed after it was rendered"


def _picture_gone(judged: Judged, cell: Cell) -> str:
    judged.store.picture_path(cell).unlink()
    return f"{cell}: {judged.store.picture_path(cell)} is gone"


def _simulated(judged: Judged, cell: Cell) -> str:
    keep(expected_inputs_of(judged.plan, simulated=True), judged.store, cell)
    return f"{cell}: it is SIMULATED"


def _other_base_model(judged: Judged, cell: Cell) -> str:
    keep(judged.expected, judged.store, cell, base_model="other.safetensors")
    return f"{cell}: it was rendered on another base model, other.safetensors"


def _other_inputs(judged: Judged, cell: Cell) -> str:
    keep(judged.expected, judged.store, cell, inputs_digest="0" * 64)
    return f"{cell}: the plan's prompt, seed, settings or workflow were changed since it was rendered"


@pytest.mark.parametrize("number", [2, 5], ids=["a-cell-of-the-selected", "a-cell-of-another"])
@pytest.mark.parametrize(
    "spoil",
    [_not_rendered, _broken, _painted_over, _picture_gone, _simulated, _other_base_model, _other_inputs],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_missing_evidence_shuts_the_gate(judged: Judged, spoil: Callable[[Judged, Cell], str], number: int) -> None:
    """A single cell of any checkpoint without evidence that counts is named, and nothing on disk changes."""
    expected = spoil(judged, matrix(judged.plan)[number])
    before = everything(judged.reports.parent)

    with pytest.raises(GateError) as caught:
        judged.selected()

    head, told, last = str(caught.value).split("\n")
    assert head == "step600 cannot be deployed: 1 of 4 pictures are missing or did not pass."
    assert told.startswith(f"  {expected}")
    assert last == "Nothing was deployed. Render what is missing, and look at the report again: pytest -m generate"
    assert everything(judged.reports.parent) == before


@pytest.mark.parametrize("step", ["step600", "final"])
def test_retrained_checkpoint_shuts_the_gate(judged: Judged, step: str) -> None:
    """A training file with other bytes than those judged is named, whichever checkpoint was selected."""
    checkpoint = next(one for one in judged.plan.checkpoints if one.id == step)
    file = judged.plan.training_file(checkpoint)
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    now = Judged(plan=judged.plan, expected=expected_inputs_of(judged.plan), store=judged.store, reports=judged.reports)

    with pytest.raises(GateError) as caught:
        now.selected()

    _, first, second, _ = str(caught.value).split("\n")
    was = judged.expected.loras[step][:12]
    assert first == f"  {step} x forest: it was rendered from other bytes (SHA-256 {was}) than {file} has now"
    assert second.startswith(f"  {step} x novel_pose: it was rendered from other bytes")


def test_pictures_of_another_plan_are_one_message(judged: Judged) -> None:
    """Reports of another LoRA shut the gate with that cause alone, not picture by picture."""
    other = judged.plan.model_copy(update={"name": "bolt_v1"})
    now = Judged(plan=other, expected=expected_inputs_of(other), store=judged.store, reports=judged.reports)

    with pytest.raises(GateError) as caught:
        now.selected()

    assert (
        f"{judged.reports} holds the pictures of another plan, {judged.plan.name!r}, and this is 'bolt_v1'. "
        "Name the folder that this one's pictures are in: --reports=DIR. Nothing was deployed."
    ) == str(caught.value)


def test_everything_missing_is_listed(judged: Judged) -> None:
    """Where nothing was rendered, every cell is named."""
    for cell in matrix(judged.plan):
        judged.store.evidence_path(cell).unlink()

    with pytest.raises(GateError) as caught:
        judged.selected()

    assert str(caught.value).split("\n")[:-1] == [
        "step600 cannot be deployed: 4 of 4 pictures are missing or did not pass.",
        "  step600 x forest: it was not rendered",
        "  step600 x novel_pose: it was not rendered",
        "  final x forest: it was not rendered",
        "  final x novel_pose: it was not rendered",
    ]


@pytest.mark.parametrize("fits", [True, False])
def test_checkpoint_that_fits_nothing_is_to_be_taken_out(judged: Judged, *, fits: bool) -> None:
    """Where no more pictures of a checkpoint are rendered, since no key of it fits, the plan must do without it."""
    cells = matrix(judged.plan)
    keys = Check(name="LoRA keys", outcome=Outcome.PASSED if fits else Outcome.FAILED)
    keep(judged.expected, judged.store, cells[4], checks=(*PASSED_ALL, keys))
    judged.store.evidence_path(cells[5]).unlink()

    with pytest.raises(GateError) as caught:
        judged.selected()

    told = "\nNone of the keys of final fit the base model: take its [[checkpoint]] out of the plan."
    assert str(caught.value).endswith("pytest -m generate" if fits else told)


def test_failed_check_of_the_selected_checkpoint_shuts_the_gate(judged: Judged) -> None:
    """A checkpoint whose own picture could not be judged is not deployed; the check says why."""
    cell = matrix(judged.plan)[3]
    keep(judged.expected, judged.store, cell, checks=judged.evidence(cell).with_check(BLANK).checks)

    with pytest.raises(GateError, match="step600 x novel_pose: blank: the picture is nearly one colour"):
        judged.selected()


def test_failed_check_of_another_checkpoint_does_not(judged: Judged) -> None:
    """A bad picture of a checkpoint that nobody selected stands in nobody's way."""
    cell = matrix(judged.plan)[3]
    keep(judged.expected, judged.store, cell, checks=judged.evidence(cell).with_check(BLANK).checks)

    assert judged.selected("final").checkpoint.id == "final"


@pytest.mark.parametrize(
    ("number", "checks", "said"),
    [
        pytest.param(2, (*PASSED_ALL, BLANK), f"{BLANK}", id="failed"),
        pytest.param(5, PASSED_ALL[1:], "its check 'size' was not made", id="not-checked"),
    ],
)
def test_picture_is_accepted_by_name(judged: Judged, number: int, checks: tuple[Check, ...], said: str) -> None:
    """A picture that failed or was not checked stands in the way until a person takes it by name."""
    cell = matrix(judged.plan)[number]
    keep(judged.expected, judged.store, cell, checks=checks)

    with pytest.raises(GateError, match=f"To accept a picture as it is, name it: --accept={cell.id}$"):
        judged.selected()
    evidence = gate.pass_gate(judged.expected, judged.store, judged.plan.checkpoints[0], accepted=(cell.id,))

    assert {cell.id: said} == gate.accepted_among(evidence, (cell.id,))


def test_name_that_is_no_picture_is_not_accepted(judged: Judged) -> None:
    """A cell that the plan does not have cannot be accepted: the message shows how one is named."""
    with pytest.raises(GateError, match=r"--accept=forest names no picture of .*, such as --accept=step600-forest"):
        gate.pass_gate(judged.expected, judged.store, judged.plan.checkpoints[0], accepted=("forest",))


@pytest.mark.parametrize("name", ["size", "blank", "noise", "workflow", "LoRA effect", "twin"])
def test_check_that_was_not_made_shuts_the_gate(judged: Judged, name: str) -> None:
    """Each of the five checks must have been made of every picture."""
    cell = matrix(judged.plan)[5]
    checks = tuple(check for check in judged.evidence(cell).checks if check.name != name)
    keep(judged.expected, judged.store, cell, checks=checks)

    with pytest.raises(GateError, match=f"final x novel_pose: its check '{name}' was not made"):
        judged.selected()


def _served(judged: Judged, cell: Cell, **facts: str) -> None:
    evidence = judged.store.read(cell)
    assert evidence
    keep(judged.expected, judged.store, cell, server=evidence.server.model_copy(update=facts))


def test_row_of_two_versions_shuts_the_gate(judged: Judged) -> None:
    """Checkpoints that were rendered by another ComfyUI than their baseline are not comparable with it."""
    cells = matrix(judged.plan)
    for cell in cells[2::2]:
        _served(judged, cell, comfyui_version="0.33.0")

    with pytest.raises(GateError) as caught:
        judged.selected()

    told = "not comparable with the baseline: it was made on ComfyUI 0.33.0 instead of 0.3.64"
    assert str(caught.value).splitlines()[1:-1] == [f"  {cell}: {told}" for cell in cells[2::2]]


@pytest.mark.parametrize("baselines", [True, False], ids=["with-baselines", "without"])
def test_rows_of_a_version_each_open_the_gate(judged: Judged, *, baselines: bool) -> None:
    """What matters is that each row is of one version: several servers may have shared the rows."""
    for cell in matrix(judged.plan)[::2]:
        _served(judged, cell, comfyui_version="0.33.0")
    for cell in matrix(judged.plan)[: 0 if baselines else 2]:
        judged.store.evidence_path(cell).unlink()

    assert len(judged.selected().evidence) == 4


def test_what_older_evidence_does_not_know_is_not_held_against_it(judged: Judged) -> None:
    """Evidence without torch and options compares with newer evidence of the same version and device."""
    _served(judged, matrix(judged.plan)[0], torch="2.8.0", flags="--fp16-unet")

    assert len(judged.selected().evidence) == 4


def test_columns_of_two_devices_shut_the_gate_without_a_baseline(judged: Judged) -> None:
    """Where the baseline is gone, the pictures of a row are held against each other."""
    cells = matrix(judged.plan)
    judged.store.evidence_path(cells[0]).unlink()
    _served(judged, cells[4], device="MI300X")

    with pytest.raises(GateError, match=r"final x forest: not comparable with its row: .* MI300X instead of RTX 4090"):
        judged.selected()


@pytest.mark.parametrize("size", [7, 8], ids=["the-same", "replaced"])
def test_base_model_of_the_pictures_is_the_one_that_is_there(judged: Judged, size: int) -> None:
    """A base model that was replaced under its name since the pictures were rendered shuts the gate."""
    name = f"checkpoints/{BASE}"
    (judged.plan.paths.comfyui / "models" / name).unlink(missing_ok=True)  # it is not at hand: the server tells
    used = FileRecord(name=name, size=7, modified=1e9, local=False)
    evidence = {cell: found.model_copy(update={"files": (used,)}) for cell, found in judged.selected().evidence.items()}
    now = ModelFile(name=BASE, pathIndex=0, size=size, modified=1e9)
    choices = ServerChoices(url="http://a:1", base_models=(BASE,), samplers=(), schedulers=(), files={name: now})
    server: Any = SimpleNamespace(info=next(iter(evidence.values())).server, ask=lambda _: choices)

    if size == used.size:
        assert (Serving(server=server.info, files=(used,)),) == gate.check_files(judged.expected, evidence, (server,))
    else:
        with pytest.raises(GateError, match=f"{name} is another file now than when the pictures were rendered"):
            gate.check_files(judged.expected, evidence, (server,))


def test_base_model_of_the_same_size_and_time_is_not_taken_for_the_former_one(judged: Judged) -> None:
    """A base model that is at hand is read: other bytes shut the gate, whatever its size and time say."""
    name = f"checkpoints/{BASE}"
    file = judged.plan.paths.comfyui / "models" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(1 << 20))
    listed = {name: ModelFile(name=BASE, pathIndex=0, size=1 << 20, modified=1e9)}
    choices = ServerChoices(url="http://a:1", base_models=(BASE,), samplers=(), schedulers=(), files=listed)
    found = judged.selected().evidence
    server: Any = SimpleNamespace(info=next(iter(found.values())).server, ask=lambda _: choices)
    files = files_used(judged.expected, choices, base_model=BASE, comfyui=judged.plan.paths.comfyui)
    evidence = {cell: one.model_copy(update={"files": files}) for cell, one in found.items()}
    gate.check_files(judged.expected, evidence, (server,))

    time = file.stat().st_mtime_ns
    file.write_bytes(bytes(1 << 19) + b"\1" * (1 << 19))
    os.utime(file, ns=(time, time))
    with pytest.raises(GateError, match=f"{name} is another file now than when the pictures were rendered"):
        gate.check_files(judged.expected, evidence, (server,))


def test_each_server_is_asked_for_the_model_files(judged: Judged) -> None:
    """A base model that was replaced on the second server alone, which made the pictures, shuts the gate."""
    name = f"checkpoints/{BASE}"
    (judged.plan.paths.comfyui / "models" / name).unlink(missing_ok=True)
    used = FileRecord(name=name, size=7, modified=1e9, local=False)
    evidence = {cell: found.model_copy(update={"files": (used,)}) for cell, found in judged.selected().evidence.items()}
    made_it = next(iter(evidence.values())).server

    def server(url: str, size: int) -> Any:
        listed = {name: ModelFile(name=BASE, pathIndex=0, size=size, modified=1e9)}
        choices = ServerChoices(url=url, base_models=(BASE,), samplers=(), schedulers=(), files=listed)
        return SimpleNamespace(info=made_it.model_copy(update={"url": url}), ask=lambda _: choices)

    with pytest.raises(GateError, match=f"{name} is another file now"):
        gate.check_files(judged.expected, evidence, (server("http://a:1", 7), server(made_it.url, 8)))
