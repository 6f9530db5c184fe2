"""One small workflow of each kind that people draw: what reaches the server, with the server's types and without."""

import copy
from dataclasses import dataclass, field
from typing import Any

import pytest

from plugins.plan.places import Nodes
from tests.plugins.comfyui.own_graphs import FOLDER, TESTED, TYPES, Graph, case, fill, put, read, refusal


@dataclass(frozen=True, kw_only=True)
class Right:
    """What is right for a case: where everything goes, and which nodes are sent."""

    sent: str
    """Ids of the nodes of the file that are sent."""
    prompt: str = "2.text"
    negative: str = "3.text"
    seeds: str = "5.seed"
    behind: tuple[list[Any], ...] = ()
    """The outputs that a LoRA loader is put behind: of the model, and of the CLIP."""
    slot: str = ""
    """The input that takes the tested file."""
    value: object = TESTED
    """What that input holds for a checkpoint."""
    off: object = None
    """What it holds in the baseline; where nothing, the node is gone."""
    around: dict[str, list[Any]] = field(default_factory=dict)
    """Links of the baseline that go around the LoRA's node."""
    saves: str = "7"
    """The node that saves; `save` where one is put in."""
    picture: list[Any] = field(default_factory=lambda: ["6", 0])


SIMPLE = "1 2 3 4 5 6"
BOTH = (["1", 0], ["1", 1])
APART = (["1", 0], ["8", 0])
CASES = {
    "silent_power_lora_loader": Right(
        sent=SIMPLE + " 7 10",
        slot="10.lora_1",
        value={"on": True, "lora": TESTED, "strength": 1.0},
        off={"on": False, "lora": "mine-step600.safetensors", "strength": 1.0},
    ),
    "silent_lora_stack": Right(sent=SIMPLE + " 7 10 11", slot="10.lora_name_1", off="None"),
    "silent_core_bypass_loader": Right(
        sent=SIMPLE + " 7 10",
        slot="10.lora_name",
        around={"5.model": ["1", 0], "2.clip": ["1", 1], "3.clip": ["1", 1]},
    ),
    "silent_end_at_step": Right(sent=SIMPLE + " 7", seeds="5.noise_seed", behind=BOTH),
    "refused_unet_loader": Right(sent=SIMPLE + " 7 8 9", behind=APART),
    "refused_unet_loader_with_lora": Right(
        sent=SIMPLE + " 7 8 9 10 11", slot="11.lora_name", around={"10.model": ["1", 0]}
    ),
    "refused_gguf_loader": Right(sent=SIMPLE + " 7 8 9", behind=APART),
    "refused_zero_out_negative": Right(sent=SIMPLE + " 7", negative="", behind=BOTH),
    "refused_subgraph_ids": Right(
        sent="60 58 57:30 57:29 57:28 57:33 57:8 57:27 57:13 57:11 57:3",
        prompt="58.value",
        negative="",
        seeds="57:3.seed",
        behind=(["57:28", 0], ["57:30", 0]),
        saves="60",
        picture=["57:8", 0],
    ),
    "refused_two_pass": Right(sent=SIMPLE + " 7 10 11", seeds="5.seed 11.seed", behind=BOTH),
    "refused_two_saves": Right(
        sent="1 2 3 4 5 10 11 12 13", seeds="5.seed 11.seed", behind=BOTH, saves="13", picture=["12", 0]
    ),
    "refused_preview_only": Right(sent=SIMPLE, behind=BOTH, saves="save"),
    "refused_other_save_node": Right(sent=SIMPLE, behind=BOTH, saves="save"),
    "refused_save_advanced": Right(sent=SIMPLE, behind=BOTH, saves="save"),
    "refused_websocket_beside_save": Right(sent=SIMPLE + " 7", behind=BOTH),
    "refused_sdxl_encoders": Right(
        sent=SIMPLE + " 7", prompt="2.text_g 2.text_l", negative="3.text_g 3.text_l", behind=BOTH
    ),
    "refused_flux_encoder": Right(sent=SIMPLE + " 7 8 9", prompt="2.clip_l 2.t5xxl", negative="", behind=APART),
    "refused_encoder_with_both_texts": Right(
        sent="1 2 4 5 6 7 8 9", prompt="2.prompt", negative="2.negative_prompt", behind=APART
    ),
    "refused_other_latent": Right(sent=SIMPLE + " 7 8 9", behind=APART),
    "refused_efficient": Right(
        sent="1 2 3",
        prompt="1.positive",
        negative="1.negative",
        seeds="2.seed",
        slot="1.lora_name",
        off="None",
        saves="3",
        picture=["2", 5],
    ),
    "refused_controlnet_between": Right(sent=SIMPLE + " 7 10 11 12", behind=BOTH),
    "right_seed_and_text_from_nodes": Right(sent=SIMPLE + " 7 11 12", prompt="11.value", behind=BOTH),
}
REFUSED = {"silent_two_regions", "late_batch_made_later"}


