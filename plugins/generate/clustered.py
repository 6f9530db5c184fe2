"""A run on a cluster is made ready: which workers are of use, and which are left out, and why."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from plugins.comfyui.choices import ServerChoices
from plugins.comfyui.errors import BadAnswer, ComfyUIError, Unreachable
from plugins.comfyui.own_workflow import classes_for
from plugins.evidence.store import Store
from plugins.generate.preparing import Prepared, asked_of, check_base, maker_of, remembered_digests
from plugins.generate.workflows import prepare_workflow
from plugins.loras.header import Header
from plugins.loras.staging import Staged, unstaged
from plugins.plan.plan import Checkpoint, Plan
from plugins.render.cluster import Cluster, DaskServer, lora_file
from plugins.render.render_server import RenderServer


@dataclass(frozen=True, kw_only=True)
class Clustered:
    """What a run on a cluster works with, and why workers were left out, by their names."""

    prepared: Prepared
    left_out: Mapping[str, str]


def prepare_on_cluster(
    plan: Plan, cluster: Cluster, store: Store, *, headers: Mapping[Checkpoint, Header]
) -> Clustered:
    """Ask every worker what the ComfyUI beside it offers, and go on with those that have what the plan asks for.

    LoRA files are not staged here: each is sent where its bytes lack, before its first picture there.
    Raises `ComfyUIError` where no worker is of use, or where one drives a stand-in, and `LoraError`.
    """
    classes = classes_for(plan)
    offers: dict[DaskServer, ServerChoices] = {}
    left_out: dict[str, str] = {}
    with ThreadPoolExecutor(len(cluster.servers)) as threads:
        for server, asked in [(server, threads.submit(_offer, server, plan, classes)) for server in cluster.servers]:
            try:
                offers[server] = asked.result()
            except ComfyUIError as error:
                left_out[server.worker] = str(error)
    if simulated := [server.worker for server in offers if server.info.simulated]:
        raise BadAnswer(
            f"Beside these Dask workers runs a stand-in, whose pictures are SIMULATED: {', '.join(simulated)}. "
            "They would not tell anything of your LoRA. Start a real ComfyUI there."
        )
    if not offers:
        reasons = "".join(f"\n  {reason}" for reason in left_out.values())
        raise Unreachable(f"No worker of the Dask scheduler at {cluster.address} can render this plan:{reasons}")
    workflow, base_model = prepare_workflow(plan, tuple(offers.values()), store.folder.parent)
    check_base(plan, headers, base_model)

    beside: dict[RenderServer, DaskServer] = {server: server for server in offers}

    def lora_name(place: RenderServer, staged: Staged) -> str:
        return beside[place].ensure_lora(lora_file(plan, staged), staged)

    with remembered_digests(store) as digest:
        staged = unstaged(plan, headers, digest=digest)
    maker = maker_of(
        asked_of(plan, workflow, staged, simulated=False),
        store,
        base_model=base_model,
        staged=staged,
        lora_name=lora_name,
    )
    ready = Prepared(places=tuple(offers), staged=staged, maker=maker)
    return Clustered(prepared=ready, left_out=left_out)


def _offer(server: DaskServer, plan: Plan, classes: tuple[str, ...]) -> ServerChoices:
    """Ask a worker, and refuse it where the plan's base model or sampler is not there."""
    offer = server.choices(classes)
    if not plan.workflow:
        offer.base_model(plan)
    return offer
