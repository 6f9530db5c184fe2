"""A disk that is small or full: it is said in time, and nothing that was finished is lost."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.server import Server
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import EvidenceError, Store
from plugins.generate.cell_renderer import CellFailedError
from plugins.generate.comparing import Comparing
from plugins.generate.disk import check_room, unkept_message
from plugins.generate.generation import Generation
from plugins.generate.preparing import prepare
from plugins.loras.staging import preflight
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from stand_in.serving import Serving, serve
from tests.commands.looking import counts, told
from tests.small_plan import Posing, Suite

SMALL = """
def pytest_configure(config):
    from shutil import _ntuple_diskusage
    import plugins.generate.disk as disk
    disk.shutil = type("Small", (), {"disk_usage": lambda _: _ntuple_diskusage(10**9, 10**9, 2_000_000)})
"""
"""A plugin: 2 MB are free where the pictures go."""


class Outcome(NamedTuple):
    """How many cells were rendered and reused, and why others failed."""

    rendered: int
    reused: int
    failed: dict[str, str]


class Usage(NamedTuple):
    """What `shutil.disk_usage` gives, in bytes."""

    total: int
    used: int
    free: int


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store that has no picture yet, in a folder that is not there yet."""
    return Store(tmp_path / "reports")


@pytest.mark.parametrize(
    ("there", "free", "enough"),
    [(0, 10_457_728, True), (0, 10_457_727, False), (5, 10_076_288, True), (6, 0, True)],
    ids=["just-enough", "a-byte-short", "five-are-there", "all-are-there"],
)
def test_room_is_counted_for_what_is_missing(  # noqa: PLR0913, PLR0917
    monkeypatch: pytest.MonkeyPatch,
    plan: Plan,
    store: Store,
    there: int,
    free: int,
    enough: bool,  # noqa: FBT001
) -> None:
    """Room is needed for each missing picture, as large as PNG can be, and for the report; none where all are there."""
    cells = matrix(plan)
    for cell in cells[:there]:
        store.picture_path(cell).parent.mkdir(parents=True, exist_ok=True)
        store.picture_path(cell).touch()
    asked: list[Path] = []

    def disk_usage(place: Path) -> Usage:
        asked.append(place)
        return Usage(10**12, 0, free)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    if enough:
        check_room(store, cells, (plan.sampling.width, plan.sampling.height))
    else:
        with pytest.raises(EvidenceError) as caught:
            check_room(store, cells, (plan.sampling.width, plan.sampling.height))
        assert str(caught.value) == (
            f"{store.folder} has 10 MB free, and 6 pictures of 64x64 may need 10 MB. Nothing was rendered. "
            "Free some room, or name a folder on another disk: --reports=DIR"
        )
    assert all(place.exists() for place in asked)


FULL = """
import errno
from pathlib import Path

def pytest_configure(config):
    real = Path.open

    def full(path, mode="r", *given, **named):
        if "w" in mode and path.name == "report.html":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, mode, *given, **named)

    Path.open = full
"""
"""A plugin: the disk is full when the report is written."""


@pytest.fixture
def serving(plan_file: Path) -> Iterator[Serving]:
    """Run a server on the small plan's folder."""
    with serve(plan_file.parent / "ComfyUI", faults=Posing()) as serving:
        yield serving


@pytest.mark.slow
@pytest.mark.parametrize(
    ("letters", "windows", "words"),
    [
        (261, True, "a path there has 261 letters, too many for Windows while long paths are off"),
        (261, False, "No such file or directory"),
        (80, True, "No such file or directory"),
    ],
)
def test_path_that_is_too_long_for_windows_is_told(letters: int, windows: bool, words: str) -> None:  # noqa: FBT001
    """Windows says that a file was not found where its path is too long; the message says what to do about that."""
    folder = PureWindowsPath("C:/Users/kira/reports/pictures")
    path = str(folder / "step600").ljust(letters, "x")
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", path)
    assert words in unkept_message(folder, error, windows=windows)


