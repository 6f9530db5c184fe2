"""What ComfyUI sends, parsed where it comes in: frozen models that keep what we rely on and pass over the rest.

What a newer ComfyUI adds changes nothing. A value of an odd type is left out where the run goes on without it; where it
does not, pydantic's `ValidationError` is raised, and the client says which server and route it was.
"""

import itertools
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictStr,
    TypeAdapter,
    ValidationError,
)

from plugins.plan.messages import visible
from plugins.plan.record import Record

_LONGEST_NAME: Final = 200
"""Letters of what a server calls itself."""
_LONGEST_FLAG: Final = 40
_INDEX: Final = re.compile(r"^[a-z]+:\d+ ")
"""Which of a machine's devices it is (`cuda:1 NVIDIA ...`) decides no pixel."""
_DECIDING: Final = re.compile(
    r"--(cpu|cpu-vae|directml|deterministic|fast|(force-)?(fp|bf)\d[a-z0-9_]*(-[a-z-]+)?|(force|dont)-upcast-attention"
    r"|use-[a-z-]+-attention|disable-xformers|supports-fp8-compute|force-channels-last|lowvram|novram)"
)
"""Options that decide how a server calculates, as `main.py --help` lists them under precision and attention."""


class ServerInfo(Record):
    """What a server says of itself; the address carries no credentials. Evidence keeps it as it is."""

    url: str
    comfyui_version: str
    device: str
    simulated: bool
    worker: str = ""
    """The worker of a cluster that it runs beside, if any; the address is then as that worker sees it."""
    torch: str = ""
    """The version of PyTorch; empty where it is not known."""
    flags: str | None = None
    """The options that it was started with and that decide how it calculates (`--fp16-unet`); None: not known."""

    def __str__(self) -> str:
        if self.simulated:
            return f"a SIMULATED ComfyUI {self.comfyui_version} at {self.address}"
        return f"ComfyUI {self.comfyui_version} at {self.address} ({self.machine})"

    @property
    def address(self) -> str:
        """Its URL, and the worker of a cluster that it runs beside."""
        return f"{self.url} beside {self.worker}" if self.worker else self.url

    @property
    def version_and_machine(self) -> str:
        """What a picture was made on, wherever the server is."""
        return f"ComfyUI {self.comfyui_version} ({self.machine})"

    def is_at(self, other: "ServerInfo") -> bool:
        """Say whether this is, or was, at the address of another."""
        return (self.url, self.worker) == (other.url, other.worker)

    @property
    def machine(self) -> str:
        """What calculates: the device, PyTorch and the options."""
        torch = f"torch {self.torch}" if self.torch and not self.simulated else ""
        return ", ".join(filter(None, [self.device, torch, self.flags]))

    @property
    def configuration(self) -> dict[str, str | None]:
        """What decides pixels beside the workflow and its files, by name; None where it is not known."""
        return {
            "ComfyUI": self.comfyui_version,
            "device": _INDEX.sub("", self.device),
            "torch": self.torch or None,
            "options": self.flags,
        }

    def differences(self, other: "ServerInfo") -> tuple[str, ...]:
        """List the parts that are known of both and differ, as "ComfyUI 0.33.0 instead of 0.3.64"."""
        theirs = other.configuration
        return tuple(
            f"{name} {mine or 'none'} instead of {theirs[name] or 'none'}"
            for name, mine in self.configuration.items()
            if mine is not None and theirs[name] is not None and mine != theirs[name]
        )


class Sent(BaseModel):
    """What a server sent."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _count(value: object) -> int | None:
    """Return a whole number; None for what is none, such as JSON's NaN and Infinity."""
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    return value if isinstance(value, int) else None


def _time(value: object) -> datetime | None:
    """Return milliseconds since 1970 as a time; None for what is none."""
    try:
        return datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int | float) else None
    except (ValueError, OverflowError, OSError):
        return None


Text = Annotated[str, PlainValidator(str)]
Name = Annotated[str, PlainValidator(lambda value: visible(str(value)[:_LONGEST_NAME]))]
Flag = Annotated[bool, PlainValidator(lambda value: value is True)]
Id = Annotated[str | None, PlainValidator(lambda value: None if value is None else str(value))]
Count = Annotated[int | None, PlainValidator(_count)]
Time = Annotated[datetime | None, PlainValidator(_time)]


def _flags(argv: object) -> str | None:
    """Return the options that decide pixels, in alphabetical order; None where the server does not say."""
    if not isinstance(argv, list):
        return None
    words = [str(word) for word in argv]
    found = {word for word in words if _DECIDING.fullmatch(word)}
    for at, word in enumerate(words):
        if word == "--fast":  # whose values follow it
            values = itertools.takewhile(lambda one: not one.startswith("-"), words[at + 1 :])
            found |= {f"--fast {value[:_LONGEST_FLAG]}" for value in values}
    return visible(" ".join(sorted(found)))


