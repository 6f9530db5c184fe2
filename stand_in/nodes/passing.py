"""Nodes without a behaviour of their own: what they take is handed on, with a note of what else they were given."""

# ruff: noqa: D102  (the one method of a node does what its class says)

from dataclasses import replace
from typing import Any, Final

from stand_in.nodes.node import Node, Ui, Values
from stand_in.values import Clip, Conditioning, Model, Other, Pictures, Vae

_MODELS: Final = {"MODEL": Model, "CLIP": Clip, "VAE": Vae}


class PassOn(Node):
    """Hands on, for each output, the input of that name, or else the first of that type; a loader makes a new value.

    Patches of models, changes of conditioning, loaders of all kinds: most of ComfyUI's nodes are well described so.
    """

    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401
        del args
        note = self.note(inputs)
        slots = zip(self.declared.outputs, self.declared.output_names, strict=True)
        return tuple(self._output(kind, name, inputs, note) for kind, name in slots), {}

    def _output(self, kind: str, name: str, inputs: dict[str, Any], note: str) -> Any:  # noqa: ANN401
        of_type = [key for key in self.declared.names_of_type(kind) if key in inputs]
        if not of_type:
            made = _MODELS.get(kind)
            return made(base=note) if made else Other(kind=kind, notes=(note,))
        taken = inputs[name if name in of_type else of_type[0]]
        return taken if isinstance(taken, Pictures) else replace(taken, notes=(*taken.notes, note))


class TextEncoder(Node):
    """Reads the texts of a prompt. Of several outputs, each has the text of its place (positive, negative)."""

    def __call__(self, *args: Any, **inputs: Any) -> tuple[Values, Ui]:  # noqa: ANN401
        del args
        names = [name for name in self.declared.names_of_type("STRING") if name in inputs]
        clip = next((value for value in inputs.values() if isinstance(value, Clip)), Clip(base=""))
        if len(self.declared.outputs) > 1:
            return tuple(Conditioning(text=inputs[name], clip=clip) for name in names), {}
        others = {name: value for name, value in inputs.items() if name not in names and value is not clip}
        notes = (self.note(others),) if others else ()
        text = ", ".join(dict.fromkeys(inputs[name] for name in names if inputs[name]))
        return (Conditioning(text=text, clip=clip, notes=notes),), {}
