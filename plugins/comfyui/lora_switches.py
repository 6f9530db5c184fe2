"""The tested LoRA is switched on for a checkpoint, and off for the baseline, in whatever form a graph loads it."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from plugins.comfyui.client import Graph
from plugins.comfyui.graph import linked, spelled
from plugins.comfyui.lora_slots import OFF, SWITCHES, Slot, at, bypass_of, is_no, switched, unused_by_count
from plugins.comfyui.naming import Questions
from plugins.comfyui.wiring import Wiring


class LoraSwitches:
    """Writes the tested LoRA into the slots of one graph, or takes it out."""

    def __init__(self, wiring: Wiring, slots: Sequence[Slot]) -> None:
        self._wiring: Final = wiring
        self._slots: Final = tuple(slots)
        self._around: Final = _linked_up({slot.loader: bypass_of(wiring, slot.loader) for slot in slots if slot.alone})

    def _options(self, node: str, field: str) -> tuple[str, ...] | None:
        known = self._wiring.types.get(self._wiring.graph[node]["class_type"])
        return known.inputs[field].options if known and field in known.inputs else None

    def problems(self, questions: Questions, *, strength: float | None, key: str = "lora_strength") -> None:
        """Ask about a LoRA that the file has at strength 0, and about one that the baseline cannot be without."""
        for slot in self._slots:
            self._problem(slot, questions, strength=strength, key=key)
        if strength is not None and (added := self._added()):
            listed = ", ".join(spelled(self._wiring.graph, slot.place) for slot in added)
            questions.ask(
                f"The plan gives `{key}`, and the tested LoRA is loaded again on the way of one model: {listed}. Their "
                f"strengths add up. Take `{key}` out of [sampling]; then those of the file stay."
            )

    def switch_on(self, graph: Graph, lora_file: str, *, strength: float | None) -> None:
        """Write a file into every slot, with a strength where the plan gives one."""
        for slot in self._slots:
            self._switch_on(graph, slot, lora_file, strength)

    def switch_off(self, graph: Graph) -> None:
        """Take the tested LoRA out of a graph, and nothing else."""
        for slot in self._slots:
            self._switch_off(graph, slot)

    def strength(self, graph: Graph) -> float | None:
        """Return how strongly a filled graph applies the tested LoRA; None where it says so nowhere plainly."""
        for slot in () if self._added() else self._slots:
            inputs = graph[slot.loader]["inputs"] if slot.loader in graph else {}
            beside = at(inputs[slot.place.field], slot.beside) if slot.is_listed and inputs else inputs
            found = [self._wiring.value_of(beside[name]) for name in slot.strengths if name in beside]
            if found and isinstance(found[0], int | float):
                return float(found[0])
        return None

    def _added(self) -> tuple[Slot, ...]:
        """Return slots of which one adds its strength to another's: both are on the way of one model."""
        wiring = self._wiring
        for slot in self._slots:
            behind = wiring.before([slot.loader])
            for other in self._slots:
                same = other.loader == slot.loader
                if other is slot or other.loader not in behind or (same and (slot.tag or other.tag)):
                    continue
                if same or set(self._applied(slot)) & set(self._applied(other)):
                    return other, slot
        return ()

    def _applied(self, slot: Slot) -> list[str]:
        inputs = self._wiring.graph[slot.loader]["inputs"]
        beside = at(inputs[slot.place.field], slot.beside) if slot.is_listed else inputs
        return self._driven(slot, beside)

    def _problem(self, slot: Slot, questions: Questions, *, strength: float | None, key: str) -> None:
        graph, inputs = self._wiring.graph, self._wiring.graph[slot.loader]["inputs"]
        if count := unused_by_count(self._wiring, slot):
            questions.ask(
                f"{spelled(graph, slot.place)} is not used: {spelled(graph, count)} is less. Raise it in the workflow "
                "as far as the tested LoRA, and export again."
            )
        beside = at(inputs[slot.place.field], slot.beside) if slot.is_listed else inputs
        strengths = [self._wiring.value_of(beside[name]) for name in slot.strengths]
        if strength is not None and not (strengths or slot.tag):
            questions.ask(
                f"The plan gives `{key}`, and none is found beside {spelled(graph, slot.place)}. Take `{key}` out of "
                "[sampling]."
            )
        if strengths and not any(strengths) and strength is None:
            questions.ask(
                f"The tested LoRA has strength 0 in {spelled(graph, slot.place)}, so every checkpoint would be the "
                "baseline. Say how strong it is:",
                "[sampling]\nlora_strength = 1.0",
            )
        if (switch := slot.switch) and is_no(value := self._wiring.value_of(inputs[switch.field])):
            options = self._options(switch.node, switch.field)
            if is_no(switched(value, options, on=True)):
                questions.ask(
                    f"{spelled(graph, switch)} is {value!r}, which switches the tested LoRA off, and no word is known "
                    "for the opposite. Switch it on in the workflow, and export again."
                )
        if not self._can_switch_off(slot, beside):
            questions.ask(
                f"The LoRA of {spelled(graph, slot.place)} cannot be switched off for the baseline: its node cannot be "
                "taken out, offers no None, and has no switch or strength. Load it with a LoraLoader."
            )

    def _can_switch_off(self, slot: Slot, beside: dict[str, Any]) -> bool:
        if slot.tag or slot.strengths or slot.switch or self._around.get(slot.loader):
            return True
        if slot.path:
            return any(name in beside for name in SWITCHES)
        options = self._options(slot.place.node, slot.place.field)
        return options is None or OFF in options

    def _switch_on(self, graph: Graph, slot: Slot, lora_file: str, strength: float | None) -> None:
        inputs = graph[slot.place.node]["inputs"]
        name = lora_file if slot.file.endswith(".safetensors") or not (slot.tag or slot.path) else _stem(lora_file)
        if slot.tag:
            rest = slot.tag.removeprefix("<lora:").removesuffix(">").partition(":")[2]
            rest = f"{strength:g}" if strength is not None else rest
            tag = f"<lora:{name}:{rest}>" if rest else f"<lora:{name}>"
            inputs[slot.place.field] = inputs[slot.place.field].replace(slot.tag, tag)
        elif slot.is_listed:
            beside = _opened(inputs, slot)
            beside[str(slot.path[-1])] = name
            beside |= {key: True for key in SWITCHES if beside.get(key) is False}
            if strength is not None:
                beside |= dict.fromkeys(self._driven(slot, beside), strength)
        else:
            holder, key = (_opened(inputs, slot), str(slot.path[-1])) if slot.path else (inputs, slot.place.field)
            holder[key] = name
            loader = graph[slot.loader]["inputs"]
            if strength is not None:
                loader |= dict.fromkeys(self._driven(slot, loader), strength)
            if slot.switch and is_no(value := self._wiring.value_of(loader[slot.switch.field])):
                options = self._options(slot.loader, slot.switch.field)
                loader[slot.switch.field] = switched(value, options, on=True)

    def _driven(self, slot: Slot, values: dict[str, Any]) -> list[str]:
        """Return the strengths that the plan's goes to: a part that the file leaves out altogether (0) stays so."""
        on = [name for name in slot.strengths if self._wiring.value_of(values[name]) != 0]
        return on or list(slot.strengths)

    def _switch_off(self, graph: Graph, slot: Slot) -> None:
        inputs = graph[slot.place.node]["inputs"]
        loader = graph[slot.loader]["inputs"]
        around = self._around.get(slot.loader)
        options = self._options(slot.place.node, slot.place.field)
        if slot.tag:
            inputs[slot.place.field] = re.sub(r"  +", " ", inputs[slot.place.field].replace(slot.tag, "")).strip()
        elif slot.is_listed:
            beside = _opened(inputs, slot)
            switches = [key for key in SWITCHES if key in beside]
            beside |= dict.fromkeys(switches, False) if switches else dict.fromkeys(slot.strengths, 0.0)
        elif around:
            _go_around(graph, slot.loader, around)
        elif not slot.path and (options is None or OFF in options):
            inputs[slot.place.field] = OFF
        elif slot.switch:
            field = slot.switch.field
            value = self._wiring.value_of(loader[field])
            loader[field] = switched(value, self._options(slot.loader, field), on=False)
        else:
            loader |= dict.fromkeys(slot.strengths, 0.0)


