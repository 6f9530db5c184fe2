"""The former production file goes back into place, proven by what a copy of the same bytes renders."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.server import Server
from plugins.deploy.deployment import put_back_on_error, recover
from plugins.deploy.proof import ProofError
from plugins.deploy.rollback import PreviousProduction, ProductionRollback, find_previous, find_taken_back
from plugins.deploy.summary import rollback_summary
from plugins.deploy.verified import Verified
from plugins.evidence.deployments import ROLLBACK, RecordError, Rollback, rollback_of
from plugins.loras import journal
from plugins.loras.copies import former_copy
from plugins.loras.copying import digest_of
from plugins.loras.errors import DeploymentError
from plugins.loras.journal import Installation
from plugins.loras.staging import preflight, stage
from plugins.plan.plan import Plan
from stand_in.serving import Serving
from tests.plugins.deploy.judged_plan import Judged
from tests.small_plan import Posing


class Stale(Posing):
    """A stand-in that goes on using other weights for some files, once told which."""

    def __init__(self) -> None:
        self.instead: dict[str, Path] = {}

    def lora_of(self, path: Path) -> Path:
        """Name the other file."""
        return self.instead.get(path.name, path)


@pytest.fixture
def stale() -> Stale:
    """Return the faults of the server."""
    return Stale()


@pytest.fixture
def server(stand_in: Callable[..., Serving], stale: Stale) -> Iterator[Server]:
    """Return a server that reads the plan's loras folder."""
    client = ComfyUI(stand_in(faults=stale).url)
    server = Server(client, client.info(), timeout=20)
    yield server
    server.close()


@pytest.fixture
def undoing(judged: Judged, server: Server) -> ProductionRollback:
    """Return what rolls back on that server."""
    return rollback_on(server, judged)


def rollback_on(
    server: Server, judged: Judged, meanwhile: Callable[[str], None] = lambda _: None
) -> ProductionRollback:
    """Return what rolls back on a server."""
    return ProductionRollback(expected=judged.expected, servers=(server,), reports=judged.reports, meanwhile=meanwhile)


def put_in_production(judged: Judged, step: str) -> str:
    """Put a checkpoint's bytes into production by hand, and give their digest."""
    checkpoint = judged.plan.checkpoint(step)
    assert checkpoint
    judged.production.write_bytes(judged.plan.training_file(checkpoint).read_bytes())
    return judged.expected.loras[step]


def put_foreign_in_production(judged: Judged) -> str:
    """Put a LoRA that is none of the checkpoints into production, and give its digest."""
    content = judged.plan.training_file(judged.plan.checkpoints[1]).read_bytes()
    assert b'"920"' in content
    judged.production.write_bytes(content.replace(b'"920"', b'"300"'))
    return digest_of(judged.production)


def names(judged: Judged) -> list[str]:
    """Name what lies in the loras folder, hidden files too."""
    return sorted(path.name for path in judged.plan.paths.loras.iterdir())


@pytest.mark.parametrize(
    ("put", "checkpoint"),
    [
        pytest.param(put_foreign_in_production, None, id="a-foreign-file"),
        pytest.param(lambda judged: put_in_production(judged, "final"), "final", id="another-checkpoint"),
    ],
)
def test_former_file_is_put_back(
    judged: Judged, undoing: ProductionRollback, put: Callable[[Judged], str], checkpoint: str | None
) -> None:
    """Production holds the former bytes again, renders from them, and no backup or copy stays in the loras folder."""
    former = put(judged)
    deployment = judged.deploy("step600")
    assert deployment.sha256 == digest_of(judged.production)
    stage(judged.plan, preflight(judged.plan))

    rollback = undoing.roll_back(find_previous(judged.plan, deployment))

    assert (former, former) == (digest_of(judged.production), rollback.sha256)
    assert (checkpoint, "step600") == (rollback.checkpoint, rollback.taken_out)
    told = "pixel for pixel what a copy of this file rendered before it was put back"
    assert {"forest": told, "novel_pose": told} == rollback.proof
    assert [judged.production.name] == names(judged)
    assert rollback == rollback_of(deployment, judged.reports / ROLLBACK)
    assert (judged.reports / "proof" / "rollback" / "forest.png").is_file()