def expected(name: str, right: Right, *, baseline: bool) -> Graph:
    """Write the graph that is right by hand: the file's nodes that are sent, with what the cell brings."""
    graph = {node: content for node, content in case(name).items() if node in right.sent.split()}
    if right.behind and not baseline:
        relink(graph, right.behind)
    for place in right.prompt.split():
        put(graph, place, "a fox in a forest")
    for place in right.seeds.split():
        put(graph, place, 42)
    if right.slot and not baseline:
        put(graph, right.slot, right.value)
    elif right.slot and right.off is not None:
        put(graph, right.slot, right.off)
    elif right.slot:
        del graph[right.slot.partition(".")[0]]
        for place, link in right.around.items():
            put(graph, place, link)
    saver = graph.setdefault(right.saves, {"class_type": "SaveImage"})
    saver["inputs"] = {"images": right.picture, "filename_prefix": "p"}
    return graph


def relink(graph: Graph, behind: tuple[list[Any], ...]) -> None:
    """Put a loader in, and link all to it that was linked to what it stands behind."""
    inputs: dict[str, Any] = {"lora_name": TESTED, "strength_model": 1.0}
    for slot, (name, output) in enumerate(zip(("model", "clip"), behind, strict=False)):
        for content in graph.values():
            content["inputs"] |= {key: ["lora", slot] for key, value in content["inputs"].items() if value == output}
        inputs[name] = output
    if len(behind) > 1:
        inputs["strength_clip"] = 1.0
    graph["lora"] = {"class_type": "LoraLoader" if len(behind) > 1 else "LoraLoaderModelOnly", "inputs": inputs}


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_case_is_filled_and_nothing_else_of_it_changes(name: str, types: str) -> None:
    """Prompt, seed and LoRA are where they belong; all else is as in the file; what is not used is not sent."""
    workflow = read(case(name), types)
    assert expected(name, CASES[name], baseline=False) == fill(workflow)
    assert expected(name, CASES[name], baseline=True) == fill(workflow, lora=None)


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("name", [name for name, right in CASES.items() if right.negative])
def test_negative_of_the_plan_takes_its_place(name: str, types: str) -> None:
    """A negative prompt that the plan gives goes to the negative side alone; left out, that stays."""
    right = expected(name, CASES[name], baseline=False)
    for place in CASES[name].negative.split():
        put(right, place, "ugly")
    workflow = read(case(name), types, negative="ugly")
    assert right == fill(workflow, negative="ugly")


@pytest.mark.parametrize("types", TYPES)
def test_all_cases_are_here(types: str) -> None:
    """Every workflow in the folder is filled or refused by these tests."""
    assert {path.stem for path in FOLDER.glob("*.json")} == CASES.keys() | REFUSED
    assert types in {"typed", "by_name"}


