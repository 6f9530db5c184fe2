"""A tested LoRA that is loaded more than once, and loaders whose links say little."""

from typing import Any

import pytest

from plugins.comfyui.errors import WorkflowError
from plugins.comfyui.node_types import read_types
from plugins.comfyui.workflow import Workflow
from tests.plugins.comfyui.node_classes import object_info
from tests.plugins.comfyui.own_graphs import (
    FILES,
    TESTED,
    TYPES,
    Graph,
    fill,
    linked,
    node,
    plain,
    read,
    refusal,
    simple,
)

FILE = "mine-step600.safetensors"


def _in_series(first: dict[str, Any], second: dict[str, Any]) -> Graph:
    """Write a workflow that loads the tested LoRA twice on the way of one model and one CLIP."""
    graph = simple(
        n10=node("LoraLoader", model=["1", 0], clip=["1", 1], lora_name=FILE, **first),
        n11=node("LoraLoader", model=["10", 0], clip=["10", 1], lora_name=FILE, **second),
    )
    return linked(graph, n2_clip=["11", 1], n3_clip=["11", 1], n5_model=["11", 0])


@pytest.mark.parametrize("types", TYPES)
def test_lora_that_is_loaded_for_model_and_clip_apart_is_one(types: str) -> None:
    """Both loaders take the tested file, each keeps the part that it leaves out, and the baseline is without either."""
    graph = _in_series({"strength_model": 0.8, "strength_clip": 0.0}, {"strength_model": 0.0, "strength_clip": 1.0})
    filled = fill(read(graph, types, lora_strength=0.5), lora_strength=0.5)
    assert [(TESTED, 0.5, 0.0), (TESTED, 0.0, 0.5)] == [
        (it["lora_name"], it["strength_model"], it["strength_clip"])
        for it in (filled["10"]["inputs"], filled["11"]["inputs"])
    ]
    baseline = fill(read(graph, types), lora=None)
    assert ([["1", 0], ["1", 1], ["1", 1]], False) == (
        [baseline["5"]["inputs"]["model"], baseline["2"]["inputs"]["clip"], baseline["3"]["inputs"]["clip"]],
        bool({"10", "11"} & baseline.keys()),
    )


@pytest.mark.parametrize("types", TYPES)
def test_strengths_that_add_up_are_the_files(types: str) -> None:
    """A LoRA that is loaded twice on one model takes the tested file twice; a strength of the plan has no one place."""
    graph = _in_series({"strength_model": 0.5, "strength_clip": 0.5}, {"strength_model": 0.4, "strength_clip": 0.4})
    workflow = read(graph, types)
    filled = fill(workflow)
    assert [(TESTED, 0.5), (TESTED, 0.4)] == [
        (it["lora_name"], it["strength_model"]) for it in (filled["10"]["inputs"], filled["11"]["inputs"])
    ]
    assert workflow.filler.strength(filled) is None
    assert (
        "  The plan gives `lora_strength`, and the tested LoRA is loaded again on the way of one model: 10 "
        "'LoraLoader'.lora_name, 11 'LoraLoader'.lora_name. Their strengths add up. Take `lora_strength` out of "
        "[sampling]; then those of the file stay."
    ) in refusal(graph, types, lora_strength=1.0).splitlines()


@pytest.mark.parametrize("types", TYPES)
def test_strength_that_is_linked_is_no_model(types: str) -> None:
    """A loader whose strengths come from other nodes is taken out for the baseline like any other."""
    graph = linked(
        simple(
            n10=node("LoraLoaderModelOnly", model=["1", 0], lora_name=FILE, strength_model=["12", 0]),
            n12=node("PrimitiveFloat", value=0.8),
        ),
        n5_model=["10", 0],
    )
    baseline = fill(read(graph, types), lora=None)
    assert (["1", 0], False) == (baseline["5"]["inputs"]["model"], bool({"10", "12"} & baseline.keys()))


def test_loader_is_put_in_before_reroutes() -> None:
    """The tested LoRA goes behind the model's own loader, also where nodes follow that hand anything on."""
    graph = linked(simple(n10=node("Reroute"), n11=node("Reroute (rgthree)")), n5_model=["11", 0])
    graph["10"]["inputs"][""], graph["11"]["inputs"]["*"] = ["1", 0], ["10", 0]
    filled = fill(read(graph, "by_name"))
    assert (["1", 0], ["lora", 0], ["11", 0]) == (
        filled["lora"]["inputs"]["model"],
        filled["10"]["inputs"][""],
        filled["5"]["inputs"]["model"],
    )


def test_second_output_of_an_unknown_node_is_not_the_model_that_it_takes() -> None:
    """A node that gives an adapter beside the model is no merge: the tested LoRA goes behind the model's loader."""
    graph = linked(
        simple(
            n10=node("Adapter Loader", model=["1", 0], preset="plus"),
            n11=node("Adapter", model=["10", 0], ipadapter=["10", 1], weight=0.8),
        ),
        n5_model=["11", 0],
    )
    assert ["1", 0] == fill(read(graph, "by_name"))["lora"]["inputs"]["model"]


def _film(**latent: Any) -> Graph:
    """Write a workflow of a family whose model, LoRA and latent have types of their own."""
    return {
        "1": node("FilmModelLoader", model="film.safetensors", lora=["9", 0]),
        "9": node("FilmLoraSelect", lora=FILE, strength=0.9, prev_lora=["10", 0]),
        "10": node("FilmLoraSelect", lora="speed.safetensors", strength=1.0),
        "2": node("FilmTextEncode", positive_prompt="a dog", negative_prompt="blurry"),
        "4": node("FilmEmptyEmbeds", width=832, height=480, **latent),
        "5": node("FilmSampler", model=["1", 0], image_embeds=["4", 0], text_embeds=["2", 0], steps=6, seed=4),
        "6": node("FilmDecode", samples=["5", 0]),
        "7": node("SaveImage", images=["6", 0], filename_prefix="film"),
    }


