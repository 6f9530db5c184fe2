"""What recordings leave out: words for people, tracebacks, where things lie on somebody's disk, weights."""

import re
from typing import Any, Final

TRIMMED: Final = "<trimmed>"
_TENSOR: Final = re.compile(r"^tensor\(.*\)$", re.DOTALL)


def trimmed(value: Any, roots: tuple[str, ...] = ()) -> Any:
    """Trim a body or a frame: tooltips and descriptions go, tracebacks and tensors are cut, `roots` become /srv."""
    if isinstance(value, dict):
        return {name: _trimmed(name, inner, roots) for name, inner in value.items() if name not in _LEFT_OUT}
    if isinstance(value, list):
        return [trimmed(inner, roots) for inner in value]
    if isinstance(value, str):
        for root in roots:
            value = value.replace(root, "/srv/ComfyUI")
        return "tensor(...)" if _TENSOR.match(value) else value
    return value


_LEFT_OUT: Final = frozenset({"tooltip", "description"})


def _trimmed(name: str, value: Any, roots: tuple[str, ...]) -> Any:
    if name == "traceback" and isinstance(value, list):
        return [TRIMMED]
    if name == "output_tooltips" and isinstance(value, list):
        return [TRIMMED] * len(value)
    return trimmed(value, roots)
