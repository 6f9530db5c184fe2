"""Each claim of the plan holds after a deployment, and fails on its violation with what to do."""

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugins.deploy import claims
from plugins.evidence.deployments import BallotRecord, Deployment
from plugins.evidence.evidence import RunRecord
from plugins.loras import journal
from plugins.loras.copying import digest_of
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.review.production import in_production
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import STARTED, evidence_for, keep, png_of

SERVER = "http://127.0.0.1:8188"
LISTED = ("spyke_plasma_v1.safetensors",)


@pytest.fixture
def deployment(judged: Judged) -> Deployment:
    """Deploy step600."""
    return judged.deploy()


@pytest.fixture
def live(judged: Judged, deployment: Deployment) -> Plan:
    """Return the plan, deployed."""
    assert deployment.selected == "step600"
    return judged.plan


@pytest.fixture
def cell(judged: Judged) -> Cell:
    """Return a cell that the selection rests on: step600 on the first prompt."""
    return matrix(judged.plan)[2]


def sized(plan: Plan, low: int, high: int) -> Plan:
    """Allow other sizes."""
    production = plan.production.model_copy(update={"min_size": low, "max_size": high})
    return plan.model_copy(update={"production": production})


def test_every_claim_holds_after_a_deployment(judged: Judged, deployment: Deployment) -> None:
    """After a deployment, nothing speaks against any claim."""
    plan = judged.plan

    assert claims.production_is_present(plan) == []
    assert claims.production_has_its_size(plan) == []
    assert claims.no_evaluation_copies_remain(plan) == []
    assert claims.picker_lists_production(plan, LISTED, server=SERVER) == []
    assert claims.every_checkpoint_was_tested(judged.expected, judged.store, deployment) == []
    assert claims.proof_was_given(judged.expected, judged.store, deployment) == []
    assert claims.production_is_the_selected_checkpoint(plan, deployment) == []
    assert claims.no_forbidden_lora_on_disk(plan) == []
    assert claims.no_forbidden_lora_in_picker(plan, LISTED, server=SERVER) == []


def test_missing_production_is_told(live: Plan, deployment: Deployment) -> None:
    """A production file that is gone is told by every claim about it, with the command that deploys."""
    deployment.production.unlink()

    told = [f"{deployment.production} is not there. Deploy a checkpoint: pytest -m deploy --selected-step=STEP."]
    assert told == claims.production_is_present(live)
    assert told == claims.production_is_the_selected_checkpoint(live, deployment)
    assert told == claims.production_has_its_size(live)


def test_cut_production_is_told(live: Plan, deployment: Deployment) -> None:
    """A production file that is cut short is no safetensors file."""
    deployment.production.write_bytes(deployment.production.read_bytes()[:-9])

    (problem,) = claims.production_is_present(live)
    assert problem.startswith(f"{deployment.production} is not a complete safetensors file")


@pytest.mark.parametrize(
    ("low", "high", "allowed"),
    [
        pytest.param(50_000_000, 200_000_000, "50.0 MB to 200.0 MB", id="too-small"),
        pytest.param(0, 10_000, "0.0 MB to 10.0 kB", id="too-large"),
        pytest.param(16_000, 24_500, "16.0 kB to 24.5 kB", id="small"),
    ],
)
def test_other_size_is_told(live: Plan, deployment: Deployment, low: int, high: int, allowed: str) -> None:
    """A production file out of the plan's range is told with its size and the range."""
    size = deployment.production.stat().st_size

    assert claims.production_has_its_size(sized(live, low, high)) == [
        (
            f"{deployment.production} has {size / 1e3:.1f} kB ({size} bytes), and the plan allows {allowed}. "
            "Is it the right file?"
        )
    ]


@pytest.mark.parametrize("off", [0, 1])
def test_size_range_includes_its_ends(live: Plan, deployment: Deployment, off: int) -> None:
    """A file of exactly the smallest or largest size is good; one byte off is not."""
    size = deployment.production.stat().st_size

    assert len(claims.production_has_its_size(sized(live, size + off, size + off))) == off


