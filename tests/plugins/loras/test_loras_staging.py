"""Checkpoints are copied to the loras folder under step-labelled names: whole, or not at all."""

import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from plugins.loras import copying
from plugins.loras.errors import FolderInUse, StagingError
from plugins.loras.locking import lock_folder
from plugins.loras.staging import Action, preflight, stage, staged_line
from plugins.plan.plan import Plan

COPIES = ["spyke_plasma_v1_final.safetensors", "spyke_plasma_v1_step600.safetensors"]
as_a_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere, and Windows has other rights"
)


def names(folder: Path) -> list[str]:
    """Name all that is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def sources(plan: Plan) -> list[Path]:
    """Name the training outputs, by step."""
    return [plan.training_file(checkpoint) for checkpoint in plan.checkpoints]


def flip(path: Path) -> None:
    """Change the last byte of a file, so that its size and header stay."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


class FullDisk:
    """Stands in for `os.fsync` on a disk that is full from the given call on."""

    def __init__(self, *, after: int = 0) -> None:
        self.left = after

    def __call__(self, handle: int) -> None:
        """Flush, or fail."""
        del handle
        if self.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= 1


def test_preflight_reads_every_header(plan: Plan) -> None:
    """Good training outputs give their headers, and nothing is written."""
    before = names(plan.paths.loras)

    assert [header.step for header in preflight(plan).values()] == [600, 920]
    assert names(plan.paths.loras) == before


def test_preflight_names_all_that_is_wrong(plan: Plan) -> None:
    """One message names every file that is missing, broken or of another step, and says that nothing was copied."""
    missing, broken = sources(plan)
    missing.unlink()
    broken.write_bytes(broken.read_bytes()[:-1])

    with pytest.raises(StagingError) as caught:
        stage(plan, preflight(plan))

    head, first, second, last = str(caught.value).split("\n")
    assert head == "2 of the plan's 2 checkpoints cannot be staged:"
    assert first == f"  {missing} is missing (checkpoint step600)"
    assert second.startswith(f"  {broken} is not a complete safetensors file")
    assert last == "  Nothing was copied. Finish the training, or correct the plan's [[checkpoint]] tables."
    assert names(plan.paths.loras) == []


def test_file_that_is_in_the_cloud_is_told(plan: Plan) -> None:
    """A file that macOS moved to iCloud leaves a placeholder, and the message says how to have it back."""
    source, _ = sources(plan)
    source.rename(source.with_name(f".{source.name}.icloud"))
    with pytest.raises(StagingError, match="is in iCloud alone: have the Finder download it"):
        preflight(plan)


def test_preflight_tells_swapped_files(plan: Plan) -> None:
    """Two training outputs under each other's names are both told by their headers' steps."""
    first, second = sources(plan)
    first.rename(first.with_suffix(".x"))
    second.rename(first)
    first.with_suffix(".x").rename(second)

    with pytest.raises(StagingError) as caught:
        preflight(plan)

    name = "and its name says step 600."
    assert f"{first} says that it was saved at step 920 (ss_steps), but the plan calls it step 600, {name}" in str(
        caught.value
    )
    assert f"{second} says that it was saved at step 600 (ss_steps), but the plan calls it step 920." in str(
        caught.value
    )


def test_missing_training_folder_is_told(plan: Plan) -> None:
    """A training folder that is not there is told, with the plan's keys that name it."""
    shutil.rmtree(plan.paths.checkpoints)

    with pytest.raises(StagingError) as caught:
        preflight(plan)

    assert str(caught.value) == (
        f"The training output folder {plan.paths.checkpoints} is not there. "
        "Correct `project` or `checkpoints` under [paths] in the plan, or try --demo."
    )


def test_missing_comfyui_folder_is_told_and_not_made(plan: Plan) -> None:
    """A ComfyUI folder that is not there is not made up."""
    shutil.rmtree(plan.paths.comfyui)

    with pytest.raises(StagingError) as caught:
        stage(plan, preflight(plan))

    assert str(caught.value) == (
        f"The ComfyUI folder {plan.paths.comfyui} is not there. "
        "Correct `comfyui` under [paths] in the plan, name it with --comfyui-dir, or try --demo."
    )
    assert not plan.paths.comfyui.exists()


