"""Names and commands as Windows takes them, looked at from any system."""

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from plugins.plan.fields import FileName, Name, TrainingFile, portable_name
from plugins.plan.program import typable

PIECES = (
    "a",
    "Z9",
    ".",
    "_",
    "-",
    " ",
    ":",
    "/",
    "\\",
    "*",
    "?",
    '"',
    "<",
    "|",
    "$",
    "é",
    "\u202e",
    "\x07",
    "CON",
    "nul",
    "COM1",
)
NAMES = st.tuples(
    st.sampled_from(("", "a", "CON", "nul", "COM1")),
    st.sampled_from(("", *PIECES)),
    st.sampled_from(("", "a", ".", " ")),
).map("".join)
"""What is in names, and what Windows gives a meaning to."""


def accepted(kind: Any, text: str) -> bool:
    """Say whether a plan may hold the text there."""
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        return False
    return True


def is_plain(name: str) -> bool:
    """Say whether Windows takes a text for the name of one file in the folder that it is put in."""
    path = PureWindowsPath(name)
    stem = name.partition(".")[0].rstrip(" ").upper()
    devices = {"CON", "PRN", "AUX", "NUL"} | {f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"}
    return (
        (name,) == path.parts
        and not path.drive
        and stem not in devices
        and not name.endswith((".", " "))
        and not set(name) & set('<>:"/\\|?*\x07')
    )


@given(NAMES)
def test_accepted_names_are_plain_on_windows(text: str) -> None:
    """A name that becomes part of a file name is no device, drive, stream or folder there."""
    assert is_plain(text) or not accepted(Name, text)


@given(NAMES)
def test_accepted_files_are_plain_on_windows(text: str) -> None:
    """So is the name of a LoRA file."""
    name = f"{text}.safetensors"
    assert is_plain(name) or not accepted(FileName, name)


@given(NAMES)
def test_accepted_training_files_stay_in_their_folder_on_windows(text: str) -> None:
    """A file below the training folder is there on Windows too: each part is plain, and none leads up."""
    name = f"{text}/a.safetensors"
    parts = PurePosixPath(name).parts
    stays = parts == PureWindowsPath(name).parts and all(is_plain(part) for part in parts)
    assert stays or not accepted(TrainingFile, name)


@given(NAMES)
def test_offered_names_are_plain_on_windows(text: str) -> None:
    """What is offered in place of a name that cannot be a file's is one that can."""
    assert is_plain(portable_name(text))


@pytest.mark.parametrize(
    ("words", "posix", "windows"),
    [
        (("--plan=plans/kira.toml",), "--plan=plans/kira.toml", "--plan=plans/kira.toml"),
        ((r"--plan=C:\kira.toml",), r"'--plan=C:\kira.toml'", r"--plan=C:\kira.toml"),
        ((r"--reports=C:\my reports",), r"'--reports=C:\my reports'", r'"--reports=C:\my reports"'),
        ((r"--plan=D:\kira(2)&.toml",), r"'--plan=D:\kira(2)&.toml'", r'"--plan=D:\kira(2)&.toml"'),
        (("--reports=D:\\a,b\\",), "'--reports=D:\\a,b\\'", '"--reports=D:\\a,b\\\\"'),
    ],
)
def test_next_command_is_quoted_as_the_shell_takes_it(words: tuple[str, ...], posix: str, windows: str) -> None:
    """Quotes are double on Windows, where single ones are letters, and stand only where they are needed."""
    assert (posix, windows) == (typable(*words, windows=False), typable(*words, windows=True))
