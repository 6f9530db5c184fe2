"""Whether an input that a plan names under [comfyui.nodes] can take a text, or the seed."""

import re
from typing import Final

from plugins.comfyui.finding_settings import NAMES, find_seeds
from plugins.comfyui.graph import Place, linked
from plugins.comfyui.naming import Questions
from plugins.comfyui.node_types import STRING, is_open
from plugins.comfyui.wiring import Wiring

_OTHER_NUMBERS: Final = (
    *(NAMES["steps"], NAMES["cfg"], "width", "height", "batch_size", "step", "start_at_step", "end_at_step", "denoise"),
    *("clip_skip", "stop_at_clip_layer"),
)
_HOW: Final = re.compile(r"^scheduler$|_name$")
"""Inputs that choose a file or a way, unless the server says that they take any text."""
_PREFIX: Final = re.compile(r"filename")


def refuse_no_seed(wiring: Wiring, place: Place, wanted: str, questions: Questions) -> None:
    """Ask about an input that holds no whole number, or one that is known to be another setting."""
    value, seeds = wiring.graph[place.node]["inputs"][place.field], find_seeds(wiring)
    if place in seeds:
        return
    whole = linked(wiring.graph, value) is not None or (isinstance(value, int) and not isinstance(value, bool))
    if not (whole and _takes(wiring, place, "INT")):
        questions.ask(f"[comfyui.nodes] seed: {wanted!r} takes no whole number. Name the input that takes the seed.")
    elif place in _origins(wiring, wiring.called(*_OTHER_NUMBERS)) - _origins(wiring, seeds):
        questions.ask(f"[comfyui.nodes] seed: {wanted!r} sets something else. Name the input that takes the seed.")


def refuse_no_text(wiring: Wiring, place: Place, wanted: str, key: str, questions: Questions) -> None:
    """Ask about an input that holds no text, or one that names a file or a way to sample."""
    value, name = wiring.graph[place.node]["inputs"][place.field], place.field.rpartition(".")[2]
    is_text = _takes(wiring, place, STRING) and (isinstance(value, str) or linked(wiring.graph, value) is not None)
    if (
        not is_text
        or _PREFIX.search(name)
        or (_HOW.search(name) and wiring.input_kind(place.node, place.field) != STRING)
    ):
        questions.ask(f"[comfyui.nodes] {key}: {wanted!r} takes no prompt. Name the input that takes its text.")


def _takes(wiring: Wiring, place: Place, wanted: str) -> bool:
    """Say whether an input takes values of a type, as far as the server says what it takes."""
    kind = wiring.input_kind(place.node, place.field)
    return is_open(kind) or wanted in kind.split(",")


def _origins(wiring: Wiring, places: tuple[Place, ...] | list[Place]) -> set[Place]:
    """Return inputs, and where the values stand that they take."""
    return {*places, *(origin for place in places if (origin := wiring.origin(place)))}
