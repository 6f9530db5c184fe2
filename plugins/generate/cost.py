"""How many pictures a run has, and how long it will take by the servers' pace; shown before the first picture."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

from plugins.evidence.evidence import Evidence
from plugins.plan.cells import Cell
from plugins.plan.messages import counted
from plugins.plan.plan import Plan

_MINUTE: Final = 60


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The number of pictures in a run, and the seconds for one; None if there was no earlier run."""

    cells: int
    reused: int
    seconds: float | None
    servers: int = 1

    @property
    def wanted(self) -> int:
        """How many are to be rendered."""
        return self.cells - self.reused

    def __str__(self) -> str:
        text = f"{counted(self.cells, 'picture')}: {self.reused} reused, {self.wanted} to render"
        if not self.wanted:
            return text
        if self.seconds is None:
            return f"{text}; an estimate follows after the third picture"
        return f"{text}, {_about(self.wanted * self.seconds / self.servers)} by the pace of earlier runs"


def row_by_row(plan: Plan) -> Callable[[Cell | None], tuple[int, int]]:
    """Return a sort key that finishes whole rows first: by seed, then by prompt; no cell comes last."""
    seeds = {seed: number for number, seed in enumerate(plan.sampling.seeds)}
    prompts = {prompt.id: number for number, prompt in enumerate(plan.prompts)}
    return lambda cell: (seeds[cell.seed], prompts[cell.prompt.id]) if cell else (len(seeds), 0)


def pace_of(evidence: Iterable[Evidence], servers: Iterable[str]) -> float | None:
    """Return the median seconds of a picture in earlier runs on these servers; None if there were none."""
    ours = frozenset(servers)
    taken = [(one.run.ended - one.run.started).total_seconds() for one in evidence if one.server.url in ours]
    return median(taken) if taken else None


def _about(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"about {max(seconds, 1):.0f} s"
    return f"about {seconds / _MINUTE:.0f} min" if seconds < _MINUTE * _MINUTE else f"about {seconds / 3600:.1f} h"
