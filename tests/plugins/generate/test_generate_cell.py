"""A cell is rendered on a server, checked, and kept with its evidence."""

import dataclasses
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from plugins.comfyui.choices import picker_names
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import ExecutionFailed, Lost, NotListed
from plugins.comfyui.server import Server
from plugins.comfyui.timing import Timing
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.expected import ExpectedInputs
from plugins.generate.preparing import Prepared, prepare
from plugins.loras.staging import preflight, stage
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from stand_in.faults import NodeFailure
from stand_in.serving import Serving
from tests.plugins.evidence.made_evidence import BLANK, keep
from tests.rendered import rendered_and_kept
from tests.small_plan import Posing

Connect = Callable[..., Server]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect to stand-ins: `connect(serving, listed=...)`, where a picker has that long to notice a file."""
    servers: list[Server] = []

    def connected(serving: Serving, *, listed: float = 0.0) -> Server:
        client = ComfyUI(serving.url, timing=Timing(fetch=0.2, listed=listed, pause=0.02))
        servers.append(Server(client, client.info(), timeout=20))
        return servers[-1]

    yield connected
    for server in servers:
        server.close()


@pytest.fixture
def ready(
    plan: Plan, store: Store, stand_in: Callable[..., Serving], connect: Connect
) -> Callable[..., tuple[Prepared, Server]]:
    """Stage the plan before a stand-in, and prepare to render it."""

    def make_ready(faults: Posing | None = None) -> tuple[Prepared, Server]:
        bare = plan.model_copy(update={"paths": plan.paths.model_copy(update={"training_images": None})})
        server = connect(stand_in(faults=faults or Posing()))
        return prepare(bare, (server,), store, headers=preflight(bare)), server

    return make_ready


def make(prepared: Prepared, server: Server, number: int = 2) -> Evidence:
    """Render a cell and keep it: by default, step600 on the first prompt."""
    cell = matrix(prepared.expected.plan)[number]
    return rendered_and_kept(prepared, cell, server)


def png(image: Image.Image) -> bytes:
    """Return an image as a PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Sending(Posing):
    """Sends the same bytes for every picture."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def picture(self, png: bytes) -> bytes:
        """Send the bytes."""
        del png
        return self.content


def test_cell_is_rendered_and_kept_with_its_evidence(
    ready: Callable[..., tuple[Prepared, Server]], store: Store
) -> None:
    """The picture is kept as the server sent it, and its evidence says everything it was made from."""
    prepared, server = ready()
    evidence = make(prepared, server)
    cell, plan = matrix(prepared.expected.plan)[2], prepared.expected.plan

    assert store.read(cell) == evidence
    assert evidence.failures == ()
    assert (evidence.cell.column, evidence.cell.row, evidence.cell.step, evidence.cell.seed) == (
        "step600",
        "forest",
        600,
        42,
    )
    assert evidence.lora is not None
    assert (evidence.lora.file, evidence.lora.sha256) == (
        "spyke_plasma_v1_step600.safetensors",
        prepared.expected.loras["step600"],
    )
    assert (evidence.prompt_text, evidence.base_model) == (plan.prompts[0].text, "AnythingXL_inkBase.safetensors")
    assert (evidence.picture.width, evidence.picture.height) == (64, 64)
    assert (evidence.server.url, evidence.server.comfyui_version) == (server.client.url, "0.33.0")
    assert (evidence.simulated, evidence.run.started <= evidence.run.ended) == (False, True)
    assert evidence.inputs_digest == prepared.expected.inputs_digest(cell, base_model=prepared.recorder.base_model)
    with Image.open(store.picture_path(cell)) as picture:
        assert "prompt" in picture.info


def test_baseline_is_rendered_without_a_lora(ready: Callable[..., tuple[Prepared, Server]]) -> None:
    """The baseline's workflow loads no LoRA, and its evidence names none."""
    evidence = make(*ready(), number=0)

    assert (evidence.lora, evidence.cell.step, evidence.failures) == (None, None, ())
    assert [node for node in evidence.workflow.values() if node["class_type"].startswith("Lora")] == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(png(Image.new("RGB", (64, 64))), ["blank", "nearly one colour, rgb(0, 0, 0)"], id="black"),
        pytest.param(
            png(Image.linear_gradient("L").resize((32, 64))), ["size", "got 32x64, asked for 64x64"], id="other-size"
        ),
    ],
)
def test_picture_that_fails_a_check_is_kept_and_says_so(
    ready: Callable[..., tuple[Prepared, Server]], store: Store, content: bytes, told: list[str]
) -> None:
    """A bad picture is kept for a person to see, with what is wrong in its evidence; it is not reused."""
    prepared, server = ready(Sending(content))
    evidence = make(prepared, server)
    cell = matrix(prepared.expected.plan)[2]

    assert store.picture_path(cell).read_bytes() == content
    assert [check.name for check in evidence.failures] == told[:1]
    assert told[1] in str(evidence.failures[0])
    assert prepared.recorder.reusable(cell) is None