def test_loras_folder_is_made(plan: Plan) -> None:
    """The loras folder is made where ComfyUI has none yet (mkdir -p)."""
    shutil.rmtree(plan.paths.loras.parent)

    stage(plan, preflight(plan))

    assert names(plan.paths.loras) == COPIES


def test_staging_copies_every_checkpoint(plan: Plan) -> None:
    """Every checkpoint lies under its step-labelled name, with its own bytes, and is told as new."""
    staged = stage(plan, preflight(plan))

    assert names(plan.paths.loras) == COPIES
    for one, source in zip(staged, sources(plan), strict=True):
        assert one.file == plan.paths.loras / plan.staged_file(one.checkpoint)
        assert one.file.read_bytes() == source.read_bytes()
        assert one.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
        assert one.action is Action.NEW
        assert not one.is_changed
    assert staged_line(staged, plan.paths.loras) == f"staged 2 checkpoints in {plan.paths.loras} (2 new)"
    assert staged_line(staged[:1], plan.paths.loras) == f"staged 1 checkpoint in {plan.paths.loras} (1 new)"


def test_staging_again_leaves_files_alone(plan: Plan) -> None:
    """What has the right bytes already is not written again."""
    before = [one.file.stat() for one in stage(plan, preflight(plan))]

    staged = stage(plan, preflight(plan))

    assert [one.action for one in staged] == [Action.UNCHANGED, Action.UNCHANGED]
    after = [one.file.stat() for one in staged]
    assert [(one.st_ino, one.st_mtime_ns) for one in after] == [(one.st_ino, one.st_mtime_ns) for one in before]
    assert staged_line(staged, plan.paths.loras) == f"staged 2 checkpoints in {plan.paths.loras} (2 already there)"


def test_copy_with_other_bytes_of_the_same_size_is_replaced(plan: Plan) -> None:
    """A copy is known by its bytes: one of the same size with one other bit is replaced, and that is said."""
    first = stage(plan, preflight(plan))[0]
    flip(first.file)

    staged = stage(plan, preflight(plan))

    assert [one.action for one in staged] == [Action.REPLACED, Action.UNCHANGED]
    assert first.file.read_bytes() == sources(plan)[0].read_bytes()
    assert (
        staged_line(staged, plan.paths.loras)
        == f"staged 2 checkpoints in {plan.paths.loras} (1 already there, 1 replaced)"
    )


def test_link_in_place_of_a_copy_is_replaced_not_followed(plan: Plan, tmp_path: Path) -> None:
    """A link under a copy's name is replaced; the file it points to keeps its bytes."""
    precious = tmp_path / "precious.safetensors"
    precious.write_bytes(b"precious")
    target = plan.paths.loras / COPIES[1]
    target.symlink_to(precious)

    stage(plan, preflight(plan))

    assert precious.read_bytes() == b"precious"
    assert not target.is_symlink()
    assert target.read_bytes() == sources(plan)[0].read_bytes()


def test_folder_in_place_of_a_copy_is_told(plan: Plan) -> None:
    """A folder under a copy's name is told by the loras folder and the reason; nothing half-made is left."""
    (plan.paths.loras / COPIES[1]).mkdir()

    with pytest.raises(StagingError, match=r"cannot be staged in .*directory.*Make the folder writable"):
        stage(plan, preflight(plan))

    assert names(plan.paths.loras) == [COPIES[1]]


@as_a_user
def test_unwritable_loras_folder_is_told(plan: Plan) -> None:
    """A loras folder without the right to write is told."""
    plan.paths.loras.chmod(0o555)
    try:
        with pytest.raises(StagingError, match=r"cannot be staged in .*Permission denied"):
            stage(plan, preflight(plan))
    finally:
        plan.paths.loras.chmod(0o755)


