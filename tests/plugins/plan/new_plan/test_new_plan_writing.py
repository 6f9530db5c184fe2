"""The plan that is written can be read, says where each value is from, and replaces nothing."""

import json
import os
import signal
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.plan.new_plan.creating import NewPlan, write_plan
from plugins.plan.new_plan.runs import NewPlanError
from tests.lora_files import FLUX, XL, kohya, peft, write_file


def epochs(folder: Path, number: int, **notes: str) -> Path:
    """Write a training of so many epochs, and the final file."""
    for epoch in range(1, number):
        metadata = {"ss_steps": str(epoch * 100), "ss_epoch": str(epoch), **notes}
        write_file(folder / f"kira-{epoch:06}.safetensors", kohya(XL), metadata, seed=str(epoch))
    write_file(folder / "kira.safetensors", kohya(XL), {"ss_steps": str(number * 100), **notes}, seed="final")
    return folder


def written(folder: Path, **more: Any) -> NewPlan:
    """Write a folder's plan into `plans` beside it."""
    return write_plan(folder, None, plans=folder.parent / "plans", **more)


def test_plan_is_read_again(tmp_path: Path) -> None:
    """The plan lists the checkpoints, and holds what the headers say."""
    notes = {"ss_sd_model_name": "animagine.safetensors", "ss_dataset_dirs": json.dumps({"5_k1ra": {}})}
    plan = written(epochs(tmp_path / "out", 3, **notes)).plan

    assert ("kira", "animagine.safetensors") == (plan.name, plan.sampling.base_model)
    assert [("step100", 1), ("step200", 2), ("final", None)] == [(one.id, one.epoch) for one in plan.checkpoints]
    assert 300 == plan.checkpoints[-1].step
    assert ["trigger_and_scene", "new_pose", "details"] == [one.id for one in plan.prompts]
    assert all(one.text.startswith("k1ra, ") for one in plan.prompts)
    sizes = [plan.training_file(one).stat().st_size for one in plan.checkpoints]
    assert plan.production.min_size < min(sizes) <= max(sizes) < plan.production.max_size
    assert plan.paths.checkpoints == tmp_path / "out"


def test_guesses_are_marked(tmp_path: Path) -> None:
    """What is not known has a comment that says so; what is known has its source."""
    new = written(epochs(tmp_path / "out", 2, ss_sd_model_name="animagine.safetensors"))

    lines = new.path.read_text(encoding="utf-8").splitlines()
    assert [
        'base_model = "animagine.safetensors"          # ss_sd_model_name; for SDXL',
        'sampler = "euler_ancestral"                   # CHECK: usual for SDXL',
    ] == [line for line in lines if line.startswith(("base_model", "sampler"))]
    assert f"{sum('# CHECK' in line for line in lines)} of its lines are marked CHECK: read them first." in new.report


def test_what_was_found_is_said_with_the_next_command(tmp_path: Path) -> None:
    """The report names the checkpoints, the plan, and what to type."""
    new = written(epochs(tmp_path / "out", 2))

    first, *_, last = new.report.splitlines()
    assert f"Found 2 checkpoints of kohya's trainer in {tmp_path / 'out'}: step100, final." == first
    assert f"  pytest -m generate --plan={tmp_path / 'plans' / 'kira.toml'} --reports=reports/kira" == last


def test_many_checkpoints_are_thinned(tmp_path: Path) -> None:
    """Of more than a dozen all are written, and a dozen with the first and the last is active."""
    new = written(epochs(tmp_path / "out", 30))

    text = new.path.read_text(encoding="utf-8")
    assert (30, 12) == (text.count("[[checkpoint]]"), len(new.plan.checkpoints))
    assert ("step100", "final") == (new.plan.checkpoints[0].id, new.plan.checkpoints[-1].id)
    shown = ", ".join(one.id for one in new.plan.checkpoints)
    assert [
        f"Found 30 checkpoints of kohya's trainer in {tmp_path / 'out'}.",
        f"12 of the 30 are rendered: {shown}; the others are commented out.",
    ] == new.report.splitlines()[:2]
    everything = text.replace("# [[checkpoint]]", "[[checkpoint]]").replace("# file =", "file =")
    assert 30 == len(tomllib.loads(everything)["checkpoint"])