def test_workflow_that_the_server_changed_is_told(ready: Callable[..., tuple[Prepared, Server]], store: Store) -> None:
    """A picture made from another seed than was asked for fails, field by field."""
    prepared, server = ready()
    make(prepared, server, number=3)
    other = store.picture_path(matrix(prepared.expected.plan)[3]).read_bytes()
    del prepared, server
    prepared, server = ready(Sending(other))
    evidence = make(prepared, server, number=5)

    assert [check.name for check in evidence.failures] == ["workflow"]
    assert "node 2 (LoraLoader) lora_name: got 'spyke_plasma_v1_step600.safetensors'" in str(evidence.failures[0])


def test_bytes_that_are_no_picture_fail_the_cell(ready: Callable[..., tuple[Prepared, Server]], store: Store) -> None:
    """A server that sends no PNG is told with the cell; nothing is kept."""
    prepared, server = ready(Sending(b"<html>"))

    with pytest.raises(CellFailedError) as caught:
        make(prepared, server)

    assert str(caught.value) == (
        f"{server.client.url} sent no usable picture of step600 x forest: "
        "it is not a PNG: 6 bytes that begin with b'<html>'. "
        "If there is a proxy in front of it, check that, then run this again."
    )
    assert not store.folder.exists()


def test_lora_that_changes_while_it_is_rendered_fails_the_cell(
    ready: Callable[..., tuple[Prepared, Server]], plan: Plan, store: Store
) -> None:
    """A picture from a file that somebody replaced meanwhile says nothing about the checkpoint; it is not kept."""
    file = plan.paths.loras / "spyke_plasma_v1_step600.safetensors"

    class Meddling(Posing):
        def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
            del prompt_id, node_id
            if class_type == "KSampler":
                file.write_bytes(file.read_bytes())

    prepared, server = ready(Meddling())

    with pytest.raises(CellFailedError) as caught:
        make(prepared, server)

    assert str(caught.value) == (
        f"{file} was changed while step600 x forest was rendered from it. Run this again, "
        "and leave the loras folder alone meanwhile."
    )
    assert not store.folder.exists()


def test_server_error_is_passed_on(ready: Callable[..., tuple[Prepared, Server]], store: Store) -> None:
    """An error in the middle of a run names the node and the exception; nothing is kept."""

    class OutOfMemory(Posing):
        def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
            del prompt_id, node_id
            if class_type == "KSampler":
                raise NodeFailure("torch.OutOfMemoryError", "Allocation on device")

    with pytest.raises(ExecutionFailed, match=r"KSampler\) raised torch.OutOfMemoryError: Allocation on device"):
        make(*ready(OutOfMemory()))

    assert not store.folder.exists()


