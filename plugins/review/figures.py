"""How often a criterion was seen: k of n pictures, and what that proves."""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final, Literal

from plugins.plan.plan import Plan

Answer = Literal["yes", "no", "unsure"]

_Z: Final = 1.959964
"""Of a 95 % interval: the standard normal distribution's 97.5 % quantile."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The marks of one criterion on one checkpoint's pictures, counted."""

    yes: int = 0
    no: int = 0
    unsure: int = 0

    @property
    def looked_at(self) -> int:
        """Pictures that have a mark."""
        return self.yes + self.no + self.unsure

    @property
    def answer(self) -> Answer | None:
        """The worst mark: one "no" is not outvoted. None where nothing is marked."""
        return "no" if self.no else "unsure" if self.unsure else "yes" if self.yes else None

    def __str__(self) -> str:
        """Write `3 of 3: at least 44 %`; empty where nothing is marked."""
        if not self.looked_at:
            return ""
        low, high = (f"{100 * share:.0f}" for share in wilson(self.yes, self.looked_at))
        proves = f"{low} to {high} %"
        if self.yes == self.looked_at:
            proves = f"at least {low} %"
        elif not self.yes:
            proves = f"at most {high} %"
        return f"{self.yes} of {self.looked_at}: {proves}"


def unprovable_rate(plan: Plan) -> tuple[str, ...]:
    """Say which rate the plan asks for and can never see proven, since it makes too few pictures; () where it can."""
    rate, seeds = plan.selection.rate, len(plan.sampling.seeds)
    counts = {one.text: len(plan.looked_for(one)) * seeds for one in plan.criteria if one.required}
    if rate is None or not counts:
        return ()
    text, least = min(counts.items(), key=lambda count: count[1])
    if wilson(least, least)[0] >= rate:
        return ()
    needed = ceil(_Z**2 * rate / (1 - rate))
    proved = f"judged on {least} of a checkpoint's pictures, and a yes on all of them shows at least"
    share = f"{100 * wilson(least, least)[0]:.0f} %"
    return (
        f"[selection] pass = {rate:g} cannot be reached: {text!r} is {proved} {share}. It takes {needed}: add seeds.",
    )


def wilson(yes: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval (Wilson's) of the share that `yes` of `of` pictures estimate, each end from 0 to 1."""
    share = yes / of
    centre = share + _Z**2 / (2 * of)
    spread = _Z * sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    scale = 1 + _Z**2 / of
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
