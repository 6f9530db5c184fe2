"""What is said of the settings of all pictures."""

from plugins.plan.tested import Sampling


def test_settings_that_an_own_workflow_keeps_are_not_said_to_be_the_plans() -> None:
    """Of an own workflow's settings only those are told that the plan gives; of the built-in one's all are."""
    sampling = Sampling(seeds=(1,), steps=8, base_model="flux1-dev.safetensors", width=768)

    assert ("flux1-dev.safetensors", "8 steps", "width 768") == sampling.settings(is_own=True)
    assert {"768x1024", "LoRA strength 1"} < set(sampling.settings(is_own=False))
