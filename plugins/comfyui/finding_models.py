"""Where the models of a graph leave their loaders, and which samplers use them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from plugins.comfyui.graph import walk
from plugins.comfyui.link_types import Link
from plugins.comfyui.naming import is_negative
from plugins.comfyui.node_types import (
    CLIP,
    CONDITIONING,
    GUIDER,
    IMAGE,
    LATENT,
    MODEL,
    SIGMAS,
    STRING,
)
from plugins.comfyui.wiring import Wiring

Output = tuple[str, int]
_PLAIN: Final = frozenset(
    {CLIP, CONDITIONING, GUIDER, IMAGE, LATENT, MODEL, SIGMAS, STRING, "VAE", "NOISE", "SAMPLER", "MASK"}
)
"""What carries one thing, and never a model beside it, as a pipe does."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """The way of a model from where it leaves its loader, or a merge, to what samples with it."""

    user: str
    """The node that takes the model to sample with: a sampler, or its guider."""
    sampler: str
    root: Output
    source: str
    """The node that gives the model, as it is sampled with."""
    is_negative: bool
    """Whether it only samples what a guider goes away from."""


def samplers(wiring: Wiring) -> set[str]:
    """Return the nodes that sample: they take a guider, or a model with prompts or latents, and give a picture."""
    found = set()
    for node in wiring.active:
        takes = wiring.takes(node)
        if not (GUIDER in takes or (MODEL in takes and (CONDITIONING in takes or LATENT in takes))):
            continue
        if any(wiring.gives(node, kind) for kind in (LATENT, IMAGE)):
            found.add(node)
    return found


def chains(wiring: Wiring) -> tuple[Chain, ...]:
    """Return the models that are sampled with, one for each input that takes one."""
    found: list[Chain] = []
    sampling = samplers(wiring)
    for node in wiring.active:
        taken = wiring.links(node, MODEL)
        if not taken:
            continue
        is_user = node in sampling or wiring.gives(node, GUIDER) or wiring.links(node, CONDITIONING)
        only_hands_on = wiring.gives(node, MODEL) and node not in sampling
        if not is_user or only_hands_on:
            continue
        found.extend(
            Chain(
                user=node,
                sampler=_sampler(wiring, node),
                root=root_of(wiring, link, MODEL),
                source=link.source,
                is_negative=is_negative(link.field),
            )
            for link in taken
        )
    return tuple(found)


def _sampler(wiring: Wiring, node: str) -> str:
    """Return the node that samples with what a guider or a pipe hands it; a sampler is its own."""

    def takers(one: str) -> Iterator[str]:
        return (link.node for link in wiring.consumers.get(one, ()) if link.kind == GUIDER or _is_pipe(link))

    return next((one for one in walk([node], takers) if wiring.gives(one, LATENT) or wiring.gives(one, IMAGE)), node)


def _is_pipe(link: Link) -> bool:
    """Say whether a link may carry several things at once."""
    return link.kind not in _PLAIN


def root_of(wiring: Wiring, link: Link, kind: str) -> Output:
    """Return the output where a model or CLIP leaves its loader, or the merge of several, going back from a link."""
    seen: set[str] = set()
    while link.source not in seen:
        seen.add(link.source)
        before = wiring.links(link.source, kind)
        if not before:
            inner = list(packed(wiring, link.source, kind))
            if len({one.output for one in inner}) != 1:
                return link.output
            link = inner[0]
            continue
        if len({one.output for one in before}) > 1:
            return link.output
        link = before[0]
    return link.output


def packed(wiring: Wiring, start: str, kind: str) -> Iterator[Link]:
    """Yield the links of a kind that were packed into the pipes which a node takes."""

    def inside(node: str) -> tuple[Link, ...]:
        return wiring.links(node, kind) if node != start else ()

    def packers(node: str) -> Iterator[str]:
        return (link.source for link in wiring.links(node) if _is_pipe(link) and not inside(node))

    for node in walk([start], packers):
        yield from inside(node)


def beginning(wiring: Wiring, found: Iterable[Chain], picture: str) -> tuple[Chain, ...]:
    """Return the chains of the samplers that the picture begins with, going back over latents and pictures.

    A sampler that only makes what another one is guided by, such as a map of depths, is not on that way.
    """
    all_found = tuple(found)
    nodes = {chain.sampler for chain in all_found}
    reached = {node: _way(wiring, node) for node in nodes}
    on_the_way = nodes & _way(wiring, picture) or nodes
    first = {node for node in on_the_way if not (reached[node] & nodes) - {node}}
    return tuple(chain for chain in all_found if chain.sampler in (first or on_the_way))


def _way(wiring: Wiring, start: str) -> set[str]:
    """Return a node and those that latents come through to it, also within prompts, and pictures that guide nothing."""

    def sources(node: str) -> Iterator[str]:
        guides = bool(wiring.gives(node, CONDITIONING)) and node != start
        kinds = {LATENT, CONDITIONING} if guides else {LATENT, CONDITIONING, IMAGE}
        return (link.source for link in wiring.links(node) if link.kind in kinds or _is_pipe(link))

    return set(walk([start], sources))
