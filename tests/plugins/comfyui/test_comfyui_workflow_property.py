"""Workflows drawn at random: exactly the tested LoRA, the prompt and the seeds are the cell's."""

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.comfyui.node_types import read_types
from plugins.comfyui.workflow import Workflow
from tests.plugins.comfyui.node_classes import object_info
from tests.plugins.comfyui.own_graphs import FILES, TESTED, cell, plain

Graph = dict[str, dict[str, Any]]
Link = list[Any]
STYLE = "style-{}.safetensors"
MADE_UP = {
    "Patch It": ({"anything": ["MODEL", {}], "amount": ["FLOAT", {}]}, ["MODEL"]),
    "Read Everything": ({"folder": [["a"], {}], "what": [["a"], {}]}, ["VAE", "CLIP", "MODEL"]),
    "Words To Thoughts": ({"mind": ["CLIP", {}], "say": ["STRING", {"multiline": True}]}, ["CONDITIONING"]),
    "Bend": ({"thought": ["CONDITIONING", {}], "strength": ["FLOAT", {}]}, ["CONDITIONING"]),
    "Power Lora Loader (rgthree)": ({"model": ["MODEL", {}], "clip": ["CLIP", {}]}, ["MODEL", "CLIP"]),
    "Frame It": ({"pic": ["IMAGE", {}], "border": ["INT", {}]}, ["IMAGE"]),
    "Keep It": ({"pic": ["IMAGE", {}], "filename": ["STRING", {}]}, []),
}
TYPES = read_types(
    object_info()
    | {
        name: {"input": {"required": inputs}, "output": outputs, "output_node": not outputs}
        for name, (inputs, outputs) in MADE_UP.items()
    }
)


@dataclass
class Drawing:
    """A workflow while it is drawn, and what is known of it from drawing it."""

    draw: st.DrawFn
    graph: Graph = field(default_factory=dict)
    styles: int = 0
    prompts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, **inputs: Any) -> str:
        """Put a node in, under an id like those that ComfyUI gives, also within subgraphs."""
        node = f"{self.draw(st.sampled_from(['', '57:', '57:3:']))}{len(self.graph) + 10}"
        self.graph[node] = {"class_type": kind, "inputs": inputs}
        if self.draw(st.booleans()):
            self.graph[node]["_meta"] = {"title": self.draw(st.text(max_size=8))}
        return node

    def pick(self, *options: Any) -> Any:
        """Choose one of some things."""
        return self.draw(st.sampled_from(options))

    def loaders(self) -> tuple[Link, Link, Link]:
        """Load model, CLIP and VAE."""
        kind = self.pick("whole", "split", "made up")
        if kind == "whole":
            node = self.add("CheckpointLoaderSimple", ckpt_name="a.safetensors")
            return [node, 0], [node, 1], [node, 2]
        if kind == "made up":
            node = self.add("Read Everything", folder="a", what="a")
            return [node, 2], [node, 1], [node, 0]
        unet = self.add("UNETLoader", unet_name="a.safetensors", weight_dtype="default")
        clip = self.add("CLIPLoader", clip_name="a.safetensors", type="x")
        return [unet, 0], [clip, 0], [self.add("VAELoader", vae_name="a.safetensors"), 0]

    def loaded(self, model: Link, clip: Link, name: str) -> tuple[Link, Link]:
        """Load a LoRA in one of the forms that there are."""
        kind = self.pick("both", "model", "power")
        if kind == "model":
            only = self.add("LoraLoaderModelOnly", model=model, lora_name=name, strength_model=0.5)
            return [only, 0], clip
        if kind == "power":
            slots: dict[str, Any] = {"lora_1": {"on": True, "lora": name, "strength": 0.5}}
            if self.pick(True, False):
                slots["lora_2"] = {"on": True, "lora": self.style(), "strength": 0.5}
            node = self.add("Power Lora Loader (rgthree)", model=model, clip=clip, **slots)
            return [node, 0], [node, 1]
        loader = self.pick("LoraLoader", "LoraLoaderBypass")
        node = self.add(loader, model=model, clip=clip, lora_name=name, strength_model=0.5, strength_clip=0.5)
        return [node, 0], [node, 1]

    def style(self) -> str:
        """Name a LoRA that the plan does not."""
        self.styles += 1
        return STYLE.format(self.styles)

    def chain(self, model: Link, clip: Link) -> tuple[Link, Link]:
        """Put LoRAs of others, patches, and perhaps the tested LoRA on the way."""
        steps = [self.style() if self.pick(True, False) else "" for _ in range(self.draw(st.integers(0, 3)))]
        if self.pick(True, False):
            steps.insert(self.draw(st.integers(0, len(steps))), "mine-step600.safetensors")
        for step in steps:
            if step:
                model, clip = self.loaded(model, clip, step)
            else:
                model = [self.add("Patch It", anything=model, amount=1.0), 0]
        return model, clip

    def text(self, words: str) -> Any:
        """Write a text where it is used, or in a node of its own."""
        node = self.pick("", "PrimitiveStringMultiline")
        return [self.add(node, value=words), 0] if node else words

    def encoded(self, clip: Link, words: str) -> Link:
        """Encode a text."""
        kind = self.pick("CLIPTextEncode", "CLIPTextEncodeFlux", "Words To Thoughts")
        names = {"CLIPTextEncode": ("text",), "CLIPTextEncodeFlux": ("clip_l", "t5xxl"), "Words To Thoughts": ("say",)}
        texts = {name: self.text(words) for name in names[kind]}
        node = self.add(kind, **{"mind" if kind == "Words To Thoughts" else "clip": clip}, **texts)
        if words == "a cat":
            self.prompts += [(node, name) for name in texts]
        return [self.add("Bend", thought=[node, 0], strength=1.0), 0] if self.pick(True, False) else [node, 0]

    def sampled(self, model: Link, positive: Link, negative: Link, latent: Link) -> Link:
        """Sample in one of two ways."""
        seed = self.pick(7, [self.add("PrimitiveInt", value=7), 0])
        if self.pick(True, False):
            own = {"model": model, "positive": positive, "negative": negative, "latent_image": latent, "seed": seed}
            plainly = {"steps": 20, "cfg": 5.0, "sampler_name": "a", "scheduler": "a", "denoise": 1.0}
            return [self.add("KSampler", **own, **plainly), 0]
        guider = self.pick(("BasicGuider", {"conditioning": positive}), ("CFGGuider", {"cfg": 4.0}))
        sides = {"positive": positive, "negative": negative} if guider[0] == "CFGGuider" else {}
        return [
            self.add(
                "SamplerCustomAdvanced",
                noise=[self.add("RandomNoise", noise_seed=seed), 0],
                guider=[self.add(guider[0], model=model, **guider[1], **sides), 0],
                sampler=[self.add("KSamplerSelect", sampler_name="a"), 0],
                sigmas=[self.add("BasicScheduler", model=model, scheduler="a", steps=20, denoise=1.0), 0],
                latent_image=latent,
            ),
            self.pick(0, 1),
        ]


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    """Draw a workflow: loaders, LoRAs, prompts, one or two passes, what saves, and nodes that lead nowhere."""
    one = Drawing(draw)
    model, clip, vae = one.loaders()
    model, clip = one.chain(model, clip)
    positive, negative = one.encoded(clip, "a cat"), one.encoded(clip, "ugly")
    latent = [one.add("EmptyLatentImage", width=1024, height=1024, batch_size=one.pick(1, 4)), 0]
    for number in range(one.pick(1, 2)):
        if number:
            latent = [one.add("LatentUpscaleBy", samples=latent, upscale_method="a", scale_by=1.5), 0]
        latent = one.sampled(model, positive, negative, latent)
        if one.pick(True, False):
            one.add("PreviewImage", images=[one.add("VAEDecode", samples=latent, vae=vae), 0])
    image = [one.add("VAEDecode", samples=latent, vae=vae), 0]
    if one.pick(True, False):
        image = [one.add("Frame It", pic=image, border=4), 0]
    saver = one.pick("SaveImage", "Keep It")
    names = ("images", "filename_prefix") if saver == "SaveImage" else ("pic", "filename")
    one.add(saver, **{names[0]: image, names[1]: "mine"})
    one.add("EmptyLatentImage", width=8, height=8, batch_size=1)
    one.graph = dict(draw(st.permutations(list(one.graph.items()))))
    return one