def test_evaluation_copy_is_told(live: Plan) -> None:
    """An evaluation copy that came back is told by name, whatever is in it."""
    copy = live.paths.loras / "spyke_plasma_v1_step600.safetensors"
    copy.write_bytes(b"")

    assert claims.no_evaluation_copies_remain(live) == [
        (
            f"{copy} is an evaluation copy that is still there. Deploying removes it; if its bytes are none of the "
            "checkpoints', look at it and remove it yourself."
        )
    ]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_evaluation_copy_that_is_a_dead_link_is_told(live: Plan) -> None:
    """A link to nothing under a copy's name is told as well."""
    (live.paths.loras / "spyke_plasma_v1_final.safetensors").symlink_to(live.paths.loras / "gone")

    assert len(claims.no_evaluation_copies_remain(live)) == 1


@pytest.mark.parametrize("name", ["sub/spyke_plasma_v1.safetensors", "sub\\spyke_plasma_v1.safetensors"])
def test_picker_may_spell_production_its_own_way(live: Plan, name: str) -> None:
    """Servers list files in subfolders with either slash."""
    paths = live.paths.model_copy(update={"loras": live.paths.comfyui / "models" / "loras" / "sub"})
    plan = live.model_copy(update={"paths": paths})
    assert claims.picker_lists_production(plan, ("a.safetensors", name), server=SERVER) == []


@pytest.mark.parametrize(
    ("listed", "shown"),
    [
        pytest.param((), "nothing", id="nothing"),
        pytest.param(("old_spyke_plasma_v1.safetensors",), "old_spyke_plasma_v1.safetensors", id="a-longer-name"),
        pytest.param(("a", "b"), "a, b", id="others"),
        pytest.param(("sub/spyke_plasma_v1.safetensors",), "sub/spyke_plasma_v1.safetensors", id="a-subfolder"),
    ],
)
def test_picker_without_production_is_told(live: Plan, listed: tuple[str, ...], shown: str) -> None:
    """A picker without the production LoRA is told with what it has, and the option that mends it."""
    assert claims.picker_lists_production(live, listed, server=SERVER) == [
        (
            f"The picker of {SERVER} does not offer spyke_plasma_v1; it has {shown}. "
            "Does that server read another folder (--comfyui-dir)?"
        )
    ]


def test_picker_with_an_evaluation_copy_is_told(live: Plan) -> None:
    """A server that still offers an evaluation copy, from whatever folder, is told."""
    listed = (*LISTED, "eval\\spyke_plasma_v1_step600.safetensors")

    assert claims.picker_lists_production(live, listed, server=SERVER) == [
        (
            f"The picker of {SERVER} still offers the evaluation copy eval/spyke_plasma_v1_step600.safetensors; "
            "remove it from its models/loras."
        )
    ]


def test_missing_test_is_told(judged: Judged, deployment: Deployment, cell: Cell) -> None:
    """Evidence that was deleted since the selection is told."""
    judged.store.evidence_path(cell).unlink()

    assert claims.every_checkpoint_was_tested(judged.expected, judged.store, deployment) == [
        "step600 x forest: it was not rendered"
    ]


def test_unreadable_evidence_is_told_once(judged: Judged, deployment: Deployment, cell: Cell) -> None:
    """Evidence that cannot be read is one problem, not two."""
    judged.store.evidence_path(cell).write_text("{")

    (problem,) = claims.every_checkpoint_was_tested(judged.expected, judged.store, deployment)
    assert problem.startswith(f"step600 x forest: {judged.store.evidence_path(cell)} is not readable evidence")


def test_cell_that_the_selection_did_not_rest_on_is_told(judged: Judged, deployment: Deployment, cell: Cell) -> None:
    """A cell that was rendered only after the selection is told."""
    fewer = {name: one for name, one in deployment.judged.items() if name != cell.id}

    assert claims.every_checkpoint_was_tested(
        judged.expected, judged.store, deployment.model_copy(update={"judged": fewer})
    ) == ["step600 x forest: it is not among the pictures that the selection was made from"]