def test_production_that_was_not_touched_is_said_to_be_unchanged(judged: Judged) -> None:
    """Where a rollback fails before it puts anything into production, nothing is said to be put back or forgotten."""
    judged.deploy("step600")
    forgotten: list[str] = []
    with (
        pytest.raises(DeploymentError) as caught,
        put_back_on_error(judged.production, lambda: forgotten.append("weights")),
    ):
        raise ProofError("The former file renders nothing.")
    assert f"The former file renders nothing.\n{judged.production} was not changed." == str(caught.value)
    assert [] == forgotten


def test_next_deployment_stands(judged: Judged, undoing: ProductionRollback) -> None:
    """A deployment that is made after a rollback is not the one that was taken back."""
    put_in_production(judged, "final")
    undoing.roll_back(find_previous(judged.plan, judged.deploy("step600")))

    assert rollback_of(judged.deploy("step600"), judged.reports / ROLLBACK) is None


def test_server_that_keeps_the_other_weights_is_caught(
    judged: Judged, undoing: ProductionRollback, server: Server, stale: Stale
) -> None:
    """Where the server goes on rendering from what was taken out, that is put in place again, and it is told."""
    put_foreign_in_production(judged)
    deployment = judged.deploy("step600")
    stale.instead[judged.production.name] = judged.plan.training_file(judged.plan.checkpoints[0])

    with pytest.raises(DeploymentError) as caught:
        undoing.roll_back(find_previous(judged.plan, deployment))

    told = str(caught.value)
    assert f"{judged.production.name} x forest on {server.client.url} is not what was put back: it is " in told
    assert f"The former {judged.production} was put back (SHA-256 {deployment.sha256[:12]})." in told
    assert deployment.sha256 == digest_of(judged.production)
    assert journal.pending(judged.production) is None
    assert not (judged.reports / ROLLBACK).exists()


def test_every_server_renders_what_was_put_back(
    judged: Judged, undoing: ProductionRollback, stand_in: Callable[..., Serving]
) -> None:
    """A rollback fails where the second of two servers goes on rendering from what was taken out."""
    put_foreign_in_production(judged)
    deployment = judged.deploy("step600")
    second = Stale()
    second.instead[judged.production.name] = judged.plan.training_file(judged.plan.checkpoints[0])
    client = ComfyUI(stand_in(faults=second).url)
    with contextlib.closing(Server(client, client.info(), timeout=20)) as server:
        both = replace(undoing, servers=(*undoing.servers, server))
        with pytest.raises(DeploymentError, match=rf"forest on {client.url} is not what was put back: it is "):
            both.roll_back(find_previous(judged.plan, deployment))


def test_nothing_was_there_before(judged: Judged) -> None:
    """The first deployment cannot be taken back, and it is said what can be done."""
    deployment = judged.deploy("step600")
    with pytest.raises(DeploymentError, match=r"no production LoRA before step600 .* --selected-step=STEP"):
        find_previous(judged.plan, deployment)


def test_same_bytes_were_there_before(judged: Judged) -> None:
    """Deploying what was there already leaves nothing to put back."""
    put_in_production(judged, "step600")
    with pytest.raises(DeploymentError, match="already held the bytes of step600 before the deployment"):
        find_previous(judged.plan, judged.deploy("step600"))


@pytest.mark.parametrize("now", [pytest.param(b"another's", id="changed"), pytest.param(None, id="gone")])
def test_production_that_was_changed_since_is_left(judged: Judged, now: bytes | None) -> None:
    """What somebody put into production after the deployment is not rolled back."""
    put_in_production(judged, "final")
    deployment = judged.deploy("step600")
    judged.production.unlink()
    if now:
        judged.production.write_bytes(now)

    with pytest.raises(DeploymentError, match=r"Somebody changed it since, .* Nothing was changed"):
        find_previous(judged.plan, deployment)


def test_former_bytes_that_are_nowhere(judged: Judged) -> None:
    """Where neither the backup nor a training output has the former bytes, every place that was looked at is told."""
    put_foreign_in_production(judged)
    deployment = judged.deploy("step600")
    assert deployment.backup
    deployment.backup.write_bytes(b"broken")

    with pytest.raises(DeploymentError) as caught:
        find_previous(judged.plan, deployment)

    assert "were not found: looked at " in str(caught.value)
    assert str(deployment.backup) in str(caught.value)
    assert deployment.sha256 == digest_of(judged.production)


