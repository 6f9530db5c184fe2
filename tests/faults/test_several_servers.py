"""The faults of a server before a healthy one beside it: each cell is rendered once, or fails alone in clear words."""

from dataclasses import replace

import pytest

from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from tests.faults.faulty_server import Fault, staged
from tests.faults.server_faults import TABLE
from tests.faults.two_servers import BECOMES, Comes, check

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "comes"), BECOMES.items(), ids=BECOMES)
def test_fault_of_one_of_two_servers(name: str, comes: Comes, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell ends as the fault says it should, once; both queues are empty then, and others' are untouched."""
    row = TABLE[name]
    with staged(
        plan, row.fault(), Fault(), timeout=row.timeout, timing=row.timing, fronted=row.fronted, dialect=row.dialect
    ) as stage:
        check(name, comes, replace(stage, cells=matrix(plan)), monkeypatch)
