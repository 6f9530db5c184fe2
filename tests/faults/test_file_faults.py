"""Faults of files and processes that are more than one refused call: what is in the way, shared, or shot down."""

import errno
import mmap
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.deploy.deployment import recover
from plugins.evidence.deployments import Proven
from plugins.loras import journal
from plugins.loras.copying import digest_of
from plugins.loras.errors import DeploymentError
from plugins.loras.locking import LOCK, lock_folder
from plugins.plan.plan import Plan
from stand_in.serving import Serving
from tests.faults.steps import judge
from tests.plugins.deploy.judged_plan import Judged
from tests.small_plan import Posing, Suite, finish

pytestmark = pytest.mark.slow

FORMER = b"the production LoRA of another day"
NO_LINKS = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
SHARED = Path("/dev/shm")  # noqa: S108 (a file system of its own, on Linux)


class Holding(Posing):
    """A stand-in that stops before it samples, once told to, until it is let go."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.held = threading.Event()

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Wait to be let go."""
        del prompt_id, node_id
        if class_type == "KSampler" and not self.free.is_set():
            self.held.set()
            assert self.free.wait(60)


@pytest.fixture
def judged(plan: Plan, plan_file: Path) -> Judged:
    """Return a judged plan with a production file of another day."""
    judged = judge(plan, plan_file.parent)
    judged.production.write_bytes(FORMER)
    return judged


def is_deployed(judged: Judged) -> bool:
    """Say whether the selected checkpoint is in production, whole, with nothing under way."""
    right = judged.expected.loras["step600"] == digest_of(judged.production)
    return right and journal.pending(judged.production) is None and judged.copies == []


def is_untouched(judged: Judged) -> bool:
    """Say whether all is as it was before."""
    names = {path.name for path in judged.plan.paths.loras.iterdir()} - {LOCK}
    expected = {judged.production.name, *(path.name for path in judged.copies)}
    return judged.production.read_bytes() == FORMER and names == expected and len(judged.copies) == 2


@NO_LINKS
def test_target_that_is_a_link(judged: Judged, tmp_path: Path) -> None:
    """A production file that is a link to elsewhere is refused, and neither end is touched."""
    elsewhere = tmp_path / "elsewhere.safetensors"
    judged.production.replace(elsewhere)
    judged.production.symlink_to(elsewhere)

    with pytest.raises(DeploymentError, match=r"is a link to .*remove the link"):
        judged.deploy()

    assert judged.production.is_symlink()
    assert FORMER == elsewhere.read_bytes()


@NO_LINKS
@pytest.mark.skipif(not SHARED.is_dir(), reason="there is no second file system")
def test_target_on_another_file_system(judged: Judged) -> None:
    """A loras folder on another file system than the training outputs is deployed to in one step all the same."""
    there = SHARED / f"lora-acceptance-{os.getpid()}"
    loras = judged.plan.paths.loras
    shutil.copytree(loras, there)
    shutil.rmtree(loras)
    try:
        loras.symlink_to(there)
        deployed = judged.deploy()
        assert is_deployed(judged)
        assert deployed.backup is not None
        assert FORMER == deployed.backup.read_bytes()
    finally:
        shutil.rmtree(there)


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses instead: the next test")
def test_target_that_comfyui_has_open(judged: Judged) -> None:
    """A reader that has the former file mapped goes on reading the former bytes, whole."""
    with judged.production.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        judged.deploy()
        assert is_deployed(judged)
        assert FORMER == mapped[:]