def test_file_in_the_way_is_left(judged: Judged, undoing: ProductionRollback) -> None:
    """A file that somebody has under the name that a rollback renders from is not overwritten."""
    put_foreign_in_production(judged)
    deployment = judged.deploy("step600")
    former = find_previous(judged.plan, deployment)
    copy = former_copy(judged.plan, former.sha256)
    copy.write_bytes(b"somebody's")

    with pytest.raises(DeploymentError, match=r"is in the way\. Move it elsewhere\. Nothing was changed\."):
        undoing.roll_back(former)

    assert b"somebody's" == copy.read_bytes()
    assert deployment.sha256 == digest_of(judged.production)


def test_former_file_that_changes_is_not_put_back(judged: Judged, undoing: ProductionRollback) -> None:
    """Bytes that changed since they were looked at stay out of production."""
    put_foreign_in_production(judged)
    deployment = judged.deploy("step600")
    former = find_previous(judged.plan, deployment)
    former.file.write_bytes(b"changed")

    with pytest.raises(DeploymentError, match="changed while it was copied"):
        undoing.roll_back(former)

    assert deployment.sha256 == digest_of(judged.production)


def test_former_file_is_found_after_the_same_bytes_were_deployed_again(
    judged: Judged, undoing: ProductionRollback
) -> None:
    """Deploying a checkpoint once more, as verification may tell a person to, does not take the way back away."""
    former = put_foreign_in_production(judged)
    judged.deploy("step600")
    undoing.roll_back(find_previous(judged.plan, judged.deploy("step600")))

    assert former == digest_of(judged.production)
    assert [judged.production.name] == names(judged)


