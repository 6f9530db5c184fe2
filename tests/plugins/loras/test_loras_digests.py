"""Digests are kept for as long as a file is not changed, and nothing that a deployment stands on asks for them."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.loras import digests
from plugins.loras.copying import digest_of, digest_of_parts
from plugins.loras.digests import Digests
from plugins.plan.plan import Plan
from stand_in.serving import Serving


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file."""
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note which files are read, and take every file for one that was not changed lately."""
    found: list[Path] = []

    def note(path: Path) -> str:
        found.append(path)
        return digest_of(path)

    monkeypatch.setattr(digests, "digest_of", note)
    monkeypatch.setattr(digests, "_SETTLED_SECONDS", -60.0)
    return found


def test_digest_is_taken_once(file: Path, tmp_path: Path, read: list[Path]) -> None:
    """The next run knows a file's digest, and does not read it."""
    store = tmp_path / "reports" / ".digests.json"
    first = Digests(store)
    assert digest_of(file) == first.of(file)
    first.save()

    assert digest_of(file) == Digests(store).of(file)
    assert [file] == read


def _change_time(path: Path) -> None:
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: path.write_bytes(b"abcd"), id="size"),
        pytest.param(_change_time, id="time"),
        pytest.param(lambda path: (path.rename(path.with_name("b")), path.write_bytes(b"abd")), id="place"),
    ],
)
def test_changed_file_is_read_again(
    file: Path, tmp_path: Path, read: list[Path], change: Callable[[Path], object]
) -> None:
    """A file of another size, time or place is read."""
    store = tmp_path / ".digests.json"
    first = Digests(store)
    before = first.of(file)
    first.save()
    change(file)

    assert before != Digests(store).of(file) == digest_of(file)
    assert [file, file] == read


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of a file's last change")
def test_time_that_was_set_back_is_noticed(file: Path, tmp_path: Path, read: list[Path]) -> None:
    """A file with other bytes, the same size and its former time is read: the system notes when its time was set."""
    before = file.stat()
    first = Digests(tmp_path / ".digests.json")
    first.of(file)
    first.save()
    with file.open("r+b") as same:
        same.write(b"abd")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert digest_of(file) == Digests(tmp_path / ".digests.json").of(file)
    assert [file, file] == read


def test_file_that_was_just_written_is_not_remembered(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may be changed again within one tick of the clock is read by the next run, too."""
    monkeypatch.setattr(digests, "_SETTLED_SECONDS", 600.0)
    first = Digests(tmp_path / ".digests.json")
    first.of(file)
    first.save()

    assert not (tmp_path / ".digests.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"a": 7}', '{"a": []}', '{"a": [1, 2]}'])
def test_unusable_memory_is_done_without(file: Path, tmp_path: Path, content: str) -> None:
    """What cannot be read as digests counts for nothing."""
    (tmp_path / ".digests.json").write_text(content.replace('"a"', json.dumps(str(file))), "utf-8")

    assert digest_of(file) == Digests(tmp_path / ".digests.json").of(file)


@pytest.mark.slow
def test_no_deployment_believes_it(
    plan: Plan, stand_in: Callable[..., Serving], run_suite: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A training output that was changed without a trace passes for the old one in generating, never in deploying."""
    url = f"--comfyui-url={stand_in().url}"
    assert 0 == run_suite("-m", "generate", url).returncode
    reports = plan.paths.project / "reports"
    training = plan.training_file(plan.checkpoints[0])
    before, content = digest_of(training), bytearray(training.read_bytes())
    content[-1] ^= 1
    training.write_bytes(content)
    known = {
        str(path): [*digests._stamp(path), before]
        for path in (training, plan.paths.loras / plan.staged_file(plan.checkpoints[0]))
    }
    (reports / ".digests.json").write_text(json.dumps(known), "utf-8")

    generated = run_suite("-m", "generate", url)
    deployed = run_suite("-m", "deploy", "--selected-step=600", url)

    assert "0 rendered, 6 reused" in generated.stdout
    assert 4 == deployed.returncode
    assert f"(SHA-256 {before[:12]}) than {training} has now" in deployed.stderr


@pytest.mark.parametrize("place", [0, 70_000, -1])
def test_digest_of_parts_a_small_file_is_all_of_it(tmp_path: Path, place: int) -> None:
    """Any byte of a file of 1 MB decides."""
    content = bytearray(1 << 20)
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    before = digest_of_parts(file)
    content[place] = 1
    file.write_bytes(content)

    assert before != digest_of_parts(file)


@pytest.mark.parametrize(("start", "length"), [(0, 1), (9_000_000, 320_000), (19_999_999, 1)])
def test_digest_of_parts_a_large_file_is_of_everywhere(tmp_path: Path, start: int, length: int) -> None:
    """Of 20 MB, the first and the last byte and any stretch of a 64th decide, though most of it is not read."""
    file = tmp_path / "model.safetensors"
    with file.open("wb") as writer:
        writer.truncate(20_000_000)  # without writing it
    before = digest_of_parts(file)
    with file.open("r+b") as writer:
        writer.seek(start)
        writer.write(b"\1" * length)

    assert before != digest_of_parts(file)
