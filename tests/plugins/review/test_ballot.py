"""The ballot file: read as it was written, or refused in one clear message."""

import json
import math
import string
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.plan.tested import Rival
from plugins.review.ballot import Ballot, BallotError, Judged, Mark, differences, figures, judge_name
from plugins.review.review import Review
from tests.plugins.review.ballots import read_ballot
from tests.plugins.review.sample import make_review

IDS = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
MARKS = st.fixed_dictionaries({"answer": st.sampled_from(["yes", "no", "unsure"]), "blind": st.booleans()})
BLIND = st.fixed_dictionaries({"order": st.lists(IDS), "revealed": st.booleans()})
PICTURES = st.fixed_dictionaries({"file": DIGESTS, "pixels": st.none() | DIGESTS})
DUELS = st.fixed_dictionaries({"left": IDS, "right": IDS, "won": st.sampled_from(["left", "right", "same"])})
STRENGTHS = st.none() | st.floats(-100, 100)
BALLOTS = st.fixed_dictionaries(
    {
        "format": st.just(2),
        "judge": TEXTS,
        "plan": st.fixed_dictionaries({"name": IDS, "digest": DIGESTS}),
        "simulated": st.booleans(),
        "saved": st.datetimes(timezones=st.just(UTC)).map(lambda time: time.isoformat()),
        "marks": st.dictionaries(
            IDS, st.dictionaries(IDS, st.dictionaries(IDS, MARKS, max_size=2), max_size=2), max_size=2
        ),
        "notes": st.fixed_dictionaries(
            {"checkpoints": st.dictionaries(IDS, TEXTS), "cells": st.dictionaries(IDS, TEXTS)}
        ),
        "choice": st.none() | IDS,
        "strength": STRENGTHS,
        "reason": TEXTS,
        "suggestion": st.fixed_dictionaries({"checkpoint": st.none() | IDS, "strength": STRENGTHS, "reason": TEXTS}),
        "blind": st.none() | BLIND,
        "pictures": st.dictionaries(IDS, PICTURES, min_size=1, max_size=4),
    },
    optional={"starred": st.none() | IDS, "duels": st.lists(DUELS, max_size=3)},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one folder for all files of this module."""
    return tmp_path_factory.mktemp("ballots")


@pytest.fixture(scope="module")
def review(folder: Path) -> Review:
    """Review the Spyke plan, with one picture missing."""
    return make_review(folder / "reports", side=32)


@pytest.fixture
def raw(review: Review) -> dict[str, object]:
    """Return a ballot over all pictures of the review, as the first format says it."""
    return {
        "format": 1,
        "plan": {"name": review.plan.name, "digest": review.plan.digest},
        "simulated": False,
        "saved": "2025-11-22T20:15:00.000Z",
        "marks": {"step600": {"hair": {"answer": "yes", "blind": True}}},
        "notes": {"checkpoints": {"step600": "good"}, "cells": {}},
        "choice": "step600",
        "reason": "",
        "suggestion": {"checkpoint": "step600", "reason": "the earliest"},
        "blind": {"order": ["step600", "step200"], "revealed": True},
        "pictures": {entry.cell.id: entry.digest for entry in review.entries if entry.digest},
    }


def written(folder: Path, content: object) -> Path:
    """Put a ballot file into the folder."""
    path = folder / "ballot.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


@settings(max_examples=50)
@given(raw=BALLOTS)
def test_what_was_written_is_read(folder: Path, raw: dict[str, object]) -> None:
    """Any ballot survives being written and read, and writes the same file again."""
    ballot = read_ballot(written(folder, raw))
    assert ballot == Ballot.model_validate_json(ballot.model_dump_json())
    again = ballot.model_dump(mode="json")
    assert {**raw, "saved": None} == {**{key: again[key] for key in raw}, "saved": None}


def test_ballot_whose_saving_was_cut_short_is_refused(raw: dict[str, object], folder: Path) -> None:
    """Wherever the file ends too early, it is no ballot: never one with fewer marks."""
    path = written(folder, raw)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(BallotError):
            read_ballot(path)


def test_first_format_is_read_as_marks_on_all_pictures(raw: dict[str, object], folder: Path, review: Review) -> None:
    """A ballot that was saved before marks belonged to pictures holds for every picture of its checkpoint."""
    ballot = read_ballot(written(folder, raw))
    mark = {"hair": Mark(answer="yes", blind=True)}
    assert {"step600": {row.id: mark for row in review.rows}} == ballot.marks
    assert "3 of 3: at least 44 %" == str(figures(ballot, review.plan)["step600"]["hair"])
    assert ballot == read_ballot(written(folder, ballot.model_dump(mode="json")))


def test_figures_count_where_a_criterion_is_looked_for(raw: dict[str, object], folder: Path, review: Review) -> None:
    """A criterion counts on its own prompts alone; the worst mark is a checkpoint's answer."""
    marks = {
        "step600": {
            "asymmetric_details": {"right_bracer": {"answer": "yes"}, "hair": {"answer": "yes"}},
            "novel_pose": {"right_bracer": {"answer": "no"}, "hair": {"answer": "unsure"}},
            "trigger_environment": {"hair": {"answer": "yes"}},
        }
    }
    second = read_ballot(written(folder, raw)).model_dump(mode="json") | {"marks": marks}
    ballot = read_ballot(written(folder, second))
    counted = figures(ballot, review.plan)["step600"]
    assert "1 of 1: at least 21 %" == str(counted["right_bracer"])
    assert "2 of 3: 21 to 94 %" == str(counted["hair"])
    assert "unsure" == counted["hair"].answer
    assert "no" == ballot.answers("step600")["right_bracer"]
    assert None is counted["cloak"].answer


def test_answers_are_by_checkpoint(raw: dict[str, object], folder: Path) -> None:
    """What was marked for a checkpoint is asked by its id; nothing is marked for another."""
    ballot = read_ballot(written(folder, raw))
    assert {"hair": "yes"} == ballot.answers("step600")
    assert {} == ballot.answers("step200")
    assert ballot.follows_rule


@pytest.mark.parametrize(
    ("blind", "expected"),
    [([], False), ([True, True], True), ([True, False], False)],
    ids=["nothing-marked", "all-blind", "one-in-the-open"],
)
def test_blind_is_what_every_mark_says(raw: dict[str, object], folder: Path, blind: list[bool], expected: bool) -> None:  # noqa: FBT001
    """A judgement is blind where every mark was given blind, and at least one was given."""
    marks = {f"c{n}": Mark(answer="no", blind=one).model_dump() for n, one in enumerate(blind)}
    assert expected == read_ballot(written(folder, {**raw, "marks": {"step200": marks}})).judged_blind


@pytest.mark.parametrize(
    ("change", "follows"),
    [
        pytest.param({}, True, id="as-suggested"),
        pytest.param({"choice": "step200"}, False, id="another-checkpoint"),
        pytest.param({"strength": 0.8}, False, id="another-strength"),
        pytest.param({"choice": None, "suggestion": {"checkpoint": None, "reason": "none"}}, False, id="no-choice"),
    ],
)
def test_choice_follows_the_rule_where_it_is_what_that_gave(
    raw: dict[str, object], folder: Path, change: dict[str, object], *, follows: bool
) -> None:
    """A choice follows the plan's rule in checkpoint and strength, or does not; no choice follows nothing."""
    assert follows is read_ballot(written(folder, {**raw, **change})).follows_rule


@pytest.mark.parametrize(("typed", "name"), [("Mika", "Mika"), (" ", "judge 2")])
def test_judge_is_called_as_typed_or_by_a_number(raw: dict[str, object], folder: Path, typed: str, name: str) -> None:
    """Who judged is named as typed on the page; who typed nothing has a number."""
    ballot = read_ballot(written(folder, raw)).model_copy(update={"judge": typed})

    assert name == judge_name(ballot, 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"format": 3}, "its format is 3, and this suite reads formats 1 and 2", id="format"),
        pytest.param({"format": 2}, "marks.step600.hair.answer: Input should be", id="marks-of-format-1"),
        pytest.param({"choice": 600}, "choice: Input should be a valid string", id="type"),
        pytest.param({"strength": True}, "strength: Input should be a valid number", id="true-for-a-strength"),
        pytest.param({"strength": "0.8"}, "strength: Input should be a valid number", id="text-for-a-strength"),
        pytest.param({"strength": math.nan}, "strength: Input should be a finite number", id="no-number"),
        pytest.param({"simulated": 0}, "simulated: Input should be a valid boolean", id="number-for-a-boolean"),
        pytest.param({"simulated": "no"}, "simulated: Input should be a valid boolean", id="text-for-a-boolean"),
        pytest.param({"saved": 1}, "saved: Input should be a valid datetime", id="number-for-a-time"),
        pytest.param({"saved": "yesterday"}, "saved: Input should be a valid datetime", id="time"),
        pytest.param({"marks": {"a": {"b": {"answer": "perhaps"}}}}, "marks.a.b.answer: Input should be", id="answer"),
        pytest.param({"pictures": {"a": "12"}}, "pictures.a: String should match", id="digest"),
        pytest.param({"pictures": {}}, "pictures: Dictionary should have at least 1 item", id="no-pictures"),
        pytest.param({"extra": 1}, "extra: Extra inputs are not permitted", id="extra"),
        pytest.param(dict.fromkeys("abcde", 1), "; and 2 more", id="many"),
    ],
)
def test_wrong_ballot_is_refused_with_its_place(
    raw: dict[str, object], folder: Path, change: dict[str, object], told: str
) -> None:
    """A ballot that says something else than it may is refused; the message names file, place and way out."""
    path = written(folder, {**raw, **change})
    with pytest.raises(BallotError) as error:
        read_ballot(path)
    assert told in str(error.value)
    assert "and 0 more" not in str(error.value)
    assert str(error.value).startswith(f"The ballot {path} cannot be used: ")
    assert str(error.value).endswith("Save it again from the report page.")


