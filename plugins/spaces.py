"""An option and its value with a space between: `--reports /tmp/kira`. Loaded with pytest itself (`pytest11`).

pytest looks for its root, and there for `conftest.py`, before it knows this suite's options. A folder that follows one
of them it takes for tests to run: where it exists outside of the suite, nothing of the suite would be found.
"""

import os
import shlex
from collections.abc import Generator, Sequence
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
    """Start again with `=` where the suite was not found; say where to stand where its options stay unknown."""
    if early_config.inipath is None or not _is_suite(early_config.inipath.parent):
        typed = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *early_config.invocation_params.args]
        words = joined(typed)
        if words != typed:
            os.environ.pop("PYTEST_ADDOPTS", None)  # its words are among these
            raise SystemExit(pytest.main(words))
    yield
    _, unknown = parser.parse_known_and_unknown_args(args)
    ours = [word for word in unknown if word.partition("=")[0] in VALUED | SWITCHES]
    here = early_config.invocation_params.dir
    if ours and not any(map(_is_suite, (here, *here.parents))):
        raise pytest.UsageError(
            f"{' '.join(ours)}: the suite's options work in its own folder. First: cd {typable(str(SUITE))}"
        )


def _is_suite(folder: Path) -> bool:
    """Return whether a folder is this suite's, or that of another copy."""
    return (folder / "plugins" / Path(__file__).name).is_file()
