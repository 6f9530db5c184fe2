"""Cells are rendered on a Dask cluster: none is lost, each has one evidence, LoRA bytes go once to where they lack."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from plugins.comfyui.errors import BadAnswer, Unreachable
from plugins.comfyui.timing import Timing
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.generation import Generation
from plugins.generate.preparing import Prepared, prepare_on_cluster
from plugins.generate.stability import read_stability
from plugins.loras.staging import Staged, preflight
from plugins.pictures.check import Outcome
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.render.cluster import Cluster, DaskServer
from plugins.render.worker import LoraFile
from stand_in.weights import write_weights
from tests.machines import IMPATIENT, Machine, Machines
from tests.waiting import ignore, until

pytestmark = pytest.mark.slow

Prepare = Callable[..., Prepared]


@pytest.fixture(scope="module")
def machines(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Return a scheduler, for all tests."""
    with Machines.over(tmp_path_factory.mktemp("machines"), made_plan / "ComfyUI") as machines:
        yield machines


@pytest.fixture(scope="module")
def both(machines: Machines) -> list[Machine]:
    """Start two machines, for all tests."""
    return machines.start("anna", "bert")


@pytest.fixture
def pair(both: list[Machine]) -> list[Machine]:
    """Return the two machines, as new."""
    for machine in both:
        machine.mend()
    return both


@pytest.fixture
def clustered(plan: Plan, machines: Machines, store: Store) -> Iterator[Prepare]:
    """Make runs ready on the machines that are there, from a machine that has no ComfyUI of its own."""
    paths = plan.paths.model_copy(
        update={"training_images": None, "comfyui": Path("/nowhere"), "loras": Path("/nowhere/models/loras")}
    )
    with ExitStack() as stack:

        def ready() -> Prepared:
            bare = plan.model_copy(update={"paths": paths})
            cluster = Cluster(machines.address, bare, timing=IMPATIENT)
            stack.callback(cluster.close)
            return prepare_on_cluster(bare, cluster, store, headers=preflight(bare))

        yield ready


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Note which LoRA's bytes were sent to which worker."""
    noted: list[tuple[str, str]] = []
    real = DaskServer._send

    def send(self: DaskServer, lora: LoraFile, staged: Staged) -> str:
        noted.append((self.worker, lora.file))
        return real(self, lora, staged)

    monkeypatch.setattr(DaskServer, "_send", send)
    return noted


@pytest.fixture
def begin() -> Iterator[Callable[..., Generation]]:
    """Begin runs, over the whole matrix and rendering all anew if nothing else is said; they are closed in the end."""
    with ExitStack() as stack:

        def begun(clustered: Prepared, cells: Sequence[Cell] = (), *, regenerate: bool = True) -> Generation:
            run = Generation(clustered, cells or cells_of(clustered), regenerate=regenerate)
            stack.callback(run.close)
            return run

        yield begun


def cells_of(clustered: Prepared) -> tuple[Cell, ...]:
    """Return the matrix."""
    return matrix(clustered.expected.plan)


def evidence_of(run: Generation, cells: Sequence[Cell]) -> list[Evidence]:
    """Wait for each cell's evidence."""
    return [run.evidence_of(cell, show=ignore) for cell in cells]


def test_all_cells_are_rendered_and_tell_where(
    pair: list[Machine], clustered: Prepare, begin: Callable[[Prepared], Generation], store: Store
) -> None:
    """Two workers share the matrix; each evidence names the worker and the ComfyUI beside it, and has no failures."""
    ready = clustered()
    cells = cells_of(ready)
    found = evidence_of(begin(ready), cells)

    assert found == [store.read(cell) for cell in cells]
    assert [()] * len(cells) == [one.failures for one in found]
    urls = {machine.name: machine.serving.url for machine in pair}
    assert set(urls.items()) == {(one.server.worker, one.server.url) for one in found}
    assert {"spyke_plasma_v1_step600.safetensors", "spyke_plasma_v1_final.safetensors", None} == {
        one.lora.file if one.lora else None for one in found
    }


def test_bytes_go_once_to_each_worker_that_lacks_them(
    pair: list[Machine],
    clustered: Prepare,
    begin: Callable[[Prepared], Generation],
    sent: list[tuple[str, str]],
    plan: Plan,
) -> None:
    """No worker is sent a LoRA twice, nor one that it has; nothing else is left in its folder."""
    ready = clustered()
    cells = cells_of(ready)
    evidence_of(begin(ready), cells)

    assert sent
    assert [] == [one for one, count in Counter(sent).items() if count > 1]
    files = {plan.staged_file(one): plan.training_file(one).read_bytes() for one in plan.checkpoints}
    for machine in pair:
        placed = {name for worker, name in sent if worker == machine.name}
        there = {path.name: path.read_bytes() for path in machine.loras.glob("*.safetensors")}
        assert {name: files[name] for name in placed} == there

    sent.clear()
    for machine in pair:
        for name, content in files.items():
            (machine.loras / name).write_bytes(content)
    evidence_of(begin(clustered()), cells)
    assert [] == sent


