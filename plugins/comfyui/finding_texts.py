"""Where the prompt and the negative prompt of a graph stand."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from plugins.comfyui.finding_models import packed
from plugins.comfyui.graph import Place, label, linked, spelled, title
from plugins.comfyui.link_types import Link
from plugins.comfyui.naming import Questions, in_nodes, is_negative
from plugins.comfyui.node_types import CLIP, CONDITIONING, IMAGE, LATENT, MODEL, is_no_prompt
from plugins.comfyui.wiring import Wiring

POSITIVE: Final = "positive"
NEGATIVE: Final = "negative"
MARKS: Final = {POSITIVE: "{prompt}", NEGATIVE: "{negative}"}
_KEYS: Final = {POSITIVE: "prompt", NEGATIVE: "negative"}
_SHOWN: Final = 6
_FILLED: Final = "populated_"
"""How the input is called that holds the text of the one beside it once its wildcards are replaced."""
_SYSTEM: Final = re.compile(r"system[\s_-]*prompt", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A node that makes a conditioning out of texts. `texts` are where they stand; `mixed` nodes join several.

    `opaque` are inputs whose text is made by a node that holds none, `writers` nodes that make another text of theirs.
    """

    node: str
    texts: tuple[Place, ...]
    mixed: tuple[str, ...]
    opaque: tuple[Place, ...]
    writers: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Side:
    """What one side of the sampling is conditioned on. `sources` are the sinks by which each encoder is reached."""

    encoders: dict[tuple[str, tuple[Place, ...]], Encoder] = field(default_factory=dict)
    reached: dict[str, set[str]] = field(default_factory=dict)
    """The nodes that take what an encoder node gives, by encoder node."""
    wordless: set[str] = field(default_factory=set)
    """Nodes that give a conditioning without a text that could be found."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place of a text, once."""
        return tuple(dict.fromkeys(place for encoder in self.encoders.values() for place in encoder.texts))

    def writers(self, places: Iterable[Place]) -> tuple[str, ...]:
        """Return the nodes that make another text of what stands in these places."""
        wanted = set(places)
        found = [node for one in self.encoders.values() if wanted & set(one.texts) for node in one.writers]
        return tuple(dict.fromkeys(found))


def sinks(wiring: Wiring) -> Iterator[Link]:
    """Yield the links by which conditionings reach what samples with them, or packs them up for it."""
    for node in wiring.active:
        taken = wiring.links(node, CONDITIONING)
        if taken and (
            not wiring.gives(node, CONDITIONING) or (wiring.links(node, MODEL) and wiring.gives(node, LATENT))
        ):
            yield from taken


def sides(wiring: Wiring) -> dict[str, Side]:
    """Walk back from everything that samples to the texts."""
    found = {POSITIVE: Side(), NEGATIVE: Side()}
    for link in sinks(wiring):
        if "empty" in link.field:
            continue  # the blank that a guider measures a perpendicular from
        side = NEGATIVE if is_negative(link.field) else POSITIVE
        _walk(wiring, link, side, found, is_plain=side == NEGATIVE or "pos" in link.field.lower())
    return found


def _walk(wiring: Wiring, link: Link, side: str, found: dict[str, Side], *, is_plain: bool) -> None:
    """Note the encoders that a link leads to. Where its name does not say plainly which side it is, the way does."""
    waiting, seen = [(link.source, link.slot, side)], set()
    while waiting:
        node, slot, local = waiting.pop()
        if (node, slot, local) in seen or _zeroes(wiring, node):
            continue
        seen.add((node, slot, local))
        local = _local_side(wiring, node, slot, local)
        before = [one for one in wiring.links(node) if one.kind == CONDITIONING]
        texts = wiring.texts(node) if not before or wiring.links(node, CLIP) else ()
        if not before and not texts:
            pipes = packed(wiring, node, CONDITIONING)
            before = [one for one in pipes if is_negative(one.field) == (local == NEGATIVE)]
        waiting.extend(
            (one.source, one.slot, local)
            for one in reversed(before)
            if _is_of(local, one.field, [b.field for b in before])
        )
        into = found[side if is_plain else local]
        chosen = [name for name in texts if _is_of(local, name, list(texts))]
        if chosen:
            encoder = _encoder(wiring, node, chosen, local)
            into.encoders[(node, encoder.texts)] = encoder
            into.reached.setdefault(node, set()).add(link.node)
            if not encoder.texts:
                into.wordless.add(node)
        elif not before:
            into.wordless.add(node)
            into.reached.setdefault(node, set()).add(link.node)


