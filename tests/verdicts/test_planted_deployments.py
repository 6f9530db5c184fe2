"""Each planted defect of a deployment is caught: by the gate, by the proof, or later by verifying.

The gate and the claims read files that are wrong in exactly one way; the proof asks a stand-in that lies in one way.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from plugins.comfyui.errors import ExecutionFailed
from plugins.deploy import claims
from plugins.deploy.gate import GateError, pass_gate
from plugins.deploy.selection import SavedBallot, SelectionError, judged_by
from plugins.evidence.deployments import RECORD, BallotRecord, Deployment
from plugins.evidence.evidence import RunRecord
from plugins.generate.expected import ExpectedInputs
from plugins.loras.copying import digest_of
from plugins.loras.errors import DeploymentError
from plugins.loras.forbidden import files_below
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from stand_in.faults import NodeFailure
from stand_in.server import Server
from stand_in.weights import write_weights
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import (
    BLANK,
    STARTED,
    evidence_for,
    expected_inputs_of,
    keep,
    keep_all,
    png_of,
)
from tests.verdicts.faked_run import (
    FakedRun,
    FakingServer,
    Keeping,
    cell_of,
    cells_of,
    graph_of,
    repainted,
    rewrite,
    trembling,
    without_training_images,
)

pytestmark = pytest.mark.slow

SetScene = Callable[..., FakedRun]
URL = "http://127.0.0.1:8188"


# The gate: what may be deployed at all.


def changed(plan: Plan, part: str, **values: Any) -> Plan:
    """Return a plan with something changed in one of its parts."""
    return plan.model_copy(update={part: getattr(plan, part).model_copy(update=values)})


def edited(path: Path, **values: Any) -> None:
    """Change something in a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def _other_bytes(judged: Judged) -> ExpectedInputs:
    path = judged.plan.training_file(judged.plan.checkpoints[0])
    path.write_bytes(path.read_bytes() + b"\0")
    return expected_inputs_of(judged.plan)


def _other_bytes_of_a_checkpoint_that_is_not_selected(judged: Judged) -> ExpectedInputs:
    path = judged.plan.training_file(judged.plan.checkpoints[1])
    path.write_bytes(path.read_bytes() + b"\0")
    return expected_inputs_of(judged.plan)


def _simulated(judged: Judged) -> ExpectedInputs:
    keep_all(expected_inputs_of(judged.plan, simulated=True), judged.store)
    return judged.expected


def _real_pictures_for_a_demo(judged: Judged) -> ExpectedInputs:
    return expected_inputs_of(judged.plan, simulated=True)


def _another_plans_name(judged: Judged) -> ExpectedInputs:
    edited(
        judged.store.evidence_path(cells_of(judged.plan, "step600-novel_pose")[0]),
        plan={"name": "june", "digest": "a" * 64},
    )
    return judged.expected


def _other_steps(judged: Judged) -> ExpectedInputs:
    return expected_inputs_of(changed(judged.plan, "sampling", steps=30))


def _another_prompt(judged: Judged) -> ExpectedInputs:
    first, *others = judged.plan.prompts
    prompts = (first.model_copy(update={"text": "a cat"}), *others)
    return expected_inputs_of(judged.plan.model_copy(update={"prompts": prompts}))


def _another_seed(judged: Judged) -> ExpectedInputs:
    return expected_inputs_of(changed(judged.plan, "sampling", seeds=(7,)))


def _another_base_model(judged: Judged) -> ExpectedInputs:
    keep(judged.expected, judged.store, cells_of(judged.plan, "step600-forest")[0], base_model="v1-5.safetensors")
    return judged.expected


def _changed_picture(judged: Judged) -> ExpectedInputs:
    judged.store.picture_path(cells_of(judged.plan, "step600-forest")[0]).write_bytes(b"painted over")
    return judged.expected


def _lost_picture(judged: Judged) -> ExpectedInputs:
    judged.store.picture_path(cells_of(judged.plan, "step600-forest")[0]).unlink()
    return judged.expected


def _missing_cell(judged: Judged) -> ExpectedInputs:
    judged.store.evidence_path(cells_of(judged.plan, "final-novel_pose")[0]).unlink()
    return judged.expected


def _broken_evidence(judged: Judged) -> ExpectedInputs:
    judged.store.evidence_path(cells_of(judged.plan, "step600-forest")[0]).write_text("{")
    return judged.expected


