"""The table of hostile inputs: each is refused with words that name thing, place and next step, or does no harm."""

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from plugins.plan.messages import UserError, visible
from tests.faults import hostile_files, hostile_names, hostile_servers
from tests.faults.hostile_case import Ground, Row

ROWS = (*hostile_names.ROWS, *hostile_files.ROWS, *hostile_servers.ROWS)
REFUSED = [pytest.param(row, id=row.name.replace(" ", "-")) for row in ROWS if row.says]
HARMLESS = [pytest.param(row, id=row.name.replace(" ", "-")) for row in ROWS if not row.says]


@pytest.fixture
def ground(made_plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """Return the small plan with its files, to do harm to."""
    folder = tmp_path / "plan"
    shutil.copytree(made_plan, folder)
    with ExitStack() as stack:
        yield Ground(folder, monkeypatch, stack)


@pytest.mark.parametrize("row", REFUSED)
def test_hostile_input_is_refused_in_words(ground: Ground, row: Row) -> None:
    """The refusal is the room's own, is of a bearable length, and holds nothing that a terminal would obey."""
    with pytest.raises(UserError) as caught:
        row.act(ground)

    told = str(caught.value)
    for words in row.says:
        assert words in told
    assert visible(told) == told
    assert len(told) < 5000
    assert re.search(r" 0x[0-9a-f]{6,}", told) is None  # an object's place in memory tells nobody anything


@pytest.mark.parametrize("row", HARMLESS)
def test_hostile_input_does_no_harm(ground: Ground, row: Row) -> None:
    """What comes in is taken for no more than it is."""
    expected, found = row.act(ground)

    assert expected == found


def test_every_row_has_a_name_of_its_own() -> None:
    """No row hides another."""
    names = [row.name for row in ROWS]

    assert sorted(set(names)) == sorted(names)
