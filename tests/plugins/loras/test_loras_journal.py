"""The production LoRA is put in place in one step, what it replaces is kept, and only known copies are removed."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from plugins.loras import copying, journal
from plugins.loras.copies import evaluation_copies, remove_evaluation_copies
from plugins.loras.errors import DeploymentError
from plugins.loras.journal import Installation
from plugins.loras.staging import preflight, stage
from plugins.plan.plan import Plan

NEW, FORMER = b"the selected checkpoint", b"what was there before"
NO_LINKS = "links need a privilege on Windows"


def digest(content: bytes) -> str:
    """Return the SHA-256."""
    return hashlib.sha256(content).hexdigest()


def names(folder: Path) -> list[str]:
    """Name all that is in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return the selected checkpoint."""
    path = tmp_path / "training" / "spyke-600.safetensors"
    path.parent.mkdir()
    path.write_bytes(NEW)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Name the production file, in a folder of its own."""
    (tmp_path / "loras").mkdir()
    return tmp_path / "loras" / "spyke.safetensors"


def put(source: Path, target: Path) -> Installation:
    """Install the selected checkpoint."""
    return journal.begin(source, target, sha256=digest(NEW))


def put_for_good(source: Path, target: Path, *training: Path) -> Installation:
    """Install the selected checkpoint, and say that it was proven."""
    return journal.commit(put(source, target), training)


def test_production_is_new(source: Path, target: Path) -> None:
    """Where there is no production file yet, the checkpoint becomes it."""
    installed = put_for_good(source, target)
    expected = Installation(id=installed.id, file=target, sha256=digest(NEW), replaced_sha256=None, backup=None)
    assert expected == installed
    assert target.read_bytes() == NEW
    assert names(target.parent) == [target.name]


def test_same_production_is_left_alone(source: Path, target: Path) -> None:
    """The same bytes are not written again."""
    target.write_bytes(NEW)
    before = target.stat()

    assert put(source, target).replaced_sha256 == digest(NEW)
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert names(target.parent) == [target.name]


def test_production_that_is_a_candidate_is_kept_until_the_proof(source: Path, target: Path) -> None:
    """A former choice among the candidates needs no backup once production is proven: the training folder has it."""
    training = source.with_name("spyke-400.safetensors")
    training.write_bytes(FORMER)
    target.write_bytes(FORMER)

    installed = put(source, target)
    assert installed.backup is not None
    assert FORMER == installed.backup.read_bytes()
    settled = journal.commit(installed, [source, training])

    assert (digest(FORMER), None) == (settled.replaced_sha256, settled.backup)
    assert NEW == target.read_bytes()
    assert [target.name] == names(target.parent)


def test_foreign_production_is_kept(source: Path, target: Path) -> None:
    """A production file that is none of the candidates is kept, whole, under a name that no picker lists."""
    target.write_bytes(FORMER)

    installed = put_for_good(source, target, source)

    assert installed.backup == target.with_name(f"{target.name}.replaced-{digest(FORMER)[:16]}")
    assert installed.backup.read_bytes() == FORMER
    assert target.read_bytes() == NEW
    assert names(target.parent) == [target.name, installed.backup.name]


def test_same_foreign_production_is_kept_once(source: Path, target: Path) -> None:
    """The same foreign file, put back and replaced again, has one backup."""
    for _ in range(2):
        target.write_bytes(FORMER)
        backup = put_for_good(source, target).backup

    assert backup is not None
    assert names(target.parent) == [target.name, backup.name]


def test_broken_backup_is_written_again(source: Path, target: Path) -> None:
    """A backup whose bytes are not what its name says does not stand for the former file."""
    target.write_bytes(FORMER)
    backup = target.with_name(f"{target.name}.replaced-{digest(FORMER)[:16]}")
    backup.write_bytes(b"half")

    assert put(source, target).backup == backup
    assert backup.read_bytes() == FORMER