def _zeroes(wiring: Wiring, node: str) -> bool:
    """Say whether a node leaves nothing of the text that it takes."""
    return "zeroout" in wiring.graph[node]["class_type"].lower().replace(" ", "").replace("_", "")


def _local_side(wiring: Wiring, node: str, slot: int, side: str) -> str:
    """Say which side of a node an output is: by its name, else by its order; else the side that it is reached from."""
    slots = wiring.gives(node, CONDITIONING)
    if len(slots) < 2:  # noqa: PLR2004 (a pair)
        return side
    known = wiring.types.get(wiring.graph[node]["class_type"])
    names = known.output_names if known else ()
    if slot < len(names) and any(is_negative(names[one]) for one in slots if one < len(names)):
        return NEGATIVE if is_negative(names[slot]) else POSITIVE
    order = slots.index(slot) if slot in slots else 0
    return (POSITIVE, NEGATIVE)[order] if order < len(MARKS) else side


def _is_of(side: str, name: str, names: list[str]) -> bool:
    """Say whether an input is of a side, among inputs that tell the sides apart by their names, or do not."""
    negative = [one for one in names if is_negative(one)]
    if not negative or len(negative) == len(names):
        return True
    return (name in negative) == (side == NEGATIVE)


def _encoder(wiring: Wiring, node: str, names: list[str], side: str) -> Encoder:
    """Return where the texts of some inputs stand, through nodes that hand texts on or join them.

    A node that makes the texts of both sides, and names them so, has its own for each.
    """
    places: dict[Place, None] = {}
    opaque: dict[Place, None] = {}
    mixed: dict[str, None] = {}
    writers: dict[str, None] = {}
    waiting = [Place(node=node, field=name) for name in reversed(names)]
    seen = set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        value = wiring.graph[place.node]["inputs"][place.field]
        found = linked(wiring.graph, value)
        if found is None:
            (places if isinstance(value, str) else opaque)[place] = None
            continue
        source = found[0]
        if _SYSTEM.search(title(wiring.graph, source)):
            continue  # it says how a language model is to behave, and stays
        if wiring.links(source, IMAGE):  # a text that is read off a picture: what stands there says how, not what
            opaque[place] = None
            continue
        texts = _of_side(wiring, source, found[1], side) or wiring.handed_on(source)
        if wiring.links(source, CLIP) or any(name.endswith("seed") for name in wiring.graph[source]["inputs"]):
            writers[source] = None
        if len([name for name in texts if not name.startswith(_FILLED)]) > 1:
            mixed[source] = None
        elif not texts:
            opaque[place] = None
        waiting.extend(Place(node=source, field=name) for name in reversed(texts))
    return Encoder(node=node, texts=tuple(places), mixed=tuple(mixed), opaque=tuple(opaque), writers=tuple(writers))


def _of_side(wiring: Wiring, node: str, slot: int, side: str) -> tuple[str, ...]:
    """Return the texts of a node that one of its outputs is made from."""
    texts = wiring.texts(node)
    if len(texts) < len(MARKS):
        return texts
    known = wiring.types.get(wiring.graph[node]["class_type"])
    names = known.output_names if known else ()
    if slot < len(names) and any(map(is_negative, names)):
        side = NEGATIVE if is_negative(names[slot]) else POSITIVE
    return tuple(name for name in texts if _is_of(side, name, list(texts)))


def marked(wiring: Wiring, side: str) -> tuple[Place, ...]:
    """Return the texts in which a person marked the place of the prompt."""
    mark = MARKS[side]
    found = [place for place in wiring.bracketed if mark in wiring.graph[place.node]["inputs"][place.field]]
    if any(is_no_prompt(place.field) for place in found):
        return ()  # the graph looks for the mark itself, to put something of its own there
    return tuple(found)