@pytest.mark.parametrize("types", TYPES)
def test_two_regions_are_asked_about(types: str) -> None:
    """Two texts on the positive side are both named, with the line that settles it; then the other one stays."""
    graph = case("silent_two_regions")
    assert (
        "cannot be used as it is:\n"
        "  It has several different texts on the positive side: 2 'Positive'.text ('a lighthouse at dawn'), "
        "10 'Right half'.text ('a red fox'). Which is the prompt?\n"
        '      [comfyui.nodes]\n      prompt = ["2.text"]'
    ) == refusal(graph, types)
    filled = fill(read(graph, types, nodes=Nodes(prompt=("2.text",))))
    assert ("a fox in a forest", "a red fox") == (filled["2"]["inputs"]["text"], filled["10"]["inputs"]["text"])
    titled = fill(read(graph, types, nodes=Nodes(prompt=("Right half.text",))))
    assert ("a lighthouse at dawn", "a fox in a forest") == (
        titled["2"]["inputs"]["text"],
        titled["10"]["inputs"]["text"],
    )


@pytest.mark.parametrize("types", TYPES)
def test_batch_that_is_made_later_is_refused(types: str) -> None:
    """A node that repeats a latent is named before the first picture."""
    assert (
        "cannot be used as it is:\n"
        "  Node 10 'RepeatLatentBatch' makes 4 pictures (amount = 4) where a cell takes one; set its amount to 1 and "
        "export again."
    ) == refusal(case("late_batch_made_later"), types)


@pytest.mark.parametrize("types", TYPES)
def test_first_pass_is_judged_where_the_plan_names_it(types: str) -> None:
    """`picture` overrules what is found, and what only the other picture is made from is not sent."""
    filled = fill(read(case("refused_two_saves"), types, nodes=Nodes(picture="7")))
    assert {"1", "2", "3", "4", "5", "6", "7", "lora"} == filled.keys()


@pytest.mark.parametrize("types", TYPES)
def test_end_follows_the_steps(types: str) -> None:
    """`end_at_step` that was the file's `steps` follows; another one below the new steps is refused by name."""
    graph = case("silent_end_at_step")
    filled = fill(read(graph, types, steps=30), steps=30)["5"]["inputs"]
    assert (30, 30) == (filled["steps"], filled["end_at_step"])
    put(graph, "5.end_at_step", 10_000)
    assert 10_000 == fill(read(graph, types, steps=30), steps=30)["5"]["inputs"]["end_at_step"]
    put(graph, "5.end_at_step", 15)
    assert 15 == fill(read(graph, types, steps=12), steps=12)["5"]["inputs"]["end_at_step"]
    assert (
        "cannot be used as it is:\n"
        "  5 'KSamplerAdvanced'.end_at_step is 15 and would not follow the plan's `steps`, 30. Take `steps` out of "
        "[sampling], or change it in the workflow."
    ) == refusal(graph, types, steps=30)


@pytest.mark.parametrize("types", TYPES)
def test_settings_that_differ_between_passes_are_refused(types: str) -> None:
    """Steps of a first and a second pass differ: a plan that gives steps is refused by name, with both values."""
    message = refusal(case("refused_two_pass"), types, steps=30, cfg=5.0)
    assert (
        "cannot be used as it is:\n"
        "  `steps` has several values in the workflow: 5 'KSampler'.steps = 24, 11 'Second pass'.steps = 12. Take "
        "`steps` out of [sampling]; then they stay."
    ) == message
    filled = fill(read(case("refused_two_pass"), types, cfg=5.0), cfg=5.0)
    assert [5.0, 5.0] == [filled[node]["inputs"]["cfg"] for node in ("5", "11")]


@pytest.mark.parametrize("types", TYPES)
def test_size_goes_to_the_latent_and_to_what_held_its_value(types: str) -> None:
    """The latent's size is the plan's, and so is every width and height that was the latent's; others stay."""
    given: dict[str, Any] = {"width": 640, "height": 512}
    filled = fill(read(case("refused_sdxl_encoders"), types, **given), **given)
    assert [(640, 512)] * 3 == [(filled[one]["inputs"]["width"], filled[one]["inputs"]["height"]) for one in "234"]
    square = fill(read(case("right_seed_and_text_from_nodes"), types, **given), **given)
    assert (640, 512) == (square["4"]["inputs"]["width"], square["4"]["inputs"]["height"])
    efficient = fill(read(case("refused_efficient"), types, **given), **given)["1"]["inputs"]
    assert (640, 512) == (efficient["empty_latent_width"], efficient["empty_latent_height"])


