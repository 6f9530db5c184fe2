"""The profile of the LoRA in production: how it was chosen, at which strength, and what its pictures show."""

import base64
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from plugins.evidence.deployments import BallotRecord, Deployment
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import EvidenceError, Store
from plugins.loras.header import Header, read_header
from plugins.plan.cells import Cell, cells_at
from plugins.plan.plan import Plan
from plugins.plan.training.families import Family, families_of
from plugins.plan.wanted import Publish
from plugins.publish.record import PublishError
from plugins.review.ballot import Ballot, BallotError, ballot_and_digest, figures, judge_name

PREVIEW: Final = 512
"""Pixels of the longest side."""
THUMBNAIL: Final = 256
"""Pixels: ModelSpec recommends so many for the picture in a header."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Everything that is published about a LoRA. What is not known is left out."""

    plan: Plan
    wanted: Publish
    deployment: Deployment
    header: Header
    size: int
    modified: float
    strength: float | None
    """At which the selected checkpoint was judged and chosen; None where only the workflow knows it."""
    pictures: dict[str, bytes]
    """One PNG of each candidate on the first prompt, by checkpoint id, without what ComfyUI wrote into it."""
    preview: bytes
    """The picture that stands for the LoRA."""
    preview_lines: tuple[str, ...]
    """Which picture that is, and which stars were not used and why."""
    ballots: tuple[Ballot, ...]
    """Of each judge."""

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
    def thumbnail(self) -> str:
        """The preview as an address that holds the picture itself, small."""
        jpeg = _small(BytesIO(self.preview), THUMBNAIL, "JPEG")
        return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"

    @property
    def family(self) -> Family | None:
        """The family of base models that its tensors tell, if it is one."""
        families = families_of(self.header)
        return next(iter(families)) if len(families) == 1 else None

    def marks(self) -> list[str]:
        """Return each criterion with what was seen of it on the selected checkpoint; nothing without a ballot."""
        found, deployment = [], self.deployment
        for number, ballot in enumerate(self.ballots, 1):
            judge = f"{judge_name(ballot, number)}: " if len(self.ballots) > 1 else ""
            counted = figures(ballot, self.plan, deployment.strength).get(deployment.selected, {})
            found += [
                f"{judge}{one.text}: {figure.answer} ({figure})"
                for one in self.plan.criteria
                if (figure := counted.get(one.id)) and figure.answer
            ]
        return found

    def story(self) -> str:
        """Return in one sentence how it was chosen."""
        count, seeds = len(self.deployment.candidates), "seed" if len(self.plan.sampling.seeds) == 1 else "seeds"
        at = "" if self.strength is None else f", at strength {self.strength:g}"
        text = (
            f"{self.deployment.selected} was chosen out of {count} checkpoints of one training run on "
            f"{len(self.plan.prompts)} test prompts on the same {seeds}{at}"
        )
        among = ", ".join(f"{one:g}" for one in self.plan.sampling.strengths)
        return f"{text} out of {among}" if self.plan.sampling.compares_strengths else text


def gather_profile(plan: Plan, wanted: Publish, deployment: Deployment, store: Store) -> Profile:
    """Return what is known of the LoRA in production. Raises `PublishError` where its pictures are others."""
    production = plan.production_file
    selected = plan.checkpoint(deployment.selected)
    cells = cells_at(plan, selected, deployment.strength)
    if selected is None or not cells:
        raise PublishError(
            f"The plan no longer has {deployment.choice}, which was deployed. Nothing was published. Put it back into "
            "the plan, or deploy again with the plan as it is: pytest -m deploy --selected-step=STEP"
        )
    evidence = [_judged(cell, deployment, store) for cell in cells]
    first = [cells_at(plan, one, deployment.strength)[0] for one in plan.checkpoints if one.id in deployment.candidates]
    for cell in first:
        _judged(cell, deployment, store)
    ballots = tuple(filter(None, map(_ballot, deployment.ballots)))
    starred, unused = _starred(ballots, list(zip(cells, evidence, strict=True)), deployment)
    shown = starred or cells[0]
    status = production.stat()
    return Profile(
        plan=plan,
        wanted=wanted,
        deployment=deployment,
        header=read_header(production),
        size=status.st_size,
        modified=status.st_mtime,
        strength=next(one.lora.strength for one in evidence if one.lora),
        pictures={cell.column: png_without_notes(store.picture_path(cell)) for cell in first},
        preview=png_without_notes(store.picture_path(shown)),
        preview_lines=(f"Preview picture: {shown} ({'starred' if starred else 'of the first prompt'}).", *unused),
        ballots=ballots,
    )


def _judged(cell: Cell, deployment: Deployment, store: Store) -> Evidence:
    """Return the evidence of a picture, if it still is the one that was judged."""
    try:
        found = store.read(cell)
    except EvidenceError as error:
        raise PublishError(f"{error} Nothing was published.") from error
    again = (
        "Nothing was published. "
        f"Deploy again with the new pictures: pytest -m deploy --selected-step={deployment.selected}"
    )
    judged = deployment.judged.get(cell.id)
    if judged is None:
        raise PublishError(f"{cell} was not among the pictures that {deployment.selected} was chosen by. {again}")
    if found is None or found.picture.pixels_sha256 != judged.pixels_sha256:
        raise PublishError(f"{cell}: the picture that {deployment.selected} was chosen by is not there. {again}")
    return found


def _starred(
    ballots: Collection[Ballot], cells: Iterable[tuple[Cell, Evidence]], deployment: Deployment
) -> tuple[Cell | None, list[str]]:
    """Return the selected checkpoint's first starred picture, and which stars are not used and why."""
    used, unused = None, []
    if len(ballots) < len(deployment.ballots):
        unused.append("A star on a ballot that was changed since the deployment, or is gone, is not used.")
    by_id = {cell.id: (cell, evidence) for cell, evidence in cells}
    for ballot in ballots:
        if ballot.starred is None:
            continue
        if ballot.starred not in by_id:
            unused.append(f"The star on {ballot.starred} is not used: that is no picture of {deployment.choice}.")
            continue
        cell, evidence = by_id[ballot.starred]
        seen = ballot.pictures.get(cell.id)
        if seen is None or seen.pixels != evidence.picture.pixels_sha256:
            unused.append(f"The star on {cell} is not used: its picture is not the one that was starred.")
        else:
            used = used or cell
    return used, unused


def _ballot(record: BallotRecord) -> Ballot | None:
    """Return a ballot that the deployment was made by, if it is unchanged."""
    try:
        ballot, digest = ballot_and_digest(record.file)
    except BallotError:
        return None
    return ballot if digest == record.sha256 else None


def png_without_notes(path: Path) -> bytes:
    """Return a picture small enough for a list, without its workflow."""
    return _small(path, PREVIEW, "PNG")


def _small(picture: Path | BytesIO, side: int, kind: str) -> bytes:
    """Return a picture with its longest side made small, and nothing in the file but its pixels."""
    with Image.open(picture) as opened:
        small = opened.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    small.save(buffer, kind, quality=85, icc_profile=None)  # PNG knows no quality, and leaves it out
    return buffer.getvalue()