def find_places(wiring: Wiring, found: dict[str, Side], side: str, questions: Questions) -> tuple[Place, ...]:
    """Return where the text of a side goes; ask where that is not plain.

    A negative that is the prompt's own text, or has none, has no place.
    """
    if at_marks := marked(wiring, side):
        return at_marks
    own = _apart(found, side)
    text = _texts(wiring, own.places)
    key = _KEYS[side]
    joined = [
        encoder
        for encoder in own.encoders.values()
        if (encoder.mixed and len({(place.node, text[place]) for place in encoder.texts if text[place].strip()}) > 1)
        or encoder.opaque
    ]
    if joined:
        _ask_joined(wiring, joined[0], text, side, questions)
        return ()
    different = {frozenset(text[place].strip() for place in one.texts) for one in own.encoders.values() if one.texts}
    if len(different) > 1 and not frozenset.intersection(*different):
        listed = ", ".join(f"{spelled(wiring.graph, place)} ({_brief(text[place])})" for place in own.places[:_SHOWN])
        questions.ask(
            f"It has several different texts on the {side} side: {listed}. Which is the {key}?",
            in_nodes(key, [str(own.places[0])]),
        )
        return ()
    return _without_blanks(own, text)


def _ask_joined(wiring: Wiring, encoder: Encoder, text: dict[Place, str], side: str, questions: Questions) -> None:
    """Ask which part of a text is the plan's, where a node joins several or makes it of something else."""
    graph, key = wiring.graph, _KEYS[side]
    parts = [f"{spelled(graph, place)} ({_brief(text[place])})" for place in encoder.texts[:_SHOWN]]
    parts += [f"{spelled(graph, place)} (made by another node)" for place in encoder.opaque[:_SHOWN]]
    node = label(graph, (encoder.mixed or (encoder.node,))[0])
    questions.ask(
        f"Node {node} has its {key} put together of parts: {', '.join(parts)}. Write {MARKS[side]} where the plan's "
        "text belongs in them, or name the one that it replaces:",
        in_nodes(key, [str((*encoder.texts, *encoder.opaque)[0])]),
    )


def _apart(found: dict[str, Side], side: str) -> Side:
    """Return a side without the other's texts.

    What both are made from is the prompt where the positive side has nothing else, else it is the negative's.
    """
    own, other = found[side], found[NEGATIVE if side == POSITIVE else POSITIVE]
    shared = set(own.places) & set(other.places)
    positive_has_more = set(found[POSITIVE].places) - set(found[NEGATIVE].places)
    if not shared or bool(positive_has_more) == (side == NEGATIVE):
        return own
    kept = {key: one for key, one in own.encoders.items() if not shared & set(one.texts)}
    return Side(encoders=kept, reached=own.reached, wordless=own.wordless)


def _without_blanks(own: Side, text: dict[Place, str]) -> tuple[Place, ...]:
    """Leave out blank parts of a text that is joined: what is joined with nothing is the whole text."""
    blank = {
        place
        for encoder in own.encoders.values()
        if encoder.mixed and any(text[one].strip() for one in encoder.texts)
        for place in encoder.texts
        if not text[place].strip()
    }
    return tuple(place for place in own.places if place not in blank)


def _texts(wiring: Wiring, places: tuple[Place, ...]) -> dict[Place, str]:
    return {place: str(wiring.graph[place.node]["inputs"][place.field]) for place in places}


def _brief(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")  # noqa: PLR2004


def text_input(wiring: Wiring, found: dict[str, Side], side: str) -> str:
    """Return an input to be offered as the place of a text that was not found."""
    for encoder in found[side].encoders.values():
        names = wiring.texts(encoder.node)
        if names:
            return f"{encoder.node}.{names[0]}"
    for node in found[side].wordless or wiring.graph:
        names = wiring.texts(node)
        if names:
            return f"{node}.{names[0]}"
    return "ID.text"
