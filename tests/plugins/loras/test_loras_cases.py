"""Folders as trainers leave them: what is refused, what is accepted with a warning, and what without one."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from plugins.comfyui.names import find_lora
from plugins.loras.base_models import base_header
from plugins.loras.doubts import doubts_of, samples_of, saved_again
from plugins.loras.header import check_fit
from plugins.loras.staging import preflight, stage
from plugins.plan.messages import UserError
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from tests import lora_files as files
from tests.lora_files import overwrite, write_file

PLAN = """
name = "{name}"
title = "Kira"
[paths]
project = "."
checkpoints = "{folder}"
comfyui = "ComfyUI"
{loras}
[comfyui]
url = "http://127.0.0.1:9"
[sampling]
base_model = "{model}.safetensors"
sampler = "euler"
scheduler = "normal"
steps = 2
cfg = 7.0
width = 64
height = 64
seeds = [42]
[[prompt]]
id = "plain"
text = "kira, standing"
[production]
file = "kira_production.safetensors"
{size}
"""
STEP_600 = "kira-step00000600.safetensors"
HALVES = ("high", "low")
SIZES = 'min_size = "50 MB"\nmax_size = "200 MB"'
DIFFUSERS = "pytorch_lora_weights.safetensors"


def notes(step: int, epoch: int, version: str = "sdxl_base_v1-0", **more: str) -> Mapping[str, str]:
    """Return what kohya's trainer notes."""
    return {
        "ss_output_name": "kira",
        "ss_steps": str(step),
        "ss_epoch": str(epoch),
        "ss_base_model_version": version,
        **more,
    }


