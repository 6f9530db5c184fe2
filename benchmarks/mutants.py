"""How many planted faults of what decides the tests find: `python -m benchmarks.mutants`.

A mutant is one module with one change: a comparison turned or moved by one step, a condition that is always or never
true, a number doubled, `and` for `or`, one of several left out. Each module has the few test files that are about it,
so that hundreds can be tried; a run is bounded by a number of mutants a module, a fixed seed, and minutes. Mutants are
written into a copy of the checkout.

    python -m benchmarks.mutants                              8 mutants of each module, at most 30 minutes
    python -m benchmarks.mutants --module plugins/deploy/gate.py --count 0     all of one module
"""

import argparse
import ast
import copy
import difflib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BOUND: Final = 0.95
"""At least this share of the mutants is to be found."""
_COPIED: Final = (
    "plugins",
    "stand_in",
    "tests",
    "plans",
    "benchmarks",
    "docs",
    "conftest.py",
    "pyproject.toml",
    "README.md",
)
TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "plugins/pictures/checks.py": (
        "tests/plugins/pictures/test_pictures_checks.py",
        "tests/verdicts/test_thresholds.py",
    ),
    "plugins/pictures/likeness.py": (
        "tests/plugins/pictures/test_pictures_likeness.py",
        "tests/verdicts/test_thresholds.py",
    ),
    "plugins/pictures/picture.py": ("tests/plugins/pictures",),
    "plugins/evidence/evidence.py": (
        "tests/plugins/evidence",
        "tests/plugins/generate/test_generate_population.py",
        "tests/plugins/generate/test_generate_comparing.py",
    ),
    "plugins/evidence/store.py": ("tests/plugins/evidence",),
    "plugins/generate/comparing.py": ("tests/plugins/generate/test_generate_comparing.py",),
    "plugins/generate/expected.py": (
        "tests/plugins/generate/test_generate_expected.py",
        "tests/plugins/generate/test_generate_population.py",
        "tests/plugins/generate/test_generate_always_on.py",
    ),
    "plugins/generate/model_files.py": (
        "tests/plugins/generate/test_generate_population.py",
        "tests/plugins/deploy/test_deploy_serving.py",
    ),
    "plugins/generate/population.py": (
        "tests/plugins/generate/test_generate_population.py",
        "tests/plugins/deploy/test_deploy_serving.py",
    ),
    "plugins/generate/stability.py": (
        "tests/verdicts/test_thresholds.py",
        "tests/plugins/generate/test_generate_comparing.py",
        "tests/plugins/deploy/test_deploy_proof.py",
    ),
    "plugins/generate/record.py": (
        "tests/plugins/generate/test_generate_record.py",
        "tests/plugins/generate/test_generate_cell.py",
        "tests/plugins/generate/test_generate_generation.py",
    ),
    "plugins/deploy/gate.py": (
        "tests/plugins/deploy/test_deploy_gate.py",
        "tests/plugins/deploy/test_deploy_last_copies.py",
    ),
    "plugins/deploy/claims.py": (
        "tests/plugins/deploy/test_deploy_claims.py",
        "tests/plugins/deploy/test_deploy_standing.py",
    ),
    "plugins/deploy/standing.py": ("tests/plugins/deploy/test_deploy_standing.py",),
    "plugins/deploy/serving.py": ("tests/plugins/deploy/test_deploy_serving.py",),
    "plugins/deploy/proof.py": ("tests/plugins/deploy/test_deploy_proof.py", "tests/verdicts/test_thresholds.py"),
    "plugins/deploy/rollback.py": ("tests/plugins/deploy/test_deploy_rollback.py", "tests/verdicts/test_thresholds.py"),
    "plugins/deploy/selection.py": (
        "tests/plugins/deploy/test_deploy_selection.py",
        "tests/plugins/deploy/test_deploy_strengths.py",
    ),
    "plugins/review/ballot.py": ("tests/plugins/review/test_ballot.py",),
    "plugins/comfyui/filling.py": (
        "tests/plugins/comfyui/test_comfyui_filling.py",
        "tests/plugins/comfyui/test_comfyui_workflow.py",
        "tests/plugins/comfyui/test_comfyui_workflow_cases.py",
        "tests/plugins/comfyui/test_comfyui_workflow_kinds.py",
    ),
}
"""The modules that decide, each with the tests that are about it."""
_TURNED: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A module with one change."""

    module: str
    text: str
    diff: str


def changes(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901 (one kind of change after the other)
    """Yield what may stand in place of a node."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _TURNED:
            turned = copy.deepcopy(node)
            turned.ops = [_TURNED[type(operator)]()]
            yield turned
        case ast.BoolOp(op=operator):
            turned_op = copy.deepcopy(node)
            turned_op.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield turned_op
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value * 2 if value else 1)
        case ast.For(iter=listed):
            first = copy.deepcopy(node)
            first.iter = ast.Subscript(
                value=ast.Call(func=ast.Name("list"), args=[copy.deepcopy(listed)], keywords=[]),
                slice=ast.Slice(upper=ast.Constant(1)),
            )
            yield first
        case ast.If():
            for held in (True, False):
                decided = copy.deepcopy(node)
                decided.test = ast.Constant(held)
                yield decided
        case ast.Tuple(elts=[_, *_]) if len(node.elts) > 1 and all(isinstance(one, ast.Constant) for one in node.elts):
            for left_out in range(len(node.elts)):
                yield ast.Tuple(elts=[one for at, one in enumerate(node.elts) if at != left_out], ctx=node.ctx)


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of its lines."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    before = ast.unparse(tree)
    decorators = [one for node in ast.walk(tree) for one in getattr(node, "decorator_list", ())]
    options = {inner for one in decorators for inner in ast.walk(one)}  # such as frozen=True, which decides nothing
    for parent in ast.walk(tree):
        if parent in options:
            continue
        for name, value in ast.iter_fields(parent):
            for at, node in enumerate(value if isinstance(value, list) else [value]):
                for other in changes(node) if isinstance(node, ast.AST) else ():
                    if isinstance(value, list):
                        value[at] = other
                    else:
                        setattr(parent, name, other)
                    after = ast.unparse(ast.fix_missing_locations(tree))
                    if isinstance(value, list):
                        value[at] = node
                    else:
                        setattr(parent, name, node)
                    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), module, module, "", "", 1, "")
                    yield Mutant(module=module, text=after + "\n", diff="\n".join(lines))


