"""Each claim about production is seen to fail where it does not hold, and the others still pass."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from plugins.comfyui.workflow import BUILT_IN
from stand_in.serving import serve
from tests.commands.looking import Result, outcomes, together, told
from tests.commands.whole_way import Story
from tests.small_plan import Posing, Suite

pytestmark = pytest.mark.slow

PRODUCTION = "ComfyUI/models/loras/spyke_plasma_v1.safetensors"
FINAL = "output/loras/spyke/spyke_plasma_v1.safetensors"
PRESENT = "test_production_lora_is_present"
SIZE = "test_production_lora_has_its_size"
COPIES = "test_no_evaluation_copies_remain"
PICKER = "test_picker_lists_production_lora"
TESTED = "test_every_checkpoint_was_tested_on_every_prompt"
BALLOT = "test_ballot_is_unchanged"
PROVEN = "test_production_lora_rendered_what_was_judged"
SELECTED = "test_production_lora_is_the_selected_checkpoint"
MODELS = "test_model_files_are_as_proven"
DISK = "test_no_forbidden_lora_on_disk"
OFFERED = "test_no_forbidden_lora_in_picker"
TEMPLATES = "test_workflow_templates_load_production_lora"


def absent(folder: Path) -> None:
    """Take production away."""
    (folder / PRODUCTION).unlink()


def cut(folder: Path) -> None:
    """Cut production short."""
    (folder / PRODUCTION).write_bytes((folder / PRODUCTION).read_bytes()[:1200])


def small_limit(folder: Path) -> None:
    """Allow production less than it has."""
    edit(folder, 'max_size = "200 MB"', 'max_size = "1.1 kB"')


def copies_left(folder: Path) -> None:
    """Put an evaluation copy back."""
    shutil.copy(folder / FINAL, folder / "ComfyUI/models/loras/spyke_plasma_v1_final.safetensors")


def evidence_gone(folder: Path) -> None:
    """Lose one cell's evidence, and retouch another's picture."""
    (folder / "reports/pictures/final/forest.json").unlink()
    with (folder / "reports/pictures/step600/novel_pose.png").open("ab") as picture:
        picture.write(b"retouched")


def proof_gone(folder: Path) -> None:
    """Take a row out of the deployment's proof."""
    path = folder / "reports/deployment.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["proof"] = [one for one in record["proof"] if one["row"] != "forest"]
    path.write_text(json.dumps(record), encoding="utf-8")


def others_bytes(folder: Path) -> None:
    """Put another checkpoint's bytes in production."""
    shutil.copy(folder / FINAL, folder / PRODUCTION)


def forbidden(folder: Path) -> None:
    """Put forbidden LoRAs into a subfolder, in another case."""
    (folder / "ComfyUI/models/loras/old").mkdir()
    shutil.copy(folder / FINAL, folder / "ComfyUI/models/loras/old/JUNE_v3.safetensors")


def base_model_replaced(folder: Path) -> None:
    """Write another base model of the same size and time under its name."""
    (file,) = (folder / "ComfyUI/models/checkpoints").iterdir()
    status, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def another_folder(folder: Path) -> None:
    """Have the server read another folder, with a forbidden LoRA and without production."""
    shutil.copytree(folder / "ComfyUI", folder / "served")
    loras = folder / "served/models/loras"
    (loras / "spyke_plasma_v1.safetensors").rename(loras / "My_Draster.safetensors")


def record_gone(folder: Path) -> None:
    """Lose the record of the deployment."""
    (folder / "reports/deployment.json").unlink()


def template(folder: Path) -> None:
    """Name a workflow template that loads an evaluation copy."""
    edit(folder, "[production]", '[production]\nworkflows = ["*.json"]')
    graph = {key: {**node, "inputs": {**node["inputs"]}} for key, node in BUILT_IN.items()}
    graph["2"]["inputs"]["lora_name"] = "spyke_plasma_v1_step600.safetensors"
    (folder / "portrait.json").write_text(json.dumps(graph), encoding="utf-8")


def edit(folder: Path, old: str, new: str) -> None:
    """Edit the plan."""
    path = folder / "plan.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One planted violation: the claims that must fail, and what must be said."""

    plant: Callable[[Path], None]
    fails: frozenset[str]
    says: tuple[str, ...]
    served: bool = True