def loras(graph: Graph) -> list[str]:
    """List the LoRAs that a graph loads, by looking at every value that names one and is not switched off."""
    found = []
    for content in graph.values():
        for value in content["inputs"].values():
            name = value.get("lora") if isinstance(value, dict) and value["on"] else value
            if isinstance(name, str) and name.startswith(("mine", "style")):
                found.append(name)
    return sorted(found)


def words(graph: Graph, place: tuple[str, str]) -> object:
    """Return a text, through the node that it may stand in."""
    value = graph[place[0]]["inputs"][place[1]]
    return graph[value[0]]["inputs"]["value"] if isinstance(value, list) else value


def dangling(graph: Graph) -> list[str]:
    """List links to nodes that are not there."""
    links = [value for content in graph.values() for value in content["inputs"].values() if isinstance(value, list)]
    return [link[0] for link in links if link[0] not in graph]


@settings(max_examples=200, deadline=None)
@given(drawing=drawings())
def test_exactly_the_tested_lora_differs_and_everything_is_the_cells(drawing: Drawing) -> None:
    """The baseline lacks the tested LoRA and nothing else; prompt, seeds, batch and saver are the cell's."""
    before = json.dumps(drawing.graph)
    workflow = Workflow.of(drawing.graph, types=TYPES, files=FILES, sampling=plain())
    filled, baseline = (
        workflow.fill(cell(seed=2**63), plain(), base_model=None, lora_file=file, prefix="p") for file in (TESTED, None)
    )
    others = sorted(STYLE.format(number + 1) for number in range(drawing.styles))
    assert ([TESTED, *others], others) == (loras(filled.graph), loras(baseline.graph))
    for graph in (filled.graph, baseline.graph):
        assert {"a fox in a forest"} == {words(graph, place) for place in drawing.prompts}
        inputs = [(name, value) for content in graph.values() for name, value in content["inputs"].items()]
        assert {2**63} == {value for name, value in inputs if name in {"seed", "noise_seed"}}
        assert {1} == {value for name, value in inputs if name == "batch_size"}
        assert ["p"] == [value for name, value in inputs if name == "filename_prefix"]
        assert [] == dangling(graph)
    assert before == json.dumps(drawing.graph)