@pytest.mark.parametrize("types", TYPES)
def test_target_size_that_stays_is_warned_of(types: str) -> None:
    """A target size is none of the inputs that the plan's goes to: it stays, in so many words, unless it is linked."""
    given: dict[str, Any] = {"width": 640, "height": 1024}
    workflow = read(case("refused_sdxl_encoders"), types, **given)
    assert 1024 == fill(workflow, **given)["2"]["inputs"]["target_width"]
    assert (
        "warning: 2 'Positive'.target_width = 1024, 3 'Negative'.target_width = 1024: the workflow's own size stays "
        "there, while the plan gives another one. Link it to the node that the latent takes its size from, and it "
        "follows."
    ) == "".join(workflow.warnings())
    assert [] == list(read(case("refused_sdxl_encoders"), types).warnings())
    graph = case("refused_sdxl_encoders")
    graph["30"] = {"class_type": "PrimitiveInt", "inputs": {"value": 1024}}
    for node, name in [("4", "width"), ("2", "target_width"), ("3", "target_width")]:
        graph[node]["inputs"][name] = ["30", 0]
    shared = read(graph, types, **given)
    assert (640, []) == (fill(shared, **given)["30"]["inputs"]["value"], list(shared.warnings()))


@pytest.mark.parametrize("types", TYPES)
def test_height_stays_where_it_shares_a_number_with_the_width(types: str) -> None:
    """A plan that gives the width alone does not write to a node that the height comes from, too."""
    graph = case("right_seed_and_text_from_nodes")
    graph["30"] = {"class_type": "PrimitiveInt", "inputs": {"value": 1024}}
    graph["4"]["inputs"] |= {"width": ["30", 0], "height": ["30", 0]}
    filled = fill(read(graph, types, width=640), width=640)
    assert (640, ["30", 0], 1024) == (
        filled["4"]["inputs"]["width"],
        filled["4"]["inputs"]["height"],
        filled["30"]["inputs"]["value"],
    )


@pytest.mark.parametrize("types", TYPES)
def test_size_that_a_node_works_out_is_given_to_all_that_take_it(types: str) -> None:
    """Where latent and encoders are linked to one output, the plan's size replaces the link everywhere."""
    graph = case("refused_sdxl_encoders")
    graph["30"] = {"class_type": "Aspect Ratio", "inputs": {"ratio": "3:4", "megapixels": 1.0}}
    for node, name in [("4", "width"), ("2", "width"), ("2", "target_width"), ("3", "width"), ("3", "target_width")]:
        graph[node]["inputs"][name] = ["30", 0]
    graph["4"]["inputs"]["height"] = ["30", 1]
    workflow = read(graph, types, width=640, height=832)
    filled = fill(workflow, width=640, height=832)
    assert [640] * 5 == [filled[one]["inputs"][name] for one in "23" for name in ("width", "target_width")] + [
        filled["4"]["inputs"]["width"]
    ]
    assert (832, 1024, [], False) == (
        filled["4"]["inputs"]["height"],
        filled["2"]["inputs"]["height"],
        list(workflow.warnings()),
        "30" in filled,
    )


@pytest.mark.parametrize("types", TYPES)
def test_settings_that_come_from_one_node_are_one(types: str) -> None:
    """A node that takes steps, cfg and sampler for samplers, which take them from it, is no second value."""
    graph = case("refused_preview_only")
    settings = {"steps": 30, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal"}
    graph["30"] = {"class_type": "Settings", "inputs": settings}
    graph["5"]["inputs"] |= {name: ["30", slot] for slot, name in enumerate(settings)}
    given: dict[str, Any] = {"steps": 9, "cfg": 2.0, "sampler": "heun", "scheduler": "simple"}
    filled = fill(read(graph, types, **given), **given)["5"]["inputs"]
    assert [*given.values()] == [filled[name] for name in settings]
    graph["5"]["inputs"]["cfg"] = 5.0
    assert "`cfg` has several values in the workflow" in refusal(graph, types, cfg=2.0)


@pytest.mark.parametrize("types", TYPES)
def test_settings_without_a_place_are_all_told_at_once(types: str) -> None:
    """A negative, a cfg and a size that no node takes are told together, each with what to do."""
    graph = case("refused_zero_out_negative")
    del graph["5"]["inputs"]["cfg"]
    graph["4"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["20", 0], "vae": ["1", 2]}}
    graph["20"] = {"class_type": "LoadImage", "inputs": {"image": "a.png"}}
    lines = refusal(graph, types, negative="ugly", cfg=3.0, width=512, height=512).splitlines()
    assert [
        "  The plan gives `cfg`, and no node takes it. Take `cfg` out of [sampling].",
        "  The plan gives `width`, and no node takes it. Take `width` out of [sampling].",
        "  The plan gives `height`, and no node takes it. Take `height` out of [sampling].",
        (
            "  The plan gives a `negative`, and the workflow has no place for one: no text leads to a negative side, "
            "or nothing is left of it there. Take `negative` out of [sampling], or name its place:"
        ),
        "      [comfyui.nodes]",
        '      negative = ["ID.text"]',
    ] == lines[1:]