LORAS = "{folder}/ComfyUI/models/loras"
VIOLATIONS = {
    "absent": Violation(
        plant=absent,
        fails=frozenset({PRESENT, SIZE, COPIES, PICKER, SELECTED}),
        says=(
            f"{LORAS}/spyke_plasma_v1.safetensors is not there.",
            "Deploy a checkpoint: pytest -m deploy --selected-step=STEP --plan=",
            "not checked: no production LoRA is there (see above)",
        ),
    ),
    "cut_short": Violation(
        plant=cut,
        fails=frozenset({PRESENT, SELECTED}),
        says=(
            f"{LORAS}/spyke_plasma_v1.safetensors is not a complete safetensors file (",
            "holds bytes of no checkpoint of the plan (SHA-256 ",
        ),
    ),
    "too_large": Violation(
        plant=small_limit,
        fails=frozenset({SIZE}),
        says=("bytes), and the plan allows 1.0 kB to 1.1 kB. Is it the right file?",),
    ),
    "copies_left": Violation(
        plant=copies_left,
        fails=frozenset({COPIES}),
        says=(f"{LORAS}/spyke_plasma_v1_final.safetensors is an evaluation copy that is still there. Deploying",),
    ),
    "evidence_gone": Violation(
        plant=evidence_gone,
        fails=frozenset({TESTED}),
        says=("final x forest: it was not rendered", "step600/novel_pose.png was changed after it was rendered"),
    ),
    "proof_gone": Violation(
        plant=proof_gone,
        fails=frozenset({PROVEN}),
        says=("step600 x forest: no picture of the production LoRA was compared with it when it was deployed",),
    ),
    "others_bytes": Violation(
        plant=others_bytes,
        fails=frozenset({SELECTED}),
        says=(
            "holds the bytes of final (SHA-256 ",
            "but step600 was selected",
            "pytest -m deploy --selected-step=step600",
        ),
    ),
    "forbidden": Violation(
        plant=forbidden,
        fails=frozenset({DISK, OFFERED}),
        says=(
            f"{LORAS}/old/JUNE_v3.safetensors must not exist: the plan forbids june and draster. Move it",
            "offers old/JUNE_v3.safetensors, and the plan forbids june and draster. Move the file elsewhere.",
        ),
    ),
    "base_model_replaced": Violation(
        plant=base_model_replaced,
        fails=frozenset({MODELS}),
        says=(" is another file now, so what production renders is not what was judged. Put the former file back, or",),
    ),
    "another_folder": Violation(
        plant=another_folder,
        fails=frozenset({PICKER, OFFERED}),
        says=("does not offer spyke_plasma_v1; it has My_Draster.safetensors.", "offers My_Draster.safetensors, and"),
    ),
    "record_gone": Violation(
        plant=record_gone,
        fails=frozenset({TESTED, BALLOT, PROVEN, SELECTED, MODELS}),
        says=("No deployment is on record in {folder}/reports. Deploy with pytest -m deploy --selected-step=STEP",),
    ),
    "template": Violation(
        plant=template,
        fails=frozenset({TEMPLATES}),
        says=("names 'spyke_plasma_v1_step600.safetensors', a checkpoint of this LoRA rather than production.",),
    ),
    "no_server": Violation(
        plant=lambda _: None,
        fails=frozenset({PICKER, OFFERED, MODELS}),
        says=("Not checked: No ComfyUI answers at http://127.0.0.1:9 (",),
        served=False,
    ),
}


@pytest.fixture(scope="module")
def verified(story: Story, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Result]]:
    """Plant each violation in a copy of what was deployed and verified, and verify that."""
    top = tmp_path_factory.mktemp("verify")
    jobs = {name: partial(verify, top / name, story, violation) for name, violation in VIOLATIONS.items()}
    return together(jobs)


def verify(folder: Path, story: Story, violation: Violation) -> tuple[Path, Result]:
    """Plant one violation and run `-m verify`."""
    shutil.copytree(story.deployed, folder)
    violation.plant(folder)
    suite = Suite(plan_file=folder / "plan.toml")
    with ExitStack() as stack:
        comfyui = folder / "served" if (folder / "served").exists() else folder / "ComfyUI"
        url = stack.enter_context(serve(comfyui, faults=Posing())).url if violation.served else "http://127.0.0.1:9"
        return folder, suite.run("-v", "-m", "verify", f"--comfyui-url={url}")


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_is_seen(verified: dict[str, tuple[Path, Result]], story: Story, name: str) -> None:
    """A planted violation fails the claims that it breaks, and no other, with the file or server and what to do."""
    violation, (folder, result) = VIOLATIONS[name], verified[name]
    found = outcomes(result)
    assert set(outcomes(story.results["verified"])) | violation.fails == set(found)
    assert violation.fails == {claim for claim, outcome in found.items() if outcome != "PASSED"}
    assert 1 == result.returncode
    for words in violation.says:
        assert words.format(folder=folder) in told(result)
    assert "Traceback" not in told(result)


def test_every_claim_was_seen_failing(story: Story) -> None:
    """There is no claim in the suite that no violation here breaks."""
    broken = frozenset[str]().union(*(violation.fails for violation in VIOLATIONS.values()))
    assert broken == {*outcomes(story.results["verified"]), TEMPLATES}
