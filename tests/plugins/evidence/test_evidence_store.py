"""Evidence is written last and in one step, and what is read back is what was written, or is refused."""

import errno
import json
import math
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.evidence.evidence import Evidence
from plugins.evidence.files import write_atomically
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.expected import ExpectedInputs
from plugins.pictures.check import Check, Difference, Outcome
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from tests.plugins.evidence.made_evidence import BLANK, PASSED, evidence_for, keep, png_of

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
WORDS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)
CHECKS = st.builds(
    Check,
    name=WORDS,
    outcome=st.sampled_from(Outcome),
    message=WORDS,
    differences=st.lists(st.builds(Difference, field=WORDS, got=WORDS, asked=WORDS), max_size=2).map(tuple),
)
GRAPHS = st.dictionaries(WORDS, st.recursive(st.integers() | WORDS | st.booleans(), st.lists, max_leaves=4), max_size=3)


@pytest.fixture
def cell(plan: Plan) -> Cell:
    """Return a cell with a LoRA: step600 on the first prompt."""
    return matrix(plan)[2]


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_evidence_is_read_as_it_was_written(
    asked: ExpectedInputs, store: Store, cell: Cell, data: st.DataObject
) -> None:
    """Whatever evidence holds, reading it back gives the same."""
    png = png_of(cell)
    evidence = evidence_for(asked, cell, png)
    evidence = evidence.model_copy(
        update={
            "prompt_text": data.draw(WORDS),
            "negative_text": data.draw(WORDS),
            "inputs_digest": data.draw(HEX),
            "workflow": data.draw(GRAPHS),
            "checks": tuple(data.draw(st.lists(CHECKS, max_size=3))),
            "run": evidence.run.model_copy(
                update={"started": data.draw(st.datetimes(timezones=st.just(evidence.run.started.tzinfo)))}
            ),
        }
    )
    store.write_picture(cell, png)
    store.write_evidence(cell, evidence)

    assert store.read(cell) == evidence


def test_cell_that_was_not_rendered_has_no_evidence(store: Store, cell: Cell) -> None:
    """Nothing there is no error: the cell was not rendered."""
    assert store.read(cell) is None


def test_picture_without_evidence_was_not_made(store: Store, cell: Cell) -> None:
    """A picture whose evidence was never written does not count."""
    write_atomically(store.picture_path(cell), png_of(cell))

    assert store.read(cell) is None


def test_evidence_lies_beside_its_picture(asked: ExpectedInputs, store: Store, cell: Cell) -> None:
    """Picture and evidence lie in the checkpoint's folder, under the prompt's name."""
    keep(asked, store, cell)

    assert sorted(str(path.relative_to(store.folder)) for path in store.folder.rglob("*.*")) == [
        str(Path("step600", "forest.json")),
        str(Path("step600", "forest.png")),
    ]


def test_evidence_is_written_last(
    asked: ExpectedInputs, store: Store, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up after the picture leaves no evidence, so that the cell is rendered again."""
    real = os.fsync
    written: list[int] = []

    def fsync(handle: int) -> None:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(OSError, match="No space left"):
        keep(asked, store, cell)

    assert store.picture_path(cell).read_bytes() == png_of(cell)
    assert store.read(cell) is None
    assert [path.name for path in store.picture_path(cell).parent.iterdir()] == ["forest.png"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A write that fails in between leaves the file that was there, and nothing beside it."""
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    owner: object = os if step == "fsync" else Path
    monkeypatch.setattr(owner, step, fail)

    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")

    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(("refusals", "kept"), [(2, "new"), (99, "old")])
def test_file_that_another_program_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, kept: str
) -> None:
    """A virus scanner that holds a file for a moment is waited for; one that keeps it leaves the old file."""
    path, real, pauses = tmp_path / "forest.json", Path.replace, list[float]()
    path.write_text("old")

    def replace(part: Path, target: Path) -> Path:
        if len(pauses) < refusals:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(target))
        return real(part, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr("plugins.loras.copying.time.sleep", pauses.append)
    with nullcontext() if kept == "new" else pytest.raises(PermissionError):
        write_atomically(path, "new")

    assert kept == path.read_text()
    assert ["forest.json"] == [one.name for one in tmp_path.iterdir()]
    assert 2.0 > sum(pauses)


def test_write_makes_the_folder_and_encodes_text(tmp_path: Path) -> None:
    """A folder that is not there is made; text is UTF-8, bytes are as they are."""
    write_atomically(tmp_path / "a" / "b.txt", "Spyké\n")
    write_atomically(tmp_path / "a" / "c.bin", b"\xff")

    assert (tmp_path / "a" / "b.txt").read_bytes() == b"Spyk\xc3\xa9\n"
    assert (tmp_path / "a" / "c.bin").read_bytes() == b"\xff"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    """What a run leaves can be read by a web server or a colleague."""
    write_atomically(tmp_path / "x", "")

    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"{}", id="nothing-in-it"),
        pytest.param(b"\xff\xfe", id="not-text"),
        pytest.param(b"[" * 100_000, id="endless"),
    ],
)
def test_broken_evidence_is_refused(asked: ExpectedInputs, store: Store, cell: Cell, content: bytes) -> None:
    """Evidence that cannot be read is refused by the name of its file."""
    keep(asked, store, cell)
    store.evidence_path(cell).write_bytes(content)

    with pytest.raises(EvidenceError) as caught:
        store.read(cell)

    assert str(caught.value).startswith(f"{store.evidence_path(cell)} is not readable evidence (")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("format", 2, id="another-format"),
        pytest.param("surprise", 1, id="an-unknown-key"),
        pytest.param("inputs_digest", "short", id="no-digest"),
        pytest.param("picture", None, id="no-picture"),
        pytest.param(
            "server",
            {"url": "http://a:1", "comfyui_version": "1", "device": "cpu", "simulated": 0},
            id="a-number-for-a-boolean",
        ),
        pytest.param("compared", {"baseline_pixels_sha256": "a" * 64, "effect": True}, id="true-for-a-number"),
        pytest.param("compared", {"baseline_pixels_sha256": "a" * 64, "effect": "9"}, id="text-for-a-number"),
        pytest.param("compared", {"baseline_pixels_sha256": "a" * 64, "effect": math.inf}, id="no-number"),
    ],
)
def test_evidence_of_another_kind_is_refused(
    asked: ExpectedInputs, store: Store, cell: Cell, key: str, value: Any
) -> None:
    """Evidence with other keys or values than this suite writes is not believed."""
    keep(asked, store, cell)
    raw = json.loads(store.evidence_path(cell).read_text("utf-8")) | {key: value}
    store.evidence_path(cell).write_text(json.dumps(raw), "utf-8")

    with pytest.raises(EvidenceError, match="is not readable evidence"):
        store.read(cell)


