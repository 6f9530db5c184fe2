"""A folder's training run is found as each trainer names it, in the order of training, or refused with the reason."""

import os
from pathlib import Path

import pytest

from plugins.plan.new_plan.runs import NewPlanError, Run, find_run
from tests.lora_files import BASES, XL, kohya, write_file

DIFFUSERS = "pytorch_lora_weights.safetensors"


def put(folder: Path, *files: str) -> None:
    """Write LoRAs of these names, and a byte into what is no safetensors file."""
    for file in files:
        write_file(folder / file, kohya(XL), {"format": "pt"}, seed=file)
        if not file.lower().endswith((".safetensors", ".sft")):
            (folder / file).write_bytes(b"x")


def listed(run: Run) -> list[str]:
    """List a run's checkpoints: file, and when it was saved."""
    found = []
    for one in run.entries:
        when = [f"step {one.step}"] if one.step is not None else []
        when += [f"epoch {one.epoch}"] if one.epoch is not None else []
        found.append(f"{one.found.file}: {', '.join([*when, *(['final'] if one.is_final else [])])}")
    return found


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            (
                "kira-step00000400.safetensors", "kira-step00000200.safetensors", "kira.safetensors",
                "kira-step00000400-state/model.safetensors",
            ),
            ["kira-step00000200.safetensors: step 200", "kira-step00000400.safetensors: step 400",
             "kira.safetensors: final"],
            id="kohya-steps",
        ),
        pytest.param(
            ("kira-000010.safetensors", "kira-000002.safetensors", "kira.safetensors"),
            ["kira-000002.safetensors: epoch 2", "kira-000010.safetensors: epoch 10", "kira.safetensors: final"],
            id="kohya-epochs",
        ),
        pytest.param(
            ("epoch-000005.safetensors", "at-step00000200.safetensors", "last.safetensors"),
            ["at-step00000200.safetensors: step 200", "epoch-000005.safetensors: epoch 5", "last.safetensors: final"],
            id="kohya-without-a-name",
        ),
        pytest.param(
            ("kira-v2-202511-000005.safetensors", "kira-v2-202511.safetensors"),
            ["kira-v2-202511-000005.safetensors: epoch 5", "kira-v2-202511.safetensors: final"],
            id="a-name-that-ends-in-digits",
        ),
        pytest.param(
            ("kira_000000500.safetensors", "kira_000001000.safetensors", "kira.safetensors", "optimizer.pt"),
            ["kira_000000500.safetensors: step 500", "kira_000001000.safetensors: step 1000",
             "kira.safetensors: final"],
            id="ai-toolkit",
        ),
        pytest.param(
            (
                "save/kira2025-11-02_12-30-05-save-500-10-0.safetensors",
                "save/kira2025-11-02_13-30-05-save-1000-20-0.safetensors", "backup/x/lora/lora.safetensors",
            ),
            ["save/kira2025-11-02_12-30-05-save-500-10-0.safetensors: step 500, epoch 10",
             "save/kira2025-11-02_13-30-05-save-1000-20-0.safetensors: step 1000, epoch 20"],
            id="onetrainer",
        ),
        pytest.param(
            tuple(f"20251102_12-30-05/epoch{number}/adapter_model.safetensors" for number in (10, 5)),
            ["20251102_12-30-05/epoch5/adapter_model.safetensors: epoch 5",
             "20251102_12-30-05/epoch10/adapter_model.safetensors: epoch 10"],
            id="diffusion-pipe",
        ),
        pytest.param(
            ("epoch20/lora.safetensors", "epoch5/lora.safetensors"),
            ["epoch5/lora.safetensors: epoch 5", "epoch20/lora.safetensors: epoch 20"],
            id="diffusion-pipe-sdxl",
        ),
        pytest.param(
            (f"checkpoint-500/{DIFFUSERS}", "checkpoint-500/optimizer.bin", f"checkpoint-1000/{DIFFUSERS}", DIFFUSERS),
            [f"checkpoint-500/{DIFFUSERS}: step 500", f"checkpoint-1000/{DIFFUSERS}: step 1000", f"{DIFFUSERS}: final"],
            id="diffusers",
        ),
        pytest.param(
            ("step-500.safetensors", "step-1000.safetensors", "loss.csv"),
            ["step-500.safetensors: step 500", "step-1000.safetensors: step 1000"],
            id="diffsynth-steps",
        ),
        pytest.param(
            ("epoch-0.safetensors", "epoch-1.safetensors"),
            ["epoch-0.safetensors: epoch 0", "epoch-1.safetensors: epoch 1"],
            id="diffsynth-epochs",
        ),
        pytest.param(
            ("kira_step500.safetensors", "kira_step1000.safetensors", "kira.safetensors", "training_state_step500.pt"),
            ["kira_step500.safetensors: step 500", "kira_step1000.safetensors: step 1000", "kira.safetensors: final"],
            id="animalora",
        ),
        pytest.param(
            ("kira_e10.safetensors", "kira_e5.safetensors", "kira_final.safetensors"),
            ["kira_e5.safetensors: epoch 5", "kira_e10.safetensors: epoch 10", "kira_final.safetensors: final"],
            id="short-epochs",
        ),
        pytest.param(
            ("lora-step-00250.safetensors", "lora-500steps.safetensors", "lora-last.safetensors"),
            ["lora-step-00250.safetensors: step 250", "lora-500steps.safetensors: step 500",
             "lora-last.safetensors: final"],
            id="number-before-its-word",
        ),
        pytest.param(
            ("checkpoint-500.safetensors", "checkpoint-1000.safetensors", "final.safetensors"),
            ["checkpoint-500.safetensors: step 500", "checkpoint-1000.safetensors: step 1000",
             "final.safetensors: final"],
            id="checkpoints-without-folders",
        ),
        pytest.param(("kira.safetensors",), ["kira.safetensors: final"], id="one-file"),
        pytest.param(
            ("kira_step5.sft", "kira.SAFETENSORS"), ["kira_step5.sft: step 5", "kira.SAFETENSORS: final"], id="endings"
        ),
    ],
)  # fmt: skip
def test_run_is_listed_in_the_order_of_training(tmp_path: Path, files: tuple[str, ...], expected: list[str]) -> None:
    """Each trainer's names are known; states, backups and optimizers are passed over."""
    put(tmp_path, *files)

    assert expected == listed(find_run(tmp_path))


