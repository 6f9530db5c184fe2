"""What must be right before the first picture, checked in this order: files, servers, base model, pickers."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.comfyui.choices import ServerChoices, always_on_names, choices_of, picker_names
from plugins.comfyui.errors import BadAnswer, ComfyUIError, NotListed, Unreachable
from plugins.comfyui.names import find_lora
from plugins.comfyui.own_workflow import classes_for
from plugins.comfyui.prompt_words import doubts_of_prompts
from plugins.comfyui.server import Server
from plugins.comfyui.workflow import Workflow
from plugins.evidence.store import Store
from plugins.generate.cell_renderer import CellRenderer
from plugins.generate.expected import ExpectedInputs
from plugins.generate.model_files import Files, files_used
from plugins.generate.record import Recorder
from plugins.generate.workflows import prepare_workflow
from plugins.loras.always_on import digests_of_always_on
from plugins.loras.base_models import base_header
from plugins.loras.digests import DIGESTS, Digests
from plugins.loras.doubts import doubts_of, samples_of, saved_again
from plugins.loras.header import Header, check_fit
from plugins.loras.staging import Action, Staged, rivals_of, stage, unstaged
from plugins.pictures.likeness import TrainingSet, training_images
from plugins.plan.cells import Cell
from plugins.plan.plan import Plan
from plugins.plan.tested import Checkpoint
from plugins.render.render_server import RenderServer

if TYPE_CHECKING:
    from plugins.render.cluster import Cluster, DaskServer


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Servers that were asked and LoRAs that are in place, ready to render."""

    servers: tuple[RenderServer, ...]
    staged: tuple[Staged, ...]
    renderer: CellRenderer
    recorder: Recorder
    saved_again: Mapping[Checkpoint, Checkpoint]
    """The checkpoints that hold the same tensors as an earlier one, each with that one: they are rendered once."""
    files: Mapping[RenderServer, Files]
    """The model files that each server renders with, beside the LoRAs that are tested."""
    doubts: tuple[str, ...] = ()
    """Doubts about the checkpoints, one sentence each."""
    left_out: Mapping[str, str] | None = None
    """Why workers of a cluster were left out, by their names; None without a cluster."""

    @property
    def expected(self) -> ExpectedInputs:
        """The inputs that the evidence of this run must have."""
        return self.recorder.expected

    @property
    def store(self) -> Store:
        """Where this run keeps its pictures."""
        return self.recorder.store


LookedAt = tuple[Mapping[Checkpoint, Checkpoint], tuple[str, ...]]
"""The checkpoints that were saved twice, and the doubts about all of them."""


def prepare(plan: Plan, servers: tuple[Server, ...], store: Store, *, headers: Mapping[Checkpoint, Header]) -> Prepared:
    """Check the base model, stage every checkpoint, and check that every server's picker lists it.

    `headers` are those of the training outputs, as `preflight` returned them. Raises `WorkflowError`, `NotListed`,
    `StagingError` or another `ComfyUIError`; the first three before anything is copied, but for a picker that does not
    show what was staged.
    """
    classes = classes_for(plan)
    choices = [choices_of(server.client, classes=classes) for server in servers]
    workflow, base_model = prepare_workflow(plan, choices, store.reports)
    looked_at = _look_at(plan, headers, base_model, doubts_of_prompts(plan, workflow, choices))
    spelled: dict[RenderServer, dict[str, str]] = {
        server: always_on_names(plan, server.client.loras() if plan.loras else (), server=server.info.url)
        for server in servers
    }
    with _remembered_digests(store) as digest:
        rivals = rivals_of(plan, digest=digest)
        staged = (*stage(plan, headers, digest=digest), *rivals)
        always_on = digests_of_always_on(plan, digest=digest)
    try:
        listed: dict[RenderServer, tuple[str, ...]] = {
            server: picker_names(plan, server.client, staged) for server in servers
        }
    except NotListed as error:
        raise NotListed(f"{error}{_copies_that_stay(staged)}") from error

    named = {
        (server, one.checkpoint): find_lora(
            plan.picker_name(plan.staged_file(one.checkpoint)),
            names,
            server=server.info.url,
            folder=one.file.parent,
        )
        for server, names in listed.items()
        for one in staged
    }

    expected = _expected(plan, workflow, staged, always_on, simulated=any(server.info.simulated for server in servers))
    files: dict[RenderServer, Files] = {
        server: files_used(expected, one, base_model=base_model, comfyui=plan.paths.comfyui)
        for server, one in zip(servers, choices, strict=True)
    }
    return _prepared(
        expected,
        store,
        files,
        staged,
        base_model=base_model,
        lora_name=lambda server, one: named[server, one.checkpoint],
        always_on=lambda server: spelled[server],
        looked_at=looked_at,
    )


