"""Whatever a server or the network does, cells are finished, or those concerned fail in clear words: a table."""

import pytest

from plugins.plan.plan import Plan
from tests.faults.faulty_server import CELLS, staged
from tests.faults.server_faults import (
    FRAMES,
    HISTORIES,
    OTHERS,
    PICTURES,
    POST,
    SIMILAR,
    SOCKET,
    TABLE,
    WORKER,
    Row,
)

ROWS = [pytest.param(row, id=name, marks=[pytest.mark.slow] * (name in SIMILAR)) for name, row in TABLE.items()]


@pytest.mark.parametrize("row", ROWS)
def test_fault_of_server_or_network(row: Row, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell ends as the fault says it should, once; our queue is empty then, and others' prompts are untouched."""
    fault = row.fault()
    stage = staged(plan, fault, timeout=row.timeout, timing=row.timing, fronted=row.fronted, dialect=row.dialect)
    with stage as ready:
        ended = ready.run(at_once=row.at_once, left=row.left, patch=monkeypatch)
    fine = tuple(cell for cell in CELLS if cell not in row.fails)
    assert (fine, tuple(row.fails)) == (ended.pictures, tuple(ended.failures)), ended.failures
    assert fine == tuple(ended.kept)
    for cell, words in row.fails.items():
        assert [] == [word for word in words if word not in ended.failures[cell]], ended.failures[cell]
    assert dict.fromkeys(fine, 1) == {cell: fault.saved_of[cell] for cell in fine}
    assert max(fault.saved_of.values(), default=0) <= 1
    assert row.theirs >= fault.ends_of_theirs()
    assert [] == fault.elsewhere


def test_table_is_long_enough() -> None:
    """No row is lost by being given another's name."""
    assert sum(map(len, (SOCKET, FRAMES, POST, WORKER, HISTORIES, PICTURES, OTHERS))) == len(TABLE)
    assert set(TABLE) >= SIMILAR