def test_other_bytes_under_the_name_are_replaced(
    pair: list[Machine],
    clustered: Prepare,
    begin: Callable[[Prepared], Generation],
    sent: list[tuple[str, str]],
    plan: Plan,
) -> None:
    """A file that has a checkpoint's staged name and other bytes is replaced before the first picture from it."""
    pair[1].switch.dead = True
    right, other = (plan.training_file(checkpoint).read_bytes() for checkpoint in plan.checkpoints)
    name = plan.staged_file(plan.checkpoints[0])
    (pair[0].loras / name).write_bytes(other)
    ready = clustered()
    found = evidence_of(begin(ready), cells_of(ready))

    assert {"anna"} == {one.server.worker for one in found}
    assert ("anna", name) in sent
    assert right == (pair[0].loras / name).read_bytes()
    assert [()] * len(found) == [one.failures for one in found]


def test_first_cell_is_rendered_again_beside_the_same_worker(
    pair: list[Machine], clustered: Prepare, begin: Callable[[Prepared], Generation]
) -> None:
    """Whether a server gives the same picture again is measured where the first was rendered."""
    ready = clustered()
    run = begin(ready)
    first = evidence_of(run, cells_of(ready))[0]

    (found,) = read_stability(ready.store.reports)
    assert (first.server.worker, True) == (found.server.worker, found.stable)
    assert {machine.name for machine in pair} >= {found.server.worker}


def test_worker_without_comfyui_is_left_out(
    pair: list[Machine], clustered: Prepare, begin: Callable[[Prepared], Generation]
) -> None:
    """A worker whose ComfyUI does not answer is named with the reason, and the others render all."""
    pair[1].switch.dead = True
    ready = clustered()
    found = evidence_of(begin(ready), cells_of(ready))

    assert ready.left_out is not None
    assert ["bert"] == list(ready.left_out)
    assert ready.left_out["bert"].startswith(
        f"Dask worker bert: {pair[1].serving.url} answered GET /system_stats with 502"
    )
    assert {"anna"} == {one.server.worker for one in found}


def test_worker_whose_comfyui_dies_gives_its_cells_back(
    pair: list[Machine], clustered: Prepare, begin: Callable[[Prepared], Generation]
) -> None:
    """Where a ComfyUI dies in the middle of a run, its cells are rendered beside the other worker; none is lost."""
    pair[1].switch.still = True
    ready = clustered()
    run = begin(ready)
    until(lambda: pair[1].serving.server.queue.current()[0])
    pair[1].switch.dead = True

    assert {"anna"} == {one.server.worker for one in evidence_of(run, cells_of(ready))}
    assert {} == run.failures


def test_killed_worker_costs_no_cell(
    machines: Machines,
    pair: list[Machine],
    clustered: Prepare,
    begin: Callable[[Prepared], Generation],
    store: Store,
) -> None:
    """The cells of a worker that was killed are rendered beside the others, and each has one evidence."""
    (carl,) = machines.start("carl")
    carl.switch.still = True
    ready = clustered()
    assert 3 == len(ready.servers)
    run = begin(ready)
    until(lambda: carl.serving.server.queue.current()[0])
    carl.worker.kill()
    cells = cells_of(ready)
    found = evidence_of(run, cells)

    assert {"anna", "bert"} >= {one.server.worker for one in found}
    assert len(cells) == run.rendered == len({one.run.prompt_id for one in found})
    assert len(cells) == len(list(store.folder.rglob("*.json")))
    assert len(pair) == 2


def test_nothing_is_left_to_render_on(
    pair: list[Machine], clustered: Prepare, begin: Callable[[Prepared], Generation]
) -> None:
    """Where every ComfyUI died, each cell fails, and says which worker's does not answer."""
    for machine in pair:
        machine.switch.still = True
    ready = clustered()
    run = begin(ready)
    until(lambda: all(machine.serving.server.queue.current()[0] for machine in pair))
    for machine in pair:
        machine.switch.dead = True

    for cell in cells_of(ready):
        with pytest.raises(CellFailedError, match=r"Dask worker (anna|bert): http://127.0.0.1:\d+ "):
            run.evidence_of(cell, show=ignore)


def test_closing_withdraws_ours(
    pair: list[Machine], clustered: Prepare, begin: Callable[[Prepared], Generation]
) -> None:
    """A run that ends early leaves nothing of its own in any worker's queue."""
    for machine in pair:
        machine.switch.still = True
    run = begin(clustered())
    until(lambda: all(machine.serving.server.queue.remaining() for machine in pair))
    run.close()
    for machine in pair:
        assert [] == machine.serving.server.queue.current()[1]
        machine.switch.still = False
    until(lambda: not any(machine.serving.server.queue.remaining() for machine in pair))


