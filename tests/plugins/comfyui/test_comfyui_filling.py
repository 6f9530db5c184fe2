"""What of a plan reaches which input of a graph, and what is asked because it has no place, or several."""

from typing import Any

import pytest

from tests.plugins.comfyui.own_graphs import Graph, case, fill, linked, node, read, refusal, simple


def in_part(start: int, end: int) -> Graph:
    """Write a workflow whose sampler takes from one of its 20 steps to another."""
    return linked(case("silent_end_at_step"), n5_start_at_step=start, n5_end_at_step=end)


def split(step: int, **scheduler: Any) -> Graph:
    """Write a workflow that samples with a part of its sigmas, whose scheduler takes these inputs."""
    return simple(
        n5=node(
            "SamplerCustomAdvanced",
            noise=["11", 0],
            guider=["12", 0],
            sampler=["13", 0],
            sigmas=["15", 0],
            latent_image=["4", 0],
        ),
        n11=node("RandomNoise", noise_seed=1),
        n12=node("CFGGuider", model=["1", 0], positive=["2", 0], negative=["3", 0], cfg=7.0),
        n13=node("KSamplerSelect", sampler_name="euler"),
        n14=node("BasicScheduler", model=["1", 0], scheduler="normal", denoise=1.0, **scheduler),
        n15=node("SplitSigmas", sigmas=["14", 0], step=step),
    )


@pytest.mark.parametrize(
    ("start", "end", "steps", "filled"),
    [
        pytest.param(0, 20, 30, (0, 30), id="end-follows"),
        pytest.param(5, 20, 30, (5, 30), id="only-the-end-follows"),
        pytest.param(20, 20, 30, (20, 30), id="start-at-the-last-step-stays"),
        pytest.param(5, 15, 20, (5, 15), id="same-steps-change-nothing"),
        pytest.param(0, 15, 12, (0, 15), id="end-past-the-steps"),
        pytest.param(0, 15, 15, (0, 15), id="end-at-the-steps"),
        pytest.param(0, 10_000, 10_000, (0, 10_000), id="to-the-end-of-the-most-steps"),
        pytest.param(0, 15, None, (0, 15), id="steps-are-the-files"),
    ],
)
def test_part_of_the_steps_that_goes_with_the_plans(
    start: int, end: int, steps: int | None, filled: tuple[int, int]
) -> None:
    """An end at the file's last step becomes the plan's last step; a start, and an end past the steps, stay."""
    given: dict[str, Any] = {} if steps is None else {"steps": steps}
    inputs = fill(read(in_part(start, end), **given), **given)["5"]["inputs"]
    assert (*filled, steps or 20) == (inputs["start_at_step"], inputs["end_at_step"], inputs["steps"])


@pytest.mark.parametrize(
    ("graph", "steps", "place"),
    [
        pytest.param(in_part(5, 20), 5, "5 'KSamplerAdvanced'.start_at_step is 5", id="nothing-left-after-the-start"),
        pytest.param(in_part(5, 20), 4, "5 'KSamplerAdvanced'.start_at_step is 5", id="starts-after-the-last"),
        pytest.param(in_part(0, 15), 16, "5 'KSamplerAdvanced'.end_at_step is 15", id="ends-before-the-last"),
        pytest.param(split(15, steps=20), 30, "15 'SplitSigmas'.step is 15", id="sigmas-split-elsewhere"),
        pytest.param(split(20, steps=20), 30, "15 'SplitSigmas'.step is 20", id="sigmas-split-at-the-end"),
        pytest.param(split(15, steps=20), 10, "15 'SplitSigmas'.step is 15", id="sigmas-split-past-the-end"),
        pytest.param(split(15), 30, "15 'SplitSigmas'.step is 15", id="no-steps-in-the-file"),
    ],
)
def test_part_of_the_steps_that_would_be_another_is_asked_about(graph: Graph, steps: int, place: str) -> None:
    """A sampler that would leave out, or take, other steps than in the file is named, with the way out."""
    assert (
        f"{place} and would not follow the plan's `steps`, {steps}. Take `steps` out of [sampling], or change it in "
        "the workflow."
    ) in refusal(graph, steps=steps)


def test_sigmas_that_are_split_stay_where_the_steps_do() -> None:
    """A plan that gives the file's own steps changes nothing about where sigmas are split."""
    assert 15 == fill(read(split(15, steps=20), steps=20), steps=20)["15"]["inputs"]["step"]


def two_passes(**nodes: dict[str, Any]) -> Graph:
    """Write a workflow of two passes with the same settings, with more nodes."""
    graph = case("refused_two_pass")
    graph["11"]["inputs"]["steps"] = graph["5"]["inputs"]["steps"]
    return graph | {name.removeprefix("n"): content for name, content in nodes.items()}


def all_in_one(**inputs: Any) -> Graph:
    """Write a workflow whose loader and sampler pass all between them in one link."""
    lora = "mine-step600.safetensors"
    return {
        "1": node("Loader", lora_name=lora, positive="a dog", empty_latent_width=64, batch_size=1, **inputs),
        "2": node("Sampler", sdxl_tuple=["1", 0], noise_seed=1, latent_image=["1", 1]),
        "3": node("SaveImage", images=["2", 3], filename_prefix="a"),
    }