@pytest.mark.parametrize("content", [b"", b"{", b"\x01\x02", b"[" * 100_000], ids=["empty", "cut", "bytes", "deep"])
def test_broken_file_is_refused(folder: Path, content: bytes) -> None:
    """A file that is not JSON is said to be none."""
    path = folder / "broken.json"
    path.write_bytes(content)
    with pytest.raises(BallotError, match="is not JSON"):
        read_ballot(path)


@pytest.mark.parametrize("content", [None, [], {}, {"plan": {}}, "ballot"])
def test_other_json_is_no_ballot(folder: Path, content: object) -> None:
    """Other JSON is not a ballot, and said so in one line."""
    with pytest.raises(BallotError, match=r"cannot be used: it is not a ballot\. Save"):
        read_ballot(written(folder, content))


def test_missing_file_names_the_way_out(tmp_path: Path) -> None:
    """Where there is no ballot, the message says how to make one."""
    with pytest.raises(BallotError, match=r"No ballot at .*Save one from the report page, or name it with --ballot"):
        read_ballot(tmp_path / "ballot.json")


def test_folder_is_no_ballot(tmp_path: Path) -> None:
    """A folder of that name cannot be read, and is said to be the reason."""
    with pytest.raises(BallotError, match="cannot be read"):
        read_ballot(tmp_path)


