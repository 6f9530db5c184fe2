"""A run over the matrix: each picture is kept once with all that is said of it, and others hear of it."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.server import Server
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.generation import Generation
from plugins.generate.preparing import prepare
from plugins.loras.staging import preflight
from plugins.pictures.check import Outcome
from plugins.plan.cells import Cell, column, matrix
from plugins.plan.plan import Plan
from plugins.render import rendering
from stand_in.serving import Serving
from stand_in.weights import write_weights
from tests.small_plan import Posing
from tests.waiting import ignore, until

Begin = Callable[..., Generation]


@pytest.fixture
def begin(plan: Plan, store: Store, stand_in: Callable[..., Serving]) -> Iterator[Begin]:
    """Begin runs on stand-ins; they are closed in the end."""
    with ExitStack() as stack:

        def begun(
            cells: Sequence[Cell],
            *,
            on_kept: Callable[[Cell, Image.Image], None] = ignore,
            faults: Posing | None = None,
            row_by_row: bool = False,
        ) -> Generation:
            client = ComfyUI(stand_in(faults=faults or Posing()).url)
            server = Server(client, client.info(), timeout=20)
            prepared = prepare(plan, (server,), store, headers=preflight(plan))
            run = Generation(prepared, cells, regenerate=False, row_by_row=row_by_row, on_kept=on_kept)
            stack.callback(run.close)
            return run

        yield begun


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Counter[Cell]:
    """Count how often each cell's evidence is written."""
    counted: Counter[Cell] = Counter()
    real = Store.write_evidence

    def write(self: Store, cell: Cell, evidence: Evidence) -> None:
        counted[cell] += 1
        real(self, cell, evidence)

    monkeypatch.setattr(Store, "write_evidence", write)
    return counted


