"""A small plan to make mistakes in."""

from pathlib import Path

import pytest

from tests.plugins.plan.plan_draft import Draft


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    """Return a plan that is right as it is."""
    return Draft(tmp_path)
