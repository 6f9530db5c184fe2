"""What is typed after --selected-step names a checkpoint, or lists those that can be named."""

import pytest

from plugins.deploy.selection import SelectionError, select
from plugins.plan.plan import Plan


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param("600", "step600", id="number"),
        pytest.param("step600", "step600", id="id"),
        pytest.param("STEP600", "step600", id="capitals"),
        pytest.param(" 600 ", "step600", id="spaces"),
        pytest.param("final", "final", id="label"),
        pytest.param("Final", "final", id="label-in-capitals"),
        pytest.param("920", "final", id="the-final-step"),
        pytest.param("step920", "final", id="the-final-step-as-an-id"),
    ],
)
def test_checkpoint_is_found_as_people_type_it(plan: Plan, typed: str, expected: str) -> None:
    """A checkpoint is found by its step, its id or its label."""
    assert select(plan, typed).id == expected


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        pytest.param("700", "Spyke LoRA, small has no checkpoint '700'.", id="unknown-step"),
        pytest.param("60", "Spyke LoRA, small has no checkpoint '60'.", id="part-of-a-step"),
        pytest.param("step", "Spyke LoRA, small has no checkpoint 'step'.", id="no-number"),
        pytest.param("0600", "Spyke LoRA, small has no checkpoint '0600'.", id="leading-zero"),
        pytest.param("spyke_plasma_v1.safetensors", "Spyke LoRA, small has no checkpoint", id="file"),
        pytest.param("baseline", "Spyke LoRA, small has no checkpoint 'baseline'.", id="baseline"),
        pytest.param(None, "Which checkpoint is to be deployed?", id="nothing"),
        pytest.param("", "Which checkpoint is to be deployed?", id="empty"),
    ],
)
def test_other_words_list_the_candidates(plan: Plan, typed: str | None, problem: str) -> None:
    """What names no checkpoint is told, with each candidate as it is to be typed, and that nothing happened."""
    with pytest.raises(SelectionError) as caught:
        select(plan, typed)

    head, *candidates, last = str(caught.value).split("\n")
    assert head.startswith(problem)
    assert head.endswith("Look at the report, then name the one that you selected:")
    assert candidates == [
        "  --selected-step=600      spyke_plasma_v1-step00000600.safetensors",
        "  --selected-step=final    spyke_plasma_v1.safetensors",
    ]
    assert last == "Nothing was deployed."