def test_evidence_is_written_once(
    begin: Begin, plan: Plan, store: Store, written: Counter[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the comparison says is in the evidence when it is written first, where the baseline is there by then."""
    monkeypatch.setattr(rendering, "AHEAD", 1)
    run = begin(matrix(plan))
    judged = {cell: run.evidence_of(cell, show=ignore) for cell in matrix(plan)}

    assert set(written.values()) == {1}
    for cell, evidence in judged.items():
        assert store.read(cell) == evidence
        said = {one.name: one.outcome for one in evidence.checks}
        assert said["twin"] is Outcome.PASSED
        assert cell.checkpoint is None or said["LoRA effect"] is Outcome.PASSED


def test_column_is_compared_with_the_baselines_of_an_earlier_run(
    begin: Begin, plan: Plan, written: Counter[Cell]
) -> None:
    """A run over one checkpoint knows the baselines that lie there when its first picture comes."""
    first = begin(tuple(column(plan, None)))
    for cell in column(plan, None):
        first.evidence_of(cell, show=ignore)
    written.clear()
    chosen = tuple(column(plan, plan.checkpoints[0]))

    run = begin(chosen)
    judged = [run.evidence_of(cell, show=ignore) for cell in chosen]

    assert written == dict.fromkeys(chosen, 1)
    assert all(one.compared for one in judged)


def test_others_hear_of_each_picture_once_it_lies_there(begin: Begin, plan: Plan, store: Store) -> None:
    """Whoever makes something of a picture gets it decoded, and finds it in its place."""
    heard: dict[Cell, bool] = {}

    def kept(cell: Cell, picture: Image.Image) -> None:
        with Image.open(store.picture_path(cell)) as there:
            heard[cell] = there.tobytes() == picture.tobytes()

    run = begin(matrix(plan), on_kept=kept)
    for cell in matrix(plan):
        run.evidence_of(cell, show=ignore)

    assert heard == dict.fromkeys(matrix(plan), True)


def save_again(plan: Plan) -> tuple[Sequence[Cell], Sequence[Cell]]:
    """Give the last checkpoint the tensors of the first, under notes of its own; return the cells of both."""
    first, last = plan.checkpoints
    shapes = {"lora_unet_mid_block.lora_down.weight": (4, 320), "lora_unet_mid_block.lora_up.weight": (320, 4)}
    for checkpoint, notes in ((first, {}), (last, {"ss_training_finished_at": "1760000009.0"})):
        write_weights(plan.training_file(checkpoint), shapes, notes, seed="same")
    return tuple(column(plan, first)), tuple(column(plan, last))


def test_checkpoint_that_was_saved_twice_is_rendered_once(begin: Begin, plan: Plan, store: Store) -> None:
    """The second shows the first's pictures, says so, and passes; a run after that reuses both."""
    ours, again = save_again(plan)
    heard: list[Cell] = []
    run = begin(matrix(plan), on_kept=lambda cell, _picture: heard.append(cell))
    judged = {cell: run.evidence_of(cell, show=ignore) for cell in matrix(plan)}

    assert (4, dict.fromkeys(matrix(plan), 1)) == (run.rendered, Counter(heard))
    for first, second in zip(ours, again, strict=True):
        one = judged[second]
        said = {check.name: check for check in one.checks}
        assert (one, "step600") == (store.read(second), one.rendered_as)
        assert store.picture_path(second).read_bytes() == store.picture_path(first).read_bytes()
        assert one.lora
        assert (one.lora.file, one.failures) == ("spyke_plasma_v1_final.safetensors", ())
        assert said["twin"].message == "it is step600's: both LoRAs hold the same tensors, and were rendered once"
    rerun = begin(matrix(plan))
    assert (list(judged.values()), 0, 6) == (
        [rerun.evidence_of(cell, show=ignore) for cell in matrix(plan)],
        rerun.rendered,
        rerun.reused,
    )


def test_checkpoint_that_was_saved_twice_can_be_chosen_alone(begin: Begin, plan: Plan) -> None:
    """The first's pictures are rendered for it, as baselines are."""
    _, again = save_again(plan)
    run = begin(again)

    assert ["step600", "step600"] == [run.evidence_of(cell, show=ignore).rendered_as for cell in again]


def test_picture_that_was_rendered_anew_is_shown_by_both(begin: Begin, plan: Plan, store: Store) -> None:
    """Where the first's picture was taken away, the second does not keep the old one's evidence."""
    ours, again = save_again(plan)
    run = begin(matrix(plan))
    old = [run.evidence_of(cell, show=ignore) for cell in again]
    store.picture_path(ours[0]).unlink()

    rerun = begin(matrix(plan))
    new = [rerun.evidence_of(cell, show=ignore) for cell in again]

    assert [False, True] == [one.run.prompt_id == was.run.prompt_id for one, was in zip(new, old, strict=True)]


def test_failure_of_the_first_is_that_of_both(begin: Begin, plan: Plan) -> None:
    """Where the first gives no picture, the second has none either, and says why."""
    ours, again = save_again(plan)
    run = begin(matrix(plan), faults=Refusing())

    with pytest.raises(CellFailedError):
        run.evidence_of(again[0], show=ignore)
    assert run.failures[again[0]] == run.failures[ours[0]]


class Refusing(Posing):
    """Every prompt is refused."""

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Refuse what is posted."""
        if request.method == "POST" and request.path.endswith("/prompt"):
            return web.json_response({"error": {"type": "no", "message": "no"}, "node_errors": {}}, status=400)
        return await super().answer(request)


class SameLora(Posing):
    """Whatever LoRA is asked for, the last checkpoint's is loaded."""

    def lora_of(self, path: Path) -> Path:
        """Name the last checkpoint's staged file."""
        return path.with_name("spyke_plasma_v1_final.safetensors")


def test_picture_is_compared_with_those_that_are_reused(begin: Begin, plan: Plan, store: Store) -> None:
    """A picture that is rendered again is held against those of an earlier run, though their tests come later."""
    run = begin(matrix(plan))
    for cell in matrix(plan):
        run.evidence_of(cell, show=ignore)
    again = next(cell for cell in matrix(plan) if cell.checkpoint)
    store.evidence_path(again).unlink()

    second = begin(matrix(plan), faults=SameLora())

    assert ["twin"] == [one.name for one in second.evidence_of(again, show=ignore).failures]


def test_limited_time_renders_in_the_order_of_the_rows(begin: Begin, plan: Plan) -> None:
    """Row by row, a baseline is rendered before its own columns, not before all others."""
    cells = sorted(matrix(plan), key=lambda cell: cell.row)

    run = begin(cells, row_by_row=True)

    assert [cell.id for cell in run._rendering._cells] == [cell.id for cell in cells]


class Noting(Posing):
    """A stand-in that notes what it is asked to render, by the names that the pictures get."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Note a prompt."""
        if request.path.endswith("/prompt") and request.method == "POST":
            graph = (await request.json())["prompt"]
            self.asked += [node["inputs"]["filename_prefix"] for node in graph.values() if _saves(node)]
        return await super().answer(request)


def _saves(node: dict[str, Any]) -> bool:
    return "filename_prefix" in node["inputs"]


def test_server_has_its_next_cell_while_a_picture_is_looked_at(begin: Begin, plan: Plan) -> None:
    """Also after the first picture, which is rendered twice, and the first of each checkpoint, the server goes on."""
    faults, following = Noting(), dict(pairwise(matrix(plan)))

    def is_asked(cell: Cell) -> bool:
        return any(f"/{cell.id}-" in name for name in faults.asked)

    def kept(cell: Cell, _: Image.Image) -> None:
        if cell in following:
            until(lambda: is_asked(following[cell]))

    run = begin(matrix(plan), on_kept=kept, faults=faults)

    assert [""] * len(matrix(plan)) == [run.evidence_of(cell, show=ignore).rendered_as for cell in matrix(plan)]


def test_first_picture_is_shown_while_it_is_rendered_again(begin: Begin, plan: Plan) -> None:
    """Nobody who looks at the page waits for the second rendering, which is only compared with the first."""
    shown, in_time = threading.Event(), list[bool]()

    class Waiting(Posing):
        """A stand-in that renders a picture again only once the first one was shown."""

        async def answer(self, request: web.Request) -> web.StreamResponse | None:
            if request.path.endswith("/prompt") and b"-again" in await request.read():
                in_time.append(await asyncio.to_thread(shown.wait, 60))
            return await super().answer(request)

    def kept(*_: object) -> None:
        shown.set()

    first = matrix(plan)[0]
    run = begin([first], on_kept=kept, faults=Waiting())
    run.evidence_of(first, show=ignore)

    assert [True] == in_time
