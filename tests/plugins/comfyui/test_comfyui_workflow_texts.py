"""Which texts of a graph are the prompt, where several could be."""

import pytest

from tests.plugins.comfyui.own_graphs import TYPES, Graph, fill, linked, node, put, read, refusal, simple


@pytest.mark.parametrize("types", TYPES)
def test_text_that_is_titled_a_system_prompt_stays(types: str) -> None:
    """What tells a language model how to behave is joined with the prompt, and is none."""
    graph = linked(
        simple(
            n10=node("PrimitiveStringMultiline", "System Prompt", value="You are an assistant."),
            n11=node("PrimitiveStringMultiline", "Prompt", value="a dog"),
            n12=node("StringConcatenate", string_a=["10", 0], string_b=["11", 0], delimiter=" "),
        ),
        n2_text=["12", 0],
    )
    filled = fill(read(graph, types))
    assert ("You are an assistant.", "a fox in a forest") == (
        filled["10"]["inputs"]["value"],
        filled["11"]["inputs"]["value"],
    )


@pytest.mark.parametrize("types", TYPES)
def test_two_texts_that_are_both_titled_a_system_prompt_are_asked_about(types: str) -> None:
    """Where a title was copied with its node, it says nothing: no text is left that could be the prompt."""
    graph = linked(
        simple(
            n10=node("PrimitiveStringMultiline", "System Prompt", value="You are an assistant."),
            n11=node("PrimitiveStringMultiline", "System Prompt", value="a dog"),
            n12=node("StringConcatenate", string_a=["10", 0], string_b=["11", 0], delimiter=" "),
        ),
        n2_text=["12", 0],
    )
    assert "No text was found that the prompt could replace" in refusal(graph, types)


@pytest.mark.parametrize("types", TYPES)
def test_encoders_that_share_a_text_have_one_prompt(types: str) -> None:
    """A refiner's encoder with one of the two texts of the base's is told from a second region."""
    graph = _refined()
    filled = fill(read(graph, types))
    assert ["a fox in a forest"] * 3 == [
        filled["2"]["inputs"]["text_g"],
        filled["2"]["inputs"]["text_l"],
        filled["8"]["inputs"]["text"],
    ]
    assert "several different texts on the positive side" in refusal(linked(graph, n8_text="sharp"), types)


def _refined() -> Graph:
    encoder = node("CLIPTextEncodeSDXL", clip=["1", 1], text_g="a dog", text_l="oil painting", width=64, height=64)
    refiner = {"model": ["9", 0], "positive": ["8", 0], "negative": ["3", 0], "latent_image": ["5", 0], "denoise": 0.3}
    graph = simple(
        n2=encoder,
        n8=node("CLIPTextEncode", clip=["9", 1], text="a dog"),
        n9=node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors"),
    )
    graph["10"] = node("KSampler", **(graph["5"]["inputs"] | refiner))
    return linked(graph, n6_samples=["10", 0])


@pytest.mark.parametrize("types", TYPES)
def test_prompt_that_a_language_model_rewrites_is_told(types: str) -> None:
    """The person's text is filled, since the whole prompt starts there; that another one is written of it is said."""
    graph = linked(
        simple(
            n10=node("PrimitiveStringMultiline", "Prompt", value="a dog"),
            n11=node("Enhance Prompt", clip=["1", 1], prompt=["10", 0], seed=7),
        ),
        n2_text=["11", 0],
    )
    workflow = read(graph, types)
    assert "a fox in a forest" == fill(workflow)["10"]["inputs"]["value"]
    assert (
        "warning: node 11 'Enhance Prompt' writes a text of its own out of the prompt. Whether the trigger word is "
        "still in it is not checked."
    ) in workflow.warnings()


def test_model_that_is_called_t5_is_no_text() -> None:
    """An encoder that nobody describes takes its model by a name that texts have, too; the loader's words stay."""
    graph = simple(
        n2=node("T5TextEncode", text="a dog", T5=["8", 0]),
        n3=node("ConditioningZeroOut", conditioning=["2", 0]),
        n8=node("T5v11Loader", t5v11_name="t5.safetensors", t5v11_ver="xxl", path_type="folder"),
    )
    filled = fill(read(graph))
    assert ("a fox in a forest", "xxl") == (filled["2"]["inputs"]["text"], filled["8"]["inputs"]["t5v11_ver"])


@pytest.mark.parametrize("types", TYPES)
def test_text_that_a_node_showed_before_is_no_part_of_the_prompt(types: str) -> None:
    """A node that shows a text and hands it on holds the last one, too, which it does not use again."""
    graph = linked(
        simple(
            n10=node("PrimitiveStringMultiline", value="a dog"),
            n11=node("ShowText|pysssss", text=["10", 0], text_0="a dog as it was"),
        ),
        n2_text=["11", 0],
    )
    filled = fill(read(graph, types))
    assert ("a fox in a forest", "a dog as it was") == (
        filled["10"]["inputs"]["value"],
        filled["11"]["inputs"]["text_0"],
    )


