"""Which stages a command asks for: `-m generate`, `-m "deploy or verify"`, or a path below tests/acceptance."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

GENERATE: Final = "generate"
DEPLOY: Final = "deploy"
VERIFY: Final = "verify"
STAGES: Final = {
    GENERATE: "stage the checkpoints, render the matrix, write the report",
    DEPLOY: "deploy the selected checkpoint and verify it (needs --selected-step)",
    VERIFY: "is production still what was selected?",
}


def stages_of(mark_expression: str, arguments: Iterable[str], acceptance: Path) -> frozenset[str]:
    """Return the stages that a command line asks for.

    A stage is asked for where `-m` names it (and not after `not`). Without `-m`, a file or node below the
    `acceptance` folder asks for its own stage: `pytest tests/acceptance/test_verify.py`.
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
