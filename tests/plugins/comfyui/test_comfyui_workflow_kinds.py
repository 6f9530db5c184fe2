"""More kinds of workflows: what is found in them, what is asked, and what a server would not take."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from plugins.comfyui.errors import WorkflowError
from plugins.comfyui.node_types import read_types
from plugins.comfyui.workflow import Workflow
from plugins.plan.places import Nodes
from tests.plugins.comfyui.node_classes import object_info
from tests.plugins.comfyui.own_graphs import (
    TESTED,
    TYPES,
    Graph,
    case,
    cell,
    fill,
    linked,
    node,
    plain,
    put,
    read,
    refusal,
    simple,
)


@pytest.mark.parametrize("types", TYPES)
def test_text_that_is_put_together_is_asked_about(types: str) -> None:
    """A prompt of two parts is not flattened: the parts are named; `{prompt}` or the plan says which is the plan's."""
    graph = linked(
        simple(
            n10=node("PrimitiveStringMultiline", "Subject", value="a fox"),
            n11=node("StringConcatenate", string_a=["10", 0], string_b="oil painting", delimiter=", "),
        ),
        n2_text=["11", 0],
    )
    message = refusal(graph, types)
    assert (
        "cannot be used as it is:\n"
        "  Node 11 'StringConcatenate' has its prompt put together of parts: 10 'Subject'.value ('a fox'), "
        "11 'StringConcatenate'.string_b ('oil painting'). Write {prompt} where the plan's text belongs in them, or "
        'name the one that it replaces:\n      [comfyui.nodes]\n      prompt = ["10.value"]'
    ) == message
    named = fill(read(graph, types, nodes=Nodes(prompt=("10.value",))))
    assert ("a fox in a forest", "oil painting") == (named["10"]["inputs"]["value"], named["11"]["inputs"]["string_b"])
    marked = fill(read(linked(copy.deepcopy(graph), n11_string_b="{prompt}, oil on wood"), types))
    assert ("a fox", "a fox in a forest, oil on wood") == (
        marked["10"]["inputs"]["value"],
        marked["11"]["inputs"]["string_b"],
    )


@pytest.mark.parametrize("types", TYPES)
def test_mark_that_the_graph_replaces_itself_is_not_the_plans(types: str) -> None:
    """A node that looks for `{prompt}` puts a text of its own there: that is one of several parts, and asked about."""
    graph = linked(
        simple(
            n10=node("PrimitiveStringMultiline", value="a fox"),
            n11=node("StringReplace", string="Paint {prompt} in oil", find="{prompt}", replace=["10", 0]),
        ),
        n2_text=["11", 0],
    )
    assert "Node 11 'StringReplace' has its prompt put together of parts" in refusal(graph, types)


@pytest.mark.parametrize("types", TYPES)
def test_text_of_a_node_that_holds_none_is_asked_about(types: str) -> None:
    """A prompt that another program writes is not replaced by a part that happens to be a text."""
    graph = linked(
        simple(
            n10=node("Ask A Model", model_path="a.gguf", temperature=0.5),
            n11=node("StringConcatenate", string_a=["10", 0], string_b="oil painting", delimiter=", "),
        ),
        n2_text=["11", 0],
    )
    assert "11 'StringConcatenate'.string_a (made by another node)" in refusal(graph, types)


@pytest.mark.parametrize("types", TYPES)
def test_switch_is_followed_to_the_side_that_it_chooses(types: str) -> None:
    """Only the chosen text is the prompt; the other one stays, and so does the switch."""
    graph = linked(
        simple(
            n10=node("ComfySwitchNode", switch=["11", 0], on_false="a dog", on_true=["12", 0]),
            n11=node("PrimitiveBoolean", value=True),
            n12=node("PrimitiveStringMultiline", value="a fox"),
        ),
        n2_text=["10", 0],
    )
    filled = fill(read(graph, types))
    assert ("a dog", "a fox in a forest") == (filled["10"]["inputs"]["on_false"], filled["12"]["inputs"]["value"])