def test_refused_write_is_told(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that refuses a new file is told with its name, the system's reason and the next step."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(plan.paths.loras / ".part"))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)

    with pytest.raises(StagingError) as caught:
        stage(plan, preflight(plan))

    folder = plan.paths.loras
    assert str(caught.value) == (
        f"The checkpoints cannot be staged in {folder}: Permission denied ({folder / '.part'}). "
        "Make the folder writable, or free some room, and run this again."
    )


def test_full_disk_leaves_no_half_copy(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up leaves no part of a file; the copies that were complete stay."""
    monkeypatch.setattr(os, "fsync", FullDisk(after=1))

    with pytest.raises(StagingError) as caught:
        stage(plan, preflight(plan))

    folder = plan.paths.loras
    assert str(caught.value) == (
        f"The checkpoints cannot be staged in {folder}: No space left on device ({folder}). "
        "Make the folder writable, or free some room, and run this again."
    )

    assert names(plan.paths.loras) == [COPIES[1]]


def test_full_disk_leaves_the_old_copy_whole(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that was to be replaced keeps its former bytes until the new ones are all there."""
    first = stage(plan, preflight(plan))[0].file
    flip(first)
    former = first.read_bytes()
    monkeypatch.setattr(os, "fsync", FullDisk())

    with pytest.raises(StagingError, match="No space left on device"):
        stage(plan, preflight(plan))

    assert first.read_bytes() == former
    assert names(plan.paths.loras) == COPIES


def test_interrupt_leaves_no_half_copy(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a copy leaves nothing behind."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt):
        stage(plan, preflight(plan))

    assert names(plan.paths.loras) == []


def test_new_copy_takes_one_pass(plan: Plan) -> None:
    """What is copied is hashed on its way: neither file is read for its digest before or after."""

    def read(path: Path) -> str:
        raise AssertionError(path)

    staged = stage(plan, preflight(plan), digest=read)

    assert [copying.digest_of(one.file) for one in staged] == [one.sha256 for one in staged]


def test_clone_is_made_where_the_file_system_can(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone is not written to again, and its digest is that of its own bytes."""

    def cloned(_: BinaryIO, target: BinaryIO) -> bool:
        target.write(b"cloned")
        target.seek(0)
        return True

    monkeypatch.setattr(copying, "_cloned", cloned)

    part, digest = copying.copy_part(sources(plan)[0], plan.paths.loras / COPIES[1])

    assert part.read_bytes() == b"cloned"
    assert digest == hashlib.sha256(b"cloned").hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="clones are asked for on Linux alone")
def test_file_system_without_clones_copies(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system refuses to clone, bytes are copied."""

    def refuse(*_: Any) -> Any:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("fcntl.ioctl", refuse)

    assert [one.file.read_bytes() for one in stage(plan, preflight(plan))] == [
        path.read_bytes() for path in sources(plan)
    ]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: os.utime(path, ns=(1, 1)), id="written-again"),
        pytest.param(lambda path: path.write_bytes(b"shorter"), id="other-size"),
        pytest.param(Path.unlink, id="gone"),
    ],
)
def test_copy_that_was_changed_afterwards_knows_it(plan: Plan, change: Callable[[Path], Any]) -> None:
    """A copy that somebody changed or removed since it was staged is told from the one that was staged."""
    staged = stage(plan, preflight(plan))[0]

    change(staged.file)

    assert staged.is_changed


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_copies_can_be_read_by_a_server_of_another_user(plan: Plan) -> None:
    """Copies are readable for all, since ComfyUI may run as another user."""
    assert [oct(one.file.stat().st_mode & 0o777) for one in stage(plan, preflight(plan))] == ["0o644", "0o644"]


def test_digest_is_of_the_bytes(tmp_path: Path) -> None:
    """A file's digest is the SHA-256 that sha256sum prints."""
    (tmp_path / "a").write_bytes(b"abc")

    assert copying.digest_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP])
def test_file_system_without_modes(plan: Plan, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where no file has a mode of its own, as on FAT and on many network and FUSE mounts, staging and locking work."""

    def refuse(path: Path, _mode: int) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "chmod", refuse)
    with lock_folder(plan.paths.loras):
        assert {Action.NEW} == {one.action for one in stage(plan, preflight(plan))}
        with pytest.raises(FolderInUse):
            lock_folder(plan.paths.loras).__enter__()
