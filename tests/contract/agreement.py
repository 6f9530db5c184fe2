"""The table of agreement: what each scenario said on each server."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

WORDS: Final = {"passed": "agrees", "failed": "DIFFERS", "skipped": "left out"}


def scenario_of(module: str, name: str, server: str) -> str:
    """Name a scenario as a person reads it: `runs: success`, `refusals: wrong inputs [seed]`."""
    place, test = module.removeprefix("test_contract_"), name.removeprefix("test_")
    stem, _, parameters = test.partition("[")
    rest = "-".join(part for part in parameters.removesuffix("]").split(f"{server}", 1)).strip("-")
    return f"{place}: {stem.replace('_', ' ')}" + (f" [{rest}]" if rest else "")


@dataclass
class Agreement:
    """Scenarios in the order in which they were played, and how each ended on each server."""

    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)

    def note(self, scenario: str, server: str, outcome: str) -> None:
        """Note how a scenario ended; a failure stays one, whatever its clean-up says."""
        told = self.outcomes.setdefault(scenario, {})
        if told.get(server) != "failed":
            told[server] = outcome

    def lines(self, servers: Iterable[str]) -> Iterator[str]:
        """Write the table, and what it comes to."""
        servers = list(servers)
        width = max(map(len, ("scenario", *self.outcomes)))
        yield f"{'scenario':<{width}}  " + "  ".join(f"{server:<8}" for server in servers)
        for scenario, told in self.outcomes.items():
            words = (WORDS.get(told.get(server, ""), "-") for server in servers)
            yield f"{scenario:<{width}}  " + "  ".join(f"{word:<8}" for word in words).rstrip()
        agreed = sum(all(told.get(server) == "passed" for server in servers) for told in self.outcomes.values())
        yield f"{agreed} of {len(self.outcomes)} scenarios agree on {' and '.join(servers)}"