@pytest.mark.parametrize("types", TYPES)
def test_second_conditioning_of_a_guider_that_is_negative_is_not_the_prompt(types: str) -> None:
    """What a guider takes a second time beside its negative is the negative's, by where else it goes."""
    graph = simple(
        n10=node("DualCFGGuider", model=["1", 0], cond1=["2", 0], cond2=["3", 0], negative=["3", 0], cfg_conds=5.0),
        n11=node("RandomNoise", noise_seed=7),
        n12=node("KSamplerSelect", sampler_name="a"),
        n13=node("BasicScheduler", model=["1", 0], scheduler="a", steps=20, denoise=1.0),
        n5=node(
            "SamplerCustomAdvanced",
            noise=["11", 0],
            guider=["10", 0],
            sampler=["12", 0],
            sigmas=["13", 0],
            latent_image=["4", 0],
        ),
    )
    filled = fill(read(graph, types, negative="ugly"), negative="ugly")
    assert ("a fox in a forest", "ugly") == (filled["2"]["inputs"]["text"], filled["3"]["inputs"]["text"])
    assert (42, ["lora", 0]) == (filled["11"]["inputs"]["noise_seed"], filled["13"]["inputs"]["model"])


@pytest.mark.parametrize("types", TYPES)
def test_loader_goes_behind_a_merge(types: str) -> None:
    """The merged model takes the LoRA, once; a `base_model` of the plan has no single place then."""
    graph = linked(
        simple(
            n8=node("UNETLoader", unet_name="b.safetensors", weight_dtype="default"),
            n9=node("ModelMergeSimple", model1=["1", 0], model2=["8", 0], ratio=0.5),
        ),
        n5_model=["9", 0],
    )
    filled = fill(read(graph, types))
    assert (["lora", 0], ["9", 0]) == (filled["5"]["inputs"]["model"], filled["lora"]["inputs"]["model"])
    assert ["1", 0] == filled["9"]["inputs"]["model1"]
    assert "puts the model together of several" in refusal(graph, types, base_model="other")


@pytest.mark.parametrize("types", TYPES)
def test_base_and_refiner(types: str) -> None:
    """The loader goes onto the chain that begins; a warning names the sampler without the LoRA; the plan overrules."""
    graph = case("refused_two_pass")
    graph["8"] = node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors")
    put(graph, "11.model", ["8", 0])
    workflow = read(graph, types)
    filled = fill(workflow)
    assert (["lora", 0], ["8", 0]) == (filled["5"]["inputs"]["model"], filled["11"]["inputs"]["model"])
    warning = "warning: node 11 'Second pass' samples with a model of its own, without the tested LoRA."
    assert [warning] == [line.partition(" [")[0] for line in workflow.warnings()]
    other = fill(read(graph, types, nodes=Nodes(lora="8")))
    assert (["1", 0], ["lora", 0]) == (other["5"]["inputs"]["model"], other["11"]["inputs"]["model"])


@pytest.mark.parametrize("types", TYPES)
def test_model_of_a_negative_side_goes_without_the_lora(types: str) -> None:
    """A guider with a second model for what it goes away from: the first takes the LoRA, and the other is named."""
    graph = simple(
        n8=node("UNETLoader", unet_name="uncond.safetensors", weight_dtype="default"),
        n10=node(
            "DualModelGuider",
            model=["1", 0],
            positive=["2", 0],
            model_negative=["8", 0],
            negative=["3", 0],
            cfg=5.0,
        ),
        n11=node("RandomNoise", noise_seed=7),
        n12=node("KSamplerSelect", sampler_name="a"),
        n13=node("BasicScheduler", model=["1", 0], scheduler="a", steps=20, denoise=1.0),
        n5=node(
            "SamplerCustomAdvanced",
            noise=["11", 0],
            guider=["10", 0],
            sampler=["12", 0],
            sigmas=["13", 0],
            latent_image=["4", 0],
        ),
    )
    workflow = read(graph, types)
    filled = fill(workflow)
    assert (["lora", 0], ["8", 0]) == (filled["10"]["inputs"]["model"], filled["10"]["inputs"]["model_negative"])
    assert ["10"] == list(workflow.parts.without_lora)


