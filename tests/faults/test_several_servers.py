"""The faults of a server before a healthy one beside it: each cell is rendered once, or fails alone in clear words."""

from dataclasses import replace

import pytest
from pair import Comes, check, hasten
from stand import Fault, staged
from test_server_faults import TABLE

from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from tests.torn import TORN

pytestmark = TORN

BECOMES = {
    "socket dropped for good": Comes.NOTHING,
    "POST taken, connection reset": Comes.NOTHING,
    "POST taken, answered 200 with a page": Comes.NOTHING,
    "POST answered 502 with a page twice": Comes.NOTHING,
    "POST answered 503 for ever": Comes.REST_ELSEWHERE,
    "POST answered 500 for ever": Comes.BEGUN_FAILS,
    "POST answered 403": Comes.BEGUN_FAILS,
    "POST refused in an odd shape": Comes.TARGET_FAILS,
    "out of memory on one cell": Comes.TARGET_FAILS,
    "error without words": Comes.TARGET_FAILS,
    "worker dead, and accepts": Comes.REST_ELSEWHERE,
    "one cell hangs, others wait behind it": Comes.TARGET_ELSEWHERE,
    "restarted once, queue and history lost": Comes.NOTHING,
    "restarted at one cell each time": Comes.TARGET_FAILS,
    "away between two cells, and back": Comes.NOTHING,
    "away for good": Comes.REST_ELSEWHERE,
    "never answers any more": Comes.REST_ELSEWHERE,
    "picture cut once": Comes.NOTHING,
    "picture cut for ever": Comes.TARGET_ELSEWHERE,
    "picture is a page for ever": Comes.TARGET_FAILS,
    "somebody interrupts ours": Comes.TARGET_FAILS,
}
"""What comes of rows of the table where a healthy server stands beside the faulty one."""


@pytest.mark.parametrize(("name", "comes"), BECOMES.items(), ids=BECOMES)
def test_fault_of_one_of_two_servers(name: str, comes: Comes, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell ends as the fault says it should, once; both queues are empty then, and others' are untouched."""
    row = TABLE[name]
    hasten(monkeypatch, name)
    with staged(plan, row.fault(), Fault(), timeout=row.timeout, fronted=row.fronted, dialect=row.dialect) as stage:
        check(name, comes, replace(stage, cells=matrix(plan)), monkeypatch)
