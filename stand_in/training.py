"""The training run whose outputs a workspace holds: which checkpoints, how large, trained on which base model."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Self

_CHECKPOINTS: Final = {
    "spyke_plasma_v1-step00000200.safetensors": 200,
    "spyke_plasma_v1-step00000400.safetensors": 400,
    "spyke_plasma_v1-step00000600.safetensors": 600,
    "spyke_plasma_v1-step00000800.safetensors": 800,
    "spyke_plasma_v1.safetensors": 920,
}


_BEST, _BEFORE, _AFTER, _NEARLY = 0.65, 0.5, 0.8, 0.9
"""Shares of the training at which a checkpoint looks best, is not there yet, has begun to slip, and is nearly lost."""
_NEAR = 0.05
"""How far from the best share the best checkpoint may look."""


class TrainingRunError(Exception):
    """A text that describes no training run."""


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One training run. By default one of 920 steps, of which five checkpoints of 50 MB were kept."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str = "spyke_plasma_v1"
    """The LoRA's name, which is its trigger word too."""
    base_model: str = "AnythingXL_inkBase.safetensors"
    """File name below `models/checkpoints`."""
    checkpoints: Mapping[str, int] = field(default_factory=lambda: dict(_CHECKPOINTS))
    """File name → training step."""
    min_size: int = 50_000_000
    """Bytes that each checkpoint holds at least."""
    max_size: int = 200_000_000
    workflow: dict[str, Any] | None = None
    """A workflow in API format that will be asked for: the model files that it names are made, too."""
    others: Mapping[str, float] = field(default_factory=dict)
    """Other LoRAs that lie in the loras folder, and how far trained their pictures look, 0 to 1."""
    left_out: tuple[str, ...] = ()
    """LoRAs that the workflow may name and that are not made: somebody else puts them there."""

    @property
    def trains_text_encoder(self) -> bool:
        """Whether the checkpoints change the text encoder, too: not where the workflow loads LoRAs without it."""
        nodes = (self.workflow or {}).values()
        return all(not isinstance(node, dict) or node.get("class_type") != "LoraLoaderModelOnly" for node in nodes)

    @property
    def last_step(self) -> int:
        """The step at which the training ended."""
        return max(self.checkpoints.values(), default=0)

    def shown_training(self, step: int) -> float:
        """Return how far trained a checkpoint's pictures look, 0 to 1: just one of several looks best, before the last.

        Best is the one nearest to `_BEST` of the training. Those before it are not there yet, those after it have
        begun to slip, and the last one has learnt the training images by heart.
        """
        steps = sorted(set(self.checkpoints.values()))
        share = step / self.last_step if self.last_step else 1.0
        if step == steps[-1]:
            return 1.0
        best = min(steps[:-1], key=lambda other: abs(other / self.last_step - _BEST))
        if step == best:
            return min(max(share, _BEST - _NEAR), _BEST + _NEAR)
        return min(share, _BEFORE) if step < best else min(max(share, _AFTER), _NEARLY)

    def to_json(self) -> str:
        """Return the run as text, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a run that `to_json` wrote; what is left out has its default. Raises `TrainingRunError`."""
        from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 (only the reading process pays for it)

        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as error:
            raise TrainingRunError(str(error)) from error
