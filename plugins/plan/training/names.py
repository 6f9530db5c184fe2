"""What the name of a checkpoint's file says, in the spelling of each trainer."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

ENDINGS: Final = (".safetensors", ".sft")
"""Of files in the safetensors format."""
PICKLES: Final = (".pt", ".pth", ".ckpt", ".bin")
"""Of weights that a pickle holds, which can run code when it is loaded."""
WEIGHTS: Final = (*ENDINGS, ".gguf", *PICKLES)
"""Of all files that hold weights, as a workflow names them."""
_STEM: Final = (
    re.compile(r"-save-(?P<step>\d+)-(?P<epoch>\d+)-\d+$"),  # OneTrainer: step, epoch, step of the epoch
    re.compile(r"(?i)(?:^|[-_.])e(?:poch)?[-_]?(?P<epoch>\d+)[-_]s(?:tep)?s?[-_]?(?P<step>\d+)$"),
    re.compile(r"(?i)(?:^|[-_.])(?:steps?|global_step|checkpoint)[-_=]?(?P<step>\d+)$"),  # kohya, DiffSynth, Diffusers
    re.compile(r"(?i)(?:^|[-_.])(?:epochs?[-_=]?|ep?)(?P<epoch>\d+)$"),
    re.compile(r"(?i)(?:^|[-_.])(?:(?P<step>\d+)[-_]?steps?|(?P<epoch>\d+)[-_]?epochs?)$"),
    re.compile(r"_(?P<step>0\d{8})$"),  # ai-toolkit
    re.compile(r"-(?P<epoch>0\d{5})$"),  # kohya, musubi, FluxGym
)
_FOLDER: Final = (
    re.compile(r"(?i)^(?:checkpoint|step|steps|global_step)[-_=]?(?P<step>\d+)$"),  # Diffusers, diffusion-pipe
    re.compile(r"(?i)^epochs?[-_=]?(?P<epoch>\d+)$"),
)
_PAIR: Final = re.compile(r"(?i)[-_.](high|low)[-_.]?noise(?=[-_.]|$)")


@dataclass(frozen=True, kw_only=True)
class NameNotes:
    """The numbers in a checkpoint's name, and what is left of the stem without them."""

    step: int | None = None
    epoch: int | None = None
    stem: str = ""

    @property
    def is_numbered(self) -> bool:
        """Whether the name says a step or an epoch; the final checkpoint's says neither."""
        return self.step is not None or self.epoch is not None


def is_weights(file: str) -> bool:
    """Say whether a name is that of a file with weights, by its ending."""
    return file.lower().endswith(WEIGHTS)


def notes_of(file: str) -> NameNotes:
    """Read a file's name as it stands below the training folder: `checkpoint-500/pytorch_lora_weights.safetensors`."""
    path = PurePosixPath(file)
    stem = path.stem if path.suffix.lower() in ENDINGS else path.name
    whole, _ = without_pair(stem)
    for pattern in _STEM:
        if found := pattern.search(whole):
            return _notes(found, whole[: found.start()])
    for folder in reversed(path.parts[:-1]):
        for pattern in _FOLDER:
            if found := pattern.search(folder):
                return _notes(found, whole)
    return NameNotes(stem=whole)


def without_pair(stem: str) -> tuple[str, str]:
    """Take `_high_noise` or `_low_noise` from a stem; also return which of the two it was, empty for neither."""
    found = _PAIR.search(stem)
    return (stem[: found.start()] + stem[found.end() :], found[1].lower()) if found else (stem, "")


def _notes(found: re.Match[str], stem: str) -> NameNotes:
    numbers = {name: int(value) for name, value in found.groupdict().items() if value is not None}
    return NameNotes(step=numbers.get("step"), epoch=numbers.get("epoch"), stem=stem.rstrip("-_. "))