def test_backup_is_kept_without_hard_links(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without hard links, the former file is copied."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    target.write_bytes(FORMER)

    backup = put_for_good(source, target).backup

    assert backup is not None
    assert backup.read_bytes() == FORMER
    assert names(target.parent) == [target.name, backup.name]


@pytest.mark.skipif(os.name == "nt", reason=NO_LINKS)
@pytest.mark.parametrize("exists", [pytest.param(True, id="to-a-file"), pytest.param(False, id="to-nothing")])
def test_link_is_not_replaced(source: Path, target: Path, tmp_path: Path, *, exists: bool) -> None:
    """A production file that is a link is told with where it points, and both are left as they are."""
    elsewhere = tmp_path / "elsewhere.safetensors"
    if exists:
        elsewhere.write_bytes(FORMER)
    target.symlink_to(elsewhere)

    with pytest.raises(DeploymentError) as caught:
        put(source, target)

    assert str(caught.value) == (
        f"{target} is a link to {elsewhere}. Replacing it would leave that file behind unseen; "
        "remove the link, or point `loras` in the plan at the real folder."
    )
    assert target.is_symlink()
    assert elsewhere.exists() == exists


def test_folder_is_not_replaced(source: Path, target: Path) -> None:
    """A folder under the production name is told."""
    target.mkdir()

    with pytest.raises(DeploymentError) as caught:
        put(source, target)

    assert str(caught.value) == f"{target} is not a file. Move it away and deploy again."


def test_checkpoint_that_is_not_the_judged_one_is_refused(source: Path, target: Path) -> None:
    """A training file with other bytes than those that were judged is not deployed."""
    source.write_bytes(b"retrained since")
    target.write_bytes(FORMER)

    with pytest.raises(DeploymentError) as caught:
        put(source, target)

    assert str(caught.value) == (
        f"{source} changed while it was copied (SHA-256 {digest(b'retrained since')[:12]}, judged was "
        f"{digest(NEW)[:12]}). Nothing was deployed. Run pytest -m generate again, so that what is deployed is what "
        "was judged."
    )
    assert target.read_bytes() == FORMER
    assert names(target.parent) == [target.name]


def test_checkpoint_that_changes_while_it_is_copied_is_refused(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that reach the disk otherwise than they were read are not deployed, and no backup is made."""
    target.write_bytes(FORMER)

    def copy_then_change(origin: Path, destination: Path) -> tuple[Path, str]:
        part, read = copying.copy_part(origin, destination)
        part.write_bytes(b"changed")
        return part, read

    monkeypatch.setattr(journal, "copy_part", copy_then_change)

    with pytest.raises(DeploymentError, match=r"spyke-600\.safetensors changed while it was copied"):
        put(source, target)

    assert target.read_bytes() == FORMER
    assert names(target.parent) == [target.name]


@pytest.mark.parametrize("former", [pytest.param(FORMER, id="with-a-former"), pytest.param(None, id="without")])
def test_full_disk_leaves_the_former_production_whole(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch, former: bytes | None
) -> None:
    """A disk that fills up changes nothing and leaves nothing behind; the message says so and what to do."""
    if former:
        target.write_bytes(former)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(DeploymentError) as caught:
        put(source, target)

    assert str(caught.value) == (
        f"{target} could not be deployed: No space left on device ({target}). The former production file is "
        "untouched. Make the folder writable or free some room (on Windows, stop ComfyUI if it has the file open), "
        "then deploy again."
    )
    assert names(target.parent) == ([target.name] if former else [])
    assert not former or target.read_bytes() == former


def test_backup_that_cannot_be_made_stops_the_deployment(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A former file that cannot be kept is not replaced."""
    target.write_bytes(FORMER)

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copyfile", refuse)

    with pytest.raises(DeploymentError, match="The former production file is untouched"):
        put(source, target)

    assert target.read_bytes() == FORMER
    assert names(target.parent) == [target.name]


def test_rename_that_was_made_and_refused_is_taken_back(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a network folder replaces production and then says that it did not, the former file is put back."""
    target.write_bytes(FORMER)
    real = Path.replace

    def replace(path: Path, to: Path) -> Path:
        real(path, to)
        if digest(to.read_bytes()) == digest(NEW):
            raise OSError(errno.EIO, "Input/output error", str(to))
        return to

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(DeploymentError, match="The former production file is untouched"):
        put(source, target)

    assert FORMER == target.read_bytes()
    assert [target.name] == names(target.parent)


def test_folder_that_cannot_be_flushed_is_no_failure(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems cannot flush a folder; the production file is in place all the same."""

    def refuse(*_: Any) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: refuse() if path == target.parent else real(path, *rest))

    assert put(source, target).sha256 == digest(NEW)
    assert target.read_bytes() == NEW


def test_backup_is_restored(source: Path, target: Path) -> None:
    """A foreign former file comes back from its backup, which is then gone."""
    target.write_bytes(FORMER)
    installed = put(source, target)

    assert journal.undo(installed) == f"The former {target} was put back (SHA-256 {digest(FORMER)[:12]})."
    assert target.read_bytes() == FORMER
    assert names(target.parent) == [target.name]


@pytest.mark.parametrize("broken", [pytest.param(b"half", id="broken"), pytest.param(None, id="gone")])
def test_backup_that_is_not_the_former_file_is_not_put_back(source: Path, target: Path, broken: bytes | None) -> None:
    """A backup that was lost or changed meanwhile is told, and production is left as it is."""
    target.write_bytes(FORMER)
    installed = put(source, target)
    assert installed.backup is not None
    if broken:
        installed.backup.write_bytes(broken)
    else:
        installed.backup.unlink()

    with pytest.raises(DeploymentError) as caught:
        journal.undo(installed)

    assert str(caught.value) == (
        f"{installed.backup} should be the former production file (SHA-256 {digest(FORMER)[:12]}), and is not. Put "
        f"that file at {target} yourself, then remove {target.with_name(f'.{target.name}.deploying')}."
    )
    assert NEW == target.read_bytes()
    assert installed == journal.pending(target)


def test_deployment_that_was_not_settled_is_found_again(source: Path, target: Path) -> None:
    """What was begun is known to a later run, until it was proven or taken back."""
    assert journal.pending(target) is None
    installed = put(source, target)
    assert installed == journal.pending(target)
    journal.commit(installed, [])
    assert journal.pending(target) is None


@pytest.mark.parametrize("half", [b"", b'{"file": "/lor', b"\x00\xff"])
def test_half_written_note_is_none(source: Path, target: Path, half: bytes) -> None:
    """A note that was not written to its end stands for nothing: production was not touched by then."""
    target.write_bytes(FORMER)
    target.with_name(f".{target.name}.deploying").write_bytes(half)

    assert journal.pending(target) is None
    put_for_good(source, target)
    assert NEW == target.read_bytes()


def note_of(target: Path) -> Path:
    """Name the note of a deployment that is under way."""
    return target.with_name(f".{target.name}.deploying")


def test_note_speaks_of_the_files_beside_it(source: Path, target: Path, tmp_path: Path) -> None:
    """A note that came with a copy of the folder, or that somebody wrote, touches nothing outside its own folder."""
    target.write_bytes(FORMER)
    put(source, target)
    there = tmp_path / "copied"
    shutil.copytree(target.parent, there)
    copied = there / target.name

    begun = journal.pending(copied)
    assert begun is not None
    assert f"The former {copied} was put back (SHA-256 {digest(FORMER)[:12]})." == journal.undo(begun)

    assert FORMER == copied.read_bytes()
    assert [target.name] == names(there)
    assert NEW == target.read_bytes()
    assert journal.pending(target) is not None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"replaced_sha256": "/../../training/spyke"}, id="what-is-no-digest-becomes-part-of-no-path"),
        pytest.param({"of_tomorrow": 1}, id="another-version"),
        pytest.param({"rollback": "no"}, id="a-word-is-no-yes-or-no"),
    ],
)
def test_note_of_another_shape_is_told(source: Path, target: Path, change: dict[str, object]) -> None:
    """A whole note that this version cannot read stands for a deployment all the same; what to do is told."""
    put(source, target)
    note = json.loads(note_of(target).read_text("utf-8"))
    note_of(target).write_text(json.dumps(note | change), "utf-8")

    with pytest.raises(DeploymentError, match=r"another version of this suite began\. .* and remove the note"):
        journal.pending(target)


