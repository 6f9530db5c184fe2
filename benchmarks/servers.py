"""How well 1, 2, 4 and 8 servers share a matrix: at least 95 % of linear at 8.

Run `python -m benchmarks.servers`; it takes about ten minutes. A matrix of 95 cells is generated on stand-ins in
processes of their own, over one ComfyUI folder. One cell is rendered twice to see whether the server gives the same
again, so 96 pictures are shared: 12 for each of 8. Pictures are of 64x64 and take 1 s, so that 8 servers and the suite
find room on two cores. Linear is one server's time, from its first prompt to its last, divided by their number.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.common import Ground, median, parser, stand_ins, write_plan
from benchmarks.posting import Bare
from plugins.plan.reading import read_plan

BOUND: Final = 0.95
COUNTS: Final = (1, 2, 4, 8)


def rendered(folder: Path, count: int, seconds: float) -> tuple[float, float]:
    """Generate on so many servers; gives seconds from the first prompt to the last one's end, and of the process."""
    file = write_plan(folder, checkpoints=18, prompts=5, small=True)
    with stand_ins(read_plan(file), count, seconds_per_image=seconds) as urls:
        spent = Ground(plan_file=file, urls=urls, reports=folder / "reports").pytest("-m", "generate")
        ran = []
        for url in urls:
            bare = Bare(url)
            ran += bare.history()
            bare.close()
    return max(end for *_, end in ran) - min(start for _, _, start, _ in ran), spent.wall


def main() -> int:
    """Print what was measured."""
    options = parser(__doc__, rounds=1)
    options.add_argument("--seconds", type=float, default=1.0, help="a picture (default: 1)")
    given = options.parse_args()
    took: dict[int, list[tuple[float, float]]] = {count: [] for count in COUNTS}
    for _ in range(given.rounds):
        for count in COUNTS:
            with tempfile.TemporaryDirectory() as folder:
                took[count].append(rendered(Path(folder), count, given.seconds))
    alone = statistics.median(one for one, _ in took[1])
    print(f"95 cells and one again, {given.seconds:g} s each; medians of {given.rounds}:")
    for count, found in took.items():
        share = alone / count / statistics.median(one for one, _ in found)
        whole = median([wall for _, wall in found])
        print(
            f"  {count} servers: {median([one for one, _ in found])} s, {share:.1%} of linear; whole process {whole} s"
        )
    return 0 if share >= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