def prepare_on_cluster(
    plan: Plan, cluster: "Cluster", store: Store, *, headers: Mapping[Checkpoint, Header]
) -> Prepared:
    """Ask every worker what the ComfyUI beside it offers, and go on with those that have what the plan asks for.

    LoRA files are not staged here: each is sent where its bytes are missing, before its first picture there.
    Raises `ComfyUIError` where no worker is of use, or where one drives a stand-in, and `LoraError`.
    """
    from plugins.render.cluster import lora_file  # noqa: PLC0415 (Dask is optional)

    loras, rivals = (f"[[lora]] {one.file!r}" for one in plan.loras), (f"[[rival]] {one.id!r}" for one in plan.rivals)
    if elsewhere := [*loras, *rivals]:
        raise NotListed(
            f"{elsewhere[0]} must be in the loras folder of every machine, which a cluster's workers "
            "do not check. Name the servers with --comfyui-url instead, or take it out of the plan."
        )
    choices, left_out = _choices_of_workers(plan, cluster)
    workflow, base_model = prepare_workflow(plan, tuple(choices.values()), store.reports)
    looked_at = _look_at(plan, headers, base_model, doubts_of_prompts(plan, workflow, tuple(choices.values())))
    workers: dict[RenderServer, DaskServer] = {server: server for server in choices}

    def lora_name(server: RenderServer, one: Staged) -> str:
        return workers[server].ensure_lora(lora_file(plan, one), one)

    with _remembered_digests(store) as digest:
        staged = unstaged(plan, headers, digest=digest)
    expected = _expected(plan, workflow, staged, {}, simulated=False)
    files: dict[RenderServer, Files] = {
        server: files_used(expected, one, base_model=base_model) for server, one in choices.items()
    }
    return _prepared(
        expected,
        store,
        files,
        staged,
        base_model=base_model,
        lora_name=lora_name,
        always_on=lambda _server: {},
        looked_at=looked_at,
        left_out=left_out,
    )


def _choices_of_workers(plan: Plan, cluster: "Cluster") -> "tuple[dict[DaskServer, ServerChoices], dict[str, str]]":
    """Return what the usable workers offer, and why the others are left out, by their names."""
    classes = classes_for(plan)

    def ask(server: "DaskServer") -> ServerChoices:
        choices = server.choices(classes)
        if plan.workflow is None:
            choices.base_model(plan)
        return choices

    found: dict[DaskServer, ServerChoices] = {}
    left_out: dict[str, str] = {}
    with ThreadPoolExecutor(len(cluster.servers)) as threads:
        for server, answer in [(server, threads.submit(ask, server)) for server in cluster.servers]:
            try:
                found[server] = answer.result()
            except ComfyUIError as error:
                left_out[server.worker] = str(error)
    if simulated := [server.worker for server in found if server.info.simulated]:
        raise BadAnswer(
            f"Beside these Dask workers runs a stand-in, whose pictures are SIMULATED: {', '.join(simulated)}. "
            "They say nothing about your LoRA. Start a real ComfyUI there."
        )
    if not found:
        reasons = "".join(f"\n  {reason}" for reason in left_out.values())
        raise Unreachable(f"No worker of the Dask scheduler at {cluster.address} can render this plan:{reasons}")
    return found, left_out


def _expected(
    plan: Plan, workflow: Workflow, staged: tuple[Staged, ...], always_on: Mapping[str, str], *, simulated: bool
) -> ExpectedInputs:
    loras = {one.checkpoint.id: one.sha256 for one in staged}
    return ExpectedInputs(plan=plan, workflow=workflow, loras=loras, always_on=always_on, simulated=simulated)


def _prepared(  # noqa: PLR0913 (all that both ways of preparing find out)
    expected: ExpectedInputs,
    store: Store,
    files: Mapping[RenderServer, Files],
    staged: tuple[Staged, ...],
    *,
    base_model: str,
    lora_name: Callable[[RenderServer, Staged], str],
    always_on: Callable[[RenderServer], Mapping[str, str]],
    looked_at: LookedAt,
    left_out: Mapping[str, str] | None = None,
) -> Prepared:
    expected = replace(expected, files={server.info: used for server, used in files.items()})
    recorder = Recorder(
        expected=expected,
        store=store,
        base_model=base_model,
        staged={one.checkpoint.id: one for one in staged},
        training=TrainingSet(training_images(expected.plan.paths.training_images)),
    )

    def lora_of(cell: Cell, server: RenderServer) -> str | None:
        one = recorder.staged_for(cell)
        return lora_name(server, one) if one else None

    renderer = CellRenderer(
        expected=expected,
        base_model=base_model,
        lora_name=lora_of,
        always_on=always_on,
        tag=uuid.uuid4().hex[:8],
    )
    return Prepared(
        servers=tuple(files),
        staged=staged,
        renderer=renderer,
        recorder=recorder,
        files=files,
        saved_again=looked_at[0],
        doubts=looked_at[1],
        left_out=left_out,
    )


@contextmanager
def _remembered_digests(store: Store) -> Iterator[Callable[[Path], str]]:
    """Yield a function that digests a file once per change of the file, over all runs with this reports folder."""
    digests = Digests(store.reports / DIGESTS)
    yield digests.of
    digests.save()


def _copies_that_stay(staged: tuple[Staged, ...]) -> str:
    """Name the copies that this run made in a folder that a server does not read."""
    new = [one.file for one in staged if one.action is Action.NEW]
    if not new:
        return ""
    names = ", ".join(file.name for file in new)
    return f" What was copied there stays; remove it if that is the wrong folder: {names} in {new[0].parent}"


def _look_at(
    plan: Plan, headers: Mapping[Checkpoint, Header], base_model: str, of_prompts: tuple[str, ...]
) -> LookedAt:
    """Refuse LoRAs that do not fit the base model, if its file can be read; return the doubts about the others."""
    base = base_header(plan, base_model)
    check_fit(headers, base, base_model=base_model)
    samples = samples_of(plan, headers)
    again = saved_again(plan, samples)
    doubts = doubts_of(plan, headers, base, base_model=base_model, samples=samples, again=again)
    return again, (*doubts, *of_prompts)