@pytest.mark.parametrize("types", TYPES)
def test_sampler_that_only_guides_does_not_begin(types: str) -> None:
    """A map of depths that another model samples takes no LoRA."""
    graph = linked(
        simple(
            n20=node("UNETLoader", unet_name="depth.safetensors", weight_dtype="default"),
            n21=node("BasicGuider", model=["20", 0], conditioning=["22", 0]),
            n22=node("Empty Thought", size=8),
            n23=node("RandomNoise", noise_seed=1),
            n24=node("KSamplerSelect", sampler_name="a"),
            n25=node("BasicScheduler", model=["20", 0], scheduler="a", steps=1, denoise=1.0),
            n26=node("EmptyLatentImage", width=512, height=512, batch_size=1),
            n27=node(
                "SamplerCustomAdvanced",
                noise=["23", 0],
                guider=["21", 0],
                sampler=["24", 0],
                sigmas=["25", 0],
                latent_image=["26", 0],
            ),
            n28=node("VAEDecode", samples=["27", 0], vae=["1", 2]),
            n29=node("ControlNetLoader", control_net_name="a"),
            n30=node(
                "ControlNetApplyAdvanced",
                positive=["2", 0],
                negative=["3", 0],
                control_net=["29", 0],
                image=["28", 0],
                strength=1.0,
                start_percent=0.0,
                end_percent=1.0,
            ),
        ),
        n5_positive=["30", 0],
        n5_negative=["30", 1],
    )
    filled = fill(read(graph, types))
    assert (["lora", 0], ["20", 0]) == (filled["5"]["inputs"]["model"], filled["21"]["inputs"]["model"])


@pytest.mark.parametrize("types", TYPES)
def test_slot_that_is_switched_off_is_switched_on_for_checkpoints(types: str) -> None:
    """A LoRA that the file has switched off is on for a checkpoint, in a dictionary and in a stack."""
    power = case("silent_power_lora_loader")
    power["10"]["inputs"]["lora_1"]["on"] = False
    assert {"on": True, "lora": TESTED, "strength": 1.0} == fill(read(power, types))["10"]["inputs"]["lora_1"]
    stack = linked(case("silent_lora_stack"), n10_switch_1="Off")
    assert ("On", TESTED) == tuple(fill(read(stack, types))["10"]["inputs"][one] for one in ("switch_1", "lora_name_1"))


@pytest.mark.parametrize("types", TYPES)
def test_slot_on_a_side_that_a_switch_leaves_out_is_told(types: str) -> None:
    """A tested LoRA that the graph does not use would make every checkpoint the baseline; seeds there are set too."""
    graph = case("refused_unet_loader_with_lora")
    graph |= {
        "12": node("ComfySwitchNode", switch=False, on_false=["1", 0], on_true=["11", 0]),
        "13": node("LoraLoaderModelOnly", model=["12", 0], lora_name="style.safetensors", strength_model=1.0),
    }
    put(graph, "10.model", ["13", 0])
    assert (
        "cannot be used as it is:\n"
        "  The tested LoRA is loaded by node 11 'LoraLoaderModelOnly', on a side that a switch leaves out. Turn the "
        "switch over in ComfyUI, and export again."
    ) == refusal(graph, types)
    put(graph, "12.switch", value=True)
    baseline = fill(read(graph, types), lora=None)
    assert (["1", 0], "style.safetensors") == (
        baseline["12"]["inputs"]["on_true"],
        baseline["13"]["inputs"]["lora_name"],
    )


@pytest.mark.parametrize("types", TYPES)
def test_others_in_a_stack_stay_in_the_baseline(types: str) -> None:
    """What the plan does not name is in every picture, the baseline too, and is named as left alone."""
    graph = linked(case("silent_lora_stack"), n10_switch_2="On", n10_lora_name_2="style.safetensors")
    workflow = read(graph, types)
    baseline = fill(workflow, lora=None)["10"]["inputs"]
    assert ("None", "style.safetensors") == (baseline["lora_name_1"], baseline["lora_name_2"])
    assert "left alone: style.safetensors (10 'CR LoRA Stack'.lora_name_2)" in next(workflow.lines())


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("count", ["lora_count", "num_loras"])
def test_slot_beyond_the_count_of_a_stack_is_told(types: str, count: str) -> None:
    """A stack that uses fewer LoRAs than it holds does not load the tested one, however it is filled."""
    names: dict[str, Any] = {
        count: 1,
        "lora_name_1": "style.safetensors",
        "lora_name_2": TESTED,
        "lora_wt_1": 0.5,
        "lora_wt_2": 1.0,
    }
    graph = linked(simple(n10=node("Any Stack", model=["1", 0], clip=["1", 1], **names)), n5_model=["10", 0])
    assert f"10 'Any Stack'.lora_name_2 is not used: 10 'Any Stack'.{count} is less" in refusal(graph, types)
    assert TESTED == fill(read(linked(graph, **{f"n10_{count}": 2}), types))["10"]["inputs"]["lora_name_2"]