def test_picture_that_was_rendered_otherwise_since_is_told(judged: Judged, deployment: Deployment, cell: Cell) -> None:
    """A picture with other pixels than the judged one is told."""
    png = png_of(cell, salt="again")
    judged.store.write_picture(cell, png)
    judged.store.write_evidence(cell, evidence_for(judged.expected, cell, png))

    assert claims.every_checkpoint_was_tested(judged.expected, judged.store, deployment) == [
        "step600 x forest: its picture is not the one that was judged; it was rendered again since"
    ]


def test_picture_that_was_rendered_alike_since_is_good(judged: Judged, deployment: Deployment, cell: Cell) -> None:
    """The same pixels from a later run are the judged ones."""
    keep(judged.expected, judged.store, cell, run=RunRecord(prompt_id="a later run", started=STARTED, ended=STARTED))

    assert claims.every_checkpoint_was_tested(judged.expected, judged.store, deployment) == []


def test_evidence_that_was_edited_since_is_told(judged: Judged, deployment: Deployment, cell: Cell) -> None:
    """Evidence that was written over after the selection, without a new rendering, is told by its file."""
    keep(judged.expected, judged.store, cell, checks=())

    assert claims.every_checkpoint_was_tested(judged.expected, judged.store, deployment) == [
        f"step600 x forest: {judged.store.evidence_path(cell)} was changed after the selection was made"
    ]


def test_changed_plan_is_told(judged: Judged, deployment: Deployment) -> None:
    """A plan that asks for other pictures now is not the one that was judged."""
    sampling = judged.plan.sampling.model_copy(update={"cfg": 8.0})
    now = dataclasses.replace(judged.expected, plan=judged.plan.model_copy(update={"sampling": sampling}))

    problems = claims.every_checkpoint_was_tested(now, judged.store, deployment)

    assert len(problems) == 4
    assert problems[0] == (
        "step600 x forest: the plan's prompt, seed, settings or workflow were changed since it was rendered"
    )


def test_missing_proof_is_told(judged: Judged, deployment: Deployment) -> None:
    """A row that production was not rendered on is told."""
    without = deployment.model_copy(update={"proof": deployment.proof[:1]})

    assert claims.proof_was_given(judged.expected, judged.store, without) == [
        "step600 x novel_pose: no picture of the production LoRA was compared with it when it was deployed"
    ]


def test_deployed_checkpoint_that_the_plan_lost_is_told(judged: Judged, deployment: Deployment) -> None:
    """A plan that no longer has the deployed checkpoint says nothing about what its rows are: the claim fails."""
    without = judged.plan.model_copy(update={"checkpoints": judged.plan.checkpoints[1:]})
    expected = dataclasses.replace(judged.expected, plan=without)

    (problem,) = claims.proof_was_given(expected, judged.store, deployment)
    assert problem.startswith("The plan no longer has step600, which was deployed.")


def test_production_that_was_never_proven_is_told(judged: Judged, deployment: Deployment) -> None:
    """The right bytes do not count where a deployment of them was stopped before its proof; the ways out are told."""
    source = judged.plan.training_file(judged.plan.checkpoints[0])
    judged.production.write_bytes(b"the production LoRA of another day")
    journal.begin(source, judged.production, sha256=deployment.sha256)

    assert claims.production_is_the_selected_checkpoint(judged.plan, deployment) == [
        (
            f"{judged.production} was put there by a deployment that was stopped before it was proven. Deploy again: "
            "pytest -m deploy --selected-step=step600, or --rollback"
        )
    ]


def test_note_that_cannot_be_read_is_told(judged: Judged, deployment: Deployment) -> None:
    """Where nobody can say whether a deployment is under way, the claim does not hold, and no traceback is shown."""
    note = judged.production.with_name(f".{judged.production.name}.deploying")
    note.mkdir()

    (problem,) = claims.production_is_the_selected_checkpoint(judged.plan, deployment)
    assert problem.startswith(f"{note} cannot be read: ")


def test_other_candidate_in_production_is_told(judged: Judged, deployment: Deployment) -> None:
    """Another candidate's bytes in production are told by its name, with the command that puts it right."""
    deployment.production.write_bytes(judged.plan.training_file(judged.plan.checkpoints[1]).read_bytes())
    final, selected = judged.expected.loras["final"][:12], judged.expected.loras["step600"][:12]

    assert claims.production_is_the_selected_checkpoint(judged.plan, deployment) == [
        (
            f"{deployment.production} holds the bytes of final (SHA-256 {final}), "
            f"but step600 was selected ({selected}). Deploy again: pytest -m deploy --selected-step=step600"
        )
    ]