def _changed_evidence(judged: Judged) -> ExpectedInputs:
    path = judged.store.evidence_path(cells_of(judged.plan, "step600-forest")[0])
    lora = json.loads(path.read_text("utf-8"))["lora"]
    edited(path, lora=lora | {"sha256": "0" * 64})
    return judged.expected


def _evidence_of_another_cell(judged: Judged) -> ExpectedInputs:
    ours, theirs = cells_of(judged.plan, "step600-forest", "final-forest")
    shutil.copyfile(judged.store.picture_path(theirs), judged.store.picture_path(ours))
    shutil.copyfile(judged.store.evidence_path(theirs), judged.store.evidence_path(ours))
    return judged.expected


def _failed_picture(judged: Judged) -> ExpectedInputs:
    cell = cells_of(judged.plan, "step600-forest")[0]
    keep(judged.expected, judged.store, cell, checks=judged.evidence(cell).with_check(BLANK).checks)
    return judged.expected


def _check_that_was_never_made(judged: Judged) -> ExpectedInputs:
    cell = cells_of(judged.plan, "final-forest")[0]
    made = tuple(check for check in judged.evidence(cell).checks if check.name != "twin")
    keep(judged.expected, judged.store, cell, checks=made)
    return judged.expected


BYTES = "it was rendered from other bytes (SHA-256 {sha}) than {file} has now"
CHANGED = "the plan's prompt, seed, settings or workflow were changed since it was rendered"
ALL = ("step600 x forest", "step600 x novel_pose", "final x forest", "final x novel_pose")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(_other_bytes, dict.fromkeys(ALL[:2], BYTES), id="other-bytes"),
        pytest.param(
            _other_bytes_of_a_checkpoint_that_is_not_selected,
            dict.fromkeys(ALL[2:], BYTES),
            id="other-bytes-of-one-that-is-not-selected",
        ),
        pytest.param(_simulated, dict.fromkeys(ALL, "it is SIMULATED"), id="simulated"),
        pytest.param(
            _real_pictures_for_a_demo,
            dict.fromkeys(ALL, "it is a real picture, and this is a --demo run"),
            id="real-pictures-for-a-demo",
        ),
        pytest.param(_another_plans_name, {ALL[1]: CHANGED}, id="another-plan"),
        pytest.param(_other_steps, dict.fromkeys(ALL, CHANGED), id="other-steps"),
        pytest.param(_another_prompt, {ALL[0]: CHANGED, ALL[2]: CHANGED}, id="another-prompt"),
        pytest.param(
            _another_seed,
            {
                f"{column} x {row}": f"{{pictures}}/{column}/{row}.json is evidence of {column} x {row} with seed 42, "
                "not of seed 7"
                for column in ("step600", "final")
                for row in ("forest", "novel_pose")
            },
            id="another-seed",
        ),
        pytest.param(
            _another_base_model,
            {ALL[0]: "it was rendered on another base model, v1-5.safetensors"},
            id="another-base-model",
        ),
        pytest.param(
            _changed_picture,
            {
                ALL[0]: "{pictures}/step600/forest.png was changed after it was rendered: its digest differs from its "
                "evidence's"
            },
            id="changed-picture",
        ),
        pytest.param(
            _lost_picture,
            {
                ALL[0]: "{pictures}/step600/forest.png is gone; only its evidence is left ([Errno 2] No such file or "
                "directory: '{pictures}/step600/forest.png')"
            },
            id="lost-picture",
        ),
        pytest.param(_missing_cell, {ALL[3]: "it was not rendered"}, id="missing-cell"),
        pytest.param(
            _broken_evidence,
            {ALL[0]: "{pictures}/step600/forest.json is not readable evidence (1 validation error for Evidence)"},
            id="broken-evidence",
        ),
        pytest.param(_changed_evidence, {ALL[0]: BYTES.replace("{sha}", "000000000000")}, id="changed-evidence"),
        pytest.param(
            _evidence_of_another_cell,
            {ALL[0]: "{pictures}/step600/forest.json is evidence of final x forest, not of step600 x forest"},
            id="evidence-of-another-cell",
        ),
        pytest.param(_check_that_was_never_made, {ALL[2]: "its check 'twin' was not made"}, id="missing-check"),
        pytest.param(_failed_picture, {ALL[0]: "blank: the picture is nearly one colour"}, id="failed-picture"),
    ],
)
def test_gate_stays_shut(judged: Judged, spoil: Callable[[Judged], ExpectedInputs], told: dict[str, str]) -> None:
    """Whatever was not rendered, or not from what is asked for now, is named cell by cell, and nothing is deployed."""
    plan = judged.plan
    before = {one.id: judged.expected.loras[one.id] for one in plan.checkpoints}
    asked = spoil(judged)

    with pytest.raises(GateError) as caught:
        pass_gate(asked, judged.store, asked.plan.checkpoints[0])

    lines = [
        f"  {cell}: "
        + reason.format(
            pictures=judged.store.folder,
            sha=before[cell.partition(" ")[0]][:12],
            file=next(plan.training_file(one) for one in plan.checkpoints if one.id == cell.partition(" ")[0]),
        )
        for cell, reason in told.items()
    ]
    by_name = [cell.replace(" x ", "-") for cell, reason in told.items() if reason.startswith(("its check", "blank"))]
    taken = [f"To accept a picture as it is, name it: --accept={cell}" for cell in by_name]
    assert str(caught.value).splitlines() == [
        f"step600 cannot be deployed: {len(told)} of 4 pictures are missing or did not pass.",
        *lines,
        "Nothing was deployed. Render what is missing, and look at the report again: pytest -m generate",
        *taken,
    ]
    assert not judged.production.exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param(
            {"plan": {"name": "june_v1", "digest": "a" * 64}}, "it is of another plan, 'june_v1'", id="another-plan"
        ),
        pytest.param({"simulated": True}, "it judges SIMULATED pictures", id="simulated"),
        pytest.param({"choice": "final"}, "it chose final, and step600 was typed", id="another-choice"),
        pytest.param(
            {"pictures": {"step600-forest": "a" * 64}},
            "step600 x forest: picture aaaaaaaa was judged, and now it is {now}",
            id="another-picture",
        ),
        pytest.param(
            {"pictures": {"step400-forest": "a" * 64}},
            "step400-forest: was judged, and is not in this plan",
            id="another-matrix",
        ),
    ],
)
def test_ballot_that_contradicts_is_refused(judged: Judged, changes: dict[str, Any], told: str) -> None:
    """A ballot on other pictures, or for another checkpoint, does not allow the deployment, and says why."""
    good = {entry.cell.id: entry.digest for entry in judged.entries}
    if "pictures" in changes:
        changes = changes | {"pictures": good | changes["pictures"]}
    file = judged.reports / "ballot.json"
    file.write_text(judged.ballot(**changes).model_dump_json(), "utf-8")

    with pytest.raises(SelectionError) as caught:
        judged_by([SavedBallot.at(file)], judged.plan.checkpoints[0], judged.plan, judged.entries, simulated=False)

    now = (good["step600-forest"] or "")[:8]
    assert str(caught.value).splitlines() == [
        f"The ballot {file} does not allow this deployment:",
        f"  {told.format(now=now)}",
        "Nothing was deployed. Judge again on the report page and save the ballot, or move the old one away.",
    ]