@pytest.mark.parametrize("types", TYPES)
def test_tag_in_a_text_is_a_slot_where_a_node_loads_it(types: str) -> None:
    """A tag takes the tested LoRA where its text goes to a loader; other tags stay, also in the baseline."""
    words = "<lora:mine-step600:0.7> a fox <lora:style:1>"
    graph = linked(
        simple(n10=node("LoRA Tag Loader", model=["1", 0], clip=["1", 1], text=words)),
        n5_model=["10", 0],
        n2_clip=["10", 1],
        n2_text=["10", 2],
        n3_clip=["10", 1],
    )
    workflow = read(graph, types)
    assert "a fox in a forest <lora:mine_step200:0.7> <lora:style:1>" == fill(workflow)["10"]["inputs"]["text"]
    assert "a fox in a forest <lora:style:1>" == fill(workflow, lora=None)["10"]["inputs"]["text"]


@pytest.mark.parametrize("types", TYPES)
def test_name_that_comes_from_another_node_is_a_slot(types: str) -> None:
    """A loader that takes the file's name over a link is the tested one, and gone from the baseline."""
    graph = case("silent_core_bypass_loader")
    graph["11"] = node("PrimitiveStringMultiline", value="mine-step600.safetensors")
    put(graph, "10.lora_name", ["11", 0])
    workflow = read(graph, types)
    assert TESTED == fill(workflow)["11"]["inputs"]["value"]
    baseline = fill(workflow, lora=None)
    assert (["1", 0], False) == (baseline["5"]["inputs"]["model"], "10" in baseline)


@pytest.mark.parametrize("types", TYPES)
def test_two_slots_of_the_plan_are_asked_about(types: str) -> None:
    """Two LoRAs of the plan one behind the other: the plan says which is tested."""
    graph = linked(case("silent_lora_stack"), n10_switch_2="On", n10_lora_name_2="mine-step200.safetensors")
    assert (
        "cannot be used as it is:\n"
        "  Several places load a LoRA of the plan: 10 'CR LoRA Stack'.lora_name_1 (mine-step600.safetensors), "
        "10 'CR LoRA Stack'.lora_name_2 (mine-step200.safetensors). Which one is the tested one?\n"
        '      [comfyui.nodes]\n      lora = "10.lora_name_1"'
    ) == refusal(graph, types)
    filled = fill(read(graph, types, nodes=Nodes(lora="10.lora_name_1")), lora=None)["10"]["inputs"]
    assert ("None", "mine-step200.safetensors") == (filled["lora_name_1"], filled["lora_name_2"])


@pytest.mark.parametrize("types", TYPES)
def test_name_in_other_case_is_asked_about(types: str) -> None:
    """A LoRA that is the plan's but for upper and lower case is not taken for somebody else's, which would stay."""
    graph = case("silent_core_bypass_loader")
    put(graph, "10.lora_name", "Mine-Step600.safetensors")
    assert (
        "10 'LoraLoaderBypass'.lora_name loads Mine-Step600.safetensors, which differs from a LoRA of the plan in "
        "upper and lower case alone. Is it the tested one? If it is another LoRA, rename that file.\n"
        '      [comfyui.nodes]\n      lora = "10.lora_name"'
    ) in refusal(graph, types)
    assert TESTED == fill(read(graph, types, nodes=Nodes(lora="10.lora_name")))["10"]["inputs"]["lora_name"]


