"""Evidence: the record beside each picture, of what it was made from."""

from datetime import datetime
from typing import Any, Final, Literal

from plugins.comfyui.answers import ServerInfo
from plugins.pictures.check import Check, Outcome
from plugins.plan.record import Record, Sha256

Population = tuple[str | None, ...]
"""Pictures of one population were rendered under the same conditions, and may be compared."""
_TICK: Final = 2.0
"""Seconds: file systems keep times no more exactly than this."""


class PlanRecord(Record):
    """Which plan asked for the picture."""

    name: str
    digest: Sha256


class CellRecord(Record):
    """Which cell of the matrix this is; the baseline has no step."""

    column: str
    row: str
    step: int | None
    prompt: str
    seed: int
    strength: float | None = None
    """The LoRA's, where the plan has several."""


class LoraRecord(Record):
    """The LoRA as the server was asked to load it, and the bytes that lay under that name."""

    file: str
    sha256: Sha256
    strength: float | None
    """None if the plan does not give it and it cannot be found in a custom workflow."""


class AlwaysOnRecord(Record):
    """A LoRA that is rendered with every cell, and its bytes; None where they were out of reach."""

    file: str
    sha256: Sha256 | None
    strength: float


class FileRecord(Record):
    """A model file that the workflow names, beside the LoRA that is tested: the base model, a VAE, another LoRA."""

    name: str
    """Its folder and name: `checkpoints/model.safetensors`."""
    size: int
    modified: float
    """Seconds since 1970."""
    local: bool
    """Whether the file was read on this machine; otherwise the server reported it."""
    sampled: Sha256 | None = None
    """Digest of parts of its bytes, spread over all of it; None where it could not be read."""

    def is_other(self, now: "FileRecord", *, same_server: bool) -> bool:
        """Return whether the file there now is a different one. Copies on two servers may have different times."""
        comparable = (self.local and now.local) or (same_server and self.local == now.local)
        other_time = comparable and abs(self.modified - now.modified) > _TICK
        other_bytes = None not in {self.sampled, now.sampled} and self.sampled != now.sampled
        return self.size != now.size or other_time or other_bytes


class RunRecord(Record):
    """The server's account of the run: its id, begin and end (by the server's clock, UTC)."""

    prompt_id: str
    started: datetime
    ended: datetime


class PictureRecord(Record):
    """The PNG: digests of the file and of its pixels alone, and its size in pixels."""

    sha256: Sha256
    pixels_sha256: Sha256
    width: int
    height: int
    fingerprint: str = ""
    """16x16 brightnesses in hexadecimal, to compare pictures by without opening them."""


class NearestRecord(Record):
    """The training image that the picture is nearest to; 0 is the same picture, about 1 another."""

    image: str
    distance: float
    usual: float | None
    """The median distance from a training image to the one nearest to it."""


class ComparedRecord(Record):
    """How much the picture differs from the baseline of its row: mean over pixels and channels, of 255."""

    baseline_pixels_sha256: Sha256
    effect: float
    noise: float | None = None
    """How much two renderings of one picture differ on this server; None: not measured."""


def population_of(server: ServerInfo, files: tuple[FileRecord, ...]) -> Population:
    """Return a key that is the same for pictures which may be compared with each other."""
    return (*server.configuration.values(), *(f"{one.name} {one.size}" for one in files))


class Evidence(Record):
    """Everything that a picture was made from, and the outcomes of its checks."""

    format: Literal[1] = 1
    plan: PlanRecord
    cell: CellRecord
    prompt_text: str
    negative_text: str
    base_model: str
    lora: LoraRecord | None
    always_on: tuple[AlwaysOnRecord, ...] = ()
    inputs_digest: Sha256
    """Digest of the workflow and the LoRA's bytes: whether this picture is still what would be rendered."""
    workflow: dict[str, Any]
    """The graph in API format, exactly as it was sent."""
    server: ServerInfo
    files: tuple[FileRecord, ...] = ()
    """The model files that the workflow names; none where they are not known."""
    run: RunRecord
    picture: PictureRecord
    rendered_as: str = ""
    """The column whose picture this is, since both LoRAs hold the same tensors; empty where it is its own."""
    nearest: NearestRecord | None = None
    compared: ComparedRecord | None = None
    checks: tuple[Check, ...]

    @property
    def simulated(self) -> bool:
        """Whether the stand-in drew it: such a picture says nothing about a LoRA."""
        return self.server.simulated

    @property
    def rendered_column(self) -> str:
        """The column that was rendered for this picture: its own, but for a checkpoint that was saved twice."""
        return self.rendered_as or self.cell.column

    @property
    def population(self) -> Population:
        """Everything that decides pixels besides the cell's own inputs."""
        return population_of(self.server, self.files)

    def changed_files(self, now: tuple[FileRecord, ...], server: ServerInfo) -> tuple[str, ...]:
        """List the model files that were replaced under their names on a server since."""
        same = self.server.is_at(server)
        there = {one.name: one for one in now}
        return tuple(
            one.name for one in self.files if one.name in there and one.is_other(there[one.name], same_server=same)
        )

    def unlike(self, other: "Evidence") -> tuple[str, ...]:
        """List what keeps this picture from being compared with another: values known for both that differ."""
        if (self.server, self.files) == (other.server, other.files):
            return ()
        return (
            *self.server.differences(other.server),
            *(f"another file {name}" for name in self.changed_files(other.files, other.server)),
        )

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)

    def with_check(self, check: Check) -> "Evidence":
        """Return this evidence with a check's outcome, in place of its former outcome."""
        others = tuple(one for one in self.checks if one.name != check.name)
        return self.model_copy(update={"checks": (*others, check)})

    @property
    def warnings(self) -> tuple[Check, ...]:
        """The checks that a person should look at."""
        return tuple(check for check in self.checks if check.outcome is Outcome.WARNING)
