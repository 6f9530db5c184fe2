"""One run at a time in a folder, whoever runs it, and wherever their temporary folder is."""

import contextlib
import errno
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.generate.folders import FolderError, lock_folders
from plugins.loras.errors import FolderInUse
from plugins.loras.locking import LOCK, lock_folder
from plugins.plan.plan import Plan
from stand_in.serving import Serving
from tests.small_plan import ROOT

TWO_USERS = pytest.mark.skipif(
    not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can be two users of one machine"
)
NOBODY = 65534
HOLD = """
import sys
from pathlib import Path
from plugins.loras.locking import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user who owns nothing, and may do what anybody may."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def shared() -> Iterator[Path]:
    """Make a folder that every user of this machine may write to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_second_run_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    """A folder is one run's; another hears whose, on which machine, in which process and since when."""
    with lock_folder(tmp_path):
        with pytest.raises(FolderInUse) as caught, lock_folder(tmp_path):
            pass
        said = re.fullmatch(
            rf"Another run is using {re.escape(str(tmp_path))} \(\S+ on \S+, process {os.getpid()}, since "
            r"\d{4}-\d\d-\d\d \d\d:\d\d[+-]\d\d:\d\d\)\. Wait for it to end, then run this again\.",
            str(caught.value),
        )
        assert said, caught.value
    with lock_folder(tmp_path):
        assert [LOCK] == [path.name for path in tmp_path.iterdir()]


def test_lock_is_hidden_and_in_no_picker(plan: Plan, stand_in: Callable[..., Serving]) -> None:
    """ComfyUI lists files of some types alone; the lock's is none of them, and its name is hidden."""
    with contextlib.closing(ComfyUI(stand_in().url)) as client, lock_folder(plan.paths.loras):
        assert [".", LOCK] == [LOCK[0], *(path.name for path in plan.paths.loras.iterdir())]
        assert () == client.loras()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_process_with_another_temporary_folder_is_refused(tmp_path: Path) -> None:
    """The lock holds between processes that see different temporary folders, and ends with a process that is killed."""
    there = tmp_path / "loras"
    there.mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(there)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        with pytest.raises(FolderInUse, match=f"process {holder.pid}, since"), lock_folder(there):
            pass
        holder.kill()
        holder.wait()
    with lock_folder(there):
        pass


@TWO_USERS
def test_second_user_of_a_machine_can_lock_after_the_first_and_not_meanwhile(shared: Path) -> None:
    """A lock that one user left is taken by the next, whatever the first one's umask; while it is held, it is said."""
    before = os.umask(0o077)
    try:
        with lock_folder(shared), as_nobody(), pytest.raises(FolderInUse, match="Another run is using"):
            lock_folder(shared).__enter__()
    finally:
        os.umask(before)
    with as_nobody(), lock_folder(shared), pytest.raises(FolderInUse, match=f"process {os.getpid()}"):
        lock_folder(shared).__enter__()


@TWO_USERS
def test_lock_that_another_user_protected_is_named_with_what_to_do(plan: Plan, shared: Path) -> None:
    """Where the lock is another user's and may not be written to, the message names it, and the way out."""
    (shared / LOCK).touch(mode=0o644)
    plan = plan.model_copy(update={"paths": plan.paths.model_copy(update={"loras": shared, "comfyui": shared})})
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        with as_nobody(), pytest.raises(FolderError) as caught:
            lock_folders(plan, Path(name, "reports"))
    assert str(caught.value) == (
        f"{shared / LOCK} cannot be locked: Permission denied. Make that file writable for all who use this folder "
        "(chmod a+rw), or remove it while no run uses it."
    )


@TWO_USERS
def test_loras_folder_that_one_may_only_read_needs_no_lock(plan: Plan, shared: Path) -> None:
    """Rendering from copies that are staged already goes on where this user can change nothing in the loras folder."""
    loras = shared / "models" / "loras"
    loras.mkdir(parents=True)
    plan = plan.model_copy(update={"paths": plan.paths.model_copy(update={"loras": loras, "comfyui": shared})})
    with as_nobody(), lock_folders(plan, shared / "reports"):
        pass
    assert [] == list(loras.iterdir())


@TWO_USERS
def test_reports_folder_that_cannot_be_written_to_is_named(plan: Plan, shared: Path) -> None:
    """A reports folder that this user may not write to is named before anything else happens, with another way."""
    shared.chmod(0o755)
    with as_nobody(), pytest.raises(FolderError) as caught:
        lock_folders(plan, shared)
    assert str(caught.value) == (
        f"{shared} cannot be written to: Permission denied ({shared / LOCK}). Make it writable, or name another "
        "folder: --reports=DIR"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks everywhere")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_system_without_locks_is_held_by_a_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where the file system has no locks, a file that is there while a run is keeps others out, and says how to end it.

    So it is on a network share without lock daemon, and on Lustre without `flock`.
    """

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with lock_folder(tmp_path), pytest.raises(FolderInUse) as caught:
        lock_folder(tmp_path).__enter__()
    assert f"Wait for it to end, then run this again. If it was killed, remove {tmp_path}" in str(caught.value)
    with lock_folder(tmp_path):
        pass


def test_words_in_a_lock_cannot_steer_the_terminal(tmp_path: Path) -> None:
    """What somebody wrote into a lock is cut short, on one line, and shown as plain text."""
    with lock_folder(tmp_path):
        with (tmp_path / LOCK).open("r+b") as file:
            file.write(b"\0\x1b[2Jalice\nis\xff here" + b"." * 1000)
        with pytest.raises(FolderInUse) as caught:
            lock_folder(tmp_path).__enter__()
    assert f"Another run is using {tmp_path} (\\x1b[2Jalice is\N{REPLACEMENT CHARACTER} here.." in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 350


def test_foreign_file_in_the_locks_place_is_left(tmp_path: Path) -> None:
    """A hard link to somebody's file where the lock should be is refused, and the file is as it was."""
    theirs = tmp_path / "theirs.txt"
    theirs.write_text("keep me", encoding="utf-8")
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / LOCK).hardlink_to(theirs)

    with pytest.raises(OSError, match="it is a link, or no plain file"), lock_folder(tmp_path / "loras"):
        pytest.fail("it was locked")

    assert "keep me" == theirs.read_text(encoding="utf-8")