@pytest.mark.parametrize("types", TYPES)
def test_strength_zero_is_asked_about(types: str) -> None:
    """A tested LoRA at strength 0 would make every checkpoint the baseline."""
    graph = linked(case("silent_core_bypass_loader"), n10_strength_model=0.0, n10_strength_clip=0.0)
    message = refusal(graph, types)
    assert "has strength 0 in 10 'LoraLoaderBypass'.lora_name" in message
    assert message.endswith("Say how strong it is:\n      [sampling]\n      lora_strength = 1.0")
    filled = fill(read(graph, types, lora_strength=0.9), lora_strength=0.9)["10"]["inputs"]
    assert (0.9, 0.9) == (filled["strength_model"], filled["strength_clip"])


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        pytest.param(Nodes(picture="99"), "picture: no node has the id or title '99'.", id="absent"),
        pytest.param(Nodes(picture="VAEDekode"), "'VAEDekode'. Nearest are: VAEDecode.", id="mistyped"),
        pytest.param(Nodes(picture="4"), "picture: node 4 'EmptyLatentImage' neither saves, shows", id="no_picture"),
        pytest.param(Nodes(prompt=("Same.text",)), "several nodes are titled 'Same': 2, 3.", id="two_of_a_title"),
        pytest.param(Nodes(prompt=("2",)), "prompt: '2' names no input of node 2 'Same'", id="no_input"),
        pytest.param(Nodes(prompt=("2.txt",)), "It has: clip, text.", id="wrong_input"),
        pytest.param(Nodes(lora="4"), "lora: node 4 'EmptyLatentImage' gives no model", id="no_loader"),
        pytest.param(Nodes(lora="2.text"), "lora: '2.text' holds no LoRA.", id="no_slot"),
    ],
)
def test_wrong_names_of_nodes_are_told(nodes: Nodes, told: str) -> None:
    """A part that the plan names and the workflow does not have is told, with what there is."""
    graph = simple()
    graph["2"]["_meta"] = graph["3"]["_meta"] = {"title": "Same"}
    assert told in refusal(graph, nodes=nodes)


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        (Nodes(seed=("2.text",)), "seed: '2.text' takes no whole number."),
        (Nodes(seed=("5.steps",)), "seed: '5.steps' sets something else."),
        (Nodes(seed=("4.width",)), "seed: '4.width' sets something else."),
        (Nodes(seed=("90.value",)), "seed: '90.value' sets something else."),
        (Nodes(prompt=("1.ckpt_name",)), "prompt: '1.ckpt_name' takes no prompt."),
        (Nodes(negative=("5.sampler_name",)), "negative: '5.sampler_name' takes no prompt."),
        (Nodes(prompt=("5.seed",)), "prompt: '5.seed' takes no prompt."),
        (Nodes(prompt=("7.filename_prefix",)), "prompt: '7.filename_prefix' takes no prompt."),
    ],
)
def test_inputs_that_take_something_else_are_refused(nodes: Nodes, told: str, types: str) -> None:
    """The plan cannot name a setting or a text as the seed, nor a file, a number or a prefix as a prompt."""
    graph = simple() | {"90": {"class_type": "PrimitiveInt", "inputs": {"value": 20}}}
    graph["5"]["inputs"]["steps"] = ["90", 0]
    assert told in refusal(graph, types, nodes=nodes)


@pytest.mark.parametrize("types", TYPES)
def test_seed_may_be_named_where_it_stands_behind_a_link(types: str) -> None:
    """A number of its own that the sampler takes as its seed is a place for it, and so is the linked input."""
    graph = simple() | {"90": {"class_type": "PrimitiveInt", "inputs": {"value": 20}}}
    graph["5"]["inputs"]["seed"] = ["90", 0]
    for name in ("90.value", "5.seed"):
        assert read(graph, types, nodes=Nodes(seed=(name,))).parts.seeds


def test_everything_that_is_missing_is_told_at_once() -> None:
    """Picture aside, one message asks for the prompt, the seed and the LoRA's place, each with its line."""
    graph = case("silent_two_regions")
    del graph["5"]["inputs"]["seed"]
    lines = [line.strip() for line in refusal(graph).splitlines() if line.startswith(" " * 6)]
    assert ["[comfyui.nodes]", 'prompt = ["2.text"]', 'seed = ["ID.INPUT"]'] == lines
    assert {"prompt": ["2.text"], "seed": ["ID.INPUT"]} == tomllib.loads("\n".join(lines))["comfyui"]["nodes"]


def test_digest_changes_with_what_is_sent_alone() -> None:
    """An own workflow that changes has another digest; one whose unused nodes change has the same."""
    graph = case("refused_two_saves")

    def digest(changed: Graph) -> str:
        filled = read(changed).fill(cell(), plain(), base_model=None, lora_file=TESTED, prefix="p")
        return filled.digest("a" * 64)

    unused = copy.deepcopy(graph)
    unused["6"]["class_type"] = "VAEDecodeTiled"
    unused |= {"lora2": node("EmptyLatentImage", width=8, height=8, batch_size=1)}
    used = linked(copy.deepcopy(graph), n11_denoise=0.4)
    assert (True, False) == (digest(graph) == digest(unused), digest(graph) == digest(used))