def unchanged(module: str) -> Mutant:
    """Return a module without a change, written as its mutants are: its tests must pass, or they find anything."""
    return Mutant(module=module, text=ast.unparse(ast.parse((ROOT / module).read_text(encoding="utf-8"))), diff="")


def is_found(mutant: Mutant, folder: Path, seconds: float) -> bool:
    """Say whether the module's tests fail, or do not end, with the mutant in its place."""
    file = folder / mutant.module
    compiled = Path(cache_from_source(str(file)))
    former = file.read_text(encoding="utf-8")
    file.write_text(mutant.text, encoding="utf-8")
    compiled.unlink(missing_ok=True)  # a mutant of the same size and second would not be compiled
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS[mutant.module]]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    try:
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return True
    finally:
        file.write_text(former, encoding="utf-8")
        compiled.unlink(missing_ok=True)
    return ended.returncode != 0


def main() -> int:
    """Print each survivor as a diff, and the score by module and over all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--module", action="append", choices=sorted(TESTS), help="this one only; repeat for several")
    parser.add_argument("--count", type=int, default=8, help="mutants of each module; 0 for all")
    parser.add_argument("--seed", type=int, default=17, help="which of them are taken")
    parser.add_argument("--minutes", type=float, default=30.0, help="end after so long, with what was tried")
    parser.add_argument("--seconds", type=float, default=120.0, help="a mutant whose tests take longer is found")
    typed = parser.parse_args()
    ends = time.monotonic() + 60 * typed.minutes
    scores: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top)
        for name in _COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        chosen = {}
        for module in typed.module or TESTS:
            all_of_them = list(mutants(module))
            count = min(typed.count or len(all_of_them), len(all_of_them))
            chosen[module] = random.Random(typed.seed).sample(all_of_them, count)  # noqa: S311 (the same every time)
        rounds = max(map(len, chosen.values()))
        for one in (tried[at] for at in range(rounds) for tried in chosen.values() if at < len(tried)):
            if time.monotonic() > ends:
                break
            if one.module not in scores and is_found(unchanged(one.module), folder, typed.seconds):
                print(f"The tests of {one.module} fail, or do not end, without a mutant.")
                return 1
            killed, tried_of = scores.get(one.module, (0, 0))
            found = is_found(one, folder, typed.seconds)
            scores[one.module] = killed + found, tried_of + 1
            if not found:
                print(f"SURVIVED\n{one.diff}\n", flush=True)
    for module, (killed, tried_of) in scores.items():
        print(f"{killed:4} of {tried_of:4} found  {module}")
    killed, total = (sum(column) for column in zip(*scores.values(), strict=True))
    print(f"{killed} of {total} found: {killed / total:.1%}; at least {BOUND:.0%} is wanted")
    return 0 if killed / total >= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