def test_lora_of_a_family_with_types_of_its_own() -> None:
    """A node that chooses the tested LoRA, with its strength, for a loader that takes it, is the slot."""
    workflow = read(_film(num_frames=1), "by_name")
    filled, baseline = fill(workflow), fill(workflow, lora=None)
    assert ((TESTED, 0.9), "None", "speed.safetensors") == (
        (filled["9"]["inputs"]["lora"], filled["9"]["inputs"]["strength"]),
        baseline["9"]["inputs"]["lora"],
        baseline["10"]["inputs"]["lora"],
    )
    assert "left alone: speed.safetensors (10 'FilmLoraSelect'.lora)" in next(iter(workflow.lines()))


def test_frames_of_a_family_with_types_of_its_own() -> None:
    """Several frames are named before the first picture, though what gives them is called no latent."""
    assert "Node 4 'FilmEmptyEmbeds' makes 81 pictures (num_frames = 81)" in refusal(_film(num_frames=81), "by_name")


@pytest.mark.parametrize("types", TYPES)
def test_lora_that_is_named_by_a_dictionary_of_the_file(types: str) -> None:
    """A picker with pictures holds a dictionary about the file: that is the slot, and no second loader is put in."""
    chosen = {"content": "people/mine-step600.safetensors", "image": None, "type": "loras"}
    graph = linked(
        simple(n10=node("LoraLoader|pysssss", model=["1", 0], clip=["1", 1], lora_name=chosen, strength_model=1.0)),
        n2_clip=["10", 1],
        n3_clip=["10", 1],
        n5_model=["10", 0],
    )
    filled = fill(read(graph, types, lora_strength=0.5), lora_strength=0.5)
    assert ({**chosen, "content": TESTED}, 0.5, False) == (
        filled["10"]["inputs"]["lora_name"],
        filled["10"]["inputs"]["strength_model"],
        "lora" in filled,
    )
    baseline = fill(read(graph, types), lora=None)
    assert (["1", 0], ["1", 1], False) == (
        baseline["5"]["inputs"]["model"],
        baseline["2"]["inputs"]["clip"],
        "10" in baseline,
    )


@pytest.mark.parametrize("types", TYPES)
def test_dictionary_in_a_stack_loses_its_strength_in_the_baseline(types: str) -> None:
    """Where the node of such a dictionary gives no model, it stays, and its LoRA is at strength 0."""
    stack = node("LoraLoaderStackedAdvanced", lora_name={"content": FILE, "image": None}, lora_weight=0.7)
    graph = linked(
        simple(n10=node("Apply Lora Stack", model=["1", 0], lora_stack=["11", 0]), n11=stack), n5_model=["10", 0]
    )
    workflow = read(graph, types)
    assert [(TESTED, 0.7), (FILE, 0.0)] == [
        (it["lora_name"]["content"], it["lora_weight"])
        for it in (fill(workflow)["11"]["inputs"], fill(workflow, lora=None)["11"]["inputs"])
    ]


@pytest.mark.parametrize("types", TYPES)
def test_tag_in_a_detailer_is_a_slot(types: str) -> None:
    """A text with the tested LoRA's tag, in a node that takes a model, does not stay in the baseline."""
    detailer = node("Detailer", image=["6", 0], model=["1", 0], positive=["2", 0], wildcard=f"face <lora:{FILE}:0.5>")
    workflow = read(linked(simple(n10=detailer), n7_images=["10", 0]), types)
    assert [f"face <lora:{TESTED}:0.5>", "face"] == [
        filled["10"]["inputs"]["wildcard"] for filled in (fill(workflow), fill(workflow, lora=None))
    ]


@pytest.mark.parametrize(
    ("off", "options", "on"),
    [
        pytest.param("OFF", ["OFF", "ON"], "ON", id="capitals"),
        pytest.param("disabled", ["disabled", "enabled"], "enabled", id="participles"),
        pytest.param("OFF", None, "ON", id="options unknown"),
    ],
)
def test_switch_is_turned_in_its_own_words(off: str, options: list[str] | None, on: str) -> None:
    """A slot that the file has switched off is on for a checkpoint, in whichever words its node says so."""
    assert on == fill(_switched(off, options))["10"]["inputs"]["switch_1"]


def test_switch_without_a_known_word_for_on_is_asked_about() -> None:
    """A slot that stayed off would make every checkpoint the baseline."""
    with pytest.raises(WorkflowError, match=r"10 'Stack'.switch_1 is 'off', which switches the tested LoRA off"):
        _switched("off", ["off", "a little"])


def _switched(value: str, options: list[str] | None) -> Workflow:
    stack = node("Stack", lora_name_1=FILE, switch_1=value, model_weight_1=1.0)
    graph = linked(
        simple(n10=stack, n11=node("Apply Lora Stack", model=["1", 0], lora_stack=["10", 0])), n5_model=["11", 0]
    )
    told = object_info()
    if options:
        told["Stack"] = {"input": {"required": {"switch_1": [options, {}]}}, "output": ["LORA_STACK"]}
    return Workflow.of(graph, types=read_types(told), files=FILES, sampling=plain())