def server_says(graph: Graph, *left_out: str) -> list[str]:
    """Return what a server would not take of a filled graph, whose drop-downs offer `a` and `b`."""
    types = read_types(object_info(*left_out))
    workflow = Workflow.of(graph, types=types, path=Path("own.json"))
    filled = workflow.fill(cell(), plain(), base_model=None, lora_file=TESTED, prefix="p")
    try:
        workflow.check(filled, types, server="http://host", staged=[TESTED])
    except WorkflowError as error:
        return str(error).splitlines()
    return []


def offered() -> Graph:
    """Write a workflow whose values the server of these tests offers."""
    return linked(simple(), n1_ckpt_name="a", n5_sampler_name="a", n5_scheduler="b")


def test_file_that_stays_in_the_baseline_must_be_offered() -> None:
    """A LoRA that the baseline can only weaken to 0 is named there as in the file, which the server has to list."""
    hook = {"input": {"required": {"lora_name": [["a"], {}], "strength_model": ["FLOAT", {}]}}, "output": ["HOOKS"]}
    types = read_types(object_info() | {"CreateHookLora": hook, "SetClipHooks": {"input": {}, "output": ["CLIP"]}})
    graph = linked(offered(), n2_clip=["11", 0])
    graph["10"] = node("CreateHookLora", lora_name="mine-step600.safetensors", strength_model=1.0)
    graph["11"] = node("SetClipHooks", clip=["1", 1], hooks=["10", 0])
    files = frozenset({"mine-step600.safetensors"})
    workflow = Workflow.of(graph, types=types, files=files, path=Path("own.json"))
    graphs = [
        workflow.fill(cell(), plain(), base_model=None, lora_file=file, prefix="p") for file in (f"sub/{TESTED}", None)
    ]
    assert 0.0 == graphs[1].graph["10"]["inputs"]["strength_model"]
    workflow.check(graphs[0], types, server="http://host", staged=[TESTED])
    with pytest.raises(WorkflowError, match=r"lora_name is 'mine-step600.safetensors', which is not offered there"):
        workflow.check(graphs[1], types, server="http://host", staged=[TESTED])


def test_graph_that_a_server_takes_is_not_refused() -> None:
    """The tested LoRA, which is not staged yet, may be absent from the list."""
    assert [] == server_says(offered())


def test_what_a_server_would_refuse_is_told_at_once() -> None:
    """A value that is not offered, a wrong link, a missing input: each with its node, title and input."""
    graph = linked(
        offered() | {"1": node("CheckpointLoaderSimple", "Base", ckpt_name="aa")},
        n5_sampler_name="eulr",
        n6_vae=["4", 0],
    )
    del graph["5"]["inputs"]["steps"]
    assert [
        "The workflow own.json does not run on http://host:",
        "  Node 1 'Base': ckpt_name is 'aa', which is not offered there. It offers, nearest first: a.",
        "  Node 5 'KSampler': its input steps (INT) is missing.",
        "  Node 5 'KSampler': sampler_name is 'eulr', which is not offered there. It offers, nearest first: a, b.",
        "  Node 6 'VAEDecode': vae takes VAE, and is linked to a LATENT of node 4 'EmptyLatentImage'.",
    ] == server_says(graph)


def test_classes_that_are_not_installed_are_told_at_once() -> None:
    """Every node whose class the server lacks is named, and then what to do."""
    graph = linked(offered() | {"10": node("FreeU_V9", "Magic", model=["1", 0], b1=1.1)}, n5_model=["10", 0])
    assert [
        "The workflow own.json does not run on http://host:",
        "  Node 6 'VAEDecode': its class 'VAEDecode' is not installed there.",
        "  Node 10 'Magic': its class 'FreeU_V9' is not installed there.",
        (
            "Install the custom nodes there that bring what is missing, or export a workflow without them. (The "
            "stand-in of --demo has ComfyUI's own nodes alone.)"
        ),
    ] == server_says(graph, "VAEDecode")


def test_output_that_a_node_does_not_have_is_told() -> None:
    """A link to an output past the last one is told with how many there are."""
    assert (
        "  Node 6 'VAEDecode': vae is linked to output 7 of node 1 'CheckpointLoaderSimple', which has 3."
        in server_says(linked(offered(), n6_vae=["1", 7]))
    )


def test_titles_with_markup_are_shown_as_they_are() -> None:
    """What a title holds neither steers the terminal nor hides."""
    graph = linked(simple())
    graph["2"]["_meta"] = {"title": "\x1b[31m<b>red</b>\u202e" + "x" * 500}
    line = next(read(graph).lines())
    assert "\x1b" not in line
    assert "\u202e" not in line
    assert "2 '\\x1b[31m<b>red</b>" in line
    assert "x" * 100 not in line


