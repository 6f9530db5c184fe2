"""The selected checkpoint goes into production, is proven, and only then are the evaluation copies removed."""

import errno
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plugins.comfyui.errors import Unreachable
from plugins.deploy import deployment as deploying
from plugins.deploy.proof import ProofError
from plugins.evidence.deployments import RECORD, Proven, RecordError, read_record
from plugins.loras.errors import DeploymentError
from plugins.plan.cells import matrix
from tests.plugins.deploy.judged_plan import Judged

FORMER = b"the production LoRA of another day"


def digest(content: bytes) -> str:
    """Return the SHA-256."""
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("step", ["step600", "final"])
def test_selected_checkpoint_becomes_production(judged: Judged, step: str) -> None:
    """Production holds the selected checkpoint's bytes, and the evaluation copies are gone."""
    deployment = judged.deploy(step)
    checkpoint = next(one for one in judged.plan.checkpoints if one.id == step)

    assert judged.production.read_bytes() == judged.plan.training_file(checkpoint).read_bytes()
    assert judged.copies == []
    assert sorted(path.name for path in judged.plan.paths.loras.iterdir()) == ["spyke_plasma_v1.safetensors"]
    assert (deployment.selected, deployment.sha256) == (step, digest(judged.production.read_bytes()))
    assert sorted(path.name for path in deployment.removed) == [
        "spyke_plasma_v1_final.safetensors",
        "spyke_plasma_v1_step600.safetensors",
    ]


def test_training_output_stays(judged: Judged) -> None:
    """The training folder is read, and never changed."""
    before = {path: path.read_bytes() for path in judged.plan.paths.checkpoints.iterdir()}
    judged.deploy()

    assert {path: path.read_bytes() for path in judged.plan.paths.checkpoints.iterdir()} == before


def test_copies_are_removed_only_after_the_proof(judged: Judged) -> None:
    """While production is proven, it is in place already and every evaluation copy is still there."""
    seen: list[tuple[str, int, bool]] = []

    def prove() -> tuple[Proven, ...]:
        held = digest(judged.production.read_bytes())
        seen.append((held, len(judged.copies), (judged.reports / RECORD).exists()))
        return judged.proof()

    judged.deploy(prove=prove)

    assert seen == [(judged.expected.loras["step600"], 2, False)]
    assert judged.copies == []


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ProofError("spyke x forest is not what was judged."), id="another-picture"),
        pytest.param(Unreachable("No ComfyUI answers at http://a."), id="server-gone"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="disk-full"),
    ],
)
@pytest.mark.parametrize("former", [pytest.param(FORMER, id="with-a-former"), pytest.param(None, id="without")])
def test_failed_proof_puts_the_former_production_back(judged: Judged, error: Exception, former: bytes | None) -> None:
    """Production that was not proven is taken back, nothing is removed or recorded, and it is said what was done."""
    if former:
        judged.production.write_bytes(former)

    def prove() -> tuple[Proven, ...]:
        raise error

    with pytest.raises(DeploymentError) as caught:
        judged.deploy(prove=prove)

    done = (
        f"The former {judged.production} was put back (SHA-256 {digest(former)[:12]})."
        if former
        else f"{judged.production} was not there before, and was removed again."
    )
    assert str(caught.value) == f"{error}\n{done} Evaluation copies were left where they are."
    assert judged.production.exists() == bool(former)
    assert not former or judged.production.read_bytes() == former
    assert len(judged.copies) == 2
    assert not (judged.reports / RECORD).exists()


def test_interrupted_proof_puts_the_former_production_back(judged: Judged) -> None:
    """Ctrl-C while production is proven leaves things as they were."""
    judged.production.write_bytes(FORMER)

    def prove() -> tuple[Proven, ...]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged.deploy(prove=prove)

    assert judged.production.read_bytes() == FORMER
    assert len(judged.copies) == 2


def test_failed_proof_puts_a_former_candidate_back(judged: Judged) -> None:
    """A former choice among the candidates has no backup, and comes back from the training folder."""
    judged.deploy("final")

    def prove() -> tuple[Proven, ...]:
        raise ProofError("not what was judged")

    with pytest.raises(DeploymentError, match="was put back"):
        judged.deploy("step600", prove=prove)

    assert digest(judged.production.read_bytes()) == judged.expected.loras["final"]
    assert read_record(judged.reports / RECORD).selected == "final"


def test_production_that_somebody_changed_meanwhile_is_left(judged: Judged) -> None:
    """What somebody else put there while production was proven is not overwritten."""

    def prove() -> tuple[Proven, ...]:
        judged.production.write_bytes(b"somebody else's")
        raise ProofError("not what was judged")

    with pytest.raises(DeploymentError, match="was changed by somebody else meanwhile, and was left as it is"):
        judged.deploy(prove=prove)

    assert judged.production.read_bytes() == b"somebody else's"


