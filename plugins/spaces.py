"""A command line as people type it: a space for `=`, and slips. Loaded with pytest itself (`pytest11`), ahead of all.

pytest looks for its root, and there for `conftest.py`, before it knows this suite's options. In `--reports /tmp/kira`
it takes a folder that exists for tests to run: outside of the suite, nothing of the suite would be found.
"""

import os
import shlex
import sys
from collections.abc import Generator, Iterator, Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from plugins.plan.program import typable
from plugins.plan.stages import STAGES

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
_ALIKE: Final = 0.75
"""From here on two names are alike, as `difflib` counts it."""
_DASHES: Final = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
"""What text programs make of `--`."""


def joined(words: Sequence[str]) -> list[str]:
    """Return a command line with `=` between each of the suite's options and the value that follows it."""
    result: list[str] = []
    for word in words:
        if result and result[-1] in VALUED and not word.startswith("-"):
            result[-1] += f"={word}"
        else:
            result.append(word)
    return result


def slips(unknown: Sequence[str], places: Sequence[str], here: Path) -> Iterator[str]:
    """Yield what is wrong with options that are `unknown`, and with the `places` to look for tests in, typed `here`."""
    known = sorted(VALUED | SWITCHES)
    if ours := [word for word in unknown if word.partition("=")[0] in known]:
        if away := [place for place in places if _leads_away(place)]:
            yield f"{' '.join(away)}: pytest looks for tests there. Write its option before it: --ballot={away[0]}"
        elif not _is_in_suite(here):
            yield f"{' '.join(ours)}: the suite's options work in its own folder. First: cd {typable(str(SUITE))}"
    for word in [one for one in unknown if one not in ours]:
        name = word.partition("=")[0].lower().replace("_", "-")
        ends = [one for one in known if one.endswith(name.removeprefix("-"))]
        if name.lstrip("-") in STAGES:
            yield f"{word}: did you mean -m {name.lstrip('-')}?"
        elif name.startswith("--") and (near := get_close_matches(name, known, n=1, cutoff=_ALIKE) or ends):
            yield f"{word}: there is no such option. Did you mean {near[0]}?"
    for place in places:
        if place[:1] in _DASHES:
            yield f"{place}: its dash is not the one of the keyboard. Type --{place.lstrip(''.join(_DASHES) + '-')}"
        elif place in STAGES and not Path(place).exists():
            yield f"{place}: did you mean -m {place}?"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, args: list[str], parser: pytest.Parser
) -> Generator[None]:
    """Start again with `=` where the suite would not be found, and name what pytest would not understand."""
    typed = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *early_config.invocation_params.args]
    if any(option in VALUED and _leads_away(value) for option, value in pairwise(typed)):
        os.environ.pop("PYTEST_ADDOPTS", None)  # its words are among these
        for name in [one for one in sys.modules if one.partition(".")[0] == "plugins"]:
            del sys.modules[name]  # of another copy of this suite, where that one's .venv is used
        raise SystemExit(pytest.main(joined(typed)))
    yield
    known, unknown = parser.parse_known_and_unknown_args(args)
    if found := list(slips(unknown, known.file_or_dir, early_config.invocation_params.dir)):
        raise pytest.UsageError("\n".join(found))


def _leads_away(value: str) -> bool:
    """Return whether pytest would look for tests, and its root, outside of the suite."""
    return os.path.exists(value) and not _is_in_suite(Path(value).absolute())  # noqa: PTH110 (any text will do)


def _is_in_suite(path: Path) -> bool:
    """Return whether a path is this suite's folder, or that of another copy, or below it."""
    return any((folder / "plugins" / Path(__file__).name).is_file() for folder in (path, *path.parents))
