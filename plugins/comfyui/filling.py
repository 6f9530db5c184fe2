"""A cell's prompt, seed, LoRA and settings are written into the places of a graph that were found for them."""

import re
from collections.abc import Iterator
from typing import Any, Final

from plugins.comfyui.client import Graph
from plugins.comfyui.finding import Parts
from plugins.comfyui.finding_settings import setting_in_words
from plugins.comfyui.finding_texts import MARKS, NEGATIVE, POSITIVE
from plugins.comfyui.graph import Place, before, copied, free_id, label, spelled
from plugins.comfyui.lora_slots import TAG
from plugins.comfyui.lora_switches import LoraSwitches
from plugins.comfyui.naming import Questions, in_nodes
from plugins.comfyui.wiring import Wiring
from plugins.plan.tested import Sampling

_MARK: Final = re.compile("|".join(map(re.escape, MARKS.values())))
Write = tuple[Place, Any]


def pruned(graph: Graph, save: str) -> Graph:
    """Return the nodes that are saved by `save`, or made into what it saves."""
    kept = before(graph, [save])
    return graph if len(kept) == len(graph) else {node: content for node, content in graph.items() if node in kept}


class Filler:
    """Writes cells into one graph. Nothing of the graph is changed: each cell gets a copy."""

    def __init__(self, parts: Parts, wiring: Wiring, *, is_own: bool) -> None:
        self.parts: Final = parts
        self.wiring: Final = wiring
        self._is_own: Final = is_own
        self._loras: Final = LoraSwitches(wiring, parts.slots)

    def given(self, sampling: Sampling, key: str) -> bool:
        """Say whether a setting is the plan's to decide: every one of the built-in workflow's is."""
        return not self._is_own or sampling.gives(key)

    def _strength(self, sampling: Sampling) -> float | None:
        return sampling.strengths[0] if self.given(sampling, "lora_strength") else None

    def problems(self, sampling: Sampling, questions: Questions) -> None:
        """Ask about everything that the plan gives and that has no place of its own, or several."""
        list(self._settings(sampling, questions))
        self._negative_problem(sampling, questions)
        key = "lora_strengths" if sampling.lora_strengths else "lora_strength"
        self._loras.problems(questions, strength=self._strength(sampling), key=key)

    def sizes_kept(self, sampling: Sampling) -> tuple[Place, ...]:
        """Return what tells a model the size that its picture is to have, and goes on telling the file's."""
        graph, kept = self.wiring.graph, []
        for key in ("width", "height"):
            values = set(self.parts.settings[key].values)
            if self.given(sampling, key) and len(values) == 1 and getattr(sampling, key) not in values:
                targets = [place for place in self.wiring.called(f"target_{key}") if place.node in self.wiring.active]
                kept += [place for place in targets if graph[place.node]["inputs"][place.field] in [*values]]
        return tuple(kept)

    def fill(  # noqa: PLR0913 (what a cell brings)
        self,
        sampling: Sampling,
        *,
        prompt: str,
        seed: int,
        base_model: str | None,
        lora_file: str | None,
        prefix: str,
        strength: float | None = None,
    ) -> Graph:
        """Return the graph of a cell, with its own `strength` if it has one; the baseline's without `lora_file`."""
        parts, graph = self.parts, copied(self.parts.graph)
        negative = sampling.negative if self.given(sampling, "negative") else ""
        for place in parts.seeds:
            graph[place.node]["inputs"][place.field] = seed
        for place in parts.batches:
            graph[place.node]["inputs"][place.field] = 1
        for place, value in self._settings(sampling, Questions()):
            graph[place.node]["inputs"][place.field] = value
        if base_model is not None and parts.base is not None and self.given(sampling, "base_model"):
            graph[parts.base.place.node]["inputs"][parts.base.place.field] = base_model
        self._write_texts(graph, sampling, prompt=prompt, negative=negative)
        if self.given(sampling, "clip_skip"):
            _skip(graph, parts, sampling.clip_skip)
        if lora_file is None:
            self._loras.switch_off(graph)
        else:
            strength = self._strength(sampling) if strength is None else strength
            self._loras.switch_on(graph, lora_file, strength=strength)
        graph[parts.save]["inputs"]["filename_prefix"] = prefix
        return pruned(graph, parts.save)

    def strength(self, graph: Graph) -> float | None:
        """Return how strongly a filled graph applies the tested LoRA; None where it says so nowhere plainly."""
        return self._loras.strength(graph)

    def _write_texts(self, graph: Graph, sampling: Sampling, *, prompt: str, negative: str) -> None:
        words = {MARKS[POSITIVE]: prompt, MARKS[NEGATIVE]: negative}
        for place in self.parts.marked:
            value = self.parts.graph[place.node]["inputs"][place.field]
            graph[place.node]["inputs"][place.field] = _MARK.sub(lambda mark: words[mark[0]], value)
        sides = [(self.parts.negative, negative)] if self.given(sampling, "negative") else []
        for places, text in (*sides, (self.parts.prompt, prompt)):
            for place in places:
                if place not in self.parts.marked:
                    graph[place.node]["inputs"][place.field] = self._with_tags(place, text)

    def _with_tags(self, place: Place, text: str) -> str:
        """Keep the LoRA tags of a text that is replaced."""
        value = self.parts.graph[place.node]["inputs"][place.field]
        live = {slot.tag for slot in (*self.parts.slots, *self.parts.left_alone) if slot.place == place and slot.tag}
        tags = [tag[0] for tag in TAG.finditer(value)] if live and isinstance(value, str) else []
        return " ".join([text, *(tag for tag in tags if tag in live)])

    def _negative_problem(self, sampling: Sampling, questions: Questions) -> None:
        if not self.given(sampling, "negative") or not sampling.negative or self.parts.negative:
            return
        if self.parts.unclear_negative:
            questions.ask(f"The plan gives a `negative`.{self.parts.unclear_negative}")
        else:
            questions.ask(
                "The plan gives a `negative`, and the workflow has no place for one: no text leads to a negative "
                "side, or nothing is left of it there. Take `negative` out of [sampling], or name its place:",
                in_nodes("negative", ["ID.text"]),
            )

    def _settings(self, sampling: Sampling, questions: Questions) -> Iterator[Write]:
        """Yield where each setting that the plan gives goes; ask where it has no place, or several that differ."""
        parts = self.parts
        for key, setting in parts.settings.items():
            if not self.given(sampling, key):
                continue
            value = getattr(sampling, key)
            if not setting.places:
                questions.ask(f"The plan gives `{key}`, and no node takes it. Take `{key}` out of [sampling].")
            elif len(set(map(str, setting.values))) > 1:
                listed = setting_in_words(self.wiring, setting)
                questions.ask(
                    f"`{key}` has several values in the workflow: {listed}. Take `{key}` out of [sampling]; then they "
                    "stay."
                )
            for place in setting.places:
                yield place, value
        yield from self._behind_links(sampling)
        if self.given(sampling, "steps"):
            yield from self._endings(sampling.steps, questions)
        if self.given(sampling, "base_model"):
            self._base_problem(questions)
        skip = parts.clip_skip
        if (
            self._is_own
            and self.given(sampling, "clip_skip")
            and sampling.clip_skip > 1
            and not (skip.places or skip.lacking)
        ):
            questions.ask("The plan gives `clip_skip`, and no text encoder takes a CLIP. Take it out of [sampling].")

    def _behind_links(self, sampling: Sampling) -> Iterator[Write]:
        """Yield where a setting stands behind a link, for what else takes it; not what two settings share."""
        held: dict[Place, list[Any]] = {}
        for key, setting in self.parts.settings.items():
            value = getattr(sampling, key) if self.given(sampling, key) else None
            for place in setting.origins:
                held.setdefault(place, []).append(value)
        for place, values in held.items():
            if values[0] is not None and len(set(map(str, values))) == 1:
                yield place, values[0]

    def _endings(self, steps: int, questions: Questions) -> Iterator[Write]:
        """Yield what follows the steps; ask where a sampler would end or begin at another part of them."""
        for ending in self.parts.endings:
            old = ending.steps if ending.steps is not None else (self.parts.settings["steps"].values or (None,))[0]
            if steps == old:
                continue
            if ending.steps is not None and not ending.begins and ending.value == old:
                yield ending.place, steps
            elif ending.steps is None or (steps <= ending.value if ending.begins else steps > ending.value):
                place = spelled(self.parts.graph, ending.place)
                questions.ask(
                    f"{place} is {ending.value} and would not follow the plan's `steps`, {steps}. Take `steps` out of "
                    "[sampling], or change it in the workflow."
                )

    def _base_problem(self, questions: Questions) -> None:
        parts = self.parts
        if not parts.base_node:
            questions.ask(
                "The plan gives `base_model`, and no node was found that loads the sampled model. Take `base_model` "
                "out of [sampling]."
            )
            return
        node = label(parts.graph, parts.base_node)
        if parts.is_merged:
            questions.ask(
                f"The plan gives `base_model`, and node {node} puts the model together of several. Take `base_model` "
                "out of [sampling]."
            )
        elif parts.base is None:
            questions.ask(
                f"The plan gives `base_model`, and node {node}, where the model comes from, names no file. Take "
                "`base_model` out of [sampling]."
            )


def _skip(graph: Graph, parts: Parts, clip_skip: int) -> None:
    """Set clip skip; clip skip 1 is the last layer, -1 to the node. Put the node in where a prompt lacks it."""
    for place in parts.clip_skip.places:
        inputs = graph[place.node]["inputs"]
        positive = place.field == "clip_skip" and isinstance(inputs[place.field], int) and inputs[place.field] > 0
        inputs[place.field] = clip_skip if positive else -clip_skip
    if clip_skip == 1:
        return
    put_in: dict[tuple[str, int], str] = {}
    for place in parts.clip_skip.lacking:
        node, slot = graph[place.node]["inputs"][place.field]
        if (node, slot) not in put_in:
            put_in[node, slot] = free_id(graph, "clip-skip")
            graph[put_in[node, slot]] = {
                "class_type": "CLIPSetLastLayer",
                "inputs": {"clip": [node, slot], "stop_at_clip_layer": -clip_skip},
            }
        graph[place.node]["inputs"][place.field] = [put_in[node, slot], 0]