def test_steps_and_epochs_come_from_headers(tmp_path: Path) -> None:
    """Kohya's epochs have their steps in the header."""
    for epoch in (10, 2):
        notes = {"ss_steps": str(epoch * 60), "ss_epoch": str(epoch)}
        write_file(tmp_path / f"kira-{epoch:06}.safetensors", kohya(XL), notes, seed=str(epoch))

    assert ["kira-000002.safetensors: step 120, epoch 2", "kira-000010.safetensors: step 600, epoch 10"] == listed(
        find_run(tmp_path)
    )


def test_resumed_training_is_ordered_by_epoch(tmp_path: Path) -> None:
    """After a resume the headers count anew; the epochs, which go on, tell the order."""
    for epoch, step in ((1, 60), (2, 120), (3, 60), (4, 120)):
        notes = {"ss_steps": str(step), "ss_epoch": str(epoch)}
        write_file(tmp_path / f"kira-{epoch:06}.safetensors", kohya(XL), notes, seed=str(epoch))

    assert [f"kira-00000{epoch}.safetensors: epoch {epoch}" for epoch in (1, 2, 3, 4)] == listed(find_run(tmp_path))


def test_last_step_saved_twice_is_one_checkpoint(tmp_path: Path) -> None:
    """The final file that holds the last step's tensors stands for both, and has its step."""
    write_file(tmp_path / "kira-step00000500.safetensors", kohya(XL), {"ss_steps": "500"}, seed="a")
    write_file(tmp_path / "kira-step00001000.safetensors", kohya(XL), {"ss_steps": "1000"}, seed="same")
    write_file(tmp_path / "kira.safetensors", kohya(XL), {"ss_steps": "1000", "ss_epoch": "10"}, seed="same")

    run = find_run(tmp_path)

    assert ["kira-step00000500.safetensors: step 500", "kira.safetensors: step 1000, final"] == listed(run)
    assert "kira-step00001000.safetensors" == run.entries[-1].same_as


