"""What is known of the LoRA in production: who chose it out of what, at which strength, and what its pictures show."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from plugins.deploy.records import Deployment
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import EvidenceError, Store
from plugins.loras.copying import digest_of
from plugins.loras.header import Header, read_header
from plugins.plan.cells import Cell, column
from plugins.plan.plan import Plan, Publish
from plugins.plan.training.families import Family, families_of
from plugins.publish.record import PublishError
from plugins.review.ballot import Ballot, BallotError, figures, read_ballot

PREVIEW: Final = 512
"""Pixels of the longest side."""
THUMBNAIL: Final = 256
"""Pixels: ModelSpec recommends so many for the picture in a header."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is published of a LoRA comes from here; what is not known is not there."""

    plan: Plan
    wanted: Publish
    deployment: Deployment
    header: Header
    size: int
    modified: float
    strengths: tuple[float, ...]
    """At which the selected checkpoint was judged, in order."""
    pictures: dict[str, bytes]
    """One PNG of each candidate on the first prompt, by checkpoint id, without what ComfyUI wrote into it."""
    ballot: Ballot | None

    @property
    def title(self) -> str:
        """The LoRA's name for people."""
        title = self.wanted.title.strip() or self.plan.title
        return f"SIMULATED: {title}" if self.deployment.simulated else title

    @property
    def trigger(self) -> str:
        """What a prompt needs; empty where the plan does not say."""
        return ", ".join(self.wanted.trigger_words)

    @property
    def preview(self) -> bytes:
        """The picture that stands for the LoRA."""
        return self.pictures[self.deployment.selected]

    @property
    def thumbnail(self) -> str:
        """The preview as an address that holds the picture itself, small."""
        with Image.open(BytesIO(self.preview)) as picture:
            small = picture.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        small.save(buffer, "JPEG", quality=85)
        return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    @property
    def family(self) -> Family | None:
        """The family of base models that its tensors tell, if it is one."""
        families = families_of(self.header)
        return next(iter(families)) if len(families) == 1 else None

    @property
    def strength(self) -> str:
        """The strength that it was judged at, in words; a range where there are several."""
        ends = dict.fromkeys((self.strengths[0], self.strengths[-1]))
        return " to ".join(f"{one:g}" for one in ends)

    def marks(self) -> list[str]:
        """Return each criterion with what was seen of it on the selected checkpoint; nothing without a ballot."""
        if self.ballot is None:
            return []
        counted = figures(self.ballot, self.plan).get(self.deployment.selected, {})
        return [
            f"{one.text}: {figure.answer} ({figure})"
            for one in self.plan.criteria
            if (figure := counted.get(one.id)) and figure.answer
        ]

    def story(self) -> str:
        """Return in one sentence how it was chosen."""
        count = len(self.deployment.candidates)
        return (
            f"{self.deployment.selected} was chosen out of {count} checkpoints of one training run on "
            f"{len(self.plan.prompts)} test prompts with the same seeds"
        )


def gather_facts(plan: Plan, wanted: Publish, deployment: Deployment, store: Store) -> Facts:
    """Return what is known of the LoRA in production. Raises `PublishError` where its pictures are others."""
    production = plan.production_file
    selected = plan.checkpoint(deployment.selected)
    cells = column(plan, selected)
    evidence = [_judged(cell, deployment, store) for cell in cells]
    first = [next(iter(column(plan, one))) for one in plan.checkpoints if one.id in deployment.candidates]
    for cell in first:
        _judged(cell, deployment, store)
    status = production.stat()
    return Facts(
        plan=plan,
        wanted=wanted,
        deployment=deployment,
        header=read_header(production),
        size=status.st_size,
        modified=status.st_mtime,
        strengths=tuple(sorted({one.lora.strength for one in evidence if one.lora})),
        pictures={cell.column: _png(store.picture(cell)) for cell in first},
        ballot=_ballot(deployment),
    )


def _judged(cell: Cell, deployment: Deployment, store: Store) -> Evidence:
    """Return the evidence of a picture, if it still is the one that was judged."""
    try:
        found = store.read(cell)
    except EvidenceError as error:
        raise PublishError(f"{error} Nothing was published.") from error
    judged = deployment.judged.get(cell.id)
    if found is None or judged is None or found.picture.pixels_sha256 != judged.pixels_sha256:
        raise PublishError(
            f"{cell}: its picture is not the one that {deployment.selected} was chosen by. Nothing was published. "
            f"Deploy again by the new pictures: pytest -m deploy --selected-step={deployment.selected}"
        )
    return found


def _ballot(deployment: Deployment) -> Ballot | None:
    """Return the ballot that the deployment was made by, if it is unchanged."""
    record = deployment.ballot
    if record is None:
        return None
    try:
        return read_ballot(record.file) if digest_of(record.file) == record.sha256 else None
    except (BallotError, OSError):
        return None


def _png(path: Path) -> bytes:
    """Return a picture small enough for a list, without its workflow."""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, "PNG")
    return buffer.getvalue()
