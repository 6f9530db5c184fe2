"""plans/spyke.toml holds what the mission says, word for word."""

import hashlib
from pathlib import Path

import pytest

from plugins.comfyui.workflow import Workflow
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan

PROMPTS = [
    "spyke_plasma_v1, standing in a forest, dramatic lighting, anime style, full body",
    "spyke_plasma_v1, crouching, looking up at the sky, urban environment, anime style",
    "spyke_plasma_v1, full body, front view, detailed character study, arms at sides, anime style",
]
TRAINING_FILES = [
    "spyke_plasma_v1-step00000200.safetensors",
    "spyke_plasma_v1-step00000400.safetensors",
    "spyke_plasma_v1-step00000600.safetensors",
    "spyke_plasma_v1-step00000800.safetensors",
    "spyke_plasma_v1.safetensors",
]
STAGED_FILES = [
    "spyke_plasma_v1_step200.safetensors",
    "spyke_plasma_v1_step400.safetensors",
    "spyke_plasma_v1_step600.safetensors",
    "spyke_plasma_v1_step800.safetensors",
    "spyke_plasma_v1_final.safetensors",
]


@pytest.fixture
def spyke(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Read the plan that the suite ships with, as the person of the mission."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("USERPROFILE", "/home/somebody")
    return read_plan(Path(__file__).parents[3] / "plans" / "spyke.toml")


def test_spyke_prompts_are_the_missions(spyke: Plan) -> None:
    """The three test prompts stand in the plan word for word, in the mission's order."""
    assert [prompt.text for prompt in spyke.prompts] == PROMPTS


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param(0, ("trigger word", "environment"), id="trigger"),
        pytest.param(1, ("novel pose", "not in the training set"), id="novel-pose"),
        pytest.param(2, ("asymmetric",), id="asymmetric"),
    ],
)
def test_spyke_prompt_says_what_it_is_for(spyke: Plan, number: int, words: tuple[str, ...]) -> None:
    """Each prompt carries the purpose that the mission gives it."""
    purpose = spyke.prompts[number].purpose.lower()

    assert [word for word in words if word not in purpose] == []


def test_spyke_checkpoints_are_the_five_training_outputs(spyke: Plan) -> None:
    """The five files of the training run, with their steps; the last one is called final."""
    assert [one.file for one in spyke.checkpoints] == TRAINING_FILES
    assert [one.step for one in spyke.checkpoints] == [200, 400, 600, 800, 920]
    assert [one.id for one in spyke.checkpoints] == ["step200", "step400", "step600", "step800", "final"]


def test_spyke_copies_have_step_labelled_names(spyke: Plan) -> None:
    """The evaluation copies are called as in the mission's task 1."""
    assert [spyke.staged_file(one) for one in spyke.checkpoints] == STAGED_FILES


@pytest.mark.parametrize(
    ("step", "words"),
    [
        pytest.param(200, ("under-trained", "generic anime character", "trigger word has little effect"), id="200"),
        pytest.param(400, ("beginning to learn", "some", "features appear"), id="400"),
        pytest.param(600, ("sweet spot", "new poses"), id="600"),
        pytest.param(800, ("good", "overfit", "novel pose"), id="800"),
        pytest.param(920, ("overfit", "training set"), id="final"),
    ],
)
def test_spyke_checkpoint_says_what_to_expect(spyke: Plan, step: int, words: tuple[str, ...]) -> None:
    """Each checkpoint carries the mission's typical pattern, for the person to look for."""
    expect = next(one.expect.lower() for one in spyke.checkpoints if one.step == step)

    assert [word for word in words if word not in expect] == []


def test_spyke_sampling_is_the_missions(spyke: Plan) -> None:
    """AnythingXL_inkBase, Euler a, 20 steps, CFG 7, 512x512, clip skip 2."""
    sampling = spyke.sampling

    assert sampling.base_model == "AnythingXL_inkBase"
    assert (sampling.sampler, sampling.steps, sampling.cfg) == ("euler_ancestral", 20, 7.0)
    assert (sampling.width, sampling.height, sampling.clip_skip) == (512, 512, 2)
    assert (len(sampling.seeds), sampling.lora_strength) == (1, 1.0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param(0, ("ginger", "orange", "hair"), id="hair"),
        pytest.param(1, ("white", "cloak", "coat", "visible"), id="cloak"),
        pytest.param(2, ("right", "arm bracer", "correct side"), id="bracer"),
        pytest.param(3, ("left", "knee pauldron", "correct side"), id="pauldron"),
        pytest.param(4, ("style", "training images", "not generic anime"), id="style"),
        pytest.param(5, ("novel pose", "collapsing", "training image"), id="novel-pose"),
    ],
)
def test_spyke_criterion_is_asked(spyke: Plan, number: int, words: tuple[str, ...]) -> None:
    """The six evaluation criteria stand in the plan, in the mission's order."""
    text = spyke.criteria[number].text.lower()

    assert len(spyke.criteria) == 6
    assert [word for word in words if word not in text] == []