def test_foreign_bytes_in_production_are_told(live: Plan, deployment: Deployment) -> None:
    """A single changed byte in production is told: it is no checkpoint's any more."""
    content = bytearray(deployment.production.read_bytes())
    content[-1] ^= 1
    deployment.production.write_bytes(content)

    (problem,) = claims.production_is_the_selected_checkpoint(live, deployment)
    assert problem.startswith(f"{deployment.production} holds bytes of no checkpoint of the plan (SHA-256 ")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("june_v1.safetensors", Path.touch, id="file"),
        pytest.param("DRASTER.pt", Path.touch, id="capitals"),
        pytest.param("June", Path.mkdir, id="empty-folder"),
        pytest.param("a/b/my-Draster-lora.safetensors", Path.touch, id="subfolder"),
    ],
)
def test_forbidden_lora_on_disk_is_told(live: Plan, name: str, make: Callable[[Path], None]) -> None:
    """A June or Draster LoRA is told by its path, whatever its case, folder or kind (LORA-05)."""
    path = live.paths.loras / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)

    assert claims.no_forbidden_lora_on_disk(live) == [
        f"{path} must not exist: the plan forbids june and draster. Move it elsewhere."
    ]


def test_folder_that_cannot_be_looked_into_is_told(live: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subfolder that cannot be read is no proof that nothing forbidden is in it."""
    closed = live.paths.loras / "closed"
    closed.mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)

    assert claims.no_forbidden_lora_on_disk(live) == [
        (
            f"{closed} cannot be looked into (Permission denied), so what the plan forbids may be there. "
            "Make it readable, and verify again."
        )
    ]


def test_forbidden_lora_in_the_picker_is_told(live: Plan) -> None:
    """A June LoRA that a server finds in another folder is told by the server and the name."""
    assert claims.no_forbidden_lora_in_picker(live, (*LISTED, "x\\June.safetensors"), server=SERVER) == [
        (
            f"The picker of {SERVER} offers x\\June.safetensors, and the plan forbids june and draster. "
            "Move the file elsewhere."
        )
    ]


@pytest.fixture
def by_ballot(judged: Judged) -> Deployment:
    """Deploy step600 by a ballot."""
    file = judged.reports / "ballot.json"
    file.write_text("{}")
    return judged.deploy(ballot=BallotRecord(file=file, sha256=digest_of(file)))


def test_unchanged_ballot_is_good(by_ballot: Deployment) -> None:
    """A ballot that is still what was deployed by speaks against nothing."""
    assert claims.ballot_is_unchanged(by_ballot) == []


def test_deployment_without_a_ballot_has_none_to_change(judged: Judged) -> None:
    """A selection may be made without a ballot."""
    assert claims.ballot_is_unchanged(judged.deploy()) == []


def test_changed_ballot_is_told(judged: Judged, by_ballot: Deployment) -> None:
    """A ballot that was saved anew is told, with the command that deploys by it."""
    file = judged.reports / "ballot.json"
    file.write_text("{ }")

    assert claims.ballot_is_unchanged(by_ballot) == [
        (
            f"{file} was changed since step600 was deployed by it. "
            "If it is a new judgement, deploy by it: pytest -m deploy --selected-step=STEP"
        )
    ]


def test_missing_ballot_is_told(judged: Judged, by_ballot: Deployment) -> None:
    """A ballot that is gone is told by its name."""
    file = judged.reports / "ballot.json"
    file.unlink()

    assert claims.ballot_is_unchanged(by_ballot) == [
        f"{file} is gone; step600 was deployed by that ballot. Put it back."
    ]


def test_report_page_reads_this_record(judged: Judged) -> None:
    """What the report says is in production comes from the record that a deployment leaves."""
    judged.deploy()
    assert in_production(judged.plan, judged.reports, simulated=False).startswith("step 600, proven ")