def test_small_disk_is_told_before_the_first_picture(plan_file: Path, serving: Serving) -> None:
    """Where the pictures have no room, one message says so, and nothing is sent to the server."""
    folder = plan_file.parent
    (folder / "small_disk.py").write_text(SMALL, encoding="utf-8")
    suite = Suite(plan_file=plan_file, environment={"PYTHONPATH": str(folder)})
    result = suite.run("-p", "small_disk", "-m", "generate", f"--comfyui-url={serving.url}")
    assert 4 == result.returncode
    assert "has 2 MB free, and 6 pictures of 64x64 may need 10 MB. Nothing was rendered." in told(result)
    assert "Free some room, or name a folder on another disk: --reports=DIR" in told(result)
    assert ({}, False) == (serving.server.queue.history(), (folder / "reports/pictures").exists())


@pytest.mark.slow
def test_report_that_cannot_be_written_is_told(plan_file: Path, serving: Serving) -> None:
    """Where the disk is full at the end, pictures and evidence are kept, and one line says what to do."""
    folder = plan_file.parent
    (folder / "full_disk.py").write_text(FULL, encoding="utf-8")
    suite = Suite(plan_file=plan_file, environment={"PYTHONPATH": str(folder)})
    result = suite.run("-p", "full_disk", "-m", "generate", f"--comfyui-url={serving.url}")
    assert (1, {"passed": 6}) == (result.returncode, counts(result)), result
    assert "The report could not be written: [Errno" in told(result)
    assert "What was rendered or deployed is kept. Make the folder writable, or free some room" in told(result)
    assert ("Traceback" in told(result), "Look at" in told(result)) == (False, False)
    assert 6 == len(list((folder / "reports/pictures").rglob("*.json")))


@pytest.fixture
def generate(plan: Plan, serving: Serving, store: Store) -> Callable[[], Outcome]:
    """Render every cell, and give what became of each: its evidence, or why it failed."""

    def run() -> Outcome:
        with ExitStack() as stack:
            client = ComfyUI(serving.url)
            server = Server(client, client.info(), timeout=30.0)
            stack.callback(server.close)
            generation = Generation(
                prepare(plan, (server,), store, headers=preflight(plan)), matrix(plan), regenerate=False
            )
            stack.callback(generation.close)
            failed = {}
            for cell in matrix(plan):
                try:
                    generation.evidence_of(cell, show=lambda _: None)
                except CellFailedError as error:
                    failed[cell.id] = str(error)
            return Outcome(generation.rendered, generation.reused, failed)

    return run


@pytest.mark.parametrize("file", ["forest.png", "forest.json"], ids=["picture", "evidence"])
def test_full_disk_fails_its_cell_alone(
    generate: Callable[[], Outcome], store: Store, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """A disk that is full for one file fails that cell with what to do; others are kept, and no part of a file is."""
    real = Path.replace

    def replace(part: Path, target: Path) -> Path:
        if target == store.folder / "step600" / file:
            raise OSError(errno.ENOSPC, "No space left on device", str(part))
        return real(part, target)

    with monkeypatch.context() as full:
        full.setattr(Path, "replace", replace)
        outcome = generate()
    message = (
        f"It could not be kept in {store.folder}: No space left on device. Make the folder writable, or free some "
        "room, then run this again; what is finished is kept."
    )
    assert {"step600-forest": message} == outcome.failed
    assert [] == list(store.folder.rglob("*.part"))
    assert 5 == len(list(store.folder.rglob("*.json")))
    assert Outcome(1, 5, {}) == generate()


def test_disk_that_fills_up_while_pictures_are_compared_keeps_them(
    generate: Callable[[], Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture whose comparison with a baseline that came later cannot be written is kept, and not rendered again."""
    compare, real = Comparing._with_effect, Store.write_evidence

    def compare_later(self: Comparing, cell: Cell, evidence: Evidence, *place: Any) -> Evidence:
        """Leave what the rendering thread has at hand to the test that asks."""
        return evidence if place[-1] else compare(self, cell, evidence, *place)

    def write_evidence(self: Store, cell: Cell, evidence: Evidence) -> None:
        if cell.id == "step600-forest" and any(check.name == "LoRA effect" for check in evidence.checks):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, cell, evidence)

    with monkeypatch.context() as full:
        full.setattr(Comparing, "_with_effect", compare_later)
        full.setattr(Store, "write_evidence", write_evidence)
        outcome = generate()
    assert ["step600-forest"] == list(outcome.failed)
    assert "No space left on device. Make the folder writable, or free some room" in outcome.failed["step600-forest"]
    assert Outcome(0, 6, {}) == generate()
