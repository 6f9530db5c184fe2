"""Evaluation copies: which are in the loras folder, and removing those that are no longer needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from plugins.loras.copying import digest_of
from plugins.plan.plan import Plan


@dataclass(frozen=True, kw_only=True)
class CleanUp:
    """Which evaluation copies were removed, and which were left, with the reason."""

    removed: tuple[Path, ...]
    left: Mapping[Path, str]


def remove_evaluation_copies(plan: Plan, known: frozenset[str]) -> CleanUp:
    """Remove the plan's evaluation copies: only these names, and only with bytes of a `known` checkpoint.

    Any other file of such a name is somebody's work: it is left and reported.
    """
    removed: list[Path] = []
    left: dict[Path, str] = {}
    for path in evaluation_copies(plan):
        try:
            if path.is_symlink() or not path.is_file():
                left[path] = "it is not a plain file"
            elif digest_of(path) not in known:
                left[path] = "its bytes are none of the checkpoints'; look at it and remove it yourself"
            elif not any(still_has(plan.training_file(one), path) for one in plan.checkpoints):
                left[path] = "no training output has these bytes any more, so this is the last copy"
            else:
                path.unlink()
                removed.append(path)
        except OSError as error:
            left[path] = f"it cannot be removed ({error.strerror or error})"
    return CleanUp(removed=tuple(removed), left=left)


def still_has(training: Path, copy: Path) -> bool:
    """Say whether a training output, by itself, still has the bytes of a copy."""
    if not training.is_file() or training.samefile(copy) or training.stat().st_size != copy.stat().st_size:
        return False
    return digest_of(training) == digest_of(copy)


def former_copy(plan: Plan, sha256: str) -> Path:
    """Return the temporary file from which a rollback renders the former production."""
    return plan.paths.loras / f"{plan.name}_former-{sha256[:12]}.safetensors"


def evaluation_copies(plan: Plan) -> tuple[Path, ...]:
    """Name the evaluation copies that lie in the loras folder now, a stopped rollback's included."""
    staged = (plan.paths.loras / plan.staged_file(checkpoint) for checkpoint in plan.checkpoints)
    former = plan.paths.loras.glob(f"{escape(plan.name)}_former-{'[0-9a-f]' * 12}.safetensors")
    return (*(path for path in staged if path.exists() or path.is_symlink()), *sorted(former))
