"""What a picture must stand up to, and what is said where it does not."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from plugins.pictures.check import Check, Difference, Outcome
from plugins.pictures.checks import (
    check_colours,
    check_lora_applied,
    check_no_training_copy,
    check_not_blank,
    check_not_noise,
    check_own_picture,
    check_size,
    check_workflow,
    effect_of,
    stale_weights,
)
from plugins.pictures.likeness import Nearest
from plugins.pictures.picture import Picture
from stand_in.drawing import draw_training_image
from tests.plugins.pictures.pictures_made import dotted, flat, noise, picture

BLACK = (
    " Black is what NaN gives: where the baseline is fine, the LoRA is broken; else try another VAE, or start ComfyUI "
    "with --force-fp32."
)
DRAWING = draw_training_image(3, (96, 96))
GRAPH: dict[str, Any] = {
    "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "spyke_step600.safetensors", "strength_model": 1.0}},
    "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "spyke, crouching"}},
    "7": {"class_type": "KSampler", "inputs": {"seed": 42, "model": ["2", 0]}},
}


def changed(node: str, field: str, value: Any) -> dict[str, Any]:
    """Return the workflow with one input changed."""
    graph = deepcopy(GRAPH)
    graph[node]["inputs"][field] = value
    return graph


def made_from_what_was_sent(found: Picture, *, remembered: Any, file: str = "step600-forest-a1_00001_.png") -> Check:
    """Hold a picture against the workflow, which was to be saved as `step600-forest-a1`."""
    return check_workflow(found, sent=GRAPH, remembered=remembered, file=file, stem="step600-forest-a1")


def test_asked_size_passes() -> None:
    """A picture of the plan's size passes."""
    assert check_size(picture(flat((1, 2, 3))), width=64, height=64) == Check(name="size", outcome=Outcome.PASSED)


def test_other_size_is_told() -> None:
    """A picture of another size is told with both sizes, width first."""
    check = check_size(picture(Image.new("RGB", (64, 128))), width=128, height=64)

    assert check.outcome is Outcome.FAILED
    assert str(check) == "size: size: got 64x128, asked for 128x64"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(flat((0, 0, 0)), f"nearly one colour, rgb(0, 0, 0): 100.0% of it.{BLACK}", id="black"),
        pytest.param(noise(2, 2), f"% of it.{BLACK}", id="nearly-black"),
        pytest.param(flat((255, 255, 255)), "rgb(255, 255, 255): 100.0% of it.", id="white"),
        pytest.param(flat((200, 30, 90)), "rgb(200, 30, 90): 100.0% of it.", id="one-colour"),
        pytest.param(flat((128,), "L"), "rgb(128, 128, 128): 100.0% of it.", id="grey"),
        pytest.param(noise(128.5, 2), "rgb(128, 128, 128): 100.0% of it.", id="one-colour-with-noise"),
        pytest.param(noise(31.5, 3), "nearly one colour", id="noise-between-two-shades"),
        pytest.param(dotted(8), "rgb(90, 90, 90): 99.6% of it.", id="a-dot"),
        pytest.param(flat((200, 30, 90, 0), "RGBA"), "the picture is wholly transparent", id="transparent"),
    ],
)
def test_blank_picture_fails(image: Image.Image, message: str) -> None:
    """A picture with nothing to judge in it fails, and its colour is told."""
    check = check_not_blank(picture(image))

    assert check.outcome is Outcome.FAILED
    assert check.message.endswith(message) or message in check.message


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(DRAWING, id="a-drawing"),
        pytest.param(ImageEnhance.Brightness(DRAWING).enhance(0.1), id="a-dark-drawing"),
        pytest.param(ImageEnhance.Contrast(DRAWING).enhance(0.2), id="a-pale-drawing"),
        pytest.param(DRAWING.convert("L"), id="a-grey-drawing"),
        pytest.param(DRAWING.convert("P"), id="a-drawing-with-a-palette"),
        pytest.param(DRAWING.convert("RGBA"), id="an-opaque-drawing"),
        pytest.param(noise(128, 40), id="noise"),
        pytest.param(dotted(20), id="a-small-figure"),
    ],
)
def test_picture_of_something_is_not_blank(image: Image.Image) -> None:
    """A picture with something in it passes, be it dark, pale or grey."""
    assert check_not_blank(picture(image)) == Check(name="blank", outcome=Outcome.PASSED)


