"""Which stages a command asks for: `-m generate`, `-m "deploy or verify"`, or a path below tests/acceptance."""

import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

GENERATE: Final = "generate"
DEPLOY: Final = "deploy"
VERIFY: Final = "verify"
PUBLISH: Final = "publish"
STAGES: Final = {
    GENERATE: "render every checkpoint, write the report to judge",
    DEPLOY: "put the selected checkpoint into production, and prove it",
    VERIFY: "check that production is still what was selected",
    PUBLISH: "write files for LoRA managers, and a copy to share",
}


def stages_of(mark_expression: str, arguments: Iterable[str], acceptance: Path) -> frozenset[str]:
    """Return the stages that a command line asks for.

    `-m` asks for a stage by its name, unless it stands after `not`. Without `-m`, a file or node below the `acceptance`
    folder asks for its own stage: `pytest tests/acceptance/test_verify.py`.
    """
    named = bool(mark_expression)
    mark_expression = re.sub(r"\bnot\s*\([^()]*\)", "", mark_expression)
    words = re.findall(r"(\bnot\s+)?\b(\w+)\b", mark_expression)
    by_mark = frozenset(word for negated, word in words if word in STAGES and not negated)
    if by_mark or named:
        return by_mark
    stages: set[str] = set()
    for argument in arguments:
        path = Path(argument.split("::")[0]).absolute()
        if path == acceptance:
            stages |= {GENERATE, VERIFY}  # a deployment is never an accident
        elif path.parent == acceptance:
            stages |= {stage for stage in STAGES if path.name == f"test_{stage}.py"}
    return frozenset(stages)


def mistyped(mark_expression: str, *, known: Collection[str]) -> str:
    """Return a mark expression with its misspelled stages corrected; a `known` marker is none.

    Empty where there is none: pytest itself refuses other unknown words, after it has collected everything.
    """
    meant = mark_expression
    for word in re.findall(r"\w+", mark_expression):
        near = get_close_matches(word, STAGES, n=1, cutoff=0.7)
        if near and word not in STAGES and word not in known:
            meant = re.sub(rf"\b{word}\b", near[0], meant)
    return meant if meant != mark_expression else ""
