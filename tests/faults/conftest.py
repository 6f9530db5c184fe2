"""The small plan, for faults of every kind."""

from tests.small_plan import made_plan, plan, plan_file

__all__ = ["made_plan", "plan", "plan_file"]
