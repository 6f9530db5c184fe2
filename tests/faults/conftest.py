"""The small plan and its stand-in, for the faults."""

from tests.small_plan import PLAN, Posing, made_plan, plan, plan_file, run_suite, stand_in

__all__ = ["PLAN", "Posing", "made_plan", "plan", "plan_file", "run_suite", "stand_in"]
