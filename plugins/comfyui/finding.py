"""The parts of a graph that a cell's settings go to, found by the types of its links."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from plugins.comfyui.client import Graph
from plugins.comfyui.finding_clip import ClipSkip, find_clip_skip
from plugins.comfyui.finding_loras import (
    beginning_root,
    insert_loader,
    missing_loras,
    one_clip,
    put_before,
    tested_slots,
)
from plugins.comfyui.finding_models import Chain, beginning, chains
from plugins.comfyui.finding_picture import SAVE_IMAGE, Candidate, find_picture
from plugins.comfyui.finding_settings import (
    NAMES,
    Base,
    Ending,
    Setting,
    find_base,
    find_batches,
    find_endings,
    find_seeds,
    find_setting,
    find_size,
    latent_sources,
    repeats,
)
from plugins.comfyui.finding_texts import NEGATIVE, POSITIVE, Side, find_places, marked, sides, text_input
from plugins.comfyui.graph import Place, before, broken, circle, free_id, label, walk
from plugins.comfyui.lora_slots import Slot, is_loaded, is_off, slots
from plugins.comfyui.named_inputs import refuse_no_seed, refuse_no_text
from plugins.comfyui.naming import Questions, in_nodes, is_negative, named_place
from plugins.comfyui.node_types import MODEL, NodeTypes
from plugins.comfyui.wiring import Wiring
from plugins.plan.places import Nodes
from plugins.plan.tested import AlwaysOn


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A graph as it is sent, with a place for everything that a cell brings."""

    graph: Graph
    wiring: Wiring = field(compare=False)
    picture: str
    """The node whose picture is judged, as a person knows it."""
    save: str
    sampler: str
    prompt: tuple[Place, ...]
    negative: tuple[Place, ...]
    marked: tuple[Place, ...]
    """Texts in which a person marked where the prompt or the negative prompt belongs."""
    seeds: tuple[Place, ...]
    slots: tuple[Slot, ...]
    """Where the tested LoRA goes."""
    left_alone: tuple[Slot, ...]
    put_in: tuple[Slot, ...]
    """Where the LoRAs go that the plan has always on, and the file does not load."""
    batches: tuple[Place, ...]
    settings: dict[str, Setting]
    """By the key of the plan."""
    latents: tuple[str, ...]
    """The nodes that the first latents come from."""
    endings: tuple[Ending, ...]
    clip_skip: ClipSkip
    base: Base | None
    base_node: str
    is_merged: bool
    """Whether the tested model is put together of several."""
    inserted: bool
    without_lora: tuple[str, ...]
    """Samplers whose model does not take the tested LoRA."""
    writers: tuple[str, ...]
    """Nodes that make another text of the prompt before it is encoded: a language model, a processor of wildcards."""
    unclear_negative: str
    """Why a negative prompt has no place, where one could be meant; empty where there is none, or one is known."""


def find_parts(  # noqa: PLR0913 (what a plan and a server tell of a graph)
    whole: Graph,
    types: NodeTypes,
    *,
    nodes: Nodes,
    files: frozenset[str],
    questions: Questions,
    loras: Sequence[AlwaysOn] = (),
) -> Parts | None:
    """Find the parts of a graph; None where something is asked.

    `files` are those of the plan's LoRA, `loras` those that are always on.
    """
    if loop := circle(whole):
        shown = " -> ".join(label(whole, node) for node in [*loop[:6], loop[0]])
        questions.ask(f"Its links form a cycle: {shown}. Take one of them out, and export again.")
        return None
    wiring = Wiring(whole, types)
    picture = find_picture(wiring, nodes.picture, questions)
    if picture is None:
        return None
    return _Finder(wiring, picture, nodes, files, questions).parts(loras)