def test_former_file_outlasts_a_rollback_that_is_killed_and_taken_back(
    judged: Judged, undoing: ProductionRollback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A proven rollback that was killed before its end is taken back by a run that does not know its reports."""
    former = put_foreign_in_production(judged)
    deployment = judged.deploy("step600")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        undoing.roll_back(find_previous(judged.plan, deployment))
    monkeypatch.undo()
    recover(judged.plan, tmp_path / "other reports")

    assert deployment.sha256 == digest_of(judged.production)
    assert former == digest_of(find_previous(judged.plan, deployment).file)


def test_broken_record_of_a_rollback_does_not_take_a_deployment_back(
    judged: Judged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment that was proven and killed before its end stands, whatever became of another record."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    put_foreign_in_production(judged)
    monkeypatch.setattr(journal, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        judged.deploy("step600")
    monkeypatch.undo()
    (judged.reports / ROLLBACK).write_text("{}")

    assert "" == recover(judged.plan, judged.reports)
    assert judged.expected.loras["step600"] == digest_of(judged.production)


def test_broken_record_of_a_rollback_is_told(judged: Judged) -> None:
    """What cannot be read is named, with what to do."""
    deployment = judged.deploy("step600")
    path = judged.reports / ROLLBACK
    path.mkdir()
    with pytest.raises(RecordError) as caught:
        rollback_of(deployment, path)

    assert str(caught.value).startswith(f"{path} is not a readable record of a rollback: ")
    assert "not a plain file" in str(caught.value)
    assert "Move it away" in str(caught.value)


def killed_deployment(judged: Judged) -> Installation:
    """Put step600 into production as a run that is killed before the proof."""
    checkpoint = judged.plan.checkpoints[0]
    return journal.begin(
        judged.plan.training_file(checkpoint), judged.production, sha256=judged.expected.loras[checkpoint.id]
    )


def test_stopped_deployment_is_taken_back_by_name(judged: Judged) -> None:
    """What was put back, and from what, has the checkpoints' names, so that their pictures can be compared with."""
    put_in_production(judged, "final")
    begun = killed_deployment(judged)
    recover(judged.plan, judged.reports)

    former = find_taken_back(judged.plan, begun)

    assert ("final", "step600", None) == (former.checkpoint, former.taken_out, former.undone)
    assert (judged.production, judged.expected.loras["final"]) == (former.file, former.sha256)


def test_production_that_somebody_changed_is_no_former_file(judged: Judged) -> None:
    """What somebody put over a deployment that was stopped is not called the former file, which is named instead."""
    put_foreign_in_production(judged)
    begun = killed_deployment(judged)
    judged.production.write_bytes(b"another's")
    recover(judged.plan, judged.reports)

    with pytest.raises(DeploymentError) as caught:
        find_taken_back(judged.plan, begun)

    assert f"{judged.production} was changed by somebody else" in str(caught.value)
    assert f"{begun.backup} is what was there before." in str(caught.value)


def test_stopped_first_deployment_leaves_nothing(judged: Judged) -> None:
    """Where there was no production file, taking the deployment back is all that there was to do."""
    begun = killed_deployment(judged)
    recover(judged.plan, judged.reports)
    with pytest.raises(DeploymentError, match="Nothing is left to roll back"):
        find_taken_back(judged.plan, begun)


def test_stopped_rollback_is_called_one(judged: Judged) -> None:
    """A rollback that was killed is not told as a deployment."""
    put_in_production(judged, "final")
    new, final = judged.deploy("step600").sha256, judged.plan.checkpoint("final")
    assert final
    journal.begin(
        judged.plan.training_file(final), judged.production, sha256=judged.expected.loras["final"], is_rollback=True
    )

    assert recover(judged.plan, judged.reports).startswith("An earlier rollback was stopped before it was proven. ")
    assert new == digest_of(judged.production)


def test_note_says_that_it_is_a_rollback(judged: Judged, server: Server) -> None:
    """While production is proven, what would be left behind by a kill says that it was no deployment."""
    put_in_production(judged, "final")
    former = find_previous(judged.plan, judged.deploy("step600"))
    seen: list[bool] = []

    def look(_: str) -> None:
        if begun := journal.pending(judged.production):
            seen.append(begun.rollback)

    rollback_on(server, judged, look).roll_back(former)

    assert [True, True] == seen


def test_other_deployment_is_not_what_was_before(judged: Judged) -> None:
    """A checkpoint that somebody had put there by hand replaced nothing that the last deployment knows of."""
    put_foreign_in_production(judged)
    judged.deploy("step600")
    final = put_in_production(judged, "final")

    assert (final, final) == ((deployment := judged.deploy("final")).replaced_sha256, deployment.sha256)


def test_missing_picture_of_what_was_taken_out_is_told(
    judged: Judged, undoing: ProductionRollback, stale: Stale
) -> None:
    """Without a picture to tell by how much production may differ, that is said, and no distance is made up."""
    put_foreign_in_production(judged)
    former = find_previous(judged.plan, judged.deploy("step600"))
    stale.instead[judged.production.name] = judged.plan.training_file(judged.plan.checkpoints[0])
    for picture in (judged.reports / "pictures" / "step600").glob("*.png"):
        picture.unlink()

    with pytest.raises(DeploymentError, match="step600's picture cannot be read, so nothing shows how much"):
        undoing.roll_back(former)


def test_nothing_to_recover(judged: Judged) -> None:
    """Where no run was killed, nothing is taken back and nothing is said."""
    judged.deploy("step600")
    assert "" == recover(judged.plan, judged.reports)


def rollback_to(former: PreviousProduction, plan: Plan, **changes: object) -> Rollback:
    """Return the record of a rollback."""
    return Rollback.model_validate(
        {
            "installed": "id",
            "plan_name": plan.name,
            "simulated": True,
            "production": plan.production_file,
            "sha256": former.sha256,
            "checkpoint": former.checkpoint,
            "taken_out": former.taken_out,
            "proof": {"forest": "as <b> the same"},
            "undone": former.undone,
            "rolled_back": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
            **changes,
        }
    )


def test_summary_tells_what_was_put_back(plan: Plan) -> None:
    """SUMMARY.md says what is in production, what it renders, what was verified, and that it was simulated."""
    former = PreviousProduction(
        sha256="ab" * 32, file=Path("x"), checkpoint="final", taken_out="step600", undone=datetime.now(UTC)
    )
    text = rollback_summary(plan, rollback_to(former, plan), (Verified(claim="It is there", outcome="passed"),))

    assert text.startswith("# Spyke LoRA, small: rolled back to final\n\n> **SIMULATED.**")
    assert "Production was rolled back from step600 to final on 2026-01-02 03:04 UTC." in text
    assert f"- SHA-256: `{former.sha256}`" in text
    assert r"- forest: as \<b\> the same" in text
    assert "- [x] It is there" in text
