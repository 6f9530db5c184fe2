"""Where a graph loads LoRAs: in an input of a loader, in a dictionary, or by a tag in a text."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from plugins.comfyui.graph import Place, linked, spelled, walk
from plugins.comfyui.node_types import CLIP, MODEL, STRING
from plugins.comfyui.wiring import Wiring
from plugins.plan.training.names import is_weights

_LORA_FIELD: Final = re.compile(r"(^|_|\b)lora(?!s?_(strength|weight|wt|count|stack))", re.IGNORECASE)
TAG: Final = re.compile(r"<lora:([^<>:]+)((?::[^<>:]*)*)>")
_STRENGTH: Final = re.compile(r"strength|weight|_wt|_str(_|$)|^str_", re.IGNORECASE)
_SWITCH: Final = re.compile(r"switch|enable|toggle|active|^on$|(^|_)on(_|$)|use_lora", re.IGNORECASE)
_NESTED: Final = (dict, list)
_NUMBERS: Final = re.compile(r"\d+")
_NAMES: Final = ("lora", "name", "lora_name", "content")
_PLAIN_NAMES: Final = frozenset({"name", "content"})
"""Keys that hold the name of a LoRA only where something else says that it is one."""
SWITCHES: Final = ("on", "active", "enabled", "toggle")
OFF: Final = "None"
_WORDS: Final = {"off": "on", "disable": "enable", "disabled": "enabled", "false": "true", "no": "yes"}
"""How a switch that is a text says off, and on."""
_COUNTS: Final = frozenset({"lora_count", "num_loras"})
_CLIP_SKIPS: Final = frozenset({"clip_skip", "stop_at_clip_layer"})


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One place where a LoRA is named. `file` is as it is written there."""

    place: Place
    file: str
    loader: str
    """The node that loads it: the place's own, or one that takes the name from there."""
    path: tuple[str | int, ...] = ()
    """Where the name stands within a dictionary or list."""
    tag: str = ""
    """The whole tag within a text."""
    switch: Place | None = None
    """An input of its own that switches it on and off."""
    strengths: tuple[str, ...] = ()
    """Inputs of the loader, or keys beside the name, that say how strongly it is applied."""
    alone: bool = False
    """Whether its loader loads no other LoRA."""

    @property
    def beside(self) -> tuple[str | int, ...]:
        """Where the dictionary is that holds the name."""
        return self.path[:-1]

    @property
    def is_listed(self) -> bool:
        """Whether what switches and weakens it stands in the dictionary of its name, not with its loader."""
        return bool(self.path) and not self.alone


def slots(wiring: Wiring, files: frozenset[str]) -> Iterator[Slot]:
    """Yield every place of a graph where a LoRA is named, or could be; `files` are LoRAs whatever names them."""
    for node, content in wiring.graph.items():
        inputs = content["inputs"]
        yield from _plain(wiring, node, inputs, files)
        for name, value in inputs.items():
            if isinstance(value, str) and "<lora:" in value:
                place = Place(node=node, field=name)
                for tag in TAG.finditer(value) if _is_live(wiring, place) else ():
                    yield Slot(place=place, file=tag[1].strip(), tag=tag[0], loader=node)
            elif isinstance(value, _NESTED) and linked(wiring.graph, value) is None:
                found = list(_nested(Place(node=node, field=name), value, files))
                yield from (_own(wiring, slot, inputs) if len(slot.path) == 1 else slot for slot in found)


def _plain(wiring: Wiring, node: str, inputs: Mapping[str, Any], files: frozenset[str]) -> Iterator[Slot]:
    found = {}
    for name, value in inputs.items():
        origin = wiring.origin(Place(node=node, field=name)) if _is_lora_field(name) else None
        if origin is None and isinstance(value, str) and _file_name(value) in files:
            origin = Place(node=node, field=name)
        text = wiring.graph[origin.node]["inputs"][origin.field] if origin else None
        if origin and isinstance(text, str) and not TAG.search(text) and "\n" not in text:
            found[name] = (origin, text)
    if not found or _only_names(wiring, node, found.values()):
        return
    for name, (place, text) in found.items():
        yield Slot(
            place=place,
            file=text,
            loader=node,
            switch=next((Place(node=node, field=one) for one in _beside(inputs, name, _SWITCH)), None),
            strengths=tuple(
                one for one in _beside(inputs, name, _STRENGTH) if _is_number(wiring.value_of(inputs[one]))
            ),
            alone=len(found) == 1,
        )


@cache
def _is_lora_field(name: str) -> bool:
    return bool(_LORA_FIELD.search(name))


def _only_names(wiring: Wiring, node: str, found: Iterable[tuple[Place, str]]) -> bool:
    """Say whether a node only holds a name that loaders take: then it stands with them."""
    after = wiring.consumers.get(node, ())
    places = {place for place, _ in found}
    return bool(after) and all(
        _is_lora_field(link.field) and wiring.origin(Place(node=link.node, field=link.field)) in places
        for link in after
    )