def _sent(whole: Graph, picture: Candidate) -> Graph:
    """Return the nodes that the picture is made from, and what saves it."""
    kept = before(whole, [picture.output[0]])
    saver: dict[str, Any] = {"class_type": SAVE_IMAGE}
    save = free_id(whole, "save")
    if whole[picture.node]["class_type"] == SAVE_IMAGE:
        save, saver = picture.node, whole[picture.node]
        kept.add(save)
    saver = {**saver, "inputs": {"images": list(picture.output), "filename_prefix": ""}}
    sent = {node: content for node, content in whole.items() if node in kept}
    return sent | {save: saver}


class _Finder:
    """Finds part by part; what is not plain is asked, so that all is asked at once."""

    def __init__(
        self,
        wider: Wiring,
        picture: Candidate,
        nodes: Nodes,
        files: frozenset[str],
        questions: Questions,
    ) -> None:
        whole = wider.graph
        self.whole, self.graph, self.picture = whole, _sent(whole, picture), picture
        self.nodes, self.files, self.questions = nodes, files, questions
        self.unclear_negative = Questions()
        self.save = picture.node if whole[picture.node]["class_type"] == SAVE_IMAGE else [*self.graph][-1]
        self.wiring = Wiring(self.graph, wider.types, end=self.save, wider=wider)

    def parts(self, loras: Sequence[AlwaysOn] = ()) -> Parts | None:
        """Return all parts; None where something is asked."""
        self._refuse_broken()
        wiring, questions = self.wiring, self.questions
        found = chains(wiring)
        texts = sides(wiring)
        prompt = self._prompt(texts)
        begun = beginning(wiring, self._prompted(found, texts, prompt), self.picture.output[0])
        negative, seeds = self._negative(texts), self._seeds()
        every = list(slots(wiring, self.files))
        tested, root = tested_slots(wiring, every, wanted=self.nodes.lora, files=self.files, questions=questions)
        for problem in repeats(wiring, self.picture.output[0]):
            questions.ask(problem)
        if root is None and not tested and not self.nodes.lora:
            root = beginning_root(wiring, begun, questions)
        chosen = (
            [chain for chain in found if chain.root == root]
            if root
            else [chain for chain in found if any(slot.loader in wiring.before([chain.source]) for slot in tested)]
        )
        settings = {key: find_setting(wiring, name) for key, name in NAMES.items()}
        latents = latent_sources(wiring, begun, self.picture.output[0])
        settings |= find_size(wiring, latents)
        base_root = root or (chosen[0].root if chosen else begun[0].root if begun else None)
        base = find_base(wiring, base_root) if base_root else None
        endings, batches = find_endings(wiring), find_batches(wiring)
        skip = find_clip_skip(wiring, texts)
        left = tuple(
            slot
            for slot in every
            if slot not in tested and slot.loader in wiring.active and is_loaded(slot) and not is_off(wiring, slot)
        )
        without = tuple(dict.fromkeys(chain.user for chain in found if chain not in chosen and chain.root != root))
        sampler, inserted = self._sampler(found), root is not None
        if root is not None:
            clip = one_clip(wiring, texts.values(), {chain.user for chain in chosen})
            self.graph, slot = insert_loader(self.graph, root, clip, node=free_id(self.whole, "lora"))
            tested = (slot,)
        missing = missing_loras(self.graph, loras, left, [chain.root for chain in chosen], questions)
        clip = one_clip(wiring, texts.values(), {chain.user for chain in chosen}) if missing else None
        put_in = []
        for one in reversed(missing):
            self.graph, slot = put_before(self.graph, one, chosen[0].root, clip)
            put_in.append(slot)
        if questions:
            return None
        return Parts(
            graph=self.graph,
            wiring=Wiring(self.graph, wiring.types, end=self.save, wider=wiring) if inserted or put_in else wiring,
            picture=label(self.whole, self.picture.node),
            save=self.save,
            sampler=sampler,
            prompt=prompt,
            negative=negative,
            marked=(*marked(wiring, POSITIVE), *marked(wiring, NEGATIVE)),
            seeds=seeds,
            slots=tested,
            left_alone=left,
            put_in=tuple(put_in),
            batches=batches,
            settings=settings,
            latents=latents,
            endings=endings,
            clip_skip=skip,
            base=base,
            base_node=base_root[0] if base_root else "",
            is_merged=base_root is not None and bool(wiring.links(base_root[0], MODEL)),
            inserted=inserted,
            without_lora=without if found else (),
            writers=texts[POSITIVE].writers(prompt),
            unclear_negative=self.unclear_negative.plain,
        )

    @staticmethod
    def _prompted(found: tuple[Chain, ...], texts: dict[str, Side], prompt: tuple[Place, ...]) -> tuple[Chain, ...]:
        """Return the chains that sample with the prompt; all where none is known to."""
        users = {
            user
            for side in texts.values()
            for encoder in side.encoders.values()
            if set(encoder.texts) & set(prompt)
            for user in side.reached.get(encoder.node, ())
        }
        return tuple(chain for chain in found if chain.user in users) or found

    def _refuse_broken(self) -> None:
        """Ask about links to nodes that the file does not have."""
        for place, source in broken(self.graph):
            self.questions.ask(
                f"Node {label(self.graph, place.node)} takes its {place.field} from node {source[:40]!r}, which the "
                "file does not have. Export it again."
            )

    def _named(self, key: str, wanted: Iterable[str]) -> tuple[Place, ...]:
        found = {one: place for one in wanted if (place := named_place(self.graph, one, key, self.questions))}
        for one, place in found.items():
            if key == "seed":
                refuse_no_seed(self.wiring, place, one, self.questions)
            else:
                refuse_no_text(self.wiring, place, one, key, self.questions)
        return tuple(found.values())

    def _prompt(self, texts: dict[str, Side]) -> tuple[Place, ...]:
        if self.nodes.prompt:
            return self._named("prompt", self.nodes.prompt)
        before_asking = len(self.questions)
        places = find_places(self.wiring, texts, POSITIVE, self.questions) or self._by_name(texts, POSITIVE)
        if not places and len(self.questions) == before_asking:
            self.questions.ask(
                "No text was found that the prompt could replace. Name the input that takes it:",
                in_nodes("prompt", [text_input(self.wiring, texts, POSITIVE)]),
            )
        return places

    def _negative(self, texts: dict[str, Side]) -> tuple[Place, ...]:
        if self.nodes.negative:
            return self._named("negative", self.nodes.negative)
        return find_places(self.wiring, texts, NEGATIVE, self.unclear_negative) or self._by_name(texts, NEGATIVE)

    def _by_name(self, texts: dict[str, Side], side: str) -> tuple[Place, ...]:
        """Return the one text that is called a prompt or negative, where no conditioning is linked at all."""
        if texts[POSITIVE].encoders or texts[NEGATIVE].encoders:
            return ()
        called = [
            self.wiring.origin(Place(node=node, field=name))
            for node in self.wiring.active
            for name in self.wiring.texts(node)
            if (is_negative(name) if side == NEGATIVE else re.search("positive|prompt", name) and not is_negative(name))
        ]
        found = {place for place in called if place and isinstance(self.graph[place.node]["inputs"][place.field], str)}
        return tuple(found) if len(found) == 1 else ()

    def _seeds(self) -> tuple[Place, ...]:
        if self.nodes.seed:
            return self._named("seed", self.nodes.seed)
        seeds = find_seeds(self.wiring)
        if not seeds:
            self.questions.ask(
                "No seed was found: no input is called seed or noise_seed. Name the one that takes it:",
                in_nodes("seed", ["ID.INPUT"]),
            )
        return seeds

    def _sampler(self, found: tuple[Chain, ...]) -> str:
        """Return the sampler that is nearest to the picture; what gives the picture where none is known."""
        nodes = {chain.sampler for chain in found}
        start = self.picture.output[0]
        way = walk([start], lambda node: (link.source for link in self.wiring.links(node)))
        return next((node for node in way if node in nodes), start)
