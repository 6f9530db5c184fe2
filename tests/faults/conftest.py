"""The small plan and its stand-in, for the tables of faults."""

from tests.small_plan import made_plan, plan, plan_file, run_suite, stand_in

__all__ = ["made_plan", "plan", "plan_file", "run_suite", "stand_in"]