@pytest.mark.parametrize("types", TYPES)
def test_strength_is_the_plans_where_it_gives_one(types: str) -> None:
    """A strength of the plan goes to the tested LoRA in every form; left out, the file's stays."""
    put_in = fill(read(case("refused_unet_loader"), types, lora_strength=0.8), lora_strength=0.8)["lora"]["inputs"]
    assert (0.8, 0.8) == (put_in["strength_model"], put_in["strength_clip"])
    power = fill(read(case("silent_power_lora_loader"), types, lora_strength=0.8), lora_strength=0.8)
    assert {"on": True, "lora": TESTED, "strength": 0.8} == power["10"]["inputs"]["lora_1"]
    stack = fill(read(case("silent_lora_stack"), types, lora_strength=0.8), lora_strength=0.8)["10"]["inputs"]
    assert (0.8, 0.8, 1.0) == (stack["model_weight_1"], stack["clip_weight_1"], stack["model_weight_2"])


@pytest.mark.parametrize("types", TYPES)
def test_clip_skip_reaches_both_prompts(types: str) -> None:
    """Clip skip is put in for every encoder that lacks it, and set where the file has it."""
    graph = case("refused_unet_loader")
    graph["10"] = {"class_type": "CLIPSetLastLayer", "inputs": {"clip": ["8", 0], "stop_at_clip_layer": -3}}
    put(graph, "2.clip", ["10", 0])
    filled = fill(read(graph, types, clip_skip=2), clip_skip=2)
    assert -2 == filled["10"]["inputs"]["stop_at_clip_layer"]
    assert {"clip": ["lora", 1], "stop_at_clip_layer": -2} == filled["clip-skip"]["inputs"]
    assert (["10", 0], ["clip-skip", 0]) == (filled["2"]["inputs"]["clip"], filled["3"]["inputs"]["clip"])


def test_what_was_found_is_said() -> None:
    """One line names where prompt, negative, seeds, LoRA and picture are, and which LoRAs are left alone."""
    graph = case("refused_unet_loader_with_lora")
    graph["12"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["1", 0], "lora_name": "lightning-4step.safetensors", "strength_model": 1.0},
    }
    put(graph, "11.model", ["12", 0])
    assert [
        (
            "workflow own.json: prompt -> 2 'Positive'.text; negative -> 3 'Negative'.text; seed -> 5 'KSampler'.seed; "
            "LoRA -> 11 'LoraLoaderModelOnly'.lora_name; picture <- 7 'SaveImage'; left alone: "
            "lightning-4step.safetensors (12 'LoraLoaderModelOnly'.lora_name)"
        )
    ] == list(read(graph).lines())
    baseline = fill(read(graph), lora=None)
    assert "lightning-4step.safetensors" == baseline["12"]["inputs"]["lora_name"]
    assert ["12", 0] == baseline["10"]["inputs"]["model"]


def test_reading_leaves_the_graph_alone() -> None:
    """What was read is not written to, by reading or by filling."""
    graph = case("refused_unet_loader")
    before = copy.deepcopy(graph)
    fill(read(graph))
    assert before == graph
