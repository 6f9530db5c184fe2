"""Where clip skip is set in a graph, and where it could be."""

from dataclasses import dataclass
from typing import Final

from plugins.comfyui.finding_texts import Side
from plugins.comfyui.graph import Place, walk
from plugins.comfyui.node_types import CLIP
from plugins.comfyui.wiring import Wiring

_SKIP: Final = "stop_at_clip_layer"


@dataclass(frozen=True, kw_only=True)
class ClipSkip:
    """Where clip skip is set: inputs that hold it, and links of encoders that it is put into."""

    places: tuple[Place, ...]
    lacking: tuple[Place, ...]


def find_clip_skip(wiring: Wiring, texts: dict[str, Side]) -> ClipSkip:
    """Return where the CLIP of every prompt is cut, and the encoders whose CLIP is not."""
    places: dict[Place, None] = {}
    lacking: dict[Place, None] = {}
    for node in dict.fromkeys(encoder.node for side in texts.values() for encoder in side.encoders.values()):
        for link in wiring.links(node, CLIP):
            cut = _cut(wiring, link.source)
            places |= dict.fromkeys(cut)
            if not cut:
                lacking[Place(node=node, field=link.field)] = None
    places |= dict.fromkeys(
        Place(node=node, field="clip_skip") for node, it in wiring.active.items() if "clip_skip" in it["inputs"]
    )
    return ClipSkip(places=tuple(places), lacking=tuple(lacking))


def _cut(wiring: Wiring, node: str) -> list[Place]:
    nodes = walk([node], lambda one: (link.source for link in wiring.links(one, CLIP)))
    return [Place(node=one, field=_SKIP) for one in nodes if _SKIP in wiring.graph[one]["inputs"]]