def test_every_clip_that_is_cut_gets_the_plans_clip_skip() -> None:
    """Where both prompts have a clip skip of their own, both get the plan's."""
    graph = linked(
        simple(
            n10=node("CLIPSetLastLayer", clip=["1", 1], stop_at_clip_layer=-3),
            n11=node("CLIPSetLastLayer", clip=["1", 1], stop_at_clip_layer=-4),
        ),
        n2_clip=["10", 0],
        n3_clip=["11", 0],
    )
    filled = fill(read(graph, clip_skip=2), clip_skip=2)
    assert [-2, -2] == [filled[one]["inputs"]["stop_at_clip_layer"] for one in ("10", "11")]


def test_every_source_of_latents_makes_one_picture() -> None:
    """Where a latent is put together of two, none of them is a batch."""
    graph = linked(
        simple(
            n20=node("EmptyLatentImage", width=1024, height=1024, batch_size=4),
            n21=node("LatentComposite", samples_to=["4", 0], samples_from=["20", 0], x=0, y=0, feather=0),
        ),
        n4_batch_size=4,
        n5_latent_image=["21", 0],
    )
    filled = fill(read(graph))
    assert [1, 1] == [filled[one]["inputs"]["batch_size"] for one in ("4", "20")]


def test_every_mark_of_the_prompt_is_replaced() -> None:
    """Each text with a mark in it gets the plan's there, and keeps the rest."""
    graph = linked(
        case("refused_sdxl_encoders"), n2_text_g="{prompt}, oil", n2_text_l="of {prompt}", n3_text_l="{negative}"
    )
    filled = fill(read(graph, negative="ugly"), negative="ugly")
    assert ("a fox in a forest, oil", "of a fox in a forest", "ugly") == (
        filled["2"]["inputs"]["text_g"],
        filled["2"]["inputs"]["text_l"],
        filled["3"]["inputs"]["text_l"],
    )


def test_target_height_that_stays_is_warned_of() -> None:
    """A plan that gives another height alone is warned of the target height alone."""
    warned = "".join(read(case("refused_sdxl_encoders"), width=1024, height=640).warnings())
    assert ("target_height = 1024" in warned, "target_width" in warned) == (True, False)


def test_negative_with_several_places_is_asked_about() -> None:
    """A plan's negative prompt that could replace either of two texts is no guess; left out, both stay."""
    graph = linked(
        simple(
            n10=node("CLIPTextEncode", clip=["1", 1], text="frame"),
            n11=node("ConditioningCombine", conditioning_1=["3", 0], conditioning_2=["10", 0]),
        ),
        n5_negative=["11", 0],
    )
    assert "The plan gives a `negative`.\n  It has several different texts on the negative side" in refusal(
        graph, negative="ugly"
    )
    filled = fill(read(graph))
    assert ("blurry", "frame") == (filled["3"]["inputs"]["text"], filled["10"]["inputs"]["text"])


def test_clip_skip_without_an_encoder_is_asked_about() -> None:
    """A clip skip that would change nothing is refused; the last layer is what such a workflow has anyway."""
    assert ("The plan gives `clip_skip`, and no text encoder takes a CLIP. Take it out of [sampling].") in refusal(
        all_in_one(), clip_skip=2
    )
    assert "a fox in a forest" == fill(read(all_in_one(), clip_skip=1), clip_skip=1)["1"]["inputs"]["positive"]


def test_settings_behind_links_reach_what_else_takes_them() -> None:
    """Each node that a setting comes from gets the plan's value, for others that are linked to it."""
    graph = two_passes(
        n30=node("PrimitiveInt", value=24),
        n31=node("PrimitiveInt", value=24),
        n32=node("PrimitiveFloat", value=6.0),
        n33=node("Guidance", model=["1", 0], until=["30", 0], after=["31", 0], scale=["32", 0]),
    )
    graph = linked(graph, n5_steps=["30", 0], n11_steps=["31", 0], n5_cfg=["32", 0], n11_cfg=["32", 0])
    graph = linked(graph, n5_model=["33", 0])
    filled = fill(read(graph, steps=9, cfg=2.0), steps=9, cfg=2.0)
    assert [9, 9, 2.0] == [filled[one]["inputs"]["value"] for one in ("30", "31", "32")]


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        pytest.param(
            linked(simple(n1=node("My Loader", preset="anime"))),
            "node 1 'My Loader', where the model comes from, names no file.",
            id="loader-without-a-file",
        ),
        pytest.param(
            all_in_one(ckpt_name="a.safetensors"),
            "no node was found that loads the sampled model.",
            id="no-loader-is-known",
        ),
    ],
)
def test_base_model_without_a_place_is_asked_about(graph: Graph, told: str) -> None:
    """A base model that no input takes is refused before a picture is rendered on another one."""
    assert f"The plan gives `base_model`, and {told} Take `base_model` out of [sampling]." in refusal(
        graph, base_model="other"
    )
    assert "a fox in a forest" in str(fill(read(graph)))