def test_note_of_nothing_is_removed(source: Path, target: Path) -> None:
    """A note that speaks of the same bytes twice is not met again by every later run."""
    put(source, target)
    note = json.loads(note_of(target).read_text("utf-8"))
    note_of(target).write_text(json.dumps(note | {"replaced_sha256": note["sha256"]}), "utf-8")

    begun = journal.pending(target)
    assert begun is not None
    assert f"{target} already held these bytes, and was left as it is." == journal.undo(begun)
    assert journal.pending(target) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_note_that_is_a_pipe_is_not_waited_for(target: Path) -> None:
    """What is no plain file is told with what to do, and not read for ever."""
    os.mkfifo(note_of(target))

    with pytest.raises(DeploymentError, match=r"not a plain file\. Make it readable; .* move it away\."):
        journal.pending(target)


def test_nothing_is_restored_to_nothing(source: Path, target: Path) -> None:
    """Where there was no production file, there is none again."""
    installed = put(source, target)

    assert journal.undo(installed) == f"{target} was not there before, and was removed again."
    assert names(target.parent) == []


def test_same_bytes_need_no_restoring(source: Path, target: Path) -> None:
    """A production file that was right already stays."""
    target.write_bytes(NEW)
    installed = put(source, target)

    assert journal.undo(installed) == f"{target} already held these bytes, and was left as it is."
    assert target.read_bytes() == NEW


