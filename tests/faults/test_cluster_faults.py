"""The faults of a server beside one of two Dask workers: its words and what comes of it cross the cluster unchanged."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from plugins.comfyui import errors
from plugins.comfyui.errors import BadAnswer, ComfyUIError, Interrupted, Silent, Unreachable
from plugins.evidence.store import Store
from plugins.generate.preparing import prepare_on_cluster
from plugins.loras.staging import preflight
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.render.cluster import Cluster, DaskServer
from plugins.render.worker import WorkerAgent
from tests.faults.faulty_server import Fault, Stage, standing
from tests.faults.front import Front, before
from tests.faults.server_faults import HASTY, TABLE
from tests.faults.two_servers import BECOMES, Comes, check
from tests.machines import Machines

pytestmark = pytest.mark.slow

WORKERS = ("anna", "bert")
"""The ComfyUI beside the first one has the fault."""
TIMING = replace(HASTY, reach=1.5, reach_fraction=0.001, gone=0.3, fetch=0.2, let_go=0.5)
"""How long the workers wait, in every row."""

LEFT_OUT = frozenset(
    {
        "POST answered 500 for ever",
        "error without words",
        "worker dead, and accepts",
        "never answers any more",
        "picture cut once",
    }
)
"""Rows that are planted before two servers only: across a cluster they are as others are."""
BESIDE_A_WORKER = {name: comes for name, comes in BECOMES.items() if name not in LEFT_OUT}
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ComfyUIError)]


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Two workers. Each finds its ComfyUI behind a `Front`, so that every row has a stand-in of its own there."""

    address: str
    """The scheduler's."""
    comfyui: tuple[Path, ...]
    fronts: tuple[Front, ...]

    @contextmanager
    def staged(self, plan: Plan, *faults: Fault, **details: Any) -> Iterator[Stage]:
        """Prepare the plan on both, from a machine that has no ComfyUI of its own."""
        nowhere = {"training_images": None, "comfyui": Path("/nowhere"), "loras": Path("/nowhere/models/loras")}
        plan = plan.model_copy(update={"paths": plan.paths.model_copy(update=nowhere)})
        store = Store(plan.paths.project / "reports")
        with ExitStack() as stack:
            for fault, comfyui, front in zip(faults, self.comfyui, self.fronts, strict=True):
                shutil.rmtree(comfyui / "models" / "loras", ignore_errors=True)
                fault.front = front
                stack.enter_context(standing(fault, comfyui, **details))
            cluster = Cluster(self.address, plan, timing=TIMING)
            stack.callback(cluster.close)
            prepared = prepare_on_cluster(plan, cluster, store, headers=preflight(plan))
            places = tuple(sorted(prepared.servers, key=lambda place: place.info.worker))
            for place in places:
                place.forget_weights(again=True)
            yield Stage(faults=faults, prepared=replace(prepared, servers=places), store=store, cells=matrix(plan))


@pytest.fixture(scope="module")
def workers(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Start a scheduler and two workers, for all tests."""
    folder = tmp_path_factory.mktemp("workers")
    with ExitStack() as stack:
        machines = stack.enter_context(Machines.over(folder, made_plan / "ComfyUI"))
        comfyui = tuple(machines.folder_of(name) for name in WORKERS)
        fronts = tuple(stack.enter_context(before()) for _ in WORKERS)
        for name, beside, front in zip(WORKERS, comfyui, fronts, strict=True):
            machines.join(name, url=front.url, comfyui=beside)
        machines.wait_for(*WORKERS)
        yield Workers(address=machines.address, comfyui=comfyui, fronts=fronts)


@pytest.mark.parametrize(("name", "comes"), BESIDE_A_WORKER.items(), ids=BESIDE_A_WORKER)
def test_fault_beside_one_of_two_workers(
    name: str, comes: Comes, workers: Workers, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each cell ends as the fault says it should, once; both queues are empty then, and others' are untouched."""
    row = TABLE[name]
    plan = plan.model_copy(update={"comfyui": plan.comfyui.model_copy(update={"timeout": row.timeout})})
    with workers.staged(plan, row.fault(), Fault(), dialect=row.dialect) as stage:
        check(name, comes, stage, monkeypatch)


def test_every_kind_of_error_crosses_with_its_words(workers: Workers, plan: Plan) -> None:
    """What gives a cell back does so from a worker, too; what fails a cell does that, and nothing loses its words."""
    words = "http://gpu1:8188 said “nein”.\nLook at its terminal."
    with workers.staged(plan, Fault(), Fault()) as stage:
        place = stage.prepared.servers[0]
        assert isinstance(place, DaskServer)
        told = {kind: came_back(place, kind, words) for kind in KINDS}
    own = {Silent: Unreachable, Unreachable: Unreachable, Interrupted: Interrupted}
    wanted = {kind: own.get(kind, BadAnswer if issubclass(kind, BadAnswer) else ComfyUIError) for kind in KINDS}
    assert {kind: (other, f"Dask worker anna: {words}") for kind, other in wanted.items()} == told


def came_back(place: DaskServer, kind: type[ComfyUIError], words: str) -> tuple[type[BaseException], str]:
    """Have a worker raise an error; give what came of it here."""
    details = {"was_running": True} if kind is Silent else {}

    def fail(_: WorkerAgent) -> None:
        raise kind(words, **details)

    with pytest.raises(ComfyUIError) as caught:
        place._call(fail)()
    return caught.type, str(caught.value)
