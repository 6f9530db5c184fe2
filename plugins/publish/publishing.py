"""Publishing a proven deployment, and what happens to the published files when production changes."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from plugins.deploy.claims import production_is_the_selected_checkpoint
from plugins.evidence.deployments import RECORD as DEPLOYED
from plugins.evidence.deployments import Deployment, RecordError, read_record
from plugins.evidence.store import Store
from plugins.loras.copying import digest_of
from plugins.plan.cells import at
from plugins.plan.messages import counted
from plugins.plan.plan import Plan
from plugins.plan.wanted import Publish
from plugins.publish.card import PICTURES, card
from plugins.publish.copying import write_copy
from plugins.publish.profile import Profile, gather_profile
from plugins.publish.record import Published, PublishError, Writer, publish, read_published, withdraw
from plugins.publish.sidecars import sidecar_digests, sidecars


def publish_production(plan: Plan, wanted: Publish, deployment: Deployment, store: Store) -> Published:
    """Publish what the plan wants of the deployment that stands. Raises `PublishError`."""
    try:
        if problems := production_is_the_selected_checkpoint(plan, deployment):
            raise PublishError("\n".join([*problems, "Nothing was published."]))
        profile = gather_profile(plan, wanted, deployment, store)
        new = Published(
            plan_name=plan.name,
            selected=deployment.selected,
            sha256=deployment.sha256,
            strength=deployment.strength,
            deployed=deployment.deployed,
            preview=profile.preview_lines if _shows_preview(wanted) else (),
            files={},
        )
        return publish(new, {**_beside(profile), **_copy(profile)}, store.reports, plan.paths.project)
    except OSError as error:
        where = error.filename or plan.production_file
        raise PublishError(f"{where} cannot be read: {error.strerror or error}. Nothing was published.") from error


def _shows_preview(wanted: Publish) -> bool:
    """Say whether a picture stands for the LoRA: beside it, or in the header of its copy."""
    return "preview" in wanted.sidecars or wanted.copy_to is not None


def _beside(profile: Profile) -> Mapping[Path, Writer]:
    return {path: partial(_put, content) for path, content in sidecars(profile).items()}


def _copy(profile: Profile) -> Mapping[Path, Writer]:
    folder = profile.plan.copy_folder
    if folder is None:
        return {}
    pictures = {folder / PICTURES / f"{name}.png": partial(_put, png) for name, png in profile.pictures.items()}
    return {
        folder / profile.plan.production.file: partial(write_copy, profile),
        folder / "README.md": partial(_put, card(profile).encode()),
        **pictures,
    }


def _put(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def published_is_of_production(plan: Plan, published: Published | None, reports: Path) -> list[str]:
    """Compare what was published with production, and check that the copy is unchanged.

    Also finds sidecars of another file that are not on record.
    """
    problems = _on_record(plan, published, reports) if published else []
    production = plan.production_file
    digests = sidecar_digests(production) if production.is_file() and (published or plan.publish) else {}
    now = digest_of(production) if digests else ""
    known = published.files if published and problems else ()
    return problems + [
        f"{path} is of another file (SHA-256 {digest[:12]}) than {production.name} ({now[:12]}), and was not published "
        f"from {reports}. Move it away, or have its program read the LoRA again; then publish: pytest -m publish"
        for path, digest in digests.items()
        if digest != now and path not in known
    ]


def _on_record(plan: Plan, published: Published, reports: Path) -> list[str]:
    again = "Publish again: pytest -m publish"
    if not published.is_done:
        return [
            f"Publishing {published.selected} was stopped half-way, so files of two productions may lie there. {again}"
        ]
    production, now = plan.production_file, _production_sha256(plan)
    if now != published.sha256:
        held = f"holds other bytes (SHA-256 {now[:12]})" if now else "is not there"
        return [
            f"{path} was published of {published.selected} ({published.sha256[:12]}), and {production} {held}. {again}"
            for path in published.files
            if path.exists()
        ]
    if not _is_deployed(published, reports):
        of = at(published.selected, published.strength)
        is_there = any(path.exists() for path in published.files)
        return [f"The published files are of {of}, which was deployed anew since. {again}"] if is_there else []
    return [
        f"{path} was changed since it was published. Move it away, then publish again: pytest -m publish"
        for path, digest in published.files.items()
        if path.suffix == production.suffix and path.is_file() and digest_of(path) != digest
    ]


def withdraw_outdated(plan: Plan, reports: Path) -> Iterator[str]:
    """Remove what was published of another production than the one that is there now; yield what was done, in words.

    Raises `PublishError` or `OSError`.
    """
    project = plan.paths.project
    published = read_published(reports, project)
    if published is None or (_production_sha256(plan) == published.sha256 and _is_deployed(published, reports)):
        return
    lost = [path for path in published.files if published.is_done and not path.exists()]
    there = [path for path in published.paths if path.exists()]
    left = withdraw(published, reports, project)
    deployed = at(published.selected, published.strength)
    if gone := len(there) - len(left):
        yield f"{counted(gone, 'published file')} of {deployed} removed. Publish again: pytest -m publish"
    yield from (
        f"warning: {path} was published of {published.selected}, was changed since, and was left" for path in left
    )
    yield from (
        f"warning: {path} was published of {published.selected} and is not there. If it was moved, it still describes "
        "that deployment."
        for path in lost
    )


def _production_sha256(plan: Plan) -> str | None:
    return digest_of(plan.production_file) if plan.production_file.is_file() else None


def _is_deployed(published: Published, reports: Path) -> bool:
    """Say whether the deployment on record is the one that was published, as far as it can be read."""
    try:
        found = read_record(reports / DEPLOYED)
    except RecordError:
        return True
    return found.strength == published.strength and published.deployed in {None, found.deployed}