def test_others_in_the_folder_are_left_out_with_the_reason(tmp_path: Path) -> None:
    """Another LoRA, a base model and a broken file beside a run are no checkpoints of it."""
    put(tmp_path, "kira-000005.safetensors", "kira.safetensors", "style.safetensors")
    write_file(tmp_path / "base.safetensors", BASES["SDXL"])
    (tmp_path / "cut.safetensors").write_bytes(b"abc")

    run = find_run(tmp_path)

    assert ["kira-000005.safetensors: epoch 5", "kira.safetensors: final"] == listed(run)
    assert ["style.safetensors: another LoRA, by its name", "base.safetensors: no LoRA"] == list(run.others[:2])
    assert run.others[2].startswith("cut.safetensors: is not a complete safetensors file")


def test_several_runs_are_listed_with_what_to_type(tmp_path: Path) -> None:
    """Where a folder holds several runs, each is named by a file of it, which is then enough to choose it."""
    put(tmp_path, "kira-000005.safetensors", "kira.safetensors", "mia-000005.safetensors")

    with pytest.raises(NewPlanError) as caught:
        find_run(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path} holds 2 training runs. Name a checkpoint of the one that you mean:\n"
        f"  pytest --new-plan={tmp_path}/kira.safetensors   2 checkpoints, such as kira-000005.safetensors\n"
        f"  pytest --new-plan={tmp_path}/mia-000005.safetensors   1 checkpoint, such as mia-000005.safetensors"
    )
    assert ["mia-000005.safetensors: epoch 5"] == listed(find_run(tmp_path / "mia-000005.safetensors"))


@pytest.mark.parametrize("names", [("kira-10", "kira-20"), ("10", "20")])
def test_number_without_a_word_is_no_guess(tmp_path: Path, names: tuple[str, str]) -> None:
    """Files that differ in a bare number may be steps, epochs or LoRAs: the message says how to make that clear."""
    put(tmp_path, *(f"{name}.safetensors" for name in names))

    with pytest.raises(NewPlanError) as caught:
        find_run(tmp_path)

    assert str(caught.value).endswith(
        "\nIf they are checkpoints of one training, their names do not say whether 10 is a step or an epoch: rename "
        "them (-step00000010 or -000010 for an epoch, before .safetensors), or write a plan for one, and list the "
        "others in it with their `step` or `epoch`."
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(("kira_000000500_high_noise.safetensors", "kira_000000500_low_noise.safetensors"),
                     "Two files make one checkpoint, and a column takes one file.", id="wan-pairs"),
        pytest.param(("lora_weight_e2_s500.pt", "lora_weight_e2_s500.text_encoder.pt"),
                     "Have the trainer save safetensors, or convert them.", id="pickles"),
        pytest.param(("loss.csv",), "holds no LoRA checkpoints, up to two levels deep.", id="nothing"),
        pytest.param(("a/b/c/kira.safetensors",), "holds no LoRA checkpoints, up to two levels deep.", id="too-deep"),
    ],
)  # fmt: skip
def test_folder_without_a_run_is_refused(tmp_path: Path, files: tuple[str, ...], words: str) -> None:
    """What cannot become a plan is refused with the reason, and what to do."""
    put(tmp_path, *files)

    with pytest.raises(NewPlanError, match=words):
        find_run(tmp_path)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    """A folder that is not there is named."""
    with pytest.raises(NewPlanError, match=r"There is no folder .*none"):
        find_run(tmp_path / "none")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_link_in_a_circle_ends(tmp_path: Path) -> None:
    """A link to a folder above is not followed without end."""
    put(tmp_path, "kira.safetensors")
    (tmp_path / "loop").symlink_to(tmp_path)

    assert ["kira.safetensors: final"] == listed(find_run(tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that is called like a checkpoint is left out with the reason."""
    put(tmp_path, "kira-step00000100.safetensors")
    os.mkfifo(tmp_path / "kira-step00000200.safetensors")

    run = find_run(tmp_path)

    assert ["kira-step00000100.safetensors"] == [one.found.file for one in run.entries]
    assert "it is no plain file" in run.others[0]