def test_static_fails() -> None:
    """Noise without any picture in it fails, with what to look at."""
    check = check_not_noise(picture(noise(128, 60)))

    assert check.outcome is Outcome.FAILED
    assert check.message.startswith("neighbouring pixels have nothing in common (correlation ")
    assert check.message.endswith("The decoder or the LoRA is broken; look at ComfyUI's terminal.")


@pytest.mark.parametrize("image", [pytest.param(DRAWING, id="a-drawing"), pytest.param(flat((9, 9, 9)), id="flat")])
def test_picture_of_something_is_not_static(image: Image.Image) -> None:
    """A drawing is no static; neither is a flat picture, which fails as blank."""
    assert check_not_noise(picture(image)).outcome is Outcome.PASSED


def test_one_pixel_across_is_not_checked_for_noise() -> None:
    """Where the picture is one pixel wide, that is said."""
    assert check_not_noise(picture(Image.new("RGB", (1, 64)))).outcome is Outcome.NOT_CHECKED


def test_baselines_picture_is_told() -> None:
    """A picture that equals the baseline's was made without the LoRA; the file and its header are told."""
    check = check_lora_applied(identical=True, effect=0.0, lora="x.safetensors", header="no key fits")

    assert check.outcome is Outcome.FAILED
    assert check.message == (
        "the picture is the baseline's, pixel for pixel: no key of this LoRA fits this base model. "
        "x.safetensors: no key fits"
    )


def test_next_to_no_effect_is_a_warning() -> None:
    """A LoRA that hardly changes anything is for a person to decide."""
    check = check_lora_applied(identical=False, effect=0.4, lora="x", header="y")

    assert check.outcome is Outcome.WARNING
    assert "differs from the baseline by 0.40 of 255" in check.message


def test_visible_effect_passes() -> None:
    """A LoRA that changes the picture was applied."""
    assert check_lora_applied(identical=False, effect=12.0, lora="x", header="y").outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(DRAWING, 0.0, id="same"),
        pytest.param(DRAWING.resize((32, 32)), 255.0, id="other-size"),
    ],
)
def test_effect_is_the_mean_difference(other: Image.Image, expected: float) -> None:
    """The effect is 0 for equal pictures, and all there is where sizes differ."""
    assert effect_of(DRAWING, other) == expected


def test_effect_counts_every_channel() -> None:
    """The effect is the mean over pixels and channels, of 255."""
    assert effect_of(flat((10, 10, 10)), flat((10, 10, 40))) == 10.0


@pytest.mark.parametrize(
    ("has_palette", "outcomes"),
    [pytest.param(True, [Outcome.WARNING], id="with"), pytest.param(False, [], id="without")],
)
def test_palette_is_warned_of(outcomes: list[Outcome], *, has_palette: bool) -> None:
    """A PNG with a palette was written by something between ComfyUI and here; of others nothing is said."""
    found = replace(picture(DRAWING), has_palette=has_palette)

    assert outcomes == [check.outcome for check in check_colours(found)]


def test_old_weights_are_told_with_both_digests() -> None:
    """The same picture of other LoRA bytes is a warning that names both digests, and what to do."""
    check = stale_weights(lora="a" * 64, before="b" * 64)

    assert check.outcome is Outcome.WARNING
    assert check.message.startswith(f"the LoRA file has changed (SHA-256 {'b' * 12} before, {'a' * 12} now), but")


def test_own_picture_passes() -> None:
    """A picture that no other cell has passes."""
    assert check_own_picture({}, lora="a" * 64).outcome is Outcome.PASSED