def _nested(place: Place, value: Any, files: frozenset[str]) -> Iterator[Slot]:  # noqa: ANN401 (JSON)
    """Yield the LoRAs that a dictionary names, or a list of such."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, inner = waiting.pop(0)
        if isinstance(inner, list):
            waiting.extend(((*path, index), one) for index, one in enumerate(inner) if isinstance(one, dict | list))
            continue
        key = next((one for one in _NAMES if isinstance(inner.get(one), str)), "")
        if key and (key not in _PLAIN_NAMES or _is_lora_field(place.field) or _file_name(inner[key]) in files):
            strengths = tuple(one for one in inner if _STRENGTH.search(one) and _is_number(inner[one]))
            yield Slot(place=place, file=inner[key], loader=place.node, path=(*path, key), strengths=strengths)
        waiting.extend(((*path, name), one) for name, one in inner.items() if isinstance(one, dict | list))


def _own(wiring: Wiring, slot: Slot, inputs: Mapping[str, Any]) -> Slot:
    """Return a slot whose input is one dictionary about the file: its strengths may stand beside that."""
    field = slot.place.field
    beside = [one for one in _beside(inputs, field, _STRENGTH) if _is_number(wiring.value_of(inputs[one]))]
    if slot.strengths or not _is_lora_field(field) or any(key in inputs[field] for key in SWITCHES):
        return slot
    return replace(slot, strengths=tuple(beside), alone=True)


def _file_name(text: str) -> str:
    return text.replace("\\", "/").rpartition("/")[2]


def at(value: Any, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 (JSON)
    """Return what stands at a path within an input's value."""
    for step in path:
        value = value[step]
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _beside(inputs: Mapping[str, Any], name: str, wanted: re.Pattern[str]) -> Iterator[str]:
    """Yield the inputs that belong to a numbered slot, by the same number, and match."""
    number = _NUMBERS.findall(name)
    return (one for one in inputs if one != name and wanted.search(one) and _NUMBERS.findall(one) == number)


def _is_live(wiring: Wiring, place: Place) -> bool:
    """Say whether a text with tags reaches a node that could load LoRAs; to others a tag is nothing but words."""

    def takers(node: str) -> Iterator[str]:
        return (link.node for link in wiring.consumers.get(node, ()) if link.kind in {STRING, ""})

    return any(
        wiring.gives(node, MODEL) or wiring.links(node, MODEL) or "lora" in wiring.graph[node]["class_type"].lower()
        for node in walk([place.node], takers)
    )


def is_loaded(slot: Slot) -> bool:
    """Say whether a place names a LoRA at all, rather than none."""
    return bool(slot.tag or slot.path or is_weights(slot.file)) and slot.file.strip().lower() not in {"", "none"}


def names(slot: Slot, files: frozenset[str]) -> bool:
    """Say whether a place names one of these files; a tag and a list of names leave the extension out."""
    return _names(slot, files, _file_name(slot.file))


def nearly_names(slot: Slot, files: frozenset[str]) -> bool:
    """Say whether a place names one of these files but for upper and lower case, which some systems take for one."""
    folded = frozenset(file.casefold() for file in files)
    return not names(slot, files) and _names(slot, folded, _file_name(slot.file).casefold())


def _names(slot: Slot, files: frozenset[str], name: str) -> bool:
    return name in files or (bool(slot.tag or slot.path) and f"{name}.safetensors" in files)


def is_off(wiring: Wiring, slot: Slot) -> bool:
    """Say whether the file has switched a LoRA off."""
    inputs = wiring.graph[slot.place.node]["inputs"]
    if unused_by_count(wiring, slot):
        return True
    if slot.is_listed:
        beside = at(inputs[slot.place.field], slot.beside)
        return any(beside.get(name) is False for name in SWITCHES)
    return slot.switch is not None and is_no(wiring.value_of(wiring.graph[slot.loader]["inputs"][slot.switch.field]))


def unused_by_count(wiring: Wiring, slot: Slot) -> Place | None:
    """Return the input that says how many LoRAs a stack uses, where a numbered slot is beyond it."""
    inputs = wiring.graph[slot.loader]["inputs"]
    numbers = _NUMBERS.findall(slot.place.field) if slot.place.node == slot.loader else []
    for name in _COUNTS & inputs.keys() if numbers else ():
        count = wiring.value_of(inputs[name])
        if isinstance(count, int) and int(numbers[-1]) > count:
            return Place(node=slot.loader, field=name)
    return None


def is_no(value: object) -> bool:
    """Say whether a switch's value means off."""
    return value is False or (isinstance(value, str) and value.strip().lower() in _WORDS)


def switched(value: object, options: tuple[str, ...] | None, *, on: bool) -> object:
    """Return a switch's value for on or off, in the words that it has; the value itself where it has none."""
    if not isinstance(value, str):
        return on
    if options:
        words = _WORDS.values() if on else _WORDS
        return next((option for option in options if option.lower() in words), value)
    if is_no(value) != on:
        return value
    other = (_WORDS | {yes: no for no, yes in _WORDS.items()}).get(value.lower(), value)
    if value.isupper():
        return other.upper()
    return other.capitalize() if value[:1].isupper() else other


def name_and_place(wiring: Wiring, slot: Slot) -> str:
    """Name a LoRA and where it stands."""
    return f"{slot.file} ({spelled(wiring.graph, slot.place)})"


def bypass_of(wiring: Wiring, node: str) -> dict[int, Any] | None:
    """Return what each output of a LoRA loader goes on from without it; None where that is not plain.

    Nor where the loader also cuts the CLIP, which the baseline's is to be, too.
    """
    if _CLIP_SKIPS & wiring.graph[node]["inputs"].keys():
        return None
    around: dict[int, Any] = {}
    used = wiring.used(node)
    for kind in (MODEL, CLIP):
        slots_of = [slot for slot in wiring.gives(node, kind) if slot in used]
        taken = wiring.links(node, kind)
        if not slots_of:
            continue
        if len(slots_of) != 1 or len(taken) != 1:
            return None
        around[slots_of[0]] = [taken[0].source, taken[0].slot]
    return around if used and used <= around.keys() else None
