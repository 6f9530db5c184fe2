"""Which servers may render the cells of one row, so that only pictures of one population are compared."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from plugins.evidence.evidence import Evidence, Population, population_of
from plugins.generate.model_files import Files
from plugins.plan.cells import Cell
from plugins.render.render_server import RenderServer


class RowPopulations:
    """Keeps each row to one population: only pictures rendered under the same conditions are compared.

    A row is a baseline and all cells that are compared with it. `reusable` are the pictures of earlier runs with the
    right inputs; those that may stay are `kept`. Safe to use from several threads.
    """

    def __init__(
        self, cells: Iterable[Cell], reusable: Mapping[Cell, Evidence], servers: Mapping[RenderServer, Files]
    ) -> None:
        self._populations = {server: population_of(server.info, files) for server, files in servers.items()}
        self._lock = threading.Lock()
        self._bound: dict[Cell, Population] = {}
        """The population of each row, by its baseline."""
        self._made: set[Cell] = set()
        """The baselines of the rows that have a picture."""
        self.kept: dict[Cell, Evidence] = {}
        rows: dict[Cell, list[Cell]] = {}
        for cell in cells:
            rows.setdefault(cell.baseline, []).append(cell)
        for baseline, row in rows.items():
            self.kept |= self._kept(baseline, row, {cell: reusable[cell] for cell in row if cell in reusable})

    def take(self, cell: Cell, server: RenderServer) -> bool:
        """Return whether a server may render a cell; the first one to do so decides on its row's population."""
        with self._lock:
            mine = self._populations[server]
            return self._bound.setdefault(cell.baseline, mine) == mine

    def may(self, cell: Cell, server: RenderServer) -> bool:
        """Return whether a server might render a cell."""
        with self._lock:
            mine = self._populations[server]
            return self._bound.get(cell.baseline, mine) == mine

    def made(self, cell: Cell) -> None:
        """Note that a cell has its picture, which fixes the population of its row."""
        with self._lock:
            self._made.add(cell.baseline)

    def give_back(self, cell: Cell) -> None:
        """Let other servers take a cell's row, if it has no picture yet."""
        with self._lock:
            if cell.baseline not in self._made:
                self._bound.pop(cell.baseline, None)

    def _kept(self, baseline: Cell, row: Sequence[Cell], reusable: dict[Cell, Evidence]) -> dict[Cell, Evidence]:
        """Return the pictures of a row that may stay: all, or those of the population of this run's servers."""
        found = [one.population for one in reusable.values()]
        if len(reusable) == len(row) and len(set(found)) <= 1:
            return reusable
        there = [one for one in found if one in self._populations.values()]
        if not there:
            return {}
        self._bound[baseline] = most = max(there, key=there.count)
        self._made.add(baseline)
        return {cell: one for cell, one in reusable.items() if one.population == most}


def made_on(evidence: Iterable[Evidence]) -> dict[str, int]:
    """Count pictures by the ComfyUI version and machine that they were made on, the most frequent first."""
    return dict(Counter(one.server.version_and_machine for one in evidence).most_common())


def several_populations(evidence: Iterable[Evidence]) -> Iterator[str]:
    """Yield a warning where pictures were made on several versions or machines."""
    found = made_on(evidence)
    if len(found) > 1:
        counts = ", ".join(f"{count} on {name}" for name, count in found.items())
        yield (
            f"warning: the pictures were made on different servers: {counts}. Each row was made on one; to have "
            "them all from one, render them again there: pytest -m generate --regenerate"
        )