def test_plan_is_known_by_the_first_record_that_can_be_read(asked: ExpectedInputs, store: Store, plan: Plan) -> None:
    """Whose pictures lie in a folder is said by any evidence there; by none where nothing can be read."""
    assert store.plan_name() == ""
    broken, whole = matrix(plan)[:2]
    keep(asked, store, broken)
    store.evidence_path(broken).write_text("{")
    assert store.plan_name() == ""

    keep(asked, store, whole)
    assert store.plan_name() == plan.name


def test_evidence_of_another_cell_is_refused(asked: ExpectedInputs, store: Store, cell: Cell, plan: Plan) -> None:
    """A picture and evidence that were copied from another cell do not stand for this one."""
    other = matrix(plan)[4]
    keep(asked, store, other)
    store.picture_path(cell).parent.mkdir(parents=True)
    store.picture_path(cell).write_bytes(store.picture_path(other).read_bytes())
    store.evidence_path(cell).write_bytes(store.evidence_path(other).read_bytes())

    with pytest.raises(EvidenceError) as caught:
        store.read(cell)

    assert str(caught.value) == f"{store.evidence_path(cell)} is evidence of final x forest, not of step600 x forest"


def test_evidence_of_another_seed_is_refused(asked: ExpectedInputs, store: Store, cell: Cell) -> None:
    """Evidence of the same row under another seed is another cell's."""
    evidence = keep(asked, store, cell)
    record = evidence.cell.model_copy(update={"seed": 7})
    store.write_picture(cell, png_of(cell))
    store.write_evidence(cell, evidence.model_copy(update={"cell": record}))

    with pytest.raises(EvidenceError, match="is evidence of step600 x forest"):
        store.read(cell)


def test_changed_picture_is_refused(asked: ExpectedInputs, store: Store, cell: Cell) -> None:
    """A picture that was painted over is not the one that the evidence is of."""
    keep(asked, store, cell)
    store.picture_path(cell).write_bytes(png_of(cell, salt="painted over"))

    with pytest.raises(EvidenceError) as caught:
        store.read(cell)

    assert str(caught.value) == (
        f"{store.picture_path(cell)} was changed after it was rendered: its digest differs from its evidence's"
    )


def test_missing_picture_is_refused(asked: ExpectedInputs, store: Store, cell: Cell) -> None:
    """Evidence whose picture was deleted is evidence of nothing."""
    keep(asked, store, cell)
    store.picture_path(cell).unlink()

    with pytest.raises(EvidenceError, match=r"forest\.png is gone; only its evidence is left"):
        store.read(cell)


def test_checks_are_sorted_by_outcome(asked: ExpectedInputs, cell: Cell) -> None:
    """Evidence names what failed, and what a person should look at."""
    warning = Check(name="copy", outcome=Outcome.WARNING)
    evidence: Evidence = evidence_for(asked, cell, png_of(cell), checks=(PASSED, warning, BLANK))

    assert (evidence.failures, evidence.warnings) == ((BLANK,), (warning,))


def test_check_replaces_what_it_said_before(asked: ExpectedInputs, cell: Cell) -> None:
    """A check that is made again stands once in the evidence, with its last outcome."""
    evidence = evidence_for(asked, cell, png_of(cell), checks=(BLANK, PASSED))
    again = BLANK.model_copy(update={"outcome": Outcome.PASSED})

    assert evidence.with_check(again).checks == (PASSED, again)