def test_same_pictures_have_no_differences(raw: dict[str, object], folder: Path, review: Review) -> None:
    """A ballot over just these pictures, missing ones included, differs in nothing."""
    assert [] == differences(read_ballot(written(folder, raw)), review.entries)


@pytest.mark.parametrize("pixels", ["same", "other", None])
def test_picture_is_judged_again_unless_its_pixels_are_the_same(
    raw: dict[str, object], folder: Path, review: Review, pixels: str | None
) -> None:
    """Another file is the judged picture where it has its pixels, and never where a ballot does not know them."""
    cell = "step600-novel_pose"
    known = {"same": review.by_id[cell].pixels, "other": "1" * 64, None: None}[pixels]
    ballot = read_ballot(written(folder, raw))
    ballot = ballot.model_copy(update={"pictures": {**ballot.pictures, cell: Judged(file="0" * 64, pixels=known)}})

    found = differences(ballot, review.entries)

    assert ([] if pixels == "same" else ["step600 x novel_pose"]) == [one.partition(":")[0] for one in found]


def test_picture_of_a_rival_may_change(raw: dict[str, object], folder: Path, review: Review) -> None:
    """What nobody deploys is no reason against a deployment: a rival's picture that changed, went or came."""
    ballot = read_ballot(written(folder, raw))
    rivals = []
    for label in ("changed", "gone", "new"):
        entry = review.by_id["step600-novel_pose"]
        cell = replace(entry.cell, checkpoint=Rival(file="production", label=label))
        rivals.append(replace(entry, cell=cell, evidence=None if label == "gone" else entry.evidence))
    judged = {rival.cell.id: Judged(file="0" * 64) for rival in rivals[:2]}
    ballot = ballot.model_copy(update={"pictures": {**ballot.pictures, **judged}})

    assert [] == differences(ballot, [*review.entries, *rivals])


def test_other_pictures_are_told_one_by_one(raw: dict[str, object], folder: Path, review: Review) -> None:
    """Each picture that changed, went, came, or belongs elsewhere has a line of its own."""
    pictures = dict(raw["pictures"])  # type: ignore[call-overload]
    changed = review.by_id["step600-novel_pose"].digest
    pictures["step600-novel_pose"] = "0" * 64
    del pictures["final-novel_pose"]
    pictures["step700-novel_pose"] = "1" * 64
    ballot = read_ballot(written(folder, {**raw, "pictures": pictures}))
    entries = [
        replace(entry, evidence=None, problem="disk full") if entry.cell.id == "baseline-novel_pose" else entry
        for entry in review.entries
    ]
    assert [
        "baseline x novel_pose: its picture was judged, and is gone (disk full)",
        f"step600 x novel_pose: picture 00000000 was judged, and now it is {changed[:8]}",
        "final x novel_pose: rendered after the ballot was saved, so nobody judged it",
        "step700-novel_pose: was judged, and is not in this plan",
    ] == differences(ballot, entries)
