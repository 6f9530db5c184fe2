"""What deployments and rollbacks leave on record: `deployment.json` and `rollback.json` in the reports folder."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from plugins.comfyui.answers import ServerInfo
from plugins.evidence.evidence import FileRecord
from plugins.evidence.files import write_atomically
from plugins.loras.copying import sync_folder
from plugins.plan.cells import at
from plugins.plan.messages import UserError, minute_of
from plugins.plan.record import BrokenRecord, Record, Sha256

RECORD: Final = "deployment.json"
ROLLBACK: Final = "rollback.json"


class RecordError(UserError):
    """A record that is missing or invalid; the message names the file."""


class Candidate(Record):
    """One checkpoint as it was when the selection was made."""

    step: int | None
    file: str
    sha256: Sha256


class Judged(Record):
    """One picture that the selection rests on, and the evidence of it, as they were then."""

    pixels_sha256: Sha256
    evidence_sha256: Sha256
    prompt_id: str
    """The server's id of the rendering; a different one means that the picture was rendered again."""


class BallotRecord(Record):
    """The ballot that chose what was deployed."""

    file: Path
    sha256: Sha256


class Proven(Record):
    """One picture rendered from the production LoRA, compared with the judged one. Distances are of 255."""

    row: str
    server: str
    picture: str
    """Seen from the reports folder."""
    pixels_sha256: Sha256
    identical: bool
    distance: float
    runner_up: str | None = None
    """The other candidate that it is nearest to, where it is not identical to the judged picture."""
    runner_up_distance: float | None = None
    unlike: str = ""
    """How this server differs from the one that rendered the judged picture, if the pixels are not identical."""

    def __str__(self) -> str:
        if self.identical:
            return f"{self.row}: the judged picture, pixel for pixel"
        text = f"{self.row}: {self.distance:.2f} of 255 from the judged picture"
        text += f", rendered on {self.unlike}" if self.unlike else ""
        return f"{text}; the next candidate, {self.runner_up}, is at {self.runner_up_distance:.2f}"


class Serving(Record):
    """A server that production is rendered on, and the model files beside the LoRA that it renders with."""

    server: ServerInfo
    files: tuple[FileRecord, ...] = ()


class Deployment(Record):
    """What was deployed, out of what, and on which evidence. Paths are absolute."""

    format: Literal[1] = 1
    installed: str = ""
    """The id of the installation that this record is about."""
    plan_name: str
    plan_digest: Sha256
    simulated: bool
    selected: str
    strength: float | None = None
    """The strength that the selected checkpoint was judged at, where the plan has several."""
    candidates: dict[str, Candidate]
    """By checkpoint id."""
    judged: dict[str, Judged]
    """What the selection rests on, by cell id."""
    production: Path
    replaced_sha256: Sha256 | None
    backup: Path | None
    removed: tuple[Path, ...] = ()
    left: Mapping[str, str] = {}
    """Evaluation copies that were not removed, and why."""
    observed: str = ""
    accepted: Mapping[str, str] = {}
    """Pictures that failed a check or were not checked, but were accepted by name: each with its problem."""
    ballot: BallotRecord | None = None
    other_ballots: tuple[BallotRecord, ...] = ()
    """Those of further judges."""
    proof: tuple[Proven, ...]
    """What production rendered, compared with what was judged."""
    server: ServerInfo
    serving: tuple[Serving, ...] = ()
    """The servers that production was proven on, as they were then; none in older records."""
    made_on: tuple[str, ...] = ()
    """The ComfyUI versions and machines that the judged pictures were made on; nothing in older records."""
    deployed: datetime

    @property
    def ballots(self) -> tuple[BallotRecord, ...]:
        """The ballots of all judges."""
        return (*((self.ballot,) if self.ballot else ()), *self.other_ballots)

    @property
    def choice(self) -> str:
        """What was selected, in words: `step600`, or `step600 at strength 0.8`."""
        return at(self.selected, self.strength)

    @property
    def sha256(self) -> str:
        """Digest of the deployed bytes."""
        return self.candidates[self.selected].sha256


class Rollback(Record):
    """What a rollback did. Paths are absolute."""

    format: Literal[1] = 1
    installed: str
    """The id of the installation that this record is about."""
    plan_name: str
    simulated: bool
    production: Path
    sha256: Sha256
    """Digest of the file that was put back."""
    checkpoint: str | None
    """The checkpoint that it is; None where it is none of the plan's."""
    taken_out: str
    """The checkpoint, or the digest, that was in production."""
    proof: dict[str, str]
    """What production rendered of each row, in words."""
    undone: datetime | None
    """When the deployment that this took back was made; any other deployment on record is newer."""
    rolled_back: datetime

    @property
    def name(self) -> str:
        """What is in production now, in words."""
        return self.checkpoint or f"the file that was there before (SHA-256 {self.sha256[:12]})"

    def __str__(self) -> str:
        return f"Production was rolled back from {self.taken_out} to {self.name} on {minute_of(self.rolled_back)}."


def write_record(record: Deployment | Rollback, path: Path) -> None:
    """Write a record so that it survives a crash: the former file is given up next. Raises `OSError`."""
    write_atomically(path, record.written())
    sync_folder(path.parent)


def read_record(path: Path) -> Deployment:
    """Return the record of the last deployment. Raises `RecordError`."""
    try:
        found = Deployment.read(path)
    except BrokenRecord as error:
        raise RecordError(f"{path} is not a readable record of a deployment: {error}") from error
    if found is None:
        raise RecordError(
            f"No deployment is on record in {path.parent}. Deploy with pytest -m deploy --selected-step=STEP, or name "
            "the folder of the run that did: --reports=DIR."
        )
    return found


def read_rollback(path: Path) -> Rollback | None:
    """Return the record of the last rollback; None if there was none. Raises `RecordError`."""
    try:
        return Rollback.read(path)
    except BrokenRecord as error:
        raise RecordError(
            f"{path} is not a readable record of a rollback: {error}. Move it away; production is then compared with "
            "the last deployment."
        ) from error


def rollback_of(deployment: Deployment, path: Path) -> Rollback | None:
    """Return the rollback that took this deployment back; None where it still stands. Raises `RecordError`."""
    found = read_rollback(path)
    return found if found and found.undone == deployment.deployed else None
