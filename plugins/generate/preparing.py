"""Everything that must be right before the first picture: files, server, base model, picker. In that order."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from plugins.comfyui.choices import choices_of, picker_names
from plugins.comfyui.names import find_lora
from plugins.comfyui.own_workflow import base_file, classes_for
from plugins.comfyui.server import Server
from plugins.comfyui.workflow import Workflow
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.making import Maker
from plugins.generate.workflows import prepare_workflow
from plugins.loras.digests import Digests
from plugins.loras.errors import HeaderError
from plugins.loras.header import Header, check_fit, read_header
from plugins.loras.staging import Staged, stage
from plugins.pictures.likeness import TrainingSet, training_images
from plugins.plan.plan import Checkpoint, Plan
from plugins.render.render_server import RenderServer


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A server park and a staged matrix, ready to render."""

    places: tuple[RenderServer, ...]
    staged: tuple[Staged, ...]
    maker: Maker


def prepare(plan: Plan, servers: tuple[Server, ...], store: Store, *, headers: Mapping[Checkpoint, Header]) -> Prepared:
    """Check the base model, stage every checkpoint, and see each of them in every server's picker.

    `headers` are those of the training outputs, as `preflight` gave them.
    Raises `WorkflowError`, `NotListed`, `StagingError` or another `ComfyUIError`; the first three before anything
    is copied, but for a picker that does not show what was staged.
    """
    classes = classes_for(plan)
    choices = [choices_of(server.client, classes=classes) for server in servers]
    workflow, base_model = prepare_workflow(plan, choices, store.folder.parent)
    check_base(plan, headers, base_model)
    with remembered_digests(store) as digest:
        staged = stage(plan, headers, digest=digest)
    listed: dict[RenderServer, tuple[str, ...]] = {
        server: picker_names(plan, server.client, staged) for server in servers
    }

    def lora_name(place: RenderServer, one: Staged) -> str:
        wanted = plan.picker_name(one.file.name)
        return find_lora(wanted, listed[place], server=place.info.url, folder=one.file.parent)

    asked = asked_of(plan, workflow, staged, simulated=any(server.info.simulated for server in servers))
    maker = maker_of(asked, store, base_model=base_model, staged=staged, lora_name=lora_name)
    return Prepared(places=servers, staged=staged, maker=maker)


@contextmanager
def remembered_digests(store: Store) -> Iterator[Callable[[Path], str]]:
    """Return what digests a file, once per change of the file, over all runs with this reports folder."""
    digests = Digests(store.folder.parent / ".digests.json")
    yield digests.of
    digests.save()


def check_base(plan: Plan, headers: Mapping[Checkpoint, Header], base_model: str) -> None:
    """Refuse LoRAs that do not fit the base model, where its file lies in the plan's ComfyUI folder."""
    check_fit(headers, _base_header(plan, base_model), base_model=base_model)


def asked_of(plan: Plan, workflow: Workflow, staged: tuple[Staged, ...], *, simulated: bool) -> ExpectedInputs:
    """Return what the evidence of this run must be of."""
    return ExpectedInputs(
        plan=plan, workflow=workflow, loras={one.checkpoint.id: one.sha256 for one in staged}, simulated=simulated
    )


def maker_of(
    asked: ExpectedInputs,
    store: Store,
    *,
    base_model: str,
    staged: tuple[Staged, ...],
    lora_name: Callable[[RenderServer, Staged], str],
) -> Maker:
    """Return what makes this run's pictures."""
    return Maker(
        asked=asked,
        store=store,
        base_model=base_model,
        staged={one.checkpoint.id: one for one in staged},
        lora_name=lora_name,
        training=TrainingSet(training_images(asked.plan.paths.training_images)),
        tag=uuid.uuid4().hex[:8],
    )


def _base_header(plan: Plan, base_model: str) -> Header | None:
    """Read the base model's header where its file lies in the ComfyUI folder; None where it is elsewhere."""
    file = base_file(plan, base_model)
    try:
        return read_header(file) if file else None
    except HeaderError:
        return None  # a .ckpt, say; ComfyUI loads more kinds of files than LoRAs come in


def pictures(reports: Path) -> Store:
    """Return the store of a reports folder's pictures."""
    return Store(reports / "pictures")
