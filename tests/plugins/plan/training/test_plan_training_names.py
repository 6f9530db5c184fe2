"""What a checkpoint's file is called says when it was saved, in each trainer's spelling."""

import pytest

from plugins.plan.training.names import NameNotes, notes_of, without_pair


@pytest.mark.parametrize(
    ("file", "step", "epoch", "stem"),
    [
        ("kira-step00000200.safetensors", 200, None, "kira"),
        ("kira-000010.safetensors", None, 10, "kira"),
        ("kira.safetensors", None, None, "kira"),
        ("kira-v2-202511-000005.safetensors", None, 5, "kira-v2-202511"),
        ("kira-v2-202511.safetensors", None, None, "kira-v2-202511"),
        ("at-step00000200.safetensors", 200, None, "at"),
        ("epoch-000005.safetensors", None, 5, ""),
        ("last.safetensors", None, None, "last"),
        ("kira_000000250.safetensors", 250, None, "kira"),
        ("kira2025-11-02_12-30-05-save-500-10-0.safetensors", 500, 10, "kira2025-11-02_12-30-05"),
        ("epoch10/adapter_model.safetensors", None, 10, "adapter_model"),
        ("20251102_12-30-05/step200/adapter_model.safetensors", 200, None, "adapter_model"),
        ("epoch5/lora.safetensors", None, 5, "lora"),
        ("checkpoint-500/pytorch_lora_weights.safetensors", 500, None, "pytorch_lora_weights"),
        ("pytorch_lora_weights.safetensors", None, None, "pytorch_lora_weights"),
        ("step-500.safetensors", 500, None, ""),
        ("epoch-0.safetensors", None, 0, ""),
        ("kira_step500.safetensors", 500, None, "kira"),
        ("kira_epoch5.SAFETENSORS", None, 5, "kira"),
        ("kira_step500.sft", 500, None, "kira"),
        ("lora_weight_e2_s500.pt", None, None, "lora_weight_e2_s500.pt"),
        ("kira_000000500_high_noise.safetensors", 500, None, "kira"),
        ("kira_low_noise.safetensors", None, None, "kira"),
        ("kira-low-rank-000010.safetensors", None, 10, "kira-low-rank"),
        ("two-step.safetensors", None, None, "two-step"),
        ("checkpoint-500.safetensors", 500, None, ""),
        ("kira_e5.safetensors", None, 5, "kira"),
        ("kira-ep12.safetensors", None, 12, "kira"),
        ("kira_1000steps.safetensors", 1000, None, "kira"),
        ("kira-10-epochs.safetensors", None, 10, "kira"),
        ("kira-10.safetensors", None, None, "kira-10"),
        ("kira_v2.safetensors", None, None, "kira_v2"),
        ("pose5.safetensors", None, None, "pose5"),
        ("kira_500.safetensors", None, None, "kira_500"),
    ],
)
def test_name_is_read(file: str, step: int | None, epoch: int | None, stem: str) -> None:
    """Step and epoch are read where a trainer writes them, and nowhere else."""
    assert NameNotes(step=step, epoch=epoch, stem=stem) == notes_of(file)


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("kira_high_noise", ("kira", "high")),
        ("kira-LowNoise", ("kira", "low")),
        ("kira_000000500_high_noise", ("kira_000000500", "high")),
        ("kira_high", ("kira_high", "")),
        ("high_noise_kira", ("high_noise_kira", "")),
    ],
)
def test_half_of_a_pair_is_told(stem: str, expected: tuple[str, str]) -> None:
    """Wan 2.2's two files of one checkpoint are told by their names."""
    assert expected == without_pair(stem)