# The proof: what production renders.


def unlisted(request: web.Request, server: Server) -> web.StreamResponse | None:
    """Leave the production LoRA out of the picker."""
    production = server.folders.root / "models" / "loras" / "spyke_plasma_v1.safetensors"
    if request.path.endswith("/object_info/LoraLoader") and production.exists():
        names = ["spyke_plasma_v1_final.safetensors", "spyke_plasma_v1_step600.safetensors"]
        return web.json_response({"LoraLoader": {"input": {"required": {"lora_name": [names, {}]}}}})
    return None


def out_of_memory(path: Path) -> Path:
    """Fail to load the production LoRA."""
    if path.name == "spyke_plasma_v1.safetensors":
        raise NodeFailure("torch.OutOfMemoryError", "Allocation on device")
    return path


def sends(lie: Callable[[bytes], bytes]) -> FakingServer:
    """Send something else for the first prompt's picture from production."""

    def picture(png: bytes) -> bytes:
        loaded = [node["inputs"].get("lora_name") for node in graph_of(png).values()]
        return lie(png) if "spyke_plasma_v1.safetensors" in loaded and cell_of(png) == "step600-forest-proof" else png

    return FakingServer(picture=picture)


def sends_the_judged_file() -> FakingServer:
    """Send the judged picture's file in place of the one that was rendered from production."""
    kept: dict[str, bytes] = {}

    def picture(png: bytes) -> bytes:
        return kept.setdefault(cell_of(png).removesuffix("-proof"), png)

    return FakingServer(picture=picture)


