"""What each class of node does, with facts in place of tensors."""

from typing import Final

from stand_in.catalogue import NodeType
from stand_in.nodes.images import IMAGES
from stand_in.nodes.latents import LATENTS
from stand_in.nodes.loaders import CLIPSetLastLayer, LoraLoader, LoraLoaderModelOnly
from stand_in.nodes.node import Node
from stand_in.nodes.passing import PassOn, TextEncoder
from stand_in.nodes.sampling import SAMPLING
from stand_in.nodes.saving import PreviewAny, PreviewImage, SaveImage, SaveImageAdvanced, SaveImageWebsocket
from stand_in.nodes.texts import TEXTS

_BEHAVIOURS: Final[dict[str, type[Node]]] = {
    "LoraLoader": LoraLoader,
    "LoraLoaderBypass": LoraLoader,
    "LoraLoaderModelOnly": LoraLoaderModelOnly,
    "LoraLoaderBypassModelOnly": LoraLoaderModelOnly,
    "CLIPSetLastLayer": CLIPSetLastLayer,
    **LATENTS,
    **SAMPLING,
    **IMAGES,
    **TEXTS,
    **{node.__name__: node for node in (SaveImage, SaveImageAdvanced, SaveImageWebsocket, PreviewImage, PreviewAny)},
}


def behaviour(declared: NodeType) -> type[Node]:
    """Return what a class of node does; where nothing is known of it, it encodes texts or hands on what it takes."""
    if (known := _BEHAVIOURS.get(declared.name)) is not None:
        return known
    encodes = "CONDITIONING" in declared.outputs and not declared.names_of_type("CONDITIONING")
    return TextEncoder if encodes and declared.names_of_type("STRING") else PassOn