def test_stand_in_beside_a_worker_is_refused(pair: list[Machine], clustered: Prepare) -> None:
    """A simulated picture never passes for a real one: such a worker is refused by name."""
    pair[1].switch.honest = True

    with pytest.raises(BadAnswer, match=r"Beside these Dask workers runs a stand-in.*SIMULATED: bert\."):
        clustered()


def test_no_worker_of_use_is_told_with_every_reason(pair: list[Machine], clustered: Prepare) -> None:
    """Where no worker can render the plan, each is named with its reason."""
    for machine in pair:
        machine.switch.dead = True

    with pytest.raises(Unreachable) as caught:
        clustered()

    told = str(caught.value).splitlines()
    assert told[0].endswith(" can render this plan:")
    assert ["  Dask worker anna: ", "  Dask worker bert: "] == sorted(line[:20] for line in told[1:])


def test_worker_of_another_version_is_left_out(
    pair: list[Machine], clustered: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that runs other sources than this command is told to be brought to the same commit."""
    assert len(pair) == 2
    monkeypatch.setattr("plugins.render.cluster.suite_digest", lambda: "another")

    with pytest.raises(Unreachable, match=r"Dask worker anna: It runs another version of this suite\."):
        clustered()


def test_lora_that_somebody_changes_fails_the_cell(
    pair: list[Machine], clustered: Prepare, begin: Callable[..., Generation], plan: Plan
) -> None:
    """A picture from a file that was replaced beside the worker meanwhile is not kept."""
    pair[1].switch.dead = True
    cells = matrix(plan)
    with closing(Generation(clustered(), cells[:1], regenerate=True)) as run:
        run.evidence_of(cells[0], show=ignore)
    pair[0].switch.still = True
    run = begin(clustered(), cells[2:3], regenerate=False)
    name = plan.staged_file(plan.checkpoints[0])
    until(lambda: name in str(pair[0].serving.server.queue.current()))
    part = pair[0].loras / "part"
    part.write_bytes(plan.training_file(plan.checkpoints[1]).read_bytes())
    part.replace(pair[0].loras / name)
    pair[0].switch.still = False

    with pytest.raises(CellFailedError, match=rf"{name} was changed while a picture was rendered from it\."):
        run.evidence_of(cells[2], show=ignore)


def test_log_beside_a_worker_is_asked(
    pair: list[Machine], clustered: Prepare, begin: Callable[..., Generation], plan: Plan
) -> None:
    """Keys that a ComfyUI beside a worker did not load are told as those of one at hand."""
    pair[1].switch.dead = True
    write_weights(plan.training_file(plan.checkpoints[0]), {"other_net.a": (4, 4), "other_net.b": (4, 4)}, {}, seed="x")
    cells = matrix(plan)
    run = begin(clustered(), cells[2:4])

    found = {check.name: check for check in run.evidence_of(cells[2], show=ignore).checks}
    assert (Outcome.FAILED, "ComfyUI did not load 2 of 2 keys") == (
        found["LoRA keys"].outcome,
        found["LoRA keys"].message.partition(" (")[0],
    )
    with pytest.raises(CellFailedError, match=r"It was not rendered: ComfyUI did not load 2 of 2 keys"):
        run.evidence_of(cells[3], show=ignore)


def test_worker_without_the_suite_is_told(
    machines: Machines, pair: list[Machine], clustered: Prepare, tmp_path: Path
) -> None:
    """A worker that finds something else under the suite's name is named, with the command that finds the suite."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "__init__.py").touch()
    (stray,) = machines.start("stray", cwd=tmp_path)
    try:
        with pytest.raises(BadAnswer, match=r"do not find this suite: stray\. .*python -m dask worker tcp://"):
            clustered()
    finally:
        stray.worker.kill()
    assert len(pair) == 2


@pytest.mark.parametrize("address", ["nonsense", "http://127.0.0.1:8786", "tcp://127.0.0.1"])
def test_address_is_checked(plan: Plan, address: str) -> None:
    """What cannot be a scheduler's address is told with an example."""
    with pytest.raises(BadAnswer, match=r"is not the address of a Dask scheduler; write it like tcp://10.0.0.5:8786"):
        Cluster(address, plan)


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-OpenSSH_9.2", b"HTTP/1.0 400 Bad Request"])
def test_what_is_no_scheduler_is_told(plan: Plan, says: bytes) -> None:
    """What answers as something else, or not at all, is not waited for: its dashboard, a ComfyUI."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(ConnectionError):
                connection.sendall(says)
                connection.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BadAnswer, match=r"is no Dask scheduler.* 8787 is its dashboard"):
            Cluster(f"tcp://127.0.0.1:{server.getsockname()[1]}", plan, timing=Timing(connect=0.2))
        thread.join()


def test_no_scheduler_is_told(plan: Plan) -> None:
    """An address where no scheduler answers is told, with how to start one."""
    with pytest.raises(Unreachable, match=r"No Dask scheduler answers at tcp://127.0.0.1:9 .*python -m dask scheduler"):
        Cluster("127.0.0.1:9", plan, timing=Timing(connect=0.5))