def test_picture_of_another_cell_is_told() -> None:
    """The same pixels for other LoRA bytes mean that a wrong picture was given; both are told."""
    check = check_own_picture({"step400-forest": "b" * 64, "baseline-forest": ""}, lora="a" * 64)

    assert check.outcome is Outcome.FAILED
    assert "it is step400-forest's, pixel for pixel" in check.message
    assert f"LoRA {'a' * 12} here, {'b' * 12} there" in check.message
    assert f"LoRA {'a' * 12} here, none there" in check.message


def test_same_lora_under_two_names_is_told() -> None:
    """The same pixels from the same bytes mean that a checkpoint was copied under two names."""
    check = check_own_picture({"step400-forest": "a" * 64}, lora="a" * 64)

    assert check.outcome is Outcome.FAILED
    assert f"both LoRAs are the same file (SHA-256 {'a' * 12})" in check.message


def test_training_copy_is_a_warning() -> None:
    """A picture that is as good as a training image is for a person to decide; the image is named."""
    check = check_no_training_copy(Nearest(image=Path("data/spyke_07.png"), distance=0.05, usual=0.61))

    assert check.outcome is Outcome.WARNING
    assert check.message == (
        "looks like a copy of a training image: nearest training image: spyke_07.png, at distance 0.05; "
        "training images are usually 0.61 from each other"
    )


def test_new_picture_is_no_training_copy() -> None:
    """A picture far from all training images passes."""
    check = check_no_training_copy(Nearest(image=Path("data/spyke_07.png"), distance=0.8, usual=None))

    assert check.outcome is Outcome.PASSED


def test_training_copies_are_not_checked_without_training_images() -> None:
    """What cannot be looked at is said not to be checked."""
    check = check_no_training_copy(None)

    assert (check.outcome, check.message) == (Outcome.NOT_CHECKED, "the plan names no training_images")


def test_workflow_that_was_sent_passes() -> None:
    """A picture that carries the workflow that was sent was made from it."""
    check = made_from_what_was_sent(picture(DRAWING, prompt=GRAPH), remembered=None)

    assert check == Check(name="workflow", outcome=Outcome.PASSED)


@pytest.mark.parametrize(
    ("made_from", "told"),
    [
        pytest.param(
            changed("2", "lora_name", "other.safetensors"),
            ["node 2 (LoraLoader) lora_name: got 'other.safetensors', asked for 'spyke_step600.safetensors'"],
            id="lora",
        ),
        pytest.param(
            changed("4", "text", "spyke"),
            ["node 4 (CLIPTextEncode) text: got 'spyke', asked for 'spyke, crouching'"],
            id="prompt",
        ),
        pytest.param(changed("7", "seed", 7), ["node 7 (KSampler) seed: got 7, asked for 42"], id="seed"),
        pytest.param(
            changed("7", "model", ["1", 0]),
            ["node 7 (KSampler) model: got ['1', 0], asked for ['2', 0]"],
            id="link-past-the-lora",
        ),
        pytest.param(
            changed("7", "extra", 1), ["node 7 (KSampler) extra: got 1, asked for None"], id="an-input-too-many"
        ),
        pytest.param(
            {key: node for key, node in GRAPH.items() if key != "4"},
            [
                "node 4 (CLIPTextEncode) class_type: got None, asked for 'CLIPTextEncode'",
                "node 4 (CLIPTextEncode) text: got None, asked for 'spyke, crouching'",
            ],
            id="a-node-missing",
        ),
        pytest.param(
            {**GRAPH, "9": {"class_type": "SaveImage", "inputs": {}}},
            ["node 9 (SaveImage) class_type: got 'SaveImage', asked for None"],
            id="a-node-too-many",
        ),
        pytest.param(
            {**GRAPH, "2": "junk", "7": {"class_type": "KSampler", "inputs": None}},
            [
                "node 2 (LoraLoader) class_type: got None, asked for 'LoraLoader'",
                "node 2 (LoraLoader) lora_name: got None, asked for 'spyke_step600.safetensors'",
                "node 2 (LoraLoader) strength_model: got None, asked for 1.0",
                "node 7 (KSampler) model: got None, asked for ['2', 0]",
                "node 7 (KSampler) seed: got None, asked for 42",
            ],
            id="nodes-that-are-none",
        ),
    ],
)
def test_other_workflow_is_told_field_by_field(made_from: dict[str, Any], told: list[str]) -> None:
    """A picture made from something else fails, and every input that differs is told with both values."""
    check = made_from_what_was_sent(picture(DRAWING, prompt=made_from), remembered=GRAPH)

    assert check.outcome is Outcome.FAILED
    assert [str(difference) for difference in check.differences] == told


