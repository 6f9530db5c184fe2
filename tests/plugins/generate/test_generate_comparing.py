"""Pictures are held against their baseline and against each other, and what comes out is kept with them."""

import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.comfyui.answers import ServerInfo
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.comparing import Comparing
from plugins.generate.expected import ExpectedInputs
from plugins.generate.stability import STABILITY, StabilityCheck, read_stability, write_stability
from plugins.loras.staging import Staged, preflight, stage
from plugins.pictures.check import Check, Outcome
from plugins.pictures.checks import check_size
from plugins.pictures.picture import read_picture
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.plan.tested import Rival
from tests.plugins.evidence.made_evidence import evidence_for, keep, png_of

MEASURED: Any = {
    "cell": "baseline-forest",
    "server": ServerInfo(url="http://a:1", comfyui_version="0.3.64", device="cpu", simulated=False),
}


@pytest.fixture
def cells(plan: Plan) -> tuple[Cell, ...]:
    """Return the first row: baseline, step600, final."""
    return tuple(cell for cell in matrix(plan) if cell.prompt.id == "forest")


@pytest.fixture
def staged(plan: Plan) -> dict[str, Staged]:
    """Stage the checkpoints, by id."""
    return {one.checkpoint.id: one for one in stage(plan, preflight(plan))}


def put(asked: ExpectedInputs, store: Store, cell: Cell, png: bytes) -> Evidence:
    """Keep these bytes as a cell's picture."""
    evidence = evidence_for(asked, cell, png)
    store.write_picture(cell, png)
    store.write_evidence(cell, evidence)
    return evidence


def check(evidence: Evidence | None, name: str) -> Check:
    """Return one check's outcome."""
    assert evidence is not None
    return next(one for one in evidence.checks if one.name == name)