class SystemStats(Sent):
    """The answer to GET /system_stats."""

    comfyui_version: Name = Field(validation_alias=AliasPath("system", "comfyui_version"))
    device: Name = Field(default="unknown device", validation_alias=AliasPath("devices", 0, "name"))
    simulated: Annotated[bool, PlainValidator(bool)] = Field(
        default=False, validation_alias=AliasPath("system", "simulated")
    )
    """Only the stand-in says so."""
    torch: Name = Field(default="", validation_alias=AliasPath("system", "pytorch_version"))
    flags: Annotated[str | None, PlainValidator(_flags)] = Field(
        default=None, validation_alias=AliasPath("system", "argv")
    )


def options_of(spec: Any) -> list[str] | None:  # noqa: ANN401 (JSON)
    """Return the entries of an input that is a drop-down, in either of ComfyUI's shapes; None where it is none."""
    if not isinstance(spec, list | tuple) or not spec:
        return None
    listed = spec[0]
    if listed == "COMBO":
        listed = spec[1].get("options") if len(spec) > 1 and isinstance(spec[1], dict) else None
    return [str(name) for name in listed] if isinstance(listed, list) else None


class NodeInfo(Sent):
    """What a kind of node takes."""

    required: dict[str, Any] = Field(validation_alias=AliasPath("input", "required"))
    """Its inputs, by name."""


NODES: Final = TypeAdapter(dict[str, NodeInfo])
"""The answer to GET /object_info/{node}."""


def _prompt_ids(items: Any) -> tuple[str, ...]:  # noqa: ANN401 (JSON)
    """Return the ids of queued prompts by their numbers: pending ones come in heap order."""
    try:
        return tuple(str(item[1]) for item in sorted(items, key=lambda item: item[0]))
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError("these are no prompts of a queue") from error


PromptIds = Annotated[tuple[str, ...], PlainValidator(_prompt_ids)]


class Queue(Sent):
    """The answer to GET /queue: the prompts that the server is running, and those that wait, in their order."""

    running: PromptIds = Field(alias="queue_running")
    pending: PromptIds = Field(alias="queue_pending")


class Posted(Sent):
    """The answer to POST /prompt where it took the workflow."""

    prompt_id: Id = None
    node_errors: Any = None
    """What it would leave out."""


class MessageData(Sent):
    """What a message says of one prompt; each kind has some of these."""

    prompt_id: StrictStr
    node: Id = None
    value: Count = None
    max: Count = None
    timestamp: Time = None
    node_id: Any = None
    node_type: Any = None
    exception_type: Any = None
    exception_message: Text = ""


class Message(Sent):
    """One message about one prompt, as the event socket and the history tell it."""

    type: StrictStr
    data: MessageData


def read_frame(frame: str) -> Message | None:
    """Parse a text frame of the event socket; None for what is no message about a prompt."""
    try:
        return Message.model_validate_json(frame)
    except ValidationError:
        return None


def read_message(kind: object, data: object) -> Message | None:
    """Parse a message of the history; None for what is none."""
    try:
        return Message.model_validate({"type": kind, "data": data})
    except ValidationError:
        return None


def _messages(value: object) -> tuple[Message, ...]:
    pairs = value if isinstance(value, list | tuple) else ()
    found = (read_message(*pair) for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2)  # noqa: PLR2004
    return tuple(message for message in found if message)


class ImageRef(Sent):
    """Where the server keeps a picture that it made."""

    filename: Text = ""
    subfolder: Text = ""
    type: Text = "output"


def _images(output: object) -> Iterator[ImageRef]:
    listed = output.get("images") if isinstance(output, dict) else None
    for image in listed if isinstance(listed, list | tuple) else ():
        if isinstance(image, dict):
            yield ImageRef.model_validate(image)


def _outputs(value: object) -> dict[str, tuple[ImageRef, ...]]:
    nodes = value.items() if isinstance(value, dict) else ()
    return {str(node): tuple(_images(output)) for node, output in nodes}


class ModelFile(Sent):
    """One file of a model folder, as GET /experiment/models/loras lists it."""

    name: str
    folder: int = Field(validation_alias="pathIndex")
    """Which of the folders it lies in; of two files of one name the server reads the one in the first."""
    size: int
    modified: float


MODEL_FILES: Final = TypeAdapter(tuple[ModelFile, ...])
NAMES: Final = TypeAdapter(tuple[Name, ...])


class HistoryEntry(Sent):
    """What GET /history/{prompt_id} says of a prompt that has ended."""

    status: Text = Field(default="", validation_alias=AliasPath("status", "status_str"))
    completed: Flag = Field(default=False, validation_alias=AliasPath("status", "completed"))
    messages: Annotated[tuple[Message, ...], PlainValidator(_messages)] = Field(
        default=(), validation_alias=AliasPath("status", "messages")
    )
    outputs: Annotated[dict[str, tuple[ImageRef, ...]], PlainValidator(_outputs)] = {}
    """The pictures of each node; what other nodes leave, such as texts, is none."""
    graph: Any = Field(default=None, validation_alias=AliasPath("prompt", 2))
    """The workflow that the server ran."""