def test_swapped_strengths_are_told() -> None:
    """A server that says itself that it swapped the strengths on model and CLIP is taken at its word."""
    asked, swapped = deepcopy(GRAPH), deepcopy(GRAPH)
    asked["2"]["inputs"] |= {"strength_model": 1.0, "strength_clip": 0.6}
    swapped["2"]["inputs"] |= {"strength_model": 0.6, "strength_clip": 1.0}
    check = check_workflow(picture(DRAWING, prompt=swapped), sent=asked, remembered=asked, file="", stem="")

    assert [str(difference) for difference in check.differences] == [
        "node 2 (LoraLoader) strength_clip: got 1.0, asked for 0.6",
        "node 2 (LoraLoader) strength_model: got 0.6, asked for 1.0",
    ]


def test_long_values_are_cut() -> None:
    """A difference in a long prompt does not fill the terminal."""
    check = made_from_what_was_sent(picture(DRAWING, prompt=changed("4", "text", "x" * 9999)), remembered=None)

    assert len(check.differences[0].got) == 200


def test_history_stands_in_for_metadata() -> None:
    """A server that writes no metadata is taken at what its history remembers, and that is said."""
    check = made_from_what_was_sent(picture(DRAWING), remembered=GRAPH)

    assert check.outcome is Outcome.PASSED
    assert check.message == "the PNG carries no workflow; the server's history was compared instead"


def test_history_that_differs_fails() -> None:
    """What the history remembers is held against what was sent as the metadata would be."""
    check = made_from_what_was_sent(picture(DRAWING), remembered=changed("7", "seed", 7))

    assert check.outcome is Outcome.FAILED
    assert str(check) == (
        "workflow: the PNG carries no workflow; the server's history was compared instead; "
        "node 7 (KSampler) seed: got 7, asked for 42"
    )


def test_history_that_names_another_picture_fails() -> None:
    """Where the picture says nothing of itself, the history must name the file that this prompt was to save."""
    theirs = "ComfyUI_00007_.png"
    check = made_from_what_was_sent(picture(DRAWING), remembered=GRAPH, file=theirs)

    assert check.outcome is Outcome.FAILED
    assert str(check) == (
        "workflow: the PNG carries no workflow; the server's history was compared instead; "
        "file: got 'ComfyUI_00007_.png', asked for 'step600-forest-a1' at its beginning"
    )
    said_itself = made_from_what_was_sent(picture(DRAWING, prompt=GRAPH), remembered=None, file=theirs)
    assert said_itself.outcome is Outcome.PASSED


@pytest.mark.parametrize("remembered", [None, "text", 3, []])
def test_workflow_that_nobody_remembers_is_not_checked(remembered: Any) -> None:
    """Without metadata and history, the picture is said not to be checked; it never passes."""
    check = made_from_what_was_sent(picture(DRAWING), remembered=remembered)

    assert check.outcome is Outcome.NOT_CHECKED
    assert check.message == "neither the PNG nor the server's history says what it was made from"


def test_metadata_wins_over_history() -> None:
    """Where the picture carries its workflow, the history is not asked."""
    check = made_from_what_was_sent(picture(DRAWING, prompt=changed("7", "seed", 7)), remembered=GRAPH)

    assert check.outcome is Outcome.FAILED


def test_check_tells_its_message_and_differences() -> None:
    """A check reads as one line; one without words says how it ended."""
    difference = Difference(field="seed", got="7", asked="42")

    assert str(Check(name="size", outcome=Outcome.PASSED)) == "size: passed"
    assert (
        str(Check(name="workflow", outcome=Outcome.FAILED, message="from the history", differences=(difference,)))
        == "workflow: from the history; seed: got 7, asked for 42"
    )