def test_target_that_windows_does_not_let_go(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses to replace a file that is open, production stays, and it is said what to stop."""
    real = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if target == judged.production:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(target))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(DeploymentError, match="stop ComfyUI if it has the file open"):
        judged.deploy()
    monkeypatch.undo()

    assert journal.pending(judged.production) is None
    assert is_untouched(judged) or FORMER == judged.production.read_bytes()


def test_source_that_changes_while_it_is_copied(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training output that is written to while it is copied is not deployed."""
    source = judged.plan.training_file(judged.plan.checkpoints[0])
    real = os.fsync
    selected = judged.selected()

    def write_more(handle: int) -> None:
        source.write_bytes(b"trained on")
        real(handle)

    monkeypatch.setattr(os, "fsync", write_more)
    source.write_bytes(source.read_bytes() + b"more")
    with pytest.raises(DeploymentError, match="changed while it was copied"):
        judged.deploy_selected(selected)

    assert FORMER == judged.production.read_bytes()


def test_file_system_without_hard_links(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the former file cannot be linked it is copied, and put back from the copy."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(DeploymentError, match="was put back"):
        judged.deploy(prove=lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))

    assert is_untouched(judged)


def test_backup_that_was_lost(judged: Judged) -> None:
    """Where the former file is gone with its backup, nothing is put in its place, and it is told to the end."""

    def prove() -> tuple[Proven, ...]:
        for backup in judged.plan.paths.loras.glob("*.replaced-*"):
            backup.unlink()
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(DeploymentError, match=r"UNPROVEN: .* should be the former production file"):
        judged.deploy(prove=prove)

    assert judged.expected.loras["step600"] == digest_of(judged.production)
    with pytest.raises(DeploymentError, match="should be the former production file"):
        recover(judged.plan, judged.reports)


def test_somebody_else_replaces_production_meanwhile(judged: Judged) -> None:
    """A file that somebody puts into production while it is proven is theirs, and stays."""

    def prove() -> tuple[Proven, ...]:
        judged.production.write_bytes(b"somebody else's")
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(DeploymentError, match="was changed by somebody else meanwhile, and was left as it is"):
        judged.deploy(prove=prove)

    assert b"somebody else's" == judged.production.read_bytes()
    (backup,) = judged.plan.paths.loras.glob("*.replaced-*")
    assert FORMER == backup.read_bytes()


@pytest.mark.parametrize("stage", ["-m=generate", "-m=deploy --selected-step=600"])
def test_two_runs_at_once(plan: Plan, plan_file: Path, stand_in: Callable[..., Serving], stage: str) -> None:
    """A second run on the same loras folder is refused before it changes anything, and says whom to wait for."""
    judged = judge(plan, plan_file.parent)
    judged.production.write_bytes(FORMER)
    url = stand_in(faults=Posing()).url
    with lock_folder(plan.paths.loras):
        told = Suite(plan_file=plan_file).run(*stage.split(), f"--comfyui-url={url}")

    assert pytest.ExitCode.USAGE_ERROR == told.returncode
    assert f"Another run is using {plan.paths.loras} (" in told.stderr
    assert f", process {os.getpid()}, since " in told.stderr
    assert "). Wait for it to end, then run this again." in told.stderr
    assert is_untouched(judged)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("again", ["--selected-step=600", "--rollback"])
def test_command_that_is_killed_while_production_is_proven(
    plan: Plan, plan_file: Path, stand_in: Callable[..., Serving], again: str
) -> None:
    """A deployment that is killed during its proof is ended by the next one, or taken back by `--rollback`."""
    suite, faults = Suite(plan_file=plan_file), Holding()
    serving = stand_in(faults=faults)
    at = f"--comfyui-url={serving.url}"
    assert 0 == suite.run("-m", "generate", at).returncode
    production = plan.production_file
    production.write_bytes(plan.training_file(plan.checkpoints[1]).read_bytes())
    former, new = digest_of(production), digest_of(plan.training_file(plan.checkpoints[0]))

    faults.free.clear()
    process = suite.start("-m", "deploy", "--selected-step=600", at)
    assert faults.held.wait(60)
    process.send_signal(signal.SIGKILL)
    finish(process)
    faults.free.set()
    assert new == digest_of(production)
    told = suite.run("-m", "verify", at)
    assert pytest.ExitCode.TESTS_FAILED == told.returncode

    told = suite.run("-m", "deploy", again, at)

    assert "An earlier deployment was stopped before it was proven. The former" in told.stdout
    assert pytest.ExitCode.OK == told.returncode, told.stdout
    assert (new if again != "--rollback" else former) == digest_of(production)
    assert journal.pending(production) is None