def loads_for_production(other: str) -> Callable[[Path], Path]:
    """Load another file where the production LoRA is asked for."""

    def lora_of(path: Path) -> Path:
        return path.with_name(other) if path.name == "spyke_plasma_v1.safetensors" else path

    return lora_of


NOT_JUDGED = r"spyke_plasma_v1\.safetensors x forest on {url} is not what was (?:judged|asked for): "
NUMBER = r"\d+\.\d\d"


@pytest.mark.parametrize(
    ("lying", "told"),
    [
        pytest.param(
            lambda _: FakingServer(lora_of=loads_for_production("spyke_plasma_v1_final.safetensors")),
            NOT_JUDGED + r"it is final's picture, pixel for pixel\.",
            id="another-candidate",
        ),
        pytest.param(
            lambda _: FakingServer(lora_of=loads_for_production("nothing.fits")),
            NOT_JUDGED + r"it is baseline's picture, pixel for pixel\.",
            id="the-baseline",
        ),
        pytest.param(
            lambda _: FakingServer(lora_of=loads_for_production("nothing.fits"), picture=trembling),
            NOT_JUDGED + rf"it differs by {NUMBER} of 255, and baseline's picture is as near \(0\.{NUMBER[-4:]}\)\.",
            id="the-baseline-on-a-server-that-is-not-bit-stable",
        ),
        pytest.param(
            lambda _: FakingServer(
                lora_of=loads_for_production("spyke_plasma_v1_final.safetensors"), picture=trembling
            ),
            NOT_JUDGED + rf"it differs by {NUMBER} of 255, and final's picture is as near \(0\.{NUMBER[-4:]}\)\.",
            id="another-candidate-on-a-server-that-is-not-bit-stable",
        ),
        pytest.param(
            lambda folder: Keeping(folder / "kept", forgets=False),
            NOT_JUDGED + rf"it differs by {NUMBER} of 255, and .*\.",
            id="the-former-production",
        ),
        pytest.param(
            lambda _: sends(lambda png: repainted(png, Image.new("RGB", (64, 64)))),
            NOT_JUDGED
            + r"blank: the picture is nearly one colour, rgb\(0, 0, 0\): 100\.0% of it\. Black is what NaN gives: "
            r"where the baseline is fine, the LoRA is broken; else try another VAE, or start ComfyUI with --force-"
            r"fp32\.",
            id="a-black-picture",
        ),
        pytest.param(
            lambda _: sends(lambda png: repainted(png, Image.effect_noise((64, 64), 90).convert("RGB"))),
            NOT_JUDGED + r"noise: neighbouring pixels have nothing in common \(correlation .*",
            id="static",
        ),
        pytest.param(
            lambda _: sends(lambda png: repainted(png, Image.radial_gradient("L").convert("RGB"))),
            NOT_JUDGED + r"size: size: got 256x256, asked for 64x64\.",
            id="another-size",
        ),
        pytest.param(
            lambda _: sends(lambda _: b"<html>502"),
            r"{url} sent no usable picture of spyke_plasma_v1\.safetensors x forest: it is not a PNG: 9 bytes that "
            r"begin with b'<html>502'\. If there is a proxy in front of it, check that, then run this again\.",
            id="html",
        ),
        pytest.param(
            lambda _: sends_the_judged_file(),
            NOT_JUDGED
            + r"workflow: node 2 \(LoraLoader\) lora_name: got 'spyke_plasma_v1_step600\.safetensors', asked for "
            r"'spyke_plasma_v1\.safetensors'; node 9 \(SaveImage\) filename_prefix: got .*",
            id="the-judged-picture-s-file",
        ),
        pytest.param(
            lambda _: FakingServer(reply=unlisted),
            r"spyke_plasma_v1\.safetensors lies in {loras}, but is not in the LoRA list of {url}\. .*--comfyui-dir.*",
            id="not-in-the-picker",
        ),
        pytest.param(
            lambda _: FakingServer(lora_of=out_of_memory),
            r"{url} failed on this picture: node 2 \(LoraLoader\) raised torch\.OutOfMemoryError: .*",
            id="out-of-memory",
        ),
    ],
)
def test_production_that_is_not_what_was_judged_is_taken_back(
    scene: SetScene, tmp_path: Path, lying: Callable[[Path], FakingServer], told: str
) -> None:
    """Production that renders something else is told, the former file is put back, and nothing else is changed."""
    where = scene(lying(tmp_path))
    loras = where.plan.paths.loras
    write_weights(loras / "nothing.fits", {"other_net.a": (4,)}, {}, seed="no key fits")
    where.generate()
    shutil.copyfile(where.plan.training_file(where.plan.checkpoints[0]), where.production)
    rewrite(where.production, ss_max_train_steps="700")
    former = where.production.read_bytes()
    with contextlib.suppress(ExecutionFailed):
        where.render_production()
    before = sorted(path.name for path in loras.iterdir())

    with pytest.raises(DeploymentError) as caught:
        where.deploy()

    reason, _, remedy = str(caught.value).rpartition("\n")
    assert re.fullmatch(where.filled(told), reason, re.DOTALL)
    assert remedy == (
        f"The former {where.production} was put back (SHA-256 {digest_of(where.production)[:12]}). Evaluation copies "
        "were left where they are."
    )
    assert where.production.read_bytes() == former
    assert sorted(path.name for path in loras.iterdir()) == before
    assert not (where.reports / RECORD).exists()


