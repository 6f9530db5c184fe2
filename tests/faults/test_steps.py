"""Whatever call a run is stopped or refused at, files are whole, and the next run goes on from there."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from plugins.deploy.deployment import recover
from plugins.deploy.proof import ProofError
from plugins.deploy.rollback import find_previous
from plugins.evidence.deployments import RECORD, ROLLBACK, rollback_of
from plugins.evidence.store import EvidenceError
from plugins.loras import journal
from plugins.loras.copying import digest_of
from plugins.loras.errors import DeploymentError
from plugins.loras.staging import preflight, stage
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.publish.publishing import published_is_of_production
from plugins.publish.record import read_published
from tests.faults.steps import WORKS, judge, judged_in
from tests.plugins.deploy.judged_plan import Judged
from tests.small_plan import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each try is a forked process"),
]

IN_MEMORY = Path("/dev/shm")  # noqa: S108 (where files need not reach a disk, on Linux)
FOREIGN = b"the production LoRA of another day"


@dataclass(frozen=True)
class Try:
    """One try: the folder that it left, and the call at which it met its fault."""

    folder: Path
    call: str
    error: str | None
    """What was raised; empty where all went well, None where the process was killed."""

    @property
    def judged(self) -> Judged:
        """The judged plan in that folder."""
        return judged_in(self.folder)

    def __str__(self) -> str:
        return f"at {self.call} in {self.folder}: {self.error}"


Tries = Callable[..., Iterator[Try]]


@pytest.fixture
def tries(plan: Plan, plan_file: Path) -> Iterator[Tries]:
    """Return what carries out a work with a fault at each of its calls."""
    judged = judge(plan, plan_file.parent)
    stack = ExitStack()

    def carry_out(work: str, fault: str, former: bytes | str | None = None) -> Iterator[Try]:
        if isinstance(former, str):
            former = plan.training_file(plan.checkpoint(former)).read_bytes()  # type: ignore[arg-type]
        if former:
            judged.production.write_bytes(former)
        if work == "stage":
            for copy in judged.copies:
                copy.unlink()
        if work == "roll-back":
            judged.deploy()
        if work == "publish":
            _published_before(plan_file)
        out = Path(stack.enter_context(TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None)))
        command = [sys.executable, "-m", "tests.faults.steps", str(plan_file.parent), work, fault, str(out)]
        subprocess.run(command, cwd=ROOT, check=True, timeout=300)
        calls = list(out.glob("*.call"))
        assert len(calls) > 5, "the work touched no files"
        for call in calls:
            end = call.with_suffix(".end")
            error = json.loads(end.read_text())["error"] if end.exists() else None
            yield Try(call.with_suffix(""), call.read_text(), error)

    with stack:
        yield carry_out


@pytest.mark.parametrize(
    ("former", "fault"),
    [
        pytest.param(None, "killed", id="over-nothing-killed"),
        pytest.param(None, "full-disk", id="over-nothing-full-disk"),
        pytest.param(FOREIGN, "killed", id="over-a-foreign-file-killed"),
        pytest.param(FOREIGN, "full-disk", id="over-a-foreign-file-full-disk"),
        pytest.param(FOREIGN, "no-permission", id="over-a-foreign-file-no-permission"),
        pytest.param("final", "killed", id="over-another-checkpoint-killed"),
        pytest.param("final", "full-disk", id="over-another-checkpoint-full-disk"),
    ],
)
def test_production_is_the_old_file_or_the_new_one(tries: Tries, fault: str, former: bytes | str | None) -> None:
    """A deployment that is stopped or refused anywhere leaves production whole; the next one ends it or takes it back.

    Evaluation copies are removed only after the new production file was proven.
    """
    for one in tries("deploy", fault, former):
        judged = one.judged
        target, new = judged.production, judged.expected.loras["step600"]
        old = _digest_of(former, judged)
        assert _held(target) in {old, new}, one
        assert 2 == len(judged.copies) or (_held(target) == new and judged.record.sha256 == new), one
        if one.error is not None:
            assert (new if not one.error else old) == _held(target), one
            assert not one.error or one.error.startswith("DeploymentError"), one
            assert one.error == "" or journal.pending(target) is None, one

        proven = (judged.reports / RECORD).exists()
        left = old if journal.pending(target) and not proven else _held(target)
        recover(judged.plan, judged.reports)
        assert left == _held(target), one
        if judged.copies:
            with pytest.raises(DeploymentError, match="another picture"):
                judged.deploy(prove=_disproven)
            assert left == _held(target), one

        deployment = judged.deploy()
        assert (new, new) == (_held(target), deployment.sha256), one
        kept = [f"{target.name}.replaced-{old[:16]}"] if former == FOREIGN and old else []
        assert [target.name, *kept] == sorted(path.name for path in target.parent.iterdir()), one


@pytest.mark.parametrize(
    ("former", "fault"),
    [
        pytest.param(FOREIGN, "killed", id="to-a-foreign-file-killed"),
        pytest.param(FOREIGN, "no-permission", id="to-a-foreign-file-no-permission"),
        pytest.param("final", "killed", id="to-another-checkpoint-killed"),
        pytest.param("final", "full-disk", id="to-another-checkpoint-full-disk"),
    ],
)
def test_rollback_ends_with_the_old_file_or_the_new_one(tries: Tries, fault: str, former: bytes | str) -> None:
    """A rollback that is stopped or refused anywhere leaves production whole; the next one ends it."""
    for one in tries("roll-back", fault, former):
        judged = one.judged
        target, new, old = judged.production, judged.expected.loras["step600"], _digest_of(former, judged)
        assert _held(target) in {old, new}, one
        if one.error is not None:
            assert (old if not one.error else new) == _held(target), one
            assert not one.error or one.error.startswith("DeploymentError"), one
        recover(judged.plan, judged.reports)
        if rollback_of(judged.record, judged.reports / ROLLBACK):
            assert old == _held(target), one
            continue
        assert new == _held(target), one
        WORKS["roll-back"].do(judged, find_previous(judged.plan, judged.record))
        assert old == _held(target), one
        names = [path.name for path in target.parent.iterdir()]
        assert [target.name] == names, one


@pytest.mark.parametrize("fault", ["killed", "full-disk"])
def test_staged_checkpoint_is_whole_or_not_there(tries: Tries, fault: str) -> None:
    """Staging that is stopped or refused anywhere leaves no half copy that a picker lists; the next run ends it."""
    for one in tries("stage", fault):
        judged = one.judged
        assert set(map(digest_of, judged.copies)) <= set(judged.expected.loras.values()), one
        assert one.error is None or not one.error or one.error.startswith("StagingError"), one
        staged = stage(judged.plan, preflight(judged.plan))
        assert [one.sha256 for one in staged] == list(judged.expected.loras.values())
        assert sorted(path.file for path in staged) == sorted(judged.plan.paths.loras.iterdir()), one


@pytest.mark.parametrize("fault", ["killed", "full-disk"])
def test_picture_without_its_evidence_was_not_made(tries: Tries, fault: str) -> None:
    """Pictures and evidence are read back whole, or not at all, wherever writing them was stopped or refused."""
    for one in tries("write-pictures", fault):
        judged = one.judged
        assert one.error is None or not one.error or "OSError" in one.error or "PermissionError" in one.error, one
        refused = 0
        for cell in matrix(judged.plan):
            try:
                evidence = judged.store.read(cell)
            except EvidenceError:
                refused += 1
                continue
            assert evidence is not None, one
            assert judged.expected.mismatch(cell, evidence) == "", one
        assert refused <= 1, one
        WORKS["write-pictures"].do(judged, None)
        assert all(map(judged.store.read, matrix(judged.plan))), one


@pytest.mark.parametrize("fault", ["killed", "full-disk", "no-permission"])
def test_published_files_are_the_old_set_or_the_new_one_or_said_to_be_neither(tries: Tries, fault: str) -> None:
    """Publishing that is stopped or refused anywhere never leaves files of two productions without a word.

    Verifying finds nothing only where all of it is the new set. The next try ends it, and what was there and is
    somebody else's is as it was.
    """
    for one in tries("publish", fault):
        judged = one.judged
        assert one.error is None or not one.error or one.error.startswith(("PublishError", "HeaderError")), one
        found = read_published(judged.reports, judged.plan.paths.project)
        told = published_is_of_production(judged.plan, found, judged.reports) if found else ["nothing is published"]
        assert told or _is_new(judged), one
        assert told == [] or one.error != "", one

        WORKS["publish"].do(judged, judged.record)
        assert _is_new(judged), one
        left = [path.name for path in judged.plan.paths.project.rglob("*.part")]
        assert [] == left, one
        assert "theirs" == (judged.plan.paths.loras / "other.json").read_text(), one


PUBLISH = """
[publish]
sidecars = ["preview", "a1111"]
copy = "dist"
"""
"""What is published in a step: four files, and a picture of each candidate."""


def _published_before(plan_file: Path) -> None:
    """Publish step600, then deploy final over it, with a file of somebody else's beside it."""
    with plan_file.open("a", encoding="utf-8") as file:
        file.write(PUBLISH)
    judged = judged_in(plan_file.parent)
    judged.deploy("step600")
    WORKS["publish"].do(judged, judged.record)
    stage(judged.plan, preflight(judged.plan))
    judged.deploy("final")
    (judged.plan.paths.loras / "other.json").write_text("theirs")


def _is_new(judged: Judged) -> bool:
    """Say whether every published file is there, and of the checkpoint that is in production."""
    found = read_published(judged.reports, judged.plan.paths.project)
    return bool(
        found
        and found.is_done
        and found.sha256 == judged.record.sha256
        and 6 == len(found.files)
        and all(path.is_file() and digest_of(path) == digest for path, digest in found.files.items())
    )


def _held(target: Path) -> str | None:
    return digest_of(target) if target.exists() else None


def _digest_of(former: bytes | str | None, judged: Judged) -> str | None:
    if isinstance(former, bytes):
        return hashlib.sha256(former).hexdigest()
    return judged.expected.loras[former] if former else None


def _disproven() -> tuple[()]:
    raise ProofError("it is another picture")
