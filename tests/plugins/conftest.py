"""The small plan and its stand-in, for the tests of every room. No example of Hypothesis needs a quick machine."""

from hypothesis import HealthCheck, settings

from tests.small_plan import PLAN, Posing, made_plan, plan, plan_file, run_suite, stand_in

__all__ = ["PLAN", "Posing", "made_plan", "plan", "plan_file", "run_suite", "stand_in"]

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