def toolkit(step: int, version: str) -> Mapping[str, str]:
    """Return what ai-toolkit notes."""
    return {"training_info": json.dumps({"step": step, "epoch": step // 20}), "ss_base_model_version": version}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A training folder, its plan, and what comes of it."""

    write: Callable[[Path], object]
    """Write the trainer's files into a folder."""
    checkpoints: tuple[Mapping[str, object], ...] = ({"step": 600, "file": STEP_600},)
    says: tuple[str, ...] = ()
    """What is refused, or warned of; nothing where all is well."""
    refused: bool = False
    model: str = "SDXL"
    name: str = "kira"
    folder: str = "out"
    loras: str = ""
    size: str = ""


def one(
    shapes: files.Shapes, metadata: Mapping[str, str] | None = None, *, name: str = STEP_600, size: int = 0
) -> Callable[[Path], object]:
    """Write one file."""
    return lambda out: write_file(out / name, shapes, metadata, size=size)


def several(*given: tuple[str, files.Shapes, Mapping[str, str], str]) -> Callable[[Path], object]:
    """Write several files, each with its seed."""
    return lambda out: [write_file(out / name, shapes, metadata, seed=seed) for name, shapes, metadata, seed in given]


def spoilt(value: bytes, *, only: str = "") -> Callable[[Path], object]:
    """Write three checkpoints of which one has another value for all its weights, or for those that end in `only`."""

    def write(out: Path) -> None:
        several(*((f"kira-step{step:08}.safetensors", XL, notes(step, 6), str(step)) for step in STEPS))(out)
        overwrite(out / STEP_600, value, only=only)

    return write


def talkative(out: Path) -> None:
    """Write one file with notes of 50,000 tags."""
    tags = json.dumps({f"{at}": {f"tag {at}": at} for at in range(50_000)})
    one(XL, notes(600, 6, ss_tag_frequency=tags))(out)


XL = files.kohya(files.XL)
STEPS = (300, 600, 900)
STEPPED = tuple({"step": step, "file": f"kira-step{step:08}.safetensors"} for step in STEPS)
NAN = b"\x00\x7e"
CASES = {
    "folders_diffusers": Case(
        write=several(
            (f"checkpoint-500/{DIFFUSERS}", files.peft(files.FLUX), {}, "a"),
            (f"checkpoint-1000/{DIFFUSERS}", files.peft(files.FLUX), {}, "b"),
            (DIFFUSERS, files.peft(files.FLUX), {}, "c"),
        ),
        checkpoints=(
            {"file": f"checkpoint-500/{DIFFUSERS}"},
            {"step": 1000, "file": f"checkpoint-1000/{DIFFUSERS}"},
            {"label": "final", "file": DIFFUSERS},
        ),
        model="Flux.1",
    ),
    "epochs_without_steps": Case(
        write=several(
            ("epoch5/lora.safetensors", XL, {}, "a"),
            ("epoch20/lora.safetensors", XL, {}, "b"),
        ),
        checkpoints=({"epoch": 5, "file": "epoch5/lora.safetensors"}, {"file": "epoch20/lora.safetensors"}),
    ),
    "sft_and_capitals": Case(
        write=several(("kira_000000500.sft", XL, {}, "a"), ("kira.SAFETENSORS", XL, {}, "b")),
        checkpoints=({"file": "kira_000000500.sft"}, {"label": "final", "file": "kira.SAFETENSORS"}),
    ),
    "last_step_twice": Case(
        write=several(
            ("kira-step00000500.safetensors", XL, notes(500, 5), "a"),
            ("kira-step00001000.safetensors", XL, notes(1000, 9), "same"),
            ("kira.safetensors", XL, notes(1000, 10, ss_training_finished_at="1760000009.0"), "same"),
        ),
        checkpoints=(
            {"step": 500, "file": "kira-step00000500.safetensors"},
            {"step": 1000, "file": "kira-step00001000.safetensors"},
            {"step": 1000, "label": "final", "file": "kira.safetensors"},
        ),
        says=(
            (
                "step1000 and final hold the same tensors: they are one checkpoint, saved twice. It is rendered once; "
                "final shows step1000's pictures. Leave one of them out of the plan"
            ),
        ),
    ),
    "resumed": Case(
        write=several(
            ("kira-000005.safetensors", XL, notes(500, 5, ss_session_id="1"), "a"),
            ("kira-000010.safetensors", XL, notes(500, 10, ss_session_id="2"), "b"),
        ),
        checkpoints=(
            {"step": 500, "file": "kira-000005.safetensors"},
            {"step": 1000, "file": "kira-000010.safetensors"},
        ),
        says=(
            "kira-000010.safetensors says step 500 (ss_steps), and the plan step 1000: its training was resumed",
        ),
    ),
    "resumed_without_steps": Case(
        write=several(
            ("kira-000005.safetensors", XL, notes(500, 5), "a"),
            ("kira-000010.safetensors", XL, notes(500, 10), "b"),
        ),
        checkpoints=({"file": "kira-000005.safetensors"}, {"file": "kira-000010.safetensors"}),
    ),
    "step_contradicts_header": Case(
        write=one(XL, notes(400, 4)),
        refused=True,
        says=("was saved at step 400 (ss_steps), but the plan calls it step 600, and its name says step 600.",),
    ),
    "step_contradicts_toolkit": Case(
        write=one(files.peft(files.FLUX), toolkit(500, "flux.1"), name="kira_000000500.safetensors"),
        checkpoints=({"step": 250, "file": "kira_000000500.safetensors"},),
        model="Flux.1",
        refused=True,
        says=("says that it was saved at step 500 (training_info), but the plan calls it step 250",),
    ),
    "step_contradicts_name": Case(
        write=one(XL, {}, name="kira2025-11-02_12-30-05-save-500-10-0.safetensors"),
        checkpoints=({"step": 250, "file": "kira2025-11-02_12-30-05-save-500-10-0.safetensors"},),
        says=("is called step 500, and the plan says step 250",),
    ),
    "below_loras": Case(write=one(XL, notes(600, 6)), folder="ComfyUI/models/loras/kira_run"),
    "extra_root_subfolder": Case(write=one(XL, notes(600, 6)), loras='loras = "../Models/Lora/characters"'),
    "wan22_pair": Case(
        write=several(*((f"kira_000000500_{one}_noise.sft", files.peft(files.WAN), {}, one) for one in HALVES)),
        checkpoints=tuple(
            {"step": 500, "label": one, "file": f"kira_000000500_{one}_noise.sft"} for one in HALVES
        ),
        model="Wan",
        refused=True,
        says=("are one checkpoint in two files, for high and for low noise, and a column takes one file",),
    ),
    "size_sd15": Case(
        write=one(files.kohya(files.SD1), notes(600, 6, "sd_v1"), size=19_000_000),
        model="SD 1.x",
        size=SIZES,
        says=("checkpoint step600 has 19 MB, and [production] wants at least 50 MB",),
    ),
    "size_sdxl": Case(
        write=one(files.kohya(files.XL | files.XL_TE), notes(600, 6), size=228_000_000),
        size=SIZES,
        says=("checkpoint step600 has 228 MB, and [production] wants at most 200 MB",),
    ),
    "windows_path": Case(
        write=one(XL),
        loras='loras = "D:\\training\\new"',
        refused=True,
        says=("Write a Windows path in single quotes, 'D:\\training', or with '/'",),
    ),
    "windows_path_that_is_no_toml": Case(
        write=one(XL),
        loras='loras = "D:\\AI\\x"',
        refused=True,
        says=("is not TOML", "Write a Windows path in single quotes, 'D:\\training', or with '/'"),
    ),
    "trigger_with_space": Case(
        write=one(XL, notes(600, 6)),
        name="ohwx man",
        refused=True,
        says=("Try name = 'ohwx_man'", "The trigger word goes into the prompts"),
    ),
    "huge_metadata": Case(write=talkative),
    "onetrainer_t5": Case(
        write=one(
            files.kohya(
                {
                    "lora_transformer_single_transformer_blocks_0_attn_to_q": (32, 32),
                    "lora_te2_encoder_block_0_layer_0_SelfAttention_q": (32, 32),
                }
            ),
            {"ot_branch": "master"},
        ),
        model="Flux.1",
    ),
    "lokr_on_flux": Case(
        write=one(files.lokr(files.XL), notes(600, 6)),
        model="Flux.1",
        refused=True,
        says=("The base model Flux.1.safetensors is Flux.1, and these LoRAs are not:", "step600: ", "made for SDXL"),
    ),
    "hunyuanvideo_on_flux": Case(
        write=one(files.kohya(files.native("lora_unet_", "_")), notes(600, 6, "hunyuan_video")),
        model="Flux.1",
        refused=True,
        says=("step600: ", "made for HunyuanVideo"),
    ),
    "sdxl_script_with_te": Case(
        write=one(files.script(files.XL_SCRIPT) | files.script(files.XL_SCRIPT_TE, "lora_linear_layer")),
        says=("ComfyUI does not load 10 of its 22 keys",),
    ),
    "zeros_in_one_checkpoint": Case(
        write=spoilt(b"\0"),
        checkpoints=STEPPED,
        refused=True,
        says=(
            "1 of the plan's 3 checkpoints cannot be staged:",
            f"{STEP_600} changes nothing: all its weights are zero. Train on, or take it out of the plan",
        ),
    ),
    "nan_in_one_checkpoint": Case(
        write=spoilt(NAN),
        checkpoints=STEPPED,
        refused=True,
        says=(
            "1 of the plan's 3 checkpoints cannot be staged:",
            f"{STEP_600} holds NaN or infinity in all 10 tensors that were looked into: the training failed",
        ),
    ),
    "nan_in_some_layers": Case(
        write=spoilt(NAN, only="q.lora_up.weight"),
        checkpoints=STEPPED,
        says=(
            "checkpoint step600: 2 of the 10 tensors that were looked into hold NaN or infinity",
            "its pictures may be black, and that is then the LoRA's doing",
        ),
    ),
    "is_its_own_copy": Case(
        write=one(XL, name="kira_step600.safetensors"),
        checkpoints=({"step": 600, "file": "kira_step600.safetensors"},),
        folder="ComfyUI/models/loras/run",
        loras='loras = "models/loras/run/../run/."',
        refused=True,
        says=("are the same folder",),
    ),
    "linked_to_its_copy": Case(
        write=lambda out: (out / STEP_600).symlink_to(
            write_file(out.parent / "ComfyUI/models/loras/kira_step600.safetensors", XL)
        ),
        refused=True,
        says=("is a link into", "where files are replaced and removed"),
    ),
}  # fmt: skip


def looked_into(folder: Path, case: Case) -> tuple[bool, str, Plan | None]:
    """Write a case and do what a run does before the first picture: whether it was refused, and what was said."""
    (folder / "ComfyUI/models/loras").mkdir(parents=True)
    write_file(folder / f"ComfyUI/models/checkpoints/{case.model}.safetensors", files.BASES[case.model])
    (folder / case.folder).mkdir(parents=True, exist_ok=True)
    case.write(folder / case.folder)
    text = PLAN.format(name=case.name, folder=case.folder, loras=case.loras, model=case.model, size=case.size)
    for table in case.checkpoints:
        text += "\n[[checkpoint]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    try:
        plan = read_plan(folder / "plan.toml")
        headers = preflight(plan)
        base = base_header(plan, f"{case.model}.safetensors")
        check_fit(headers, base, base_model=f"{case.model}.safetensors")
    except UserError as error:
        return True, str(error), None
    samples = samples_of(plan, headers)
    doubts = doubts_of(
        plan,
        headers,
        base,
        base_model=f"{case.model}.safetensors",
        samples=samples,
        again=saved_again(plan, samples),
    )
    return False, "\n".join(doubts), plan


@pytest.mark.parametrize("name", CASES)
def test_folder_is_refused_warned_of_or_accepted(tmp_path: Path, name: str) -> None:
    """Each kind of folder is refused with the reason, or accepted, with a warning where there is a doubt."""
    case = CASES[name]

    refused, said, _ = looked_into(tmp_path, case)

    assert (case.refused, bool(case.says)) == (refused, bool(said)), said
    assert [] == [words for words in case.says if words not in said], said


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("folders_diffusers", ["step500", "step1000", "final"]),
        ("epochs_without_steps", ["epoch5", "epoch20"]),
        ("sft_and_capitals", ["step500", "final"]),
        ("resumed_without_steps", ["epoch5", "epoch10"]),
    ],
)
def test_steps_come_from_header_or_name(tmp_path: Path, name: str, ids: list[str]) -> None:
    """What the plan leaves out is read from the header, else from the name; order is that of training."""
    _, _, plan = looked_into(tmp_path, CASES[name])

    assert plan is not None
    assert ids == [one.id for one in plan.checkpoints]


def test_subfolder_of_an_extra_root_is_found_in_the_picker(tmp_path: Path) -> None:
    """A staged file is found under the picker's own spelling, below a root that the server's settings add."""
    _, _, plan = looked_into(tmp_path / "project", CASES["extra_root_subfolder"])
    assert plan is not None
    (copy,) = stage(plan, preflight(plan))
    listed = ("kira_step600.safetensors.bak", "other/kira_step600.safetensors", "characters/kira_step600.safetensors")

    found = find_lora(plan.picker_name(copy.file.name), listed, server="http://a", folder=copy.file.parent)

    assert "characters/kira_step600.safetensors" == found