def test_plan_that_could_not_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    """On a disk that is full, no half of a plan stays behind to stand in the way of the next attempt."""
    resource = pytest.importorskip("resource", reason="Windows has no limits on files")
    folder = epochs(tmp_path / "out", 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(NewPlanError, match="cannot be written: File too large"):
            written(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, full)

    assert [] == list((tmp_path / "plans").iterdir())
    assert written(folder).path.is_file()


def test_plan_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """A plan that is there stays as it is, and a free name is offered."""
    folder = epochs(tmp_path / "out", 2)
    path = written(folder).path
    path.write_text("mine", encoding="utf-8")

    with pytest.raises(NewPlanError) as caught:
        written(folder)

    offered = path.with_name("kira-2.toml")
    assert f"{path} exists already, and is not overwritten. Name another: --plan={offered}" == str(caught.value)
    assert "mine" == path.read_text(encoding="utf-8")


def test_plan_that_could_not_be_used_is_not_left(tmp_path: Path) -> None:
    """Checkpoints right in the loras folder cannot be tested; that is said, and no plan is left."""
    with pytest.raises(NewPlanError, match="`checkpoints` and `loras` are the same folder"):
        written(epochs(tmp_path / "ComfyUI/models/loras", 2), comfyui=tmp_path / "ComfyUI")

    assert [] == list(tmp_path.rglob("*.toml"))


def test_comfyui_above_the_folder_is_found(tmp_path: Path) -> None:
    """Training below models/loras tells where ComfyUI is."""
    plan = written(epochs(tmp_path / "ComfyUI/models/loras/run", 2)).plan

    assert tmp_path / "ComfyUI" == plan.paths.comfyui


def test_trainers_prompts_come_after_ours(tmp_path: Path) -> None:
    """Three of the trainer's own prompts are active; the others are commented out."""
    folder = epochs(tmp_path / "out", 2)
    (folder / "prompts.txt").write_text("\n".join(f"scene {number}" for number in range(5)), encoding="utf-8")

    new = written(folder)

    assert ["scene 0", "scene 1", "scene 2"] == [one.text for one in new.plan.prompts[3:]]
    assert '# text = "scene 4"' in new.path.read_text(encoding="utf-8")


def test_families_of_several_files_are_told_to_bring_a_workflow(tmp_path: Path) -> None:
    """Flux is mostly loaded from several files, which the built-in workflow does not: plan and report say so."""
    write_file(tmp_path / "out/kira.safetensors", peft(FLUX), {"ss_base_model_version": "flux.1"})

    new = written(tmp_path / "out")

    assert '# workflow = "my.json"   # CHECK: for Flux.1, your own' in new.path.read_text(encoding="utf-8")
    assert (
        "Flux.1 needs a workflow of your own on a real ComfyUI (docs/workflows.md): name it as `workflow` in the plan. "
        "The stand-in renders without one."
    ) in new.report.splitlines()


@given(words=st.lists(st.text(max_size=40), min_size=6, max_size=6))
@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
def test_any_words_of_a_trainer_give_a_plan(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    """Whatever a trainer wrote into names, notes and settings, the plan can be read, and is no other TOML."""
    folder = tmp_path_factory.mktemp("any")
    name, base, trigger, prompt, negative, directory = words
    notes = {"ss_sd_model_name": base, "ss_output_name": name, "ss_dataset_dirs": json.dumps({f"3_{directory}": {}})}
    notes = {key: value.encode("utf-8", "replace").decode() for key, value in notes.items()}
    write_file(folder / "last.safetensors", kohya(XL), notes)
    config = {
        "config": {
            "name": name,
            "process": [{"trigger_word": trigger, "sample": {"prompts": [prompt], "neg": negative}}],
        }
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")

    plan = write_plan(folder, folder / "plan.toml", plans=folder).plan

    assert ["final"] == [one.id for one in plan.checkpoints]


@pytest.mark.parametrize("key", ["name", "trigger_word", "arch", "sampler", "sample_steps", "guidance_scale", "seed"])
def test_value_that_yaml_makes_endless_is_passed_over(tmp_path: Path, key: str) -> None:
    """Lists of lists by aliases are no value, whichever it is asked for, and nobody waits for them as a text."""
    lines = ["a0: &a0 [x]", *(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 40))]
    inner = f"{{trigger_word: *a39, model: {{arch: *a39}}, sample: {{{key}: *a39}}}}"
    lines += ["config:", f"  name: {'*a39' if key == 'name' else 'kira'}", "  process:", f"    - {inner}"]
    folder = epochs(tmp_path / "out", 2)
    (folder / "config.yaml").write_text("\n".join(lines), encoding="utf-8")

    assert [42] == list(written(folder).plan.sampling.seeds)


def test_name_that_is_not_utf_8_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    """A file name that no plan can hold is named, and no empty plan is in the way of the next attempt."""
    folder = epochs(tmp_path / "out", 2)
    try:
        for name in ("kira-000001.safetensors", "kira.safetensors"):
            (folder / name).rename(folder / os.fsdecode(b"\xff" + name.encode()))
    except OSError:
        pytest.skip("this file system has UTF-8 names only")

    with pytest.raises(NewPlanError, match="not in UTF-8"):
        written(folder)
    assert not (tmp_path / "plans").exists()


def test_notes_of_another_form_are_passed_over(tmp_path: Path) -> None:
    """What a trainer noted in a form of its own says nothing, and stops nothing."""
    folder = epochs(tmp_path / "out", 2, ss_datasets='[{"subsets": 5}]')

    assert "kira" == written(folder).plan.name
