"""The node classes that a server knows: what each takes and gives, as `/object_info` describes it.

Names, types, ranges, defaults and choices are those of a ComfyUI, so that a workflow passes or fails validation here as
there; `declarations` holds them for each version, taken by `tests/contract/declarations.py`.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from stand_in.folders import Folders
from stand_in.versions import Version

_DECLARATIONS: Final = Path(__file__).parent / "declarations"
_DYNAMIC: Final = "COMFY_DYNAMICCOMBO_V3"
"""Type of a choice that brings inputs of its own, named `CHOICE.INPUT`."""

Input = list[Any]
"""An input's `[type, options]`, or `[type]` alone; a choice's type is the list of its values, or "COMBO"."""
Inputs = Mapping[str, Input]


class NodeType:
    """What one class of node declares. `described` is its entry of `/object_info`.

    In place of a list of file names stands `{"files": FOLDER, "more": [...]}`.
    """

    def __init__(self, name: str, described: Mapping[str, Any]) -> None:
        self.name = name
        self.described = described
        inputs = described.get("input", {})
        self.required: Inputs = inputs.get("required", {})
        self.optional: Inputs = inputs.get("optional", {})
        self.hidden: Mapping[str, Any] = inputs.get("hidden", {})
        self.outputs: tuple[Any, ...] = tuple(described.get("output", ()))
        self.output_names: tuple[str, ...] = tuple(described.get("output_name", self.outputs))
        self.is_output: bool = described.get("output_node", False)
        self.takes_anything: bool = described.get("takes_anything", False)
        """Whether inputs that are not declared are handed to the node, as some custom nodes have it."""

    @property
    def inputs(self) -> Iterator[tuple[str, Input]]:
        """Yield the declared inputs, required ones first."""
        yield from self.required.items()
        yield from self.optional.items()

    def names_of_type(self, kind: str) -> list[str]:
        """Name the inputs that are declared to be of a type."""
        return [name for name, entry in self.inputs if entry[0] == kind]


class Catalogue:
    """The node types over one ComfyUI folder, whose files fill the pickers."""

    def __init__(self, folders: Folders, dialect: Version) -> None:
        self._folders = folders
        self._dialect = dialect
        self._types = dict(_declared(dialect.declarations))

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __getitem__(self, name: str) -> NodeType:
        return self._types[name]

    def register(self, name: str, described: Mapping[str, Any]) -> None:
        """Add a node class, as a custom node pack does: its `input`, `output`, and whatever `/object_info` says else.

        `"takes_anything": True` also hands on inputs that are not declared; `/object_info` does not show it.
        """
        outputs = list(described.get("output", ()))
        usual = {
            "output_is_list": [False] * len(outputs),
            "output_name": outputs,
            "display_name": name,
            "description": "",
            "python_module": "custom_nodes.made_up",
            "category": "made up",
            "output_node": False,
        }
        self._types[name] = NodeType(name, {"input": {}, "output": outputs, **usual, **described})

    def accepted(self, name: str, given: Mapping[str, Any]) -> tuple[dict[str, Input], dict[str, Input]]:
        """Return a class's required and optional inputs, with those that the given values of its choices bring."""
        node = self._types[name]
        required, optional = dict(node.required), dict(node.optional)
        for key, entry in node.inputs:
            if entry[0] == _DYNAMIC:
                offered = {one["key"]: one["inputs"] for one in entry[1]["options"]}
                chosen: Mapping[str, Inputs] = offered.get(str(given.get(key)), {})
                for group, into in (("required", required), ("optional", optional)):
                    brought = chosen.get(group, {})
                    into.update({f"{key}.{inner}": config for inner, config in brought.items()})
        return required, optional

    def config(self, entry: Input) -> Input:
        """Return an input's `[type, options]` with its file names filled in."""
        kind, options = self._filled(entry[0]), dict(entry[1]) if len(entry) > 1 else {}
        if kind == _DYNAMIC:
            return [kind, options]
        if "options" in options:
            options["options"] = self._filled(options["options"])
        if isinstance(kind, list) and self._dialect.combo_lists:
            return ["COMBO", {**options, "options": kind}]
        return [kind, options]

    def info(self, name: str) -> dict[str, Any]:
        """Describe one node type as `/object_info/{name}` does; the name must be known."""
        node = self._types[name]
        inputs: dict[str, Any] = {}
        for group, entries in node.described["input"].items():
            plain = group == "hidden"
            inputs[group] = {key: entry if plain else self._described(entry) for key, entry in entries.items()}
        described = {key: value for key, value in node.described.items() if key not in {"input", "takes_anything"}}
        return {
            "input": inputs,
            "input_order": {group: list(entries) for group, entries in inputs.items()},
            "name": name,
            **described,
            "description": f"{node.described['display_name']}, simulated.",
        }

    def _described(self, entry: Input) -> Input:
        config = self.config(entry)
        return config[:1] if len(entry) == 1 and not config[1] else config

    def _filled(self, value: Any) -> Any:  # noqa: ANN401 (a type's name, a list of choices, or the place of one)
        if isinstance(value, dict):
            return [*self._folders.names(value["files"]), *value["more"]]
        return list(value) if isinstance(value, list) else value


@cache
def _declared(version: str) -> Mapping[str, NodeType]:
    """Read what the node classes of a version declare."""
    declarations = json.loads((_DECLARATIONS / f"{version}.json").read_text(encoding="utf-8"))
    return MappingProxyType({name: NodeType(name, one) for name, one in declarations.items()})
