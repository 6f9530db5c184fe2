"""Staging, deploying and rolling back on other file systems than the one that the tests happen to run on.

Each is mounted for real, by root, on Linux, in a file of 64 MB; where that is not possible the test says so and is
skipped. `test_file_faults.py` has what such file systems lack one by one, wherever it runs.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from plugins.generate.folders import lock_folders
from plugins.loras import journal
from plugins.loras.copying import digest_of
from plugins.loras.errors import DeploymentError, FolderInUse, StagingError
from plugins.loras.locking import LOCK, lock_folder
from plugins.loras.staging import Action, preflight, stage
from plugins.plan.plan import Plan
from tests.faults.steps import judge
from tests.plugins.deploy.judged_plan import Judged

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or os.geteuid() != 0, reason="only root on Linux can mount file systems"
    ),
]

FORMER = b"the production LoRA of another day"
SIZE = 64 << 20
COMMANDS: dict[str, Sequence[str]] = {
    "tmpfs": ("mount -t tmpfs -o size=64m none {there}",),
    "overlay": (
        "mount -t tmpfs -o size=64m none {layers}",
        "mkdir {layers}/lower {layers}/upper {layers}/work",
        "mount -t overlay -o lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work none {there}",
    ),
    "ext4": ("mkfs.ext4 -q {image}", "mount -o loop {image} {there}"),
    "vfat": ("mkfs.vfat {image}", "mount -o loop -t vfat {image} {there}"),
    "vfat, by FUSE": ("mkfs.vfat {image}", "fusefat -o rw+ {image} {there}"),
    "ntfs, by FUSE": ("mkntfs -Q -F {image}", "ntfs-3g -o windows_names {image} {there}"),
}
"""How each is mounted."""


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system of a kind; skip the test where this machine cannot."""
    with ExitStack() as stack:

        def mount(kind: str) -> Path:
            words = {name: tmp_path / name for name in ("there", "layers", "image")}
            for name in ("there", "layers"):
                words[name].mkdir()
            with words["image"].open("wb") as image:
                image.truncate(SIZE)
            for line in COMMANDS[kind]:
                command = line.format(**words).split()
                if not shutil.which(command[0]):
                    pytest.skip(f"{kind}: there is no {command[0]}")
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
                if done.returncode:
                    pytest.skip(f"{kind} cannot be mounted here: {done.stderr.strip()}")
                if not command[0].startswith("mk"):
                    stack.callback(subprocess.run, ["umount", command[-1]], check=True, timeout=60)
            return words["there"]

        yield mount


def judged_on(plan: Plan, folder: Path, there: Path) -> Judged:
    """Return a judged plan whose loras folder is on the file system, with a production file of another day."""
    loras = plan.paths.loras
    shutil.rmtree(loras)
    (there / "loras").mkdir()
    loras.symlink_to(there / "loras")
    judged = judge(plan, folder)
    judged.production.write_bytes(FORMER)
    return judged


def fill(path: Path, size: int) -> None:
    """Write a file for as long as there is room."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(size))


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_whole_way_on_a_file_system(plan: Plan, plan_file: Path, mounted: Callable[[str], Path], kind: str) -> None:
    """Checkpoints are staged once, a proof that fails puts production back, one that holds deploys, and locks hold."""
    judged = judged_on(plan, plan_file.parent, mounted(kind))
    with lock_folders(plan, judged.reports), pytest.raises(FolderInUse, match=f"process {os.getpid()}"):
        lock_folder(plan.paths.loras).__enter__()
    assert {Action.UNCHANGED} == {one.action for one in stage(plan, preflight(plan))}
    judged.copies[0].unlink()
    assert {Action.UNCHANGED, Action.NEW} == {one.action for one in stage(plan, preflight(plan))}

    with pytest.raises(DeploymentError, match="was put back"):
        judged.deploy(prove=lambda: (_ for _ in ()).throw(OSError("no proof")))
    assert (FORMER, 2) == (judged.production.read_bytes(), len(judged.copies))

    deployed = judged.deploy()
    assert judged.expected.loras["step600"] == digest_of(judged.production)
    assert deployed.backup is not None
    names = {path.name for path in plan.paths.loras.iterdir()}
    assert {judged.production.name, deployed.backup.name, LOCK} == names
    assert FORMER == deployed.backup.read_bytes()

    begun = journal.begin(deployed.backup, judged.production, sha256=digest_of(deployed.backup), is_rollback=True)
    assert FORMER == judged.production.read_bytes()
    journal.undo(begun)
    assert judged.expected.loras["step600"] == digest_of(judged.production)


def test_small_disk_that_is_full(plan: Plan, plan_file: Path, mounted: Callable[[str], Path]) -> None:
    """On a disk that has no room nothing is half done: staging and deploying say so, and production stays."""
    there = mounted("ext4")
    judged = judged_on(plan, plan_file.parent, there)
    for copy in judged.copies:
        copy.unlink()
    for number, size in enumerate((1 << 20, 4096)):
        with pytest.raises(OSError, match="No space left"):
            fill(there / f"full{number}", size)
    with pytest.raises(StagingError, match=r"evaluation copies need|No space left"):
        stage(plan, preflight(plan))
    with pytest.raises(DeploymentError, match="No space left on device"):
        judged.deploy()
    assert FORMER == judged.production.read_bytes()
    assert journal.pending(judged.production) is None
    for full in there.glob("full*"):
        full.unlink()
    stage(plan, preflight(plan))
    judged.deploy()
    assert judged.expected.loras["step600"] == digest_of(judged.production)


def test_read_only_file_system(plan: Plan, plan_file: Path, mounted: Callable[[str], Path]) -> None:
    """What is staged already is used from a read-only folder, which needs no lock; all else says what is in the way."""
    there = mounted("ext4")
    judged = judged_on(plan, plan_file.parent, there)
    subprocess.run(["mount", "-o", "remount,ro", there], check=True, timeout=60)
    with lock_folders(plan, judged.reports):
        assert {Action.UNCHANGED} == {one.action for one in stage(plan, preflight(plan))}
        with pytest.raises(DeploymentError, match="Read-only file system"):
            judged.deploy()
        assert FORMER == judged.production.read_bytes()
    subprocess.run(["mount", "-o", "remount,rw", there], check=True, timeout=60)
    judged.copies[0].unlink()
    subprocess.run(["mount", "-o", "remount,ro", there], check=True, timeout=60)
    with pytest.raises(StagingError, match="Read-only file system"):
        stage(plan, preflight(plan))
