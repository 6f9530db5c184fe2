"""How long `pytest -m generate` takes when there is nothing to do: at most 1.5 s for 15 cells.

Run `python -m benchmarks.resume`; it takes about a minute. A matrix of 15 cells and 3 baselines with LoRAs of 50 MB is
rendered once, and then asked for again and again. Printed are seconds from the command to its end, and of the
process's own processor time, beside those of `pytest --version` and of `pytest -m generate --collect-only`. Exits with
1 where the bound is not kept.
"""

import statistics
import sys
from typing import Final

from benchmarks.common import ground, median, parser, run, write_plan

BOUND: Final = 1.5


def main() -> int:
    """Print what was measured."""
    rounds = parser(__doc__).parse_args().rounds
    with ground(None, write_plan, seconds_per_image=0.0) as place:
        place.pytest("-m", "generate")
        version = [run([sys.executable, "-m", "pytest", "--version"]) for _ in range(rounds)]
        collect = [place.pytest("-m", "generate", "--collect-only", "-q") for _ in range(rounds)]
        resume = [place.pytest("-m", "generate") for _ in range(rounds)]
    print(f"18 cells that are rendered already; medians of {rounds}:")
    for name, spent in (("pytest --version", version), ("--collect-only", collect), ("-m generate again", resume)):
        cpu = statistics.median(one.cpu for one in spent)
        print(f"  {name:<20}{median([one.wall for one in spent])} s, {cpu:.3f} s of processor time")
    wall = statistics.median(one.wall for one in resume)
    print(f"ratio to the bound of {BOUND} s: {wall / BOUND:.2f}")
    return 0 if wall <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
