"""Which texts of a graph are the prompt, where several could be."""

import pytest

from tests.plugins.comfyui.own_graphs import TYPES, Graph, fill, linked, node, read, refusal, simple


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