def with_strength(value: object) -> Graph:
    """Write a workflow whose LoRA takes its strengths from a node that holds a value."""
    loader = node(
        "LoraLoader",
        model=["1", 0],
        clip=["1", 1],
        lora_name="mine-step200.safetensors",
        strength_model=["20", 0],
        strength_clip=["20", 0],
    )
    graph = simple(n10=loader, n20=node("PrimitiveFloat", value=value))
    return linked(graph, n5_model=["10", 0], n2_clip=["10", 1], n3_clip=["10", 1])


@pytest.mark.parametrize("types", TYPES)
def test_strength_behind_a_link_is_the_plans(types: str) -> None:
    """The plan's strength takes the place of a link; where it gives none, the link stays, unless it leads to 0."""
    given = fill(read(with_strength(0.7), types, lora_strength=0.5), lora_strength=0.5)["10"]["inputs"]
    assert (0.5, 0.5) == (given["strength_model"], given["strength_clip"])
    kept = fill(read(with_strength(0.7), types))["10"]["inputs"]
    assert (["20", 0], ["20", 0]) == (kept["strength_model"], kept["strength_clip"])
    assert "The tested LoRA has strength 0" in refusal(with_strength(0.0), types)


@pytest.mark.parametrize("types", TYPES)
def test_strength_without_a_place_is_refused(types: str) -> None:
    """A strength that another node works out is not the plan's: a plan that gives one is told so."""
    graph = with_strength(0.7)
    graph["20"] = node("SimpleMath+", value="a*b", a=1.0, b=2.0)

    message = refusal(graph, types, lora_strength=0.5)

    assert "The plan gives `lora_strength`, and none is found beside 10 'LoraLoader'.lora_name." in message


@pytest.mark.parametrize("types", TYPES)
def test_loader_that_also_cuts_the_clip_stays_in_the_baseline(types: str) -> None:
    """The baseline goes without the LoRA, and keeps the clip skip that its loader sets."""
    graph = with_strength(1.0)
    graph["10"]["class_type"] = "LoRA and clip skip"
    graph["10"]["inputs"]["clip_skip"] = -2

    baseline = fill(read(graph, types), lora=None)

    assert (["10", 1], -2) == (baseline["2"]["inputs"]["clip"], baseline["10"]["inputs"]["clip_skip"])
    assert "None" == baseline["10"]["inputs"]["lora_name"]


@pytest.mark.parametrize("types", TYPES)
def test_text_that_is_read_off_a_picture_is_asked_about(types: str) -> None:
    """What a node is told to say about a picture is no prompt: which text is, a person says."""
    describe = node("Describe Picture", image=["21", 0], prompt="Describe what you see")
    graph = linked(simple(n20=describe, n21=node("LoadImage", image="a.png")), n2_text=["20", 0])

    message = refusal(graph, types)

    assert "2 'Positive'.text (made by another node)" in message
    assert 'prompt = ["' in message


@pytest.mark.parametrize("types", TYPES)
def test_latent_cut_into_a_batch_is_refused(types: str) -> None:
    """A node that cuts one latent into several pictures is named before the first is rendered."""
    cut = node("LatentCutToBatch", samples=["5", 0], dim="t", slice_size=1)
    graph = linked(simple(n20=cut), n6_samples=["20", 0])

    assert "Node 20 'LatentCutToBatch' puts several pictures into one batch" in refusal(graph, types)


def test_size_that_the_file_leaves_out_is_the_nodes_default() -> None:
    """The size of a picture is the plan's, else the file's, else what the server says of the node; else nobody's."""
    told = object_info()
    for side, default in (("width", 512), ("height", 768)):
        told["EmptyLatentImage"]["input"]["required"][side] = ["INT", {"default": default}]
    graph = simple()
    latent = graph["4"]["inputs"]

    def size(types: dict[str, Any], **given: int) -> tuple[int, int] | None:
        sampling = plain(**given)
        found = Workflow.of(graph, types=read_types(types), sampling=sampling, path=Path("own.json"))
        return found.size(sampling)

    assert (latent["width"], latent["height"]) == size(told)
    assert (64, 128) == size(told, width=64, height=128)
    del latent["width"], latent["height"]
    assert (512, 768) == size(told)
    assert size({}) is None
    latent |= {"width": ["8", 0], "height": ["8", 1]}
    graph["8"] = node("Pick A Size", wanted="portrait", model=["1", 0])
    assert size(told) is None