def test_somebody_elses_production_is_not_overwritten(source: Path, target: Path) -> None:
    """A production file that was changed since it was deployed is somebody's; it is left, and so is the backup."""
    target.write_bytes(FORMER)
    installed = put(source, target)
    target.write_bytes(b"somebody else's")

    told = journal.undo(installed)

    assert told == f"{target} was changed by somebody else meanwhile, and was left as it is."
    assert target.read_bytes() == b"somebody else's"
    assert installed.backup is not None
    assert installed.backup.read_bytes() == FORMER


def test_copies_with_known_bytes_are_removed(plan: Plan) -> None:
    """Evaluation copies go once production is in place; nothing else does."""
    staged = stage(plan, preflight(plan))
    other = plan.paths.loras / "somebody_elses_step600.safetensors"
    other.write_bytes(staged[0].file.read_bytes())
    production = plan.paths.loras / plan.production.file
    production.write_bytes(staged[0].file.read_bytes())

    cleaned = remove_evaluation_copies(plan, frozenset(one.sha256 for one in staged))

    assert cleaned.removed == tuple(one.file for one in staged)
    assert cleaned.left == {}
    assert names(plan.paths.loras) == sorted([other.name, production.name])


def test_copy_with_unknown_bytes_is_left_and_reported(plan: Plan) -> None:
    """A file under a copy's name with bytes of no candidate is somebody's work."""
    staged = stage(plan, preflight(plan))
    staged[1].file.write_bytes(b"somebody's work")

    cleaned = remove_evaluation_copies(plan, frozenset(one.sha256 for one in staged))

    assert cleaned.removed == (staged[0].file,)
    assert cleaned.left == {staged[1].file: "its bytes are none of the checkpoints'; look at it and remove it yourself"}
    assert staged[1].file.read_bytes() == b"somebody's work"


@pytest.mark.skipif(os.name == "nt", reason=NO_LINKS)
def test_link_and_folder_in_place_of_copies_are_left_and_reported(plan: Plan) -> None:
    """Links and folders under copies' names are left: the suite made neither."""
    staged = stage(plan, preflight(plan))
    training = plan.training_file(staged[0].checkpoint)
    staged[0].file.unlink()
    staged[0].file.symlink_to(training)
    staged[1].file.unlink()
    staged[1].file.mkdir()

    cleaned = remove_evaluation_copies(plan, frozenset(one.sha256 for one in staged))

    assert cleaned.removed == ()
    assert cleaned.left == {one.file: "it is not a plain file" for one in staged}
    assert training.is_file()


def test_copy_that_cannot_be_removed_is_reported(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that the system does not let go is reported with the system's reason; the others go."""
    staged = stage(plan, preflight(plan))
    real = Path.unlink

    def unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path == staged[0].file:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    cleaned = remove_evaluation_copies(plan, frozenset(one.sha256 for one in staged))

    assert cleaned.removed == (staged[1].file,)
    assert cleaned.left == {staged[0].file: "it cannot be removed (Permission denied)"}


def test_copies_that_are_there_are_named(plan: Plan) -> None:
    """The copies are looked for by the plan's names; a link to nothing is one too."""
    assert evaluation_copies(plan) == ()
    staged = stage(plan, preflight(plan))
    staged[1].file.unlink()

    assert evaluation_copies(plan) == (staged[0].file,)