def test_rejected_production_is_forgotten(scene: SetScene, tmp_path: Path) -> None:
    """Once the former file is back, the server renders it again, and not the rejected one from its memory."""
    lying = Keeping(tmp_path / "kept", picture=sends(lambda _: b"").picture)
    where = scene(lying)
    where.generate()
    shutil.copyfile(where.plan.training_file(where.plan.checkpoints[1]), where.production)
    former = where.render_production()

    with pytest.raises(DeploymentError, match="sent no usable picture"):
        where.deploy()

    assert where.render_production() == former


def test_production_that_was_not_there_is_removed_again(scene: SetScene) -> None:
    """Where there was no production file, none is left after a deployment that could not be proven."""
    where = scene(sends(lambda _: b""))
    where.generate()

    with pytest.raises(DeploymentError) as caught:
        where.deploy()

    assert str(caught.value).endswith(
        f"\n{where.production} was not there before, and was removed again. Evaluation copies were left where they are."
    )
    assert not where.production.exists()


def test_proof_by_nearness_needs_something_to_compare_with(scene: SetScene, plan: Plan) -> None:
    """A server that is not bit-stable proves nothing where there is no second picture of the prompt."""
    alone = without_training_images(plan).model_copy(update={"checkpoints": plan.checkpoints[:1]})
    where = scene(FakingServer(picture=trembling), plan=alone)
    where.generate()
    shutil.rmtree(where.store.folder / "baseline")

    with pytest.raises(DeploymentError) as caught:
        where.deploy()

    assert "and there is no other picture of this prompt to tell by how much it may. Run pytest -m generate" in str(
        caught.value
    )


# Verifying: what is in production, any time later, from the files alone.


@pytest.fixture
def live(judged: Judged) -> Deployment:
    """Deploy step600 by a ballot, and keep the pictures of the proof."""
    ballot = judged.reports / "ballot.json"
    ballot.write_text(judged.ballot().model_dump_json(), "utf-8")
    return judged.deploy(ballot=BallotRecord(file=ballot, sha256=digest_of(ballot)))


def problems(judged: Judged, live: Deployment, plan: Plan | None = None, listed: Sequence[str] = ()) -> list[str]:
    """Ask every claim, as `pytest -m verify` does."""
    plan = plan or judged.plan
    names = [name for name in files_below(plan.paths.loras) if name.endswith(".safetensors")] + list(listed)
    return [
        *claims.production_is_present(plan),
        *claims.production_has_its_size(plan),
        *claims.no_evaluation_copies_remain(plan),
        *claims.picker_lists_production(plan, names, server=URL),
        *claims.every_checkpoint_was_tested(judged.expected, judged.store, live),
        *claims.ballot_is_unchanged(live),
        *claims.proof_was_given(judged.expected, judged.store, live),
        *claims.production_is_the_selected_checkpoint(plan, live),
        *claims.no_forbidden_lora_on_disk(plan),
        *claims.no_forbidden_lora_in_picker(plan, names, server=URL),
    ]


def test_verifying_finds_nothing_after_a_deployment(judged: Judged, live: Deployment) -> None:
    """After a deployment, nothing speaks against any claim."""
    assert problems(judged, live) == []


