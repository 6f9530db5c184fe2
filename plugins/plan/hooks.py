"""The hook through which a room changes where a plan is carried out, never what it tests."""

from collections.abc import Mapping
from typing import Any

import pytest

from plugins.plan.plan import Plan


def pytest_acceptance_plan_overrides(config: pytest.Config, plan: Plan) -> Mapping[str, Mapping[str, Any]] | None:
    """Return keys of the plan's tables that this command replaces: `{"comfyui": {"url": "http://..."}}`."""