def test_spyke_selection_rule_is_the_missions(spyke: Plan) -> None:
    """Details and the novel pose decide; of several that pass, the earlier one is preferred."""
    rule = " ".join(spyke.selection_rule.lower().split())
    words = ("asymmetric details appear correctly", "novel pose", "plausible", "prefer the earlier one")

    assert [word for word in words if word not in rule] == []


def test_spyke_requires_what_the_selection_rests_on(spyke: Plan) -> None:
    """The asymmetric details and the novel pose are required of a selected checkpoint."""
    required = {one.id for one in spyke.criteria if one.required}

    assert {"right_bracer", "left_pauldron", "novel_pose_holds"} <= required


def test_spyke_production_is_the_missions(spyke: Plan) -> None:
    """One production file, 50 to 200 MB, and neither June nor Draster (LORA-05)."""
    production = spyke.production

    assert (production.file, production.lora_name) == ("spyke_plasma_v1.safetensors", "spyke_plasma_v1")
    assert (production.min_size, production.max_size) == (50_000_000, 200_000_000)
    assert production.forbidden == ("june", "draster")


def test_spyke_paths_are_the_missions(spyke: Plan) -> None:
    """Training output, ComfyUI's loras folder and the summary are where the mission has them."""
    home, paths = Path("/home/somebody"), spyke.paths
    phase = home / "Code/plasma/.planning/phases/08-spyke-lora-training"

    assert paths.checkpoints == home / "Code/plasma/output/loras/spyke"
    assert paths.loras == home / "tools/ComfyUI/models/loras"
    assert paths.summary == phase / "08-spyke-lora-training-03-SUMMARY.md"


def test_spyke_comfyui_is_the_missions(spyke: Plan) -> None:
    """ComfyUI answers at port 8188, and is started by `python main.py` in its folder."""
    assert spyke.comfyui.servers == ("http://127.0.0.1:8188",)
    assert spyke.comfyui.start == ("python", "main.py")


def test_spyke_work_is_the_missions(spyke: Plan) -> None:
    """Plan 03 of phase 8 meets LORA-02, LORA-03 and LORA-05, is built on plans 01 and 02, and unblocks phase 9."""
    work = spyke.summary

    assert work
    assert ("08-spyke-lora-training", "03") == (work.phase, work.plan)
    assert ["LORA-02", "LORA-03", "LORA-05"] == [*work.requirements]
    assert ("08-01", "08-02") == work.requires
    assert "Phase 9" in work.affects[0]


def test_spyke_cells_and_digests_stay_what_they_were(spyke: Plan) -> None:
    """What new keys add changes nothing for a plan that has none of them: cells, ids, digests."""
    cells, workflow, digests = matrix(spyke), Workflow.built_in(), {}
    for cell in cells:
        file = spyke.staged_file(cell.checkpoint) if cell.checkpoint else None
        filled = workflow.fill(
            cell, spyke.sampling, base_model="AnythingXL_inkBase.safetensors", lora_file=file, prefix=""
        )
        digests[cell.id] = filled.digest("0" * 64 if cell.checkpoint else None)

    assert spyke.digest == "a4c8eab25bd5d515c8b2fcbcc630a7c666fe805133aaef6328c0be4b0988a313"
    columns = ("baseline", "step200", "step400", "step600", "step800", "final")
    prompts = ("trigger_environment", "novel_pose", "asymmetric_details")
    assert list(digests) == [f"{column}-{prompt}" for column in columns for prompt in prompts]
    assert [str(cell.picture) for cell in cells][1] == "baseline/novel_pose.png"
    assert digests["baseline-novel_pose"] == "cc365f3b7a6b20942ea60b49168fb865087e44a08adaed625586cca77624c435"
    assert digests["step600-novel_pose"] == "1aa853a3b4640c24369850ec6bf8811a0ce5b95b52bb6d6aebc811859cba9a01"
    together = hashlib.sha256("".join(digests.values()).encode()).hexdigest()
    assert together == "74d5904cea2b8161356fd1adb1d2590c8cea7b28e3095dab7a98d420c718cf85"