def _painted(judged: Judged, _: Deployment) -> None:
    judged.store.picture_path(cells_of(judged.plan, "final-forest")[0]).write_bytes(b"painted over")


def _deleted(judged: Judged, _: Deployment) -> None:
    judged.store.evidence_path(cells_of(judged.plan, "final-forest")[0]).unlink()


def _retold(judged: Judged, _: Deployment) -> None:
    edited(judged.store.evidence_path(cells_of(judged.plan, "final-forest")[0]), prompt_text="a cat")


def _excused(judged: Judged, _: Deployment) -> None:
    edited(judged.store.evidence_path(cells_of(judged.plan, "final-forest")[0]), checks=[])


def _rendered_again(judged: Judged, _: Deployment) -> None:
    cell = cells_of(judged.plan, "final-forest")[0]
    png = png_of(cell, salt="again")
    run = RunRecord(prompt_id="another", started=STARTED, ended=STARTED)
    judged.store.write_picture(cell, png)
    judged.store.write_evidence(cell, evidence_for(judged.expected, cell, png, run=run))


def _new_ballot(judged: Judged, _: Deployment) -> None:
    (judged.reports / "ballot.json").write_text(judged.ballot(reason="prettier").model_dump_json(), "utf-8")


def _no_ballot(judged: Judged, _: Deployment) -> None:
    (judged.reports / "ballot.json").unlink()


def _other_checkpoint(judged: Judged, live: Deployment) -> None:
    shutil.copyfile(judged.plan.training_file(judged.plan.checkpoints[1]), live.production)


def _other_weights(_: Judged, live: Deployment) -> None:
    rewrite(live.production, ss_max_train_steps="700")


def _no_production(_: Judged, live: Deployment) -> None:
    live.production.rename(live.production.with_name("old_spyke.safetensors"))


def _cut_production(_: Judged, live: Deployment) -> None:
    live.production.write_bytes(live.production.read_bytes()[:-9])


def _copy_is_back(judged: Judged, live: Deployment) -> None:
    shutil.copyfile(live.production, judged.plan.paths.loras / "spyke_plasma_v1_step600.safetensors")


def _forbidden(judged: Judged, live: Deployment) -> None:
    folder = judged.plan.paths.loras / "v2"
    folder.mkdir()
    shutil.copyfile(live.production, folder / "JUNE_v1.safetensors")


def _painted_proof(judged: Judged, _: Deployment) -> None:
    (judged.reports / "proof" / "forest.png").write_bytes(png_of(matrix(judged.plan)[0]))


def _broken_proof(judged: Judged, _: Deployment) -> None:
    (judged.reports / "proof" / "forest.png").write_bytes(b"painted over")


def _no_proof(judged: Judged, _: Deployment) -> None:
    (judged.reports / "proof" / "forest.png").unlink()


