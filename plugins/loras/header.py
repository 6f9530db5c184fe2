"""What a LoRA file says of itself, read without loading its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from plugins.loras.errors import HeaderError
from plugins.plan.plan import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a safetensors file: the trainer's notes and the names of its tensors."""

    metadata: Mapping[str, str]
    tensors: tuple[str, ...]

    @property
    def step(self) -> int | None:
        """The training step as kohya's trainer writes it (`ss_steps`), where it is there."""
        step = self.metadata.get("ss_steps", "")
        return int(step) if step.isdecimal() else None


def read_header(path: Path) -> Header:
    """Read the header of the file at `path`.

    Raises `HeaderError` where it is not a safetensors file, or does not have all the bytes its header promises.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            header = Header(metadata=dict(file.metadata() or {}), tensors=tuple(file.keys()))
    except (SafetensorError, OSError, ValueError) as error:
        why = "it is empty" if path.is_file() and path.stat().st_size == 0 else str(error).strip()
        raise HeaderError(
            f"{path} is not a whole safetensors file ({why}). "
            "If it is still being written or copied, wait; else take it from the trainer's output again."
        ) from error
    if not header.tensors:
        raise HeaderError(f"{path} holds no tensors, so it is no LoRA. Take it from the trainer's output again.")
    return header


def check_header(path: Path, checkpoint: Checkpoint) -> Header:
    """Read the header of `checkpoint`'s file and hold it against the plan.

    Raises `HeaderError` also where the trainer's step contradicts the plan's.
    """
    header = read_header(path)
    if header.step is not None and header.step != checkpoint.step:
        raise HeaderError(
            f"{path} says that it was saved at step {header.step} (ss_steps), but the plan calls it step "
            f"{checkpoint.step}. Correct the plan's [[checkpoint]], or the file."
        )
    return header
