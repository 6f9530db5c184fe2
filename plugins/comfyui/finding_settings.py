"""Where the settings of a plan go in a graph: steps, cfg, sampler, scheduler, size, clip skip, base model."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from plugins.comfyui.finding_models import Chain, Output
from plugins.comfyui.graph import Place, label, linked, spelled, walk
from plugins.comfyui.node_types import ANY, COMBO, IMAGE, LATENT, SIGMAS
from plugins.comfyui.wiring import Wiring
from plugins.plan.training.names import is_weights

NAMES: Final = {"steps": "steps", "cfg": "cfg", "sampler": "sampler_name", "scheduler": "scheduler"}
"""The inputs that take a setting, by its key in the plan."""
SEEDS: Final = ("seed", "noise_seed")
_REPEATS: Final = re.compile(r"^(amount|batch_size|repeats?|copies|num_(images|repeats))$")
_FRAMES: Final = re.compile(r"^(length|frames|num_frames|video_frames|frame_count|video_length)$")
_BASE: Final = re.compile(r"ckpt|unet|(^|_)model(_name|_path|_file)?$|checkpoint|base_model|dit", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The inputs that take one setting, the value that each has in the file, and where that stands behind a link."""

    places: tuple[Place, ...] = ()
    values: tuple[Any, ...] = ()
    origins: tuple[Place, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A sampler that is held to a part of its steps. `steps` are the file's; None for sigmas that are split."""

    place: Place
    value: int
    steps: int | None
    begins: bool


def find_seeds(wiring: Wiring) -> tuple[Place, ...]:
    """Return every seed of the graph."""
    return tuple(
        place
        for place in wiring.called(*SEEDS)
        if not isinstance(wiring.graph[place.node]["inputs"][place.field], dict | bool)
        and wiring.input_kind(place.node, place.field) in {"", "INT", ANY}
    )


def find_setting(wiring: Wiring, name: str) -> Setting:
    """Return the inputs of one name, with their values; None for what a node between makes of others."""
    return _setting(
        wiring,
        [
            place
            for place in wiring.called(name)
            if place.node in wiring.active and not isinstance(wiring.graph[place.node]["inputs"][place.field], dict)
        ],
    )


def _setting(wiring: Wiring, places: Iterable[Place]) -> Setting:
    graph, origins = wiring.graph, []
    held: dict[Place, Any] = {}
    for place in places:
        origin = wiring.origin(place)
        held[place] = graph[origin.node]["inputs"][origin.field] if origin else None
        if origin and origin != place:
            origins.append(origin)
    for place, value in held.items():  # what comes out of a node that takes the same setting is that
        if value is None and (source := linked(graph, graph[place.node]["inputs"][place.field])):
            held[place] = next((held[one] for one in held if one.node == source[0]), None)
    return Setting(places=tuple(held), values=tuple(held.values()), origins=tuple(dict.fromkeys(origins)))


def find_endings(wiring: Wiring) -> tuple[Ending, ...]:
    """Return where samplers are held to a part of their steps."""
    found = []
    for node in dict.fromkeys(place.node for place in wiring.called("step", "start_at_step", "end_at_step")):
        if node not in wiring.active:
            continue
        inputs = wiring.graph[node]["inputs"]
        steps = wiring.value_of(inputs.get("steps"))
        old = int(steps) if _is_number(steps) else None
        split = bool(wiring.links(node, SIGMAS))
        for name in ("step",) if split else ("start_at_step", "end_at_step"):
            value = wiring.value_of(inputs.get(name))
            if _is_number(value) and (split or old is not None):
                begins = name == "start_at_step"
                found.append(Ending(place=Place(node=node, field=name), value=int(value), steps=old, begins=begins))
    return tuple(found)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def find_size(wiring: Wiring, sources: Iterable[str]) -> dict[str, Setting]:
    """Return where width and height go: to the source of the latent, and to every input that held its value."""
    found = {}
    for key in ("width", "height"):
        places = [
            Place(node=node, field=name)
            for node in sources
            for name in wiring.graph[node]["inputs"]
            if name == key or name.endswith((f"latent_{key}", f".{key}"))
        ]
        values = set(_setting(wiring, places).values)
        if len(values) == 1 and all(map(_is_number, values)):
            places += [
                place
                for place in wiring.called(key)
                if place.field == key
                and place.node in wiring.active
                and wiring.value_of(wiring.graph[place.node]["inputs"][key]) in values
            ]
        elif values == {None}:
            places += _linked_alike(wiring, key, places)
        found[key] = _setting(wiring, dict.fromkeys(places))
    return found


def _linked_alike(wiring: Wiring, key: str, places: Iterable[Place]) -> list[Place]:
    """Return the inputs of a size that are linked to the very output which these are, where a node works it out."""
    outputs = {linked(wiring.graph, wiring.graph[place.node]["inputs"][place.field]) for place in places}
    return [
        place
        for place in wiring.called(key, f"target_{key}")
        if place.node in wiring.active
        and len(outputs) == 1
        and linked(wiring.graph, wiring.graph[place.node]["inputs"][place.field]) in outputs - {None}
    ]


def latent_sources(wiring: Wiring, begun: Iterable[Chain], picture: str) -> tuple[str, ...]:
    """Return the nodes that the first latents come from: they give one and take none.

    Where no model is known to be sampled with, they are what the picture begins with.
    """
    samplers = dict.fromkeys(chain.sampler for chain in begun)

    def sources(node: str) -> list[str]:
        links = wiring.links(node)
        return [link.source for link in links if (link.kind == LATENT if samplers else _is_seen(link.kind))]

    return tuple(node for node in walk(samplers or [picture], sources) if not sources(node) and node not in samplers)


def find_batches(wiring: Wiring) -> tuple[Place, ...]:
    """Return the inputs that say how many pictures a source of latents makes."""
    return tuple(
        place
        for place in wiring.called("batch_size")
        if not wiring.links(place.node, LATENT)
        and not wiring.links(place.node, IMAGE)
        and wiring.gives(place.node, LATENT)
    )


def repeats(wiring: Wiring, picture: str) -> list[str]:
    """Say which nodes make several pictures where a cell takes one, on the way of latents and pictures to `picture`."""
    found = []
    for node in walk([picture], lambda one: (link.source for link in wiring.links(one) if _is_seen(link.kind))):
        content = wiring.graph[node]
        takes = {kind for kind in (LATENT, IMAGE) if wiring.links(node, kind)}
        begins = not takes and any(_is_seen(link.kind) for link in wiring.consumers.get(node, ()))
        gives = {kind for kind in (LATENT, IMAGE) if wiring.gives(node, kind)}
        for name, value in content["inputs"].items():
            count = wiring.value_of(value)
            if not _is_number(count) or count <= 1:
                continue
            others = [one for one in content["inputs"] if one != name and _is_number(content["inputs"][one])]
            again = takes & gives and _REPEATS.search(name) and (name != "amount" or not others)
            if again or (begins and _FRAMES.search(name)):
                found.append(
                    f"Node {label(wiring.graph, node)} makes {count:g} pictures ({name} = {count:g}) where a cell "
                    f"takes one; set its {name} to 1 and export again."
                )
        name = content["class_type"].lower().replace("_", "").replace(" ", "")
        joins = "batch" in name and any(
            len(wiring.links(node, kind)) > 1 or "tobatch" in name for kind in takes & gives
        )
        if joins:
            found.append(
                f"Node {label(wiring.graph, node)} puts several pictures into one batch, where a cell takes one; "
                "take it out and export again."
            )
    return found


def _is_seen(kind: str) -> bool:
    """Say whether a type is one of latents or pictures, also in a form of somebody's own."""
    return LATENT in kind or IMAGE in kind


@dataclass(frozen=True, kw_only=True)
class Base:
    """Where the tested model's loader names its file. `options` are what the server lists there; None if unknown."""

    place: Place
    file: str
    options: tuple[str, ...] | None


def find_base(wiring: Wiring, root: Output) -> Base | None:
    """Return where a loader names the file of the model; None where it is no loader of one file."""
    node = root[0]
    known = wiring.types.get(wiring.graph[node]["class_type"])
    found = []
    for name, value in wiring.graph[node]["inputs"].items():
        if linked(wiring.graph, value):
            origin = wiring.origin(Place(node=node, field=name))
            value = wiring.graph[origin.node]["inputs"][origin.field] if origin else None  # noqa: PLW2901
        if not isinstance(value, str) or not _BASE.search(name):
            continue
        declared = known.inputs.get(name) if known else None
        if is_weights(value) or (declared and declared.kind == COMBO and name.endswith(("_name", "_path"))):
            options = declared.options if declared else None
            found.append(Base(place=Place(node=node, field=name), file=value, options=options))
    return found[0] if len(found) == 1 else next((one for one in found if is_weights(one.file)), None)


def setting_in_words(wiring: Wiring, setting: Setting) -> str:
    """Name where a setting stands, each with its value."""
    return ", ".join(
        f"{spelled(wiring.graph, place)} = {'a link' if value is None else value}"
        for place, value in zip(setting.places, setting.values, strict=True)
    )