def _linked_up(around: dict[str, dict[int, Any] | None]) -> dict[str, dict[int, Any]]:
    """Return what the outputs of nodes go on from once all of them are taken out, for those that can be."""
    found = {node: dict(outputs) for node, outputs in around.items() if outputs}
    for outputs in found.values():
        for slot, (source, given) in outputs.items():
            while source in found:
                source, given = found[source][given]  # noqa: PLW2901
            outputs[slot] = [source, given]
    return found


def _stem(lora_file: str) -> str:
    return str(PurePosixPath(lora_file.replace("\\", "/")).with_suffix(""))


def _opened(inputs: dict[str, Any], slot: Slot) -> dict[str, Any]:
    """Copy an input's value along the way to a slot, and return the dictionary that holds the name."""
    holder: Any = inputs
    steps: tuple[str | int, ...] = (slot.place.field, *slot.beside)
    for step in steps:
        inner = holder[step]
        holder[step] = dict(inner) if isinstance(inner, dict) else list(inner)
        holder = holder[step]
    found: dict[str, Any] = holder
    return found


def _go_around(graph: Graph, node: str, around: dict[int, Any]) -> None:
    """Take a node out, and link what it fed to what fed it."""
    for content in graph.values():
        for name, value in content["inputs"].items():
            found = linked(graph, value)
            if found and found[0] == node:
                content["inputs"][name] = list(around[found[1]])
    del graph[node]