@pytest.mark.parametrize("types", TYPES)
def test_picture_that_is_saved_as_a_film_is_judged(types: str) -> None:
    """Where a film is made of the picture before it is saved, the picture itself is saved instead."""
    film = node("SaveVideo", video=["20", 0], filename_prefix="film", format="auto", codec="auto")
    graph = simple(n20=node("CreateVideo", images=["6", 0], fps=16.0), n7=film)
    filled = fill(read(graph, types))
    assert (["6", 0], False) == (filled["save"]["inputs"]["images"], bool({"7", "20"} & filled.keys()))


@pytest.mark.parametrize("types", TYPES)
def test_pipe_that_is_unpacked_elsewhere_leads_to_its_texts(types: str) -> None:
    """What a bus takes is found where another bus gives it, each side by itself."""
    graph = linked(
        simple(
            n10=node("Bus", model=["1", 0], positive=["2", 0], negative=["3", 0]),
            n11=node("Bus", bus=["10", 0]),
        ),
        n5_model=["11", 1],
        n5_positive=["11", 2],
        n5_negative=["11", 3],
    )
    bus = {"input": {}, "output": ["BUS", "MODEL", "CONDITIONING", "CONDITIONING"]}
    told = {"typed": read_types(object_info() | {"Bus": bus}), "by_name": {}}[types]
    workflow = Workflow.of(graph, types=told, sampling=plain(negative="ugly"))
    filled = fill(workflow, negative="ugly")
    assert ("a fox in a forest", "ugly", ["lora", 0]) == (
        filled["2"]["inputs"]["text"],
        filled["3"]["inputs"]["text"],
        filled["10"]["inputs"]["model"],
    )


def test_pipe_without_a_text_on_one_side_is_not_filled_from_the_other() -> None:
    """Where the positive side of a pipe has no text that could be found, the negative's is not taken for it."""
    graph = linked(
        simple(
            n10=node("ToBasicPipe", model=["1", 0], positive=["12", 0], negative=["3", 0]),
            n11=node("FromBasicPipe", basic_pipe=["10", 0]),
            n12=node("Regions", regions=["13", 0], strength=1.0),
            n13=node("Drawn Regions", file="regions.json"),
        ),
        n5_model=["11", 0],
        n5_positive=["11", 1],
        n5_negative=["11", 2],
    )
    assert "No text was found that the prompt could replace" in refusal(graph, "by_name")


@pytest.mark.parametrize("types", TYPES)
def test_size_without_a_model_that_is_known_to_be_sampled_with(types: str) -> None:
    """Where loader and sampler pass all between them in one link, the size goes to what the picture begins with."""
    graph: Graph = {
        "1": node(
            "Loader", lora_name="mine-step600.safetensors", positive="a dog", empty_latent_width=64, batch_size=1
        ),
        "2": node("Sampler", sdxl_tuple=["1", 0], noise_seed=1, latent_image=["1", 1]),
        "3": node("SaveImage", images=["2", 3], filename_prefix="a"),
    }
    filled = fill(read(graph, types, width=128), width=128)
    assert (128, "a fox in a forest", 42) == (
        filled["1"]["inputs"]["empty_latent_width"],
        filled["1"]["inputs"]["positive"],
        filled["2"]["inputs"]["noise_seed"],
    )


@pytest.mark.parametrize("types", TYPES)
def test_node_that_does_everything_has_its_prompt_by_name(types: str) -> None:
    """Without a conditioning anywhere, the one prompt and the one negative are those; two are asked about."""
    inputs: dict[str, Any] = {"lora_name": "mine-step600.safetensors", "seed": 1, "width": 64, "height": 64}
    graph: Graph = {
        "1": node("All In One", prompt=["3", 0], negative_prompt="blurry", **inputs),
        "2": node("SaveImage", images=["1", 0], filename_prefix="a"),
        "3": node("PrimitiveStringMultiline", value="a dog"),
    }
    filled = fill(read(graph, types, negative="ugly"), negative="ugly")
    assert ("a fox in a forest", "ugly") == (filled["3"]["inputs"]["value"], filled["1"]["inputs"]["negative_prompt"])
    put(graph, "1.prompt_2", "a ship")
    assert "No text was found that the prompt could replace" in refusal(graph, types)
