"""The page as HTML: what it says, and that nothing it says is markup."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plugins.pictures.check import Check, Difference, Outcome
from plugins.plan.cells import matrix
from plugins.review.page import render_page
from plugins.review.review import Entry, Flag, Review, step_name
from tests.plugins.review.sample import BLANK, COPY, make_review, spyke, training_images

TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Review:
    """Review the Spyke plan with small pictures."""
    folder = tmp_path_factory.mktemp("review")
    return make_review(folder / "reports", side=48, references=training_images(folder / "training", 5, side=48))


@pytest.fixture(scope="module")
def page(review: Review) -> str:
    """Render it once."""
    return render_page(review)


def words(markup: str) -> str:
    """Return a page's text alone."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def data_of(page: str) -> dict[str, Any]:
    """Return what the page's script works with."""
    found = re.search(r'<script type="application/json" id="review-data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_says_what_the_plan_says(page: str) -> None:
    """Prompts with purpose, criteria, expectations, the selection rule and the next command are all there."""
    plan, told = spyke(), words(page)
    for prompt in plan.prompts:
        assert prompt.text in told
        assert prompt.purpose in told
    for text in (
        plan.title,
        *(criterion.text for criterion in plan.criteria),
        *(checkpoint.expect for checkpoint in plan.checkpoints),
        " ".join(plan.selection_rule.split()),
        "pytest -m deploy --selected-step=STEP",
    ):
        assert text in told


def test_knows_every_png_and_its_digests(review: Review, page: str) -> None:
    """Each rendered picture has its digests and a relative link to the full PNG; a missing one has neither."""
    expected = {
        entry.cell.id: (f"pictures/{entry.cell.picture}" if entry.evidence else "", entry.digest, entry.pixels)
        for entry in review.by_id.values()
    }
    cells = data_of(page)["cells"]
    assert isinstance(cells, dict)
    assert expected == {name: (cell["picture"], cell["digest"], cell["pixels"]) for name, cell in cells.items()}
    assert "" in {picture for picture, *_ in expected.values()}


def test_needs_no_other_file_and_no_network(page: str) -> None:
    """A small matrix is whole in itself: previews embedded, no address of any server, no import."""
    assert 17 + 3 == page.count('<img src="data:image/webp;base64,')
    assert [] == re.findall(r'(?:src|href)="(?!data:|pictures/|#)[^"]+"', page)
    assert [] == re.findall(r"@import|url\(|fetch\(|XMLHttpRequest|new WebSocket", page)


def test_eighteen_real_sized_pictures_can_be_mailed(tmp_path: Path) -> None:
    """15 + 3 pictures of 512 px and their references fit in one page of 1.5 MB, results included."""
    review = make_review(tmp_path / "reports", references=training_images(tmp_path / "training", 4))
    assert len(render_page(review).encode()) < 1_450_000


def test_many_rows_are_laid_out_as_they_come_into_view(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the size at which a table takes long to lay out, each row is laid out by itself."""
    monkeypatch.setattr("plugins.review.page.MANY", len(review.by_id))
    assert "content-visibility: auto" not in render_page(review)
    monkeypatch.setattr("plugins.review.page.MANY", len(review.by_id) - 1)
    assert "content-visibility: auto" in render_page(review)


def test_production_is_said_on_top(review: Review, page: str) -> None:
    """What is in production, and since when that is proven, stands above the pictures, where anything is."""
    live = render_page(replace(review, production="step 600, proven 25 Nov 2025"))
    assert "In production now: step 600, proven 25 Nov 2025" in words(live[live.index("<main") : live.index("<table")])
    assert "In production" not in words(page)


def test_simulated_is_said_on_top(review: Review, page: str) -> None:
    """A simulated run is said to be one before anything else; a real one is not."""
    simulated = render_page(make_review(review.reports, side=48, simulated=True))
    assert words(simulated[simulated.index("<main") :]).startswith(
        "SIMULATED. A stand-in drew these pictures. They say"
    )
    references = training_images(review.reports.parent / "drawn", 1, side=48)
    shown = render_page(make_review(review.reports, side=48, simulated=True, references=references))
    assert "SIMULATED. A stand-in drew these pictures, also the training images." in words(shown)
    assert "SIMULATED" not in words(page[page.index("<main") : page.index("<dialog")])


def test_script_gets_the_same_data(review: Review, page: str) -> None:
    """The script's data hold the plan's digest, every cell, and every checkpoint's argument."""
    data = data_of(page)
    assert {"name": review.plan.name, "digest": review.plan.digest} == data["plan"]
    assert set(review.by_id) == set(data["cells"])
    assert ["200", "400", "600", "800", "final"] == [checkpoint["argument"] for checkpoint in data["checkpoints"]]


def test_markup_in_data_cannot_end_the_script(tmp_path: Path) -> None:
    """Text that would close the script's element stays text, and arrives as it was written."""
    evil = "</script><script>alert(1)</script><!-- '&\u2028"
    review = make_review(tmp_path / "reports", side=48)
    plan = review.plan.model_copy(
        update={"criteria": (review.plan.criteria[0].model_copy(update={"text": evil}),), "title": evil}
    )
    page = render_page(Review(plan=plan, reports=review.reports, entries=review.entries, command=evil))
    assert evil == data_of(page)["criteria"][0]["text"]
    assert "<script>alert" not in page


def test_several_seeds_are_rows_of_their_own(tmp_path: Path) -> None:
    """With two seeds each prompt has two rows, and each says its seed."""
    plan = spyke()
    plan = plan.model_copy(update={"sampling": plan.sampling.model_copy(update={"seeds": (7, 2**63)})})
    told = words(render_page(make_review(tmp_path / "reports", side=32, plan=plan, flags=False)))
    assert "A novel pose, not in the training set, seed 7" in told
    assert f"A novel pose, not in the training set, seed {2**63}" in told


def test_plan_without_criteria_or_rule_has_a_page(tmp_path: Path) -> None:
    """Nothing but checkpoints and prompts is enough for a page."""
    plan = spyke().model_copy(update={"criteria": (), "selection_rule": ""})
    assert "Decide" in words(render_page(make_review(tmp_path / "reports", side=32, plan=plan)))


def test_picture_that_cannot_be_read_is_said(review: Review, tmp_path: Path) -> None:
    """A picture that is no picture leaves a place that says so, and the page is there."""
    broken = make_review(tmp_path / "reports", side=48, flags=False)
    (tmp_path / "reports/pictures/step600/novel_pose.png").write_bytes(b"not a PNG")
    page = render_page(broken)
    assert 1 == len(re.findall("cannot be shown here", page))
    assert "cannot be shown here" not in render_page(review)


def test_cell_without_entry_is_not_rendered() -> None:
    """What the plan asks for and nobody gave is shown as missing, not left out."""
    plan = spyke()
    review = Review(plan=plan, reports=Path("nowhere"), entries=())
    assert [cell.id for cell in matrix(plan)] == list(review.by_id)
    assert {"missing": 18} == review.tally


def test_flags_say_the_worst_first(review: Review) -> None:
    """A problem comes before failed checks, and those before warnings; a check that passed is no flag."""
    entry = review.by_id["step600-novel_pose"]
    assert entry.evidence
    evidence = entry.evidence.model_copy(update={"checks": (COPY, *entry.evidence.checks, BLANK)})
    flagged = Entry(cell=entry.cell, evidence=evidence, problem="odd")
    assert (
        Flag("failed", "problem", "odd"),
        Flag("failed", "blank", "nearly one colour; colours: got 1, asked for more than 8"),
        Flag("warning", "training copy", COPY.message),
    ) == flagged.flags
    assert () == entry.flags


def test_difference_is_not_named_twice(review: Review) -> None:
    """A check that is named as what it compares is told in one breath: `size: got 64x64, asked for 512x512`."""
    entry = review.by_id["step600-novel_pose"]
    assert entry.evidence
    differs = Difference(field="size", got="64x64", asked="512x512")
    size = Check(name="size", outcome=Outcome.FAILED, differences=(differs,))
    flagged = replace(entry, evidence=entry.evidence.model_copy(update={"checks": (size,)}))
    assert ["size: got 64x64, asked for 512x512"] == [str(flag) for flag in flagged.flags]


@pytest.mark.parametrize(
    ("rows", "there", "expected"),
    [
        pytest.param(3, 0, [[], [], []], id="none"),
        pytest.param(3, 2, [[0], [1], []], id="fewer-than-rows"),
        pytest.param(3, 23, [[0], [7], [15]], id="spread"),
        pytest.param(1, 23, [[0, 5, 11, 17]], id="one-row"),
    ],
)
def test_references_are_spread(rows: int, there: int, expected: list[list[int]]) -> None:
    """A few training images stand beside each row, taken evenly from all of them."""
    plan = spyke()
    plan = plan.model_copy(update={"prompts": plan.prompts[:rows]})
    review = Review(plan=plan, reports=Path(), entries=(), references=tuple(Path(str(n)) for n in range(there)))
    assert expected == [[int(path.name) for path in paths] for paths in review.shown_references]


def test_columns_have_names_in_words() -> None:
    """A column's name tells its step, and its label where it has one."""
    first, last = spyke().checkpoints[0], spyke().checkpoints[-1]
    assert ["baseline, no LoRA", "step 200", "final, step 920"] == [step_name(c) for c in (None, first, last)]