def test_failed_copy_changes_nothing(judged: Judged) -> None:
    """A checkpoint that changed since it was judged is not deployed: no proof, no clean-up, no record."""
    selected = judged.selected()
    judged.plan.training_file(judged.plan.checkpoints[0]).write_bytes(b"retrained")
    judged.production.write_bytes(FORMER)

    with pytest.raises(DeploymentError, match="changed while it was copied"):
        deploying.deploy(
            selected, record=judged.reports / RECORD, prove=lambda: pytest.fail("was proven"), forget=_nothing
        )

    assert judged.production.read_bytes() == FORMER
    assert len(judged.copies) == 2
    assert not (judged.reports / RECORD).exists()


def test_record_is_there_before_the_clean_up(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed in the clean-up leaves the record of what is in production."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(deploying, "remove_evaluation_copies", killed)

    with pytest.raises(KeyboardInterrupt):
        judged.deploy()

    record = read_record(judged.reports / RECORD)
    assert (record.selected, record.removed) == ("step600", ())


@pytest.mark.parametrize(("key", "value"), [("strength", True), ("strength", "1"), ("simulated", 0), ("deployed", 1)])
def test_record_of_other_kinds_of_values_is_refused(judged: Judged, key: str, value: object) -> None:
    """What is no number, and no true or false, is not taken for one."""
    judged.deploy()
    path = judged.reports / RECORD
    raw = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(raw | {key: value}), "utf-8")

    with pytest.raises(RecordError, match="is not a readable record"):
        read_record(path)


def test_record_says_what_was_deployed_out_of_what(judged: Judged) -> None:
    """The record holds candidates, judged pictures, proof, backup, words and time, and reads back as written."""
    judged.production.write_bytes(FORMER)
    before = datetime.now(UTC)
    deployment = judged.deploy(observed="Bracer right, pauldron left.")

    assert read_record(judged.reports / RECORD) == deployment
    assert {name: (one.step, one.sha256) for name, one in deployment.candidates.items()} == {
        "step600": (600, judged.expected.loras["step600"]),
        "final": (920, judged.expected.loras["final"]),
    }
    assert set(deployment.judged) == {"step600-forest", "step600-novel_pose", "final-forest", "final-novel_pose"}
    cell = matrix(judged.plan)[2]
    found = judged.store.read(cell)
    assert found is not None
    assert deployment.judged[cell.id].pixels_sha256 == found.picture.pixels_sha256
    assert deployment.judged[cell.id].evidence_sha256 == digest(judged.store.evidence_path(cell).read_bytes())
    assert (deployment.plan_name, deployment.plan_digest) == (judged.plan.name, judged.plan.digest)
    assert (deployment.observed, deployment.simulated) == ("Bracer right, pauldron left.", False)
    assert deployment.replaced_sha256 == digest(FORMER)
    assert deployment.backup is not None
    assert deployment.backup.read_bytes() == FORMER
    assert before <= deployment.deployed <= datetime.now(UTC)


def test_foreign_file_under_a_copys_name_is_left_and_recorded(judged: Judged) -> None:
    """A file that is no checkpoint's is left in the loras folder, and the record says why."""
    judged.copies[0].write_bytes(b"somebody's work")
    deployment = judged.deploy()

    assert deployment.left == {
        str(judged.copies[0]): "its bytes are none of the checkpoints'; look at it and remove it yourself"
    }
    assert judged.copies[0].read_bytes() == b"somebody's work"


def test_loras_folder_is_made(judged: Judged) -> None:
    """A loras folder that somebody removed is made again."""
    selected = judged.selected()
    for path in judged.plan.paths.loras.iterdir():
        path.unlink()
    judged.plan.paths.loras.rmdir()

    deploying.deploy(selected, record=judged.reports / RECORD, prove=judged.proof, forget=_nothing)

    assert judged.production.is_file()


def test_missing_record_tells_what_to_do(tmp_path: Path) -> None:
    """Where nothing was deployed, the command that deploys is told, and the option for another folder."""
    with pytest.raises(RecordError) as caught:
        read_record(tmp_path / RECORD)

    assert str(caught.value) == (
        f"No deployment is on record in {tmp_path}. Deploy with pytest -m deploy --selected-step=STEP, or name the "
        "folder of the run that did: --reports=DIR."
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="nothing-in-it"),
        pytest.param(b"\xff", id="not-text"),
        pytest.param(b"[" * 100_000, id="endless"),
    ],
)
def test_broken_record_is_told(tmp_path: Path, content: bytes) -> None:
    """A record that cannot be read is told by its name."""
    (tmp_path / RECORD).write_bytes(content)

    with pytest.raises(RecordError) as caught:
        read_record(tmp_path / RECORD)

    assert str(caught.value).startswith(f"{tmp_path / RECORD} is not a readable record of a deployment: ")


@pytest.mark.parametrize(("key", "value"), [("format", 9), ("surprise", 1), ("selected", None)])
def test_record_of_another_kind_is_told(judged: Judged, key: str, value: object) -> None:
    """A record with other keys or values than this suite writes is not believed."""
    judged.deploy()
    path = judged.reports / RECORD
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {key: value}), "utf-8")

    with pytest.raises(RecordError, match="is not a readable record"):
        read_record(path)


def _nothing() -> None:
    """Stand in for servers that forget."""