@pytest.mark.parametrize("types", TYPES)
def test_node_with_the_texts_of_both_sides_gives_each_its_own(types: str) -> None:
    """A styler that takes both texts and gives both has the prompt in the one and the negative in the other."""
    styler = node("Styler", text_positive="a dog", text_negative="blurry", style="anime", log_prompt="No")
    graph = linked(simple(n10=styler), n2_text=["10", 0], n3_text=["10", 1])
    filled = fill(read(graph, types, negative="ugly"), negative="ugly")["10"]["inputs"]
    assert ("a fox in a forest", "ugly", "anime", "No") == (
        filled["text_positive"],
        filled["text_negative"],
        filled["style"],
        filled["log_prompt"],
    )
    assert "blurry" == fill(read(graph, types))["10"]["inputs"]["text_negative"]


@pytest.mark.parametrize("types", TYPES)
def test_text_is_found_through_a_switch_of_anything(types: str) -> None:
    """A switch whose inputs take anything hands a text on; where two come to it, both are named."""
    graph = linked(
        simple(n10=node("Any Switch", any_01=["11", 0]), n11=node("PrimitiveStringMultiline", value="a dog")),
        n2_text=["10", 0],
    )
    assert "a fox in a forest" == fill(read(graph, types))["11"]["inputs"]["value"]
    graph["12"] = node("PrimitiveStringMultiline", value="a ship")
    message = refusal(linked(graph, n10_any_02=["12", 0]), types)
    assert "parts: 11 'PrimitiveStringMultiline'.value ('a dog'), 12 'PrimitiveStringMultiline'.value" in message


@pytest.mark.parametrize("types", TYPES)
def test_number_that_becomes_a_part_of_the_prompt_is_asked_about(types: str) -> None:
    """What comes through such a switch and is no text is not overlooked."""
    graph = linked(
        simple(
            n10=node("Any Switch", any_01=["11", 0]),
            n11=node("Counter", value=5),
            n12=node("StringConcatenate", string_a=["10", 0], string_b="dogs", delimiter=" "),
        ),
        n2_text=["12", 0],
    )
    assert "made by another node" in refusal(graph, types)


@pytest.mark.parametrize("types", TYPES)
def test_wildcards_and_what_they_became_are_one_text(types: str) -> None:
    """A processor of wildcards holds the text twice, as written and as populated: both take the prompt."""
    wildcards = node("Wildcard Processor", wildcard_text="a __pet__", populated_text="a dog", mode="populate", seed=3)
    graph = linked(simple(n10=wildcards), n2_text=["10", 0])
    workflow = read(graph, types)
    filled = fill(workflow)["10"]["inputs"]
    assert ("a fox in a forest", "a fox in a forest", 42) == (
        filled["wildcard_text"],
        filled["populated_text"],
        filled["seed"],
    )
    assert ["10 'Wildcard Processor' writes a text of its own" in one for one in workflow.warnings()] == [True]


@pytest.mark.parametrize("types", TYPES)
def test_encoder_whose_texts_are_called_by_their_models(types: str) -> None:
    """The two texts of an encoder that names them after its language models take the prompt."""
    graph = simple(n2=node("CLIPTextEncodeHunyuanDiT", clip=["1", 1], bert="a dog", mt5xl="a dog"))
    filled = fill(read(graph, types))["2"]["inputs"]
    assert ("a fox in a forest", "a fox in a forest") == (filled["bert"], filled["mt5xl"])


@pytest.mark.parametrize("types", TYPES)
def test_text_that_comes_to_clip_l_is_no_clip(types: str) -> None:
    """An encoder whose texts come over links has its CLIP where it takes one, and the loader goes there."""
    graph = simple(
        n2=node("CLIPTextEncodeFlux", clip=["1", 1], clip_l=["20", 0], t5xxl=["20", 0], guidance=3.5),
        n20=node("PrimitiveStringMultiline", value="a dog"),
    )
    filled = fill(read(graph, types))
    assert ("a fox in a forest", ["lora", 1], ["20", 0]) == (
        filled["20"]["inputs"]["value"],
        filled["2"]["inputs"]["clip"],
        filled["2"]["inputs"]["clip_l"],
    )


@pytest.mark.parametrize("name", ["cond1", "cond_1", "conditioning_1"])
def test_conditioning_of_a_node_that_nobody_describes_is_known_by_its_name(name: str) -> None:
    """A second region that a patch of the model takes is not overlooked without a server."""
    graph = linked(
        simple(n8=node("CLIPTextEncode", text="a ship", clip=["1", 1]), n10=node("Couple", model=["1", 0])),
        n5_model=["10", 0],
    )
    put(graph, f"10.{name}", ["8", 0])
    assert "several different texts on the positive side" in refusal(graph, "by_name")