def test_different_pictures_pass(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """A picture that differs from its baseline and from all others passes, and the effect is kept."""
    baseline, evidence = (keep(asked, store, cell) for cell in cells[:2])
    comparing = Comparing(store)
    comparing.compare(cells[0], baseline, staged=None)

    judged = comparing.compare(cells[1], evidence, staged=staged["step600"])

    assert judged.failures == ()
    assert judged.compared is not None
    assert judged.compared.effect > 1
    assert store.read(cells[1]) == judged


def test_picture_of_the_baseline_is_told(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """A LoRA without effect is told with its file and header, and once only."""
    png = png_of(cells[0])
    baseline, evidence = (put(asked, store, cell, png) for cell in cells[:2])
    comparing = Comparing(store)
    comparing.compare(cells[0], baseline, staged=None)

    judged = comparing.compare(cells[1], evidence, staged=staged["step600"])

    assert [one.name for one in judged.failures] == ["LoRA effect"]
    assert "spyke_plasma_v1_step600.safetensors: module networks.lora" in judged.failures[0].message
    assert store.read(cells[1]) == judged


def test_shared_picture_is_still_compared_with_others(
    asked: ExpectedInputs, store: Store, plan: Plan, staged: dict[str, Staged]
) -> None:
    """That a picture is shared with a checkpoint of the same tensors excuses it from no other twin."""
    by_id = {cell.id: cell for cell in matrix(plan)}
    cell, other = by_id["final-forest"], by_id["step600-novel_pose"]
    png = png_of(other)
    comparing = Comparing(store)
    shared = put(asked, store, cell, png).model_copy(update={"rendered_as": "step600"})
    alone = check(comparing.compare(cell, shared, staged=staged["final"]), "twin")
    comparing.compare(other, put(asked, store, other, png), staged=staged["step600"])

    again = check(comparing.compare(cell, shared, staged=staged["final"]), "twin")

    assert (Outcome.PASSED, True) == (alone.outcome, alone.message.startswith("it is step600's"))
    assert str(other) in again.message


def test_each_twin_is_told_of_the_one_that_comes_last(
    asked: ExpectedInputs, store: Store, plan: Plan, staged: dict[str, Staged]
) -> None:
    """Where a third cell shows a picture that two have, both are told of it."""
    cells = [cell for cell in matrix(plan) if cell.checkpoint][:3]
    png = png_of(cells[0])
    comparing = Comparing(store)
    for cell in cells:
        assert cell.checkpoint
        comparing.compare(cell, put(asked, store, cell, png), staged=staged[cell.checkpoint.id])

    assert [True, True] == [str(cells[2]) in check(store.read(cell), "twin").message for cell in cells[:2]]


def test_verdict_that_stays_is_not_written_again(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """A cell that is judged again as before keeps the file that it has."""
    baseline, evidence = (keep(asked, store, cell) for cell in cells[:2])
    comparing = Comparing(store)
    comparing.compare(cells[0], baseline, staged=None)
    judged = comparing.compare(cells[1], evidence, staged=staged["step600"])
    files = [*store.folder.rglob("*.json")]
    for file in files:
        os.utime(file, (1, 1))

    comparing.compare(cells[1], judged, staged=staged["step600"])

    assert [1.0, 1.0] == [file.stat().st_mtime for file in files]


@pytest.mark.parametrize(
    ("room", "is_held"), [pytest.param(64 * 64, True, id="room"), pytest.param(64 * 64 - 1, False, id="no-room")]
)
def test_baseline_is_decoded_once_where_there_is_room(  # noqa: PLR0913 (one case of two)
    asked: ExpectedInputs,
    store: Store,
    cells: tuple[Cell, ...],
    staged: dict[str, Staged],
    monkeypatch: pytest.MonkeyPatch,
    *,
    room: int,
    is_held: bool,
) -> None:
    """A baseline stays decoded for the columns that follow; without room for its pixels its file is opened again."""
    monkeypatch.setattr("plugins.generate.comparing._BASELINES", room)
    baseline, first, second = (keep(asked, store, cell) for cell in cells[:3])
    comparing = Comparing(store)
    comparing.compare(cells[0], baseline, staged=None)
    assert comparing.compare(cells[1], first, staged=staged["step600"]).compared
    store.picture_path(cells[0]).unlink()

    judged = comparing.compare(cells[2], second, staged=staged["final"])

    assert is_held == (judged.compared is not None)
    assert is_held == (judged.failures == ())


@pytest.mark.parametrize(
    ("side", "failed", "differences"),
    [
        pytest.param(64, "", [], id="as-the-baseline"),
        pytest.param(64, "not checked", [], id="as-the-baseline-and-not-checked-before"),
        pytest.param(32, "", ["size: got 32x32, asked for 64x64, as the baseline has"], id="another"),
        pytest.param(32, "noise", ["size: got 32x32, asked for 64x64, as the baseline has"], id="beside-another"),
        pytest.param(32, "size", ["size: got 32x32, asked for 48x48"], id="not-the-plans-either"),
    ],
)
def test_size_is_the_baselines(  # noqa: PLR0913 (one case of four)
    asked: ExpectedInputs,
    store: Store,
    cells: tuple[Cell, ...],
    staged: dict[str, Staged],
    *,
    side: int,
    failed: str,
    differences: list[str],
) -> None:
    """Where a plan gives no size, a picture of another size than its baseline's fails; once is enough."""
    baseline = keep(asked, store, cells[0])
    png = BytesIO()
    Image.open(BytesIO(png_of(cells[1]))).resize((side, side)).save(png, "PNG")
    evidence = put(asked, store, cells[1], png.getvalue())
    if failed == "not checked":
        evidence = evidence.with_check(Check(name="size", outcome=Outcome.NOT_CHECKED))
    elif failed:
        plans = check_size(read_picture(png.getvalue(), largest=10**6), width=48, height=48)
        evidence = evidence.with_check(plans.model_copy(update={"name": failed}))
    comparing = Comparing(store)
    comparing.compare(cells[0], baseline, staged=None)

    made = check(comparing.compare(cells[1], evidence, staged=staged["step600"]), "size")

    assert differences == [str(one) for one in made.differences]
    assert (Outcome.FAILED if differences else Outcome.PASSED) is made.outcome


def test_without_a_baseline_the_effect_is_not_checked(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """Where the baseline gave no picture, the effect is said not to be checked."""
    evidence = keep(asked, store, cells[1])

    judged = Comparing(store).compare(cells[1], evidence, staged=staged["step600"])

    made = check(judged, "LoRA effect")
    assert (made.outcome, made.message) == (
        Outcome.NOT_CHECKED,
        "there is no picture of the baseline to compare with",
    )


def test_baseline_that_comes_later_is_compared_with(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """Where another server has not rendered the baseline yet, the effect is checked when the cell is judged again."""
    baseline, evidence = (keep(asked, store, cell) for cell in cells[:2])
    comparing = Comparing(store)
    first = comparing.compare(cells[1], evidence, staged=staged["step600"])
    comparing.compare(cells[0], baseline, staged=None)

    judged = comparing.compare(cells[1], first, staged=staged["step600"])

    assert check(first, "LoRA effect").outcome is Outcome.NOT_CHECKED
    assert check(judged, "LoRA effect").outcome is Outcome.PASSED
    assert store.read(cells[1]) == judged == comparing.known[cells[1]]


def test_what_is_known_lies_on_the_disk(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """A cell that is judged again from what was said of it before its twin came is still told to have one."""
    png = png_of(cells[1])
    first, second = (put(asked, store, cell, png) for cell in cells[1:])
    comparing = Comparing(store)
    before = comparing.compare(cells[1], first, staged=staged["step600"])
    comparing.compare(cells[2], second, staged=staged["final"])

    again = comparing.compare(cells[1], before, staged=staged["step600"])

    assert (check(before, "twin").outcome, check(again, "twin").outcome) == (Outcome.PASSED, Outcome.FAILED)
    assert store.read(cells[1]) == again == comparing.known[cells[1]]


@pytest.mark.parametrize("content", [None, b"", b"no picture"], ids=["gone", "empty", "damaged"])
def test_picture_is_kept_where_its_baseline_is_gone(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged], content: bytes | None
) -> None:
    """A picture that was rendered is not lost with the one that it should be compared with; that is told."""
    baseline, evidence = (keep(asked, store, cell) for cell in cells[:2])
    comparing = Comparing(store)
    comparing.know(cells[0], baseline)
    store.picture_path(cells[0]).unlink()
    if content is not None:
        store.picture_path(cells[0]).write_bytes(content)

    judged = comparing.compare(cells[1], evidence, staged=staged["step600"])

    assert store.read(cells[1]) == judged
    assert [one.name for one in judged.failures] == ["LoRA effect"]
    assert "could not be compared with the baseline: " in judged.failures[0].message
    assert "Run this again, which renders it anew" in judged.failures[0].message


def test_twins_that_come_at_the_same_moment_are_told(
    asked: ExpectedInputs,
    store: Store,
    cells: tuple[Cell, ...],
    staged: dict[str, Staged],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two servers' pictures that are kept at once are compared with each other before either is asked for."""
    comparing, png = Comparing(store), png_of(cells[1])
    comparing.know(cells[0], keep(asked, store, cells[0]))
    given = {cell: put(asked, store, cell, png) for cell in cells[1:]}
    both = threading.Barrier(2)
    real = Comparing._with_effect

    def meet(self: Comparing, *place: Any) -> Evidence:
        both.wait(30)
        return real(self, *place)

    monkeypatch.setattr(Comparing, "_with_effect", meet)

    def judge(cell: Cell) -> None:
        comparing.compare(cell, given[cell], staged=staged["step600" if cell == cells[1] else "final"])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(judge, cells[1:]))

    assert [Outcome.FAILED] * 2 == [check(store.read(cell), "twin").outcome for cell in cells[1:]]


def test_twins_are_told_in_the_evidence_of_both(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """Two checkpoints with the same picture are both told, whichever was seen first."""
    baseline = keep(asked, store, cells[0])
    png = png_of(cells[1])
    first, second = (put(asked, store, cell, png) for cell in cells[1:])
    comparing = Comparing(store)
    comparing.know(cells[0], baseline)
    comparing.compare(cells[1], first, staged=staged["step600"])
    comparing.compare(cells[2], second, staged=staged["final"])

    assert "it is final x forest's, pixel for pixel" in check(store.read(cells[1]), "twin").message
    assert "it is step600 x forest's, pixel for pixel" in check(store.read(cells[2]), "twin").message


def test_twins_of_the_same_lora_are_told_as_such(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """One training file under two names gives one picture, and that is what is said."""
    same = dataclasses.replace(asked, loras=dict.fromkeys(asked.loras, "a" * 64))
    baseline, png = keep(same, store, cells[0]), png_of(cells[1])
    first, second = (put(same, store, cell, png) for cell in cells[1:])
    comparing = Comparing(store)
    comparing.know(cells[0], baseline)
    comparing.compare(cells[1], first, staged=staged["step600"])

    judged = comparing.compare(cells[2], second, staged=staged["final"])

    assert f"both LoRAs are the same file (SHA-256 {'a' * 12})" in check(judged, "twin").message


@pytest.mark.parametrize("sha256", ["", "f" * 64], ids=["the-same-bytes", "other-bytes"])
def test_rival_may_have_the_picture_of_its_own_bytes_alone(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged], sha256: str
) -> None:
    """Production is a rival that a checkpoint equals once that is deployed; the picture of other bytes is a twin's."""
    rival = dataclasses.replace(cells[1], checkpoint=Rival(file="production", label="now"))
    known = dataclasses.replace(asked, loras={**asked.loras, "now": sha256 or asked.loras["step600"]})
    png = png_of(cells[1])
    ours, theirs = put(known, store, cells[1], png), put(known, store, rival, png)
    comparing = Comparing(store)
    comparing.know(rival, theirs)

    judged = comparing.compare(cells[1], ours, staged=staged["step600"])

    assert check(judged, "twin").outcome is (Outcome.FAILED if sha256 else Outcome.PASSED)


@pytest.mark.parametrize(
    ("stable", "told"),
    [
        pytest.param(
            True,
            "http://a:1 is bit-stable: baseline-forest, rendered twice, gave the same pixels",
            id="stable",
        ),
        pytest.param(
            False,
            "http://a:1 is not bit-stable: baseline-forest, rendered twice, differs by 0.50 of 255. "
            "Production will be compared by nearness instead of pixel for pixel.",
            id="not-stable",
        ),
    ],
)
def test_stability_is_kept_and_told(tmp_path: Path, *, stable: bool, told: str) -> None:
    """Whether a server gives the same picture again is kept for the proof, and said in words."""
    found = StabilityCheck(**MEASURED, stable=stable, difference=0.0 if stable else 0.5)
    write_stability((found,), tmp_path)

    assert read_stability(tmp_path) == (found,)
    assert str(found) == told


def test_stability_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    """A record of one check, as it was written once, is read as that."""
    found = StabilityCheck(**MEASURED, stable=True, difference=0.0)
    (tmp_path / STABILITY).write_text(found.model_dump_json(exclude={"server": {"torch", "flags"}}))

    assert read_stability(tmp_path) == (found,)


@pytest.mark.parametrize("content", [pytest.param(None, id="missing"), pytest.param("{", id="broken")])
def test_stability_that_cannot_be_read_is_none(tmp_path: Path, content: str | None) -> None:
    """What cannot be read says nothing about the server."""
    if content:
        (tmp_path / STABILITY).write_text(content)

    assert read_stability(tmp_path) == ()


@pytest.mark.parametrize("difference", ["Infinity", "NaN", "true", '"0.5"'])
def test_stability_that_is_no_number_is_none(tmp_path: Path, difference: str) -> None:
    """No effect is more than an infinite noise, and none is less than NaN: such a record says nothing."""
    write_stability((StabilityCheck(**MEASURED, stable=False, difference=0.5),), tmp_path)
    content = (tmp_path / STABILITY).read_text()
    (tmp_path / STABILITY).write_text(content.replace("0.5\n", f"{difference}\n"))

    assert difference in (tmp_path / STABILITY).read_text()
    assert read_stability(tmp_path) == ()


def test_same_picture_at_two_strengths_is_told(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """A server that ignores the strength is found out: one LoRA gave the same pixels at two strengths."""
    weak, strong = (dataclasses.replace(cells[1], strength=strength) for strength in (0.8, 1.0))
    comparing, png = Comparing(store), png_of(cells[1])
    comparing.compare(weak, put(asked, store, weak, png), staged=staged["step600"])

    judged = comparing.compare(strong, put(asked, store, strong, png), staged=staged["step600"])

    assert check(judged, "twin").message == (
        "it is step600 x forest-strength0.8's, pixel for pixel, although their inputs differ "
        "(another prompt, seed or strength)"
    )


@pytest.mark.parametrize(
    "measured",
    [(None, "warning"), (0.0, "warning"), (0.24, "warning"), (0.26, "failed")],
    ids=["not-measured", "bit-stable", "half-of-the-effect", "more-than-half-of-the-effect"],
)
def test_effect_is_held_against_the_servers_noise(
    asked: ExpectedInputs,
    store: Store,
    cells: tuple[Cell, ...],
    staged: dict[str, Staged],
    measured: tuple[float | None, str],
) -> None:
    """An effect that is less than twice what the server's pictures differ by themselves fails, with both numbers."""
    noise, outcome = measured
    baseline = keep(asked, store, cells[0])
    evidence = put(asked, store, cells[1], _moved(png_of(cells[0])))
    comparing = Comparing(store, noise_of=lambda _: noise)
    comparing.compare(cells[0], baseline, staged=None)

    judged = comparing.compare(cells[1], evidence, staged=staged["step600"])

    assert judged.compared
    assert (0.5, noise) == (judged.compared.effect, judged.compared.noise)
    assert outcome == check(judged, "LoRA effect").outcome
    told = "differs from the baseline by 0.50 of 255, and this server's two renderings of one picture by 0.26"
    assert (outcome == "failed") == (told in check(judged, "LoRA effect").message)


def test_noise_is_kept_for_later_runs(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """A run that measured nothing goes by the noise that was measured when the picture was made."""
    baseline = keep(asked, store, cells[0])
    evidence = put(asked, store, cells[1], _moved(png_of(cells[0])))
    first, later = Comparing(store, noise_of=lambda _: 0.4), Comparing(store)
    for comparing in (first, later):
        comparing.compare(cells[0], baseline, staged=None)

    judged = later.compare(
        cells[1], first.compare(cells[1], evidence, staged=staged["step600"]), staged=staged["step600"]
    )

    assert Outcome.FAILED is check(judged, "LoRA effect").outcome


def test_baseline_of_another_version_is_not_compared_with(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """A difference between two versions of ComfyUI is not taken for the LoRA's effect."""
    baseline, evidence = (keep(asked, store, cell) for cell in cells[:2])
    comparing = Comparing(store)
    comparing.compare(cells[0], baseline, staged=None)
    newer = evidence.model_copy(update={"server": evidence.server.model_copy(update={"comfyui_version": "0.33.0"})})

    judged = check(comparing.compare(cells[1], newer, staged=staged["step600"]), "LoRA effect")

    assert Outcome.NOT_CHECKED is judged.outcome
    assert (
        "not comparable: the baseline was rendered under other conditions (ComfyUI 0.33.0 instead of 0.3.64)"
        == judged.message
    )


def test_new_baseline_changes_the_effect(
    asked: ExpectedInputs, store: Store, cells: tuple[Cell, ...], staged: dict[str, Staged]
) -> None:
    """A picture that is reused is compared anew where its baseline is another picture now."""
    baseline, evidence = (keep(asked, store, cell) for cell in cells[:2])
    comparing = Comparing(store)
    comparing.compare(cells[0], baseline, staged=None)
    before = comparing.compare(cells[1], evidence, staged=staged["step600"])
    now = put(asked, store, cells[0], _moved(png_of(cells[1])))
    again = Comparing(store)
    again.compare(cells[0], now, staged=None)

    after = again.compare(cells[1], before, staged=staged["step600"])

    assert after.compared
    assert (0.5, now.picture.pixels_sha256) == (after.compared.effect, after.compared.baseline_pixels_sha256)


def _moved(png: bytes) -> bytes:
    """Return a picture of which every second value is another by one."""
    values = np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(np.int16)
    values[::2] += np.where(values[::2] > 127, -1, 1)
    buffer = BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_little_effect_without_the_trigger_is_as_it_should_be(
    asked: ExpectedInputs,
    store: Store,
    cells: tuple[Cell, ...],
    staged: dict[str, Staged],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the trigger word is left out, next to no effect is no warning; with it, it is one."""
    monkeypatch.setattr("plugins.generate.comparing.effect_of", lambda *_: 0.01)
    quiet = dataclasses.replace(cells[1], prompt=cells[1].prompt.model_copy(update={"bleed": True}))
    baseline, evidence = (keep(asked, store, cell) for cell in cells[:2])
    comparing = Comparing(store)
    for cell in (cells[0], quiet.baseline):
        comparing.compare(cell, baseline, staged=None)

    with_trigger = check(comparing.compare(cells[1], evidence, staged=staged["step600"]), "LoRA effect")
    without = check(comparing.compare(quiet, evidence, staged=staged["step600"]), "LoRA effect")

    assert (with_trigger.outcome, without.outcome) == (Outcome.WARNING, Outcome.PASSED)
    assert without.message == "next to none without the trigger word, as it should be (0.01 of 255)"
