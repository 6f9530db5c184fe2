"""How pytest was started, as a command to be typed again: `pytest`, `python -m pytest`, `.uv/bin/uv run pytest`."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_SCRIPTS: Final = ("pytest", "py.test")
_PLAIN_ON_WINDOWS: Final = re.compile(r"[\w.:/\\=~+-]*")
"""What neither cmd nor PowerShell gives a meaning to: `&` ends a command there, and brackets are evaluated."""


def typable(*words: str, windows: bool = os.name == "nt") -> str:
    """Return words as typed in a shell, with the quotes that it needs.

    On Windows for cmd and PowerShell alike, which leave no way to quote `%NAME%` for the one and `$name` for the other.
    """
    return " ".join(map(_quoted_on_windows, words)) if windows else shlex.join(words)


def _quoted_on_windows(word: str) -> str:
    quoted = subprocess.list2cmdline([word])
    if quoted != word or _PLAIN_ON_WINDOWS.fullmatch(word):
        return quoted
    last = word[len(word.rstrip("\\")) :]
    return f'"{word}{last}"'  # doubled, else a backslash at the end would make a letter of the quote


def program(argv: Sequence[str], script: str, environment: Mapping[str, str], *, typed_in: Path) -> str:
    """Return what starts pytest as this run was started, seen from the folder that it was typed in.

    `argv` are the words of this process, with the interpreter's own (`sys.orig_argv`); `script` is what that runs
    (`sys.argv[0]`). uv names itself to what it runs by UV in the `environment`.
    """
    uv = environment.get("UV")
    words = [_typed(uv, "uv", environment, typed_in), "run"] if uv else []
    name = os.path.basename(script).lower().removesuffix(".exe")  # noqa: PTH119 (either system's slashes)
    asked = [index for index in range(1, len(argv)) if [*argv[index : index + 2]] == ["-m", "pytest"]]
    if asked:
        words += ["python" if uv else argv[0], *argv[1 : asked[0]], "-m", "pytest"]
    elif name in _SCRIPTS and not uv:
        words.append(_typed(script, name, environment, typed_in))
    else:  # under uv, or in a program of its own
        words.append("pytest")
    return typable(*words)


def _typed(path: str, name: str, environment: Mapping[str, str], typed_in: Path) -> str:
    """Return a program's name where the shell finds it by that, else its path."""
    found = shutil.which(name, path=environment.get("PATH"))
    if found and os.path.realpath(found) == os.path.realpath(path):
        return name
    here = Path(path)
    return str(here.relative_to(typed_in)) if here.is_relative_to(typed_in) else path
