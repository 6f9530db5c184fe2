"""Everything that must be right before the first picture: files, server, base model, picker. In that order."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plugins.comfyui.errors import NotListed
from plugins.comfyui.names import check_offered, find_base_model
from plugins.comfyui.server import Server
from plugins.comfyui.workflow import Workflow
from plugins.evidence.asked import Asked
from plugins.evidence.making import Maker
from plugins.evidence.picker import picker_names
from plugins.evidence.store import Store
from plugins.loras.digests import Digests
from plugins.loras.errors import HeaderError
from plugins.loras.header import Header, check_fit, read_header
from plugins.loras.staging import Staged, stage
from plugins.pictures.likeness import TrainingSet, training_images
from plugins.plan.plan import Checkpoint, Plan


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A server park and a staged matrix, ready to render."""

    servers: tuple[Server, ...]
    staged: tuple[Staged, ...]
    maker: Maker


def workflow_of(plan: Plan) -> Workflow:
    """Give the plan's own workflow, or the built-in one. Raises `WorkflowError`."""
    return Workflow.read(plan.workflow) if plan.workflow else Workflow.built_in()


def prepare(plan: Plan, servers: tuple[Server, ...], store: Store, *, headers: Mapping[Checkpoint, Header]) -> Prepared:
    """Check the base model, stage every checkpoint, and see each of them in every server's picker.

    `headers` are those of the training outputs, as `preflight` gave them.
    Raises `WorkflowError`, `NotListed`, `StagingError` or another `ComfyUIError`; the first three before anything
    is copied, but for a picker that does not show what was staged.
    """
    workflow = workflow_of(plan)
    base_models = [
        find_base_model(
            plan.sampling.base_model,
            server.client.options("CheckpointLoaderSimple", "ckpt_name"),
            server=server.client.url,
        )
        for server in servers
    ]
    if len(set(base_models)) > 1:
        raise NotListed(
            f"The servers list the base model by different names: {', '.join(sorted(set(base_models)))}. "
            "Put it into the same subfolder of models/checkpoints everywhere, so that one workflow fits all."
        )
    for server in servers:
        for key, field in (("sampler", "sampler_name"), ("scheduler", "scheduler")):
            offered = server.client.options("KSampler", field)
            check_offered(getattr(plan.sampling, key), offered, key=key, server=server.client.url)
    check_fit(headers, _base_header(plan, base_models[0]), base_model=base_models[0])
    digests = Digests(store.folder.parent / ".digests.json")
    staged = stage(plan, headers, digest=digests.of)
    digests.save()
    asked = Asked(
        plan=plan,
        workflow=workflow,
        loras={one.checkpoint.id: one.sha256 for one in staged},
        simulated=any(server.info.simulated for server in servers),
    )
    maker = Maker(
        asked=asked,
        store=store,
        base_model=base_models[0],
        staged={one.checkpoint.id: one for one in staged},
        listed={server.client.url: picker_names(plan, server, staged) for server in servers},
        training=TrainingSet(training_images(plan.paths.training_images)),
        tag=uuid.uuid4().hex[:8],
    )
    return Prepared(servers=servers, staged=staged, maker=maker)


def _base_header(plan: Plan, base_model: str) -> Header | None:
    """Read the base model's header where its file lies in the ComfyUI folder; None where it is elsewhere."""
    file = plan.paths.comfyui / "models" / "checkpoints" / base_model.replace("\\", "/")
    try:
        return read_header(file) if file.is_file() else None
    except HeaderError:
        return None  # a .ckpt, say; ComfyUI loads more kinds of files than LoRAs come in


def pictures(reports: Path) -> Store:
    """Give the store of a reports folder's pictures."""
    return Store(reports / "pictures")