def test_picture_lost_in_a_restart_is_rendered_again(
    ready: Callable[..., tuple[Prepared, Server]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was restarted has lost its queue; the cell is sent once more."""
    prepared, server = ready()
    real, calls = server.render, []

    def render(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise Lost("gone")
        return real(*arguments)

    monkeypatch.setattr(server, "render", render)

    assert make(prepared, server).failures == ()
    assert len(calls) == 2


def test_evidence_of_the_same_inputs_is_reused(ready: Callable[..., tuple[Prepared, Server]]) -> None:
    """A second run reuses a picture whose inputs still match."""
    prepared, server = ready()
    evidence = make(prepared, server)

    assert prepared.recorder.reusable(matrix(prepared.expected.plan)[2]) == evidence


def _unreadable(_: ExpectedInputs, store: Store, cell: Cell) -> None:
    store.evidence_path(cell).write_text("{")


def _of_a_changed_picture(_: ExpectedInputs, store: Store, cell: Cell) -> None:
    store.picture_path(cell).write_bytes(b"painted over")


def _not_there(_: ExpectedInputs, store: Store, cell: Cell) -> None:
    store.evidence_path(cell).unlink()


def _with_a_failed_check(asked: ExpectedInputs, store: Store, cell: Cell) -> None:
    keep(asked, store, cell, checks=(BLANK,))


def _on_another_spelling_of_the_base_model(asked: ExpectedInputs, store: Store, cell: Cell) -> None:
    keep(asked, store, cell, base_model="sub/AnythingXL_inkBase.safetensors")


def _of_other_bytes(asked: ExpectedInputs, store: Store, cell: Cell) -> None:
    keep(dataclasses.replace(asked, loras={**asked.loras, "step600": "0" * 64}), store, cell)


def _simulated(asked: ExpectedInputs, store: Store, cell: Cell) -> None:
    keep(dataclasses.replace(asked, simulated=True), store, cell)


@pytest.mark.parametrize(
    "spoil",
    [
        _unreadable,
        _of_a_changed_picture,
        _not_there,
        _with_a_failed_check,
        _on_another_spelling_of_the_base_model,
        _of_other_bytes,
        _simulated,
    ],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_evidence_that_does_not_hold_is_not_reused(
    ready: Callable[..., tuple[Prepared, Server]], store: Store, spoil: Callable[[ExpectedInputs, Store, Cell], None]
) -> None:
    """Evidence that is broken, failed, or of other inputs is rendered again."""
    prepared, _ = ready()
    cell = matrix(prepared.expected.plan)[2]
    keep(prepared.expected, store, cell)
    assert prepared.recorder.reusable(cell) is not None

    spoil(prepared.expected, store, cell)

    assert prepared.recorder.reusable(cell) is None


def test_picker_gives_its_names(plan: Plan, stand_in: Callable[..., Serving], connect: Connect) -> None:
    """Once every staged file is in the picker, its list is given as the server spells it."""
    server = connect(stand_in())

    assert picker_names(plan, server.client, stage(plan, preflight(plan))) == (
        "spyke_plasma_v1_final.safetensors",
        "spyke_plasma_v1_step600.safetensors",
    )


def test_picker_without_a_staged_file_is_told(plan: Plan, stand_in: Callable[..., Serving], connect: Connect) -> None:
    """A server that does not list what was staged reads another folder, and the options that mend it are told."""
    staged = stage(plan, preflight(plan))
    server = connect(stand_in())
    staged[0].file.unlink()

    with pytest.raises(NotListed) as caught:
        picker_names(plan, server.client, staged)

    assert str(caught.value) == (
        f"spyke_plasma_v1_step600.safetensors lies in {plan.paths.loras}, but is not in the LoRA list of "
        f"{server.client.url}. That server reads another folder: name its ComfyUI folder with --comfyui-dir, "
        "or correct `comfyui` and `loras` under [paths] in the plan."
    )


def test_picker_with_another_file_of_that_name_is_told(
    plan: Plan,
    stand_in: Callable[..., Serving],
    connect: Connect,
) -> None:
    """A server that has another file under a staged name would render other bytes; both steps are told."""
    staged = stage(plan, preflight(plan))
    server = connect(stand_in())
    staged[0].file.write_bytes(plan.training_file(plan.checkpoints[1]).read_bytes())

    with pytest.raises(NotListed) as caught:
        picker_names(plan, server.client, staged)

    assert str(caught.value).startswith(
        f"{server.client.url} has another file under the name spyke_plasma_v1_step600.safetensors than "
        f"{staged[0].file}: its header says step 920, the staged file's step 600. It reads another folder:"
    )


def test_picker_that_is_late_is_waited_for(
    plan: Plan, stand_in: Callable[..., Serving], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing that lags behind, as on a network share, is asked again."""
    staged = stage(plan, preflight(plan))
    server = connect(stand_in(), listed=5.0)
    real, calls = server.client.loras, []

    def late() -> tuple[str, ...]:
        calls.append(1)
        return real() if len(calls) > 1 else ()

    monkeypatch.setattr(server.client, "loras", late)

    assert len(picker_names(plan, server.client, staged)) == 2
    assert len(calls) == 2


def test_stale_weights_are_never_judged(
    plan: Plan, stand_in: Callable[..., Serving], connect: Connect, tmp_path: Path
) -> None:
    """A server that rendered a file of this name before reads the new bytes."""
    serving = stand_in()
    bare = plan.model_copy(update={"paths": plan.paths.model_copy(update={"training_images": None})})
    target = plan.training_file(plan.checkpoints[0])
    good, other = target.read_bytes(), plan.training_file(plan.checkpoints[1]).read_bytes()
    pixels = []
    # The same file name with other bytes behind it, then with the first ones again, each in a run of its own.
    for number, content in enumerate((good, other.replace(b'"ss_steps":"920"', b'"ss_steps":"600"'), good)):
        target.write_bytes(content)
        server = connect(serving)
        prepared = prepare(bare, (server,), Store(tmp_path / str(number)), headers=preflight(bare))
        pixels.append(make(prepared, server).picture.pixels_sha256)

    assert pixels[0] == pixels[2] != pixels[1]


def test_file_that_came_within_a_tick_of_the_last_listing_is_seen(
    plan: Plan, stand_in: Callable[..., Serving], connect: Connect
) -> None:
    """A folder whose time says nothing of a new file is given a new time, so that the server lists it again."""
    folder = plan.paths.loras
    folder.mkdir(parents=True, exist_ok=True)
    server = connect(stand_in(), listed=5.0)
    listed, before = server.client.loras(), folder.stat()
    staged = stage(plan, preflight(plan))
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert listed == server.client.loras() == ()

    assert len(picker_names(plan, server.client, staged)) == 2
