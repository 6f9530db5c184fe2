"""An option and its value with a space between: `--reports /tmp/kira`. Loaded with pytest itself (`pytest11`).

pytest looks for its root, and there for `conftest.py`, before it knows this suite's options. A folder that follows one
of them it takes for tests to run: where it exists outside of the suite, nothing of the suite would be found.
"""

import os
import shlex
from collections.abc import Generator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from plugins.plan.program import typable

SUITE: Final = Path(__file__).parents[1]
VALUED: Final = frozenset(
    f"--{name}"
    for name in (
        "accept",
        "ballot",
        "cluster",
        "comfyui-dir",
        "comfyui-url",
        "max-minutes",
        "new-plan",
        "observed",
        "plan",
        "reports",
        "selected-step",
    )
)
"""The suite's options that take a value."""
SWITCHES: Final = frozenset({"--demo", "--regenerate", "--rollback"})


def joined(words: Sequence[str]) -> list[str]:
    """Return a command line with `=` between each of the suite's options and the value that follows it."""
    result: list[str] = []
    for word in words:
        if result and result[-1] in VALUED and not word.startswith("-"):
            result[-1] += f"={word}"
        else:
            result.append(word)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, args: list[str], parser: pytest.Parser
) -> Generator[None]:
    """Start again with `=` where the suite would not be found; say where to stand where its options stay unknown."""
    typed = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *early_config.invocation_params.args]
    if any(option in VALUED and _leads_away(value) for option, value in pairwise(typed)):
        os.environ.pop("PYTEST_ADDOPTS", None)  # its words are among these
        raise SystemExit(pytest.main(joined(typed)))
    yield
    _, unknown = parser.parse_known_and_unknown_args(args)
    ours = [word for word in unknown if word.partition("=")[0] in VALUED | SWITCHES]
    if ours and not _is_in_suite(early_config.invocation_params.dir):
        raise pytest.UsageError(
            f"{' '.join(ours)}: the suite's options work in its own folder. First: cd {typable(str(SUITE))}"
        )


def _leads_away(value: str) -> bool:
    """Return whether pytest would look for tests, and its root, outside of the suite."""
    return os.path.exists(value) and not _is_in_suite(Path(value).absolute())  # noqa: PTH110 (any text will do)


def _is_in_suite(path: Path) -> bool:
    """Return whether a path is this suite's folder, or that of another copy, or below it."""
    return any((folder / "plugins" / Path(__file__).name).is_file() for folder in (path, *path.parents))