AGAIN = "Deploy again: pytest -m deploy --selected-step=step600"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(
            _painted,
            [
                (
                    "final x forest: {pictures}/final/forest.png was changed after it was rendered: its digest "
                    "differs from its evidence's"
                )
            ],
            id="changed-picture",
        ),
        pytest.param(_deleted, ["final x forest: it was not rendered"], id="deleted-evidence"),
        pytest.param(
            _retold,
            ["final x forest: {pictures}/final/forest.json was changed after the selection was made"],
            id="changed-evidence",
        ),
        pytest.param(
            _excused,
            ["final x forest: {pictures}/final/forest.json was changed after the selection was made"],
            id="checks-taken-out-of-the-evidence",
        ),
        pytest.param(
            _rendered_again,
            ["final x forest: its picture is not the one that was judged; it was rendered again since"],
            id="another-picture",
        ),
        pytest.param(
            _new_ballot,
            [
                (
                    "{reports}/ballot.json was changed since step600 was deployed by it. If it is a new judgement, "
                    "deploy by it: pytest -m deploy --selected-step=STEP"
                )
            ],
            id="changed-ballot",
        ),
        pytest.param(
            _no_ballot,
            ["{reports}/ballot.json is gone; step600 was deployed by that ballot. Put it back."],
            id="no-ballot",
        ),
        pytest.param(
            _other_checkpoint,
            ["{production} holds the bytes of final (SHA-256 {final}), but step600 was selected ({step600}). " + AGAIN],
            id="another-checkpoint-in-production",
        ),
        pytest.param(
            _other_weights,
            [
                "{production} holds bytes of no checkpoint of the plan (SHA-256 {now}), but step600 was selected "
                "({step600}). " + AGAIN
            ],
            id="other-bytes-in-production",
        ),
        pytest.param(
            _no_production,
            [
                "{production} is not there. Deploy a checkpoint: pytest -m deploy --selected-step=STEP.",
                "{production} is not there. Deploy a checkpoint: pytest -m deploy --selected-step=STEP.",
                (
                    f"The picker of {URL} does not offer spyke_plasma_v1; it has old_spyke.safetensors. Does that "
                    f"server "
                    "read another folder (--comfyui-dir)?"
                ),
                "{production} is not there. Deploy a checkpoint: pytest -m deploy --selected-step=STEP.",
            ],
            id="no-production",
        ),
        pytest.param(
            _cut_production,
            [
                (
                    "{production} is not a complete safetensors file (Error while deserializing header: incomplete "
                    "metadata, file not fully covered). If it is still being written or copied, wait; else copy it "
                    "from the trainer's output again."
                ),
                "{production} holds bytes of no checkpoint of the plan (SHA-256 {now}), but step600 was selected "
                "({step600}). " + AGAIN,
            ],
            id="production-cut-short",
        ),
        pytest.param(
            _copy_is_back,
            [
                (
                    "{loras}/spyke_plasma_v1_step600.safetensors is an evaluation copy that is still there. Deploying "
                    "removes it; if its bytes are none of the checkpoints', look at it and remove it yourself."
                ),
            ],
            id="evaluation-copy",
        ),
        pytest.param(
            _forbidden,
            [
                (
                    "{loras}/v2/JUNE_v1.safetensors must not exist: the plan forbids june and draster. "
                    "Move it elsewhere."
                ),
                (
                    f"The picker of {URL} offers v2/JUNE_v1.safetensors, and the plan forbids june and draster. "
                    "Move the file elsewhere."
                ),
            ],
            id="forbidden-lora",
        ),
        pytest.param(
            _painted_proof,
            ["{reports}/proof/forest.png was changed after the deployment: its pixels are others"],
            id="changed-proof",
        ),
        pytest.param(
            _broken_proof,
            [
                (
                    "{reports}/proof/forest.png was changed after the deployment: it is not a PNG: 12 bytes that "
                    "begin with b'painted over'"
                )
            ],
            id="broken-proof",
        ),
        pytest.param(
            _no_proof,
            ["{reports}/proof/forest.png is gone; it was rendered from production to prove the deployment"],
            id="no-proof",
        ),
    ],
)
def test_verifying_names_what_was_changed(
    judged: Judged, live: Deployment, spoil: Callable[[Judged, Deployment], None], told: list[str]
) -> None:
    """Whatever was changed since the deployment is named, and nothing else is."""
    spoil(judged, live)

    places = {
        "pictures": judged.store.folder,
        "reports": judged.reports,
        "production": live.production,
        "loras": judged.plan.paths.loras,
        "now": digest_of(live.production)[:12] if live.production.exists() else "",
        **{name: one.sha256[:12] for name, one in live.candidates.items()},
    }
    assert problems(judged, live) == [line.format(**places) for line in told]


def test_verifying_names_a_row_without_proof(judged: Judged, live: Deployment) -> None:
    """A deployment on record that did not compare every prompt proves less than it says."""
    assert problems(judged, live.model_copy(update={"proof": live.proof[1:]})) == [
        "step600 x forest: no picture of the production LoRA was compared with it when it was deployed"
    ]


def test_verifying_names_a_size_out_of_range(judged: Judged, live: Deployment) -> None:
    """A production file of another size than the plan allows is told with both."""
    size = live.production.stat().st_size

    assert problems(judged, live, plan=changed(judged.plan, "production", min_size=50_000_000)) == [
        (
            f"{live.production} has {size / 1e3:.1f} kB ({size} bytes), and the plan allows 50.0 MB to 200.0 MB. Is "
            f"it the "
            "right file?"
        )
    ]


def test_verifying_names_what_another_folder_brings(judged: Judged, live: Deployment) -> None:
    """A forbidden LoRA that the server finds elsewhere (extra_model_paths.yaml) is told by its picker."""
    assert problems(judged, live, listed=["extra/draster.safetensors"]) == [
        (
            f"The picker of {URL} offers extra/draster.safetensors, and the plan forbids june and draster. "
            f"Move "
            "the file elsewhere."
        )
    ]
