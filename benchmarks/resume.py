"""What the suite's own commands cost, in processor time of `pytest --version` in the same run: CI runs this.

Run `python -m benchmarks.resume`; it takes about half a minute. A matrix as large as Spyke's (18 pictures of 512x512,
from LoRAs of 50 MB) is rendered on a stand-in that takes no time to sample. Then, in turn: `pytest --version`, which is
pytest's own start; listing the cells; generating again with nothing to do; and rendering all anew. Printed are seconds
from each command to its end, and of the process's own processor time.

A busy machine makes all of them slower, and the least of each is compared; so the ratios stay where they are, within
a tenth. Exits with 1 where one is above its bound.
"""

import sys
from typing import Final

from benchmarks.common import Spent, ground, median, parser, run, write_plan

BOUNDS: Final = {"--collect-only": 6.6, "-m generate again": 9.8, "--regenerate": 20.0}
"""How many times the processor time of `pytest --version` each command may take.

A fifth above the most that was measured; two fifths for the last, which computes the SHA-256 of all LoRAs: processors
differ in that."""


def main() -> int:
    """Print what was measured."""
    rounds = parser(__doc__).parse_args().rounds
    spent: dict[str, list[Spent]] = {name: [] for name in ("pytest --version", *BOUNDS)}
    with ground(None, write_plan, seconds_per_image=0.0) as place:
        place.pytest("-m", "generate")
        for _ in range(rounds):
            spent["pytest --version"].append(run([sys.executable, "-m", "pytest", "--version"]))
            spent["--collect-only"].append(place.pytest("-m", "generate", "--collect-only", "-q"))
            spent["-m generate again"].append(place.pytest("-m", "generate"))
            spent["--regenerate"].append(place.pytest("-m", "generate", "--regenerate"))
    print(f"18 cells; medians of {rounds}, in turn; processor time is the least:")
    least = {name: min(one.cpu for one in found) for name, found in spent.items()}
    start, good = least["pytest --version"], True
    for name, found in spent.items():
        print(f"  {name:<20}{median([one.wall for one in found])} s, {least[name]:.3f} s of processor time", end="")
        bound = BOUNDS.get(name)
        print(f", x {least[name] / start:.2f}, at most {bound}" if bound else "")
        good = good and (bound is None or least[name] <= bound * start)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
