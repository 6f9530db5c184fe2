"""The types of a plan's values: names, files, paths, addresses, texts, sizes; each error says what would be right."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from plugins.plan.messages import Address
from plugins.plan.training.names import ENDINGS

_SIZES: Final = TypeAdapter(ByteSize)
_RESERVED_ON_WINDOWS: Final = re.compile(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³]) *(\.|$)")
_UNUSABLE: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]')
"""Not allowed in a file name: what separates folders, drives or streams on some system, and invisible characters."""
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ANY_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Not allowed in a path: tabs and line breaks, too. TOML reads them from a Windows path in double quotes."""
_LONGEST_NAME: Final = 80
"""Letters. Two names, a step and the suffix of an unfinished copy make one file name of at most 255."""
_LONGEST_FILE: Final = 200
"""Bytes, so that a backup's name still fits into 255."""
_LONGEST_PART: Final = 255
_LONGEST_PATH: Final = 4000
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_DRAWN: Final = 32
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def _portable(name: str) -> str:
    """Accept a name that is one plain path part on macOS, Windows and Linux alike."""
    if not _SAFE.fullmatch(name) or name.endswith(".") or _RESERVED_ON_WINDOWS.match(name):
        raise ValueError(
            f"{name!r} cannot be part of a file name everywhere; "
            "use letters, digits, '_', '-' and '.', starting with a letter or digit, and no folder"
        )
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"'{name[:20]}...' has {len(name)} letters; a name that becomes a file's has {_LONGEST_NAME}")
    return name


def portable_name(text: str) -> str:
    """Turn a text into a name that can be part of a file name on every system."""
    name = _UNSAFE.sub("_", text)[:_LONGEST_NAME].strip("._-") or "lora"
    return f"lora_{name}"[:_LONGEST_NAME] if _RESERVED_ON_WINDOWS.match(name) else name


def _plan_name(name: str) -> str:
    """Accept what can be part of a file name on every system, else suggest such a name, as for a trigger word."""
    try:
        return _portable(name)
    except ValueError as error:
        raise ValueError(
            f"{error}. Try name = {portable_name(name)!r}: the evaluation copies are named after it. The trigger word "
            "goes into the prompts, spelled as it was trained"
        ) from None


def _portable_file(name: str) -> str:
    """Accept the name of a safetensors file; spaces and any letters are fine, folders are not."""
    if not name.lower().endswith(ENDINGS):
        raise ValueError(f"{name!r} does not end in .safetensors, the format that this suite can check")
    if _UNUSABLE.search(name) or name.startswith((".", "-", " ")) or _RESERVED_ON_WINDOWS.match(name):
        raise ValueError(f"{name!r} must be a plain file name everywhere, without a folder")
    if len(name.encode()) > _LONGEST_FILE:
        raise ValueError(f"'{name[:20]}...' is too long for a file name; use at most {_LONGEST_FILE} letters")
    return name


def _training_file(name: str) -> str:
    """Accept a safetensors file in the training folder or in folders below it, with `/` between them."""
    return _file_below(
        "`checkpoints`", name, refused=lambda one: one.endswith((".", " ")) or bool(_RESERVED_ON_WINDOWS.match(one))
    )


def _lora_file(name: str) -> str:
    """Accept a safetensors file in the loras folder or in folders below it, with `/` between them."""
    return _file_below("the loras folder", name, refused=lambda one: one.startswith("."))


def _file_below(start: str, name: str, *, refused: Callable[[str], bool]) -> str:
    """Accept a safetensors file seen from a folder; `refused` says which names of folders are not accepted."""
    *folders, file = name.split("/")
    if any(not one or refused(one) for one in folders) or any(map(_UNUSABLE.search, (*folders, file))):
        raise ValueError(f"{name!r} must be a file below {start}, with '/' between folders, and no '..'")
    _portable_file(file)
    return name


def _server_url(url: str) -> Address:
    """Accept the address of a server, without the trailing slash."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise ValueError(f"{shown_address(url)!r} is not the address of a server; write it like http://127.0.0.1:8188")
    return Address(url.rstrip("/"))


def shown_address(url: str) -> str:
    """Return an address that a person typed, without what may be secret in it, even if it is no valid address."""
    url = re.sub(r"(?s)^(.*?//)?.*@", r"\1***@", url)
    return re.sub(r"(?s)([?#]).+", r"\1***", url)


def expanded(value: object) -> Path | None:
    """Return a path with `~` expanded; None for what cannot be one on this machine."""
    if not isinstance(value, str | Path) or "\0" in str(value) or misplaced(str(value)):
        return None
    path = Path(value).expanduser()
    too_long = len(str(path)) > _LONGEST_PATH or any(len(part) > _LONGEST_PART for part in path.parts)
    return None if too_long or _ANY_CONTROLS.search(str(path)) else path


def unreadable(path: str | Path) -> bool:
    """Return whether a path has bytes that are no text in this system's encoding; Python keeps them as surrogates."""
    return any("\ud800" <= letter <= "\udfff" for letter in str(path))


def misplaced(value: str, *, windows: bool = os.name == "nt") -> str:
    """Return why a path that a person wrote cannot be one on this machine; empty where it may be one."""
    if why := _of_another_system(value, windows=windows):
        return why
    if unreadable(value):
        return (
            "has letters that are not UTF-8, and the records of a run are. Rename the folder, or, where the language "
            "is set to one without these letters (LC_ALL=C), set PYTHONUTF8=1"
        )
    if not value.strip():
        return "names nothing"
    try:
        Path(value).expanduser()
    except RuntimeError:
        return f"names no place: there is no user {Path(value).parts[0][1:]!r} on this machine"
    return ""


def _of_another_system(value: str, *, windows: bool) -> str:
    drive, mounted = re.match(r"([A-Za-z]):[\\/]+(.*)", value), re.match(r"/mnt/([a-z])/(.*)", value)
    if drive and not windows:
        there = "/".join(["/mnt", drive[1].lower(), *re.split(r"[\\/]+", drive[2])])
        return f"is a path of Windows; under WSL that is {there}"
    if mounted and windows:
        return f"is a path of WSL; Windows calls that {mounted[1].upper()}:/{mounted[2]}"
    if '"' in value and windows:
        return "holds a quotation mark: a \\ before the last quote made it a part of the path. Leave that \\ out"
    return ""


def _plan_path(value: object) -> object:
    if isinstance(value, str):
        path = expanded(value)
        if path is None and (why := misplaced(value)).startswith("is a path"):
            raise ValueError(f"{value!r} {why}")
        if path is None:
            if re.search(r"[\b\t\n\f\r]", value):
                raise ValueError(
                    f"{value!r} holds a control character, since '\\' has a meaning in double quotes. "
                    "Write a Windows path in single quotes, 'D:\\training', or with '/'"
                )
            shown = value if len(value) <= _LONGEST_PART else f"{value[:20]}..."
            raise ValueError(f"{shown!r} names no place on this machine; write a path such as '~/Code/plasma'")
        return path
    return value


def _words(value: str) -> str:
    if found := _CONTROLS.search(value):
        raise ValueError(f"holds {found[0]!a}, a control character that a terminal would obey; take it out")
    return value


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; write what it should say")
    return _words(value.strip())


def _size(value: object) -> int:
    """Read `"50 MB"` as 50,000,000 bytes; a bare number is bytes."""
    if isinstance(value, bool):
        raise ValueError(f'{value!r} is not a size; write it like "50 MB"')  # noqa: TRY004 (pydantic's error)
    try:
        return int(_SIZES.validate_python(value))
    except ValidationError:
        raise ValueError(f'{value!r} is not a size; write it like "50 MB"') from None


def _rate(value: object) -> float | None:
    """Read `"all"` as None, and a share of pictures as it is."""
    if value == "all":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ValueError(f'{value!r} is neither "all" nor a share between 0 and 1, such as 0.8')
    return float(value)


def _drawn_seeds(value: object) -> object:
    """Draw this many seeds: always the same ones, so that a larger number begins with the seeds of a smaller one."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if not 0 < value <= _MOST_DRAWN:
        raise ValueError(
            f"{value} would draw {value} seeds, and 1 to {_MOST_DRAWN} can be drawn; write [{value}] for the one seed"
        )
    digests = (hashlib.sha256(f"seed {number}".encode()).digest() for number in range(value))
    return [int.from_bytes(digest[:4]) for digest in digests]


def _rival_file(name: str) -> str:
    """Accept `production`, which is whatever is there, or a file in the loras folder."""
    return name if name == "production" else _lora_file(name)


Name = Annotated[str, AfterValidator(_portable)]
PlanName = Annotated[str, AfterValidator(_plan_name)]
TrainingFile = Annotated[str, AfterValidator(_training_file)]
FileName = Annotated[str, AfterValidator(_portable_file)]
RivalFile = Annotated[str, AfterValidator(_rival_file)]
LoraFile = Annotated[str, AfterValidator(_lora_file)]
ServerUrl = Annotated[str, AfterValidator(_server_url)]
Text = Annotated[str, AfterValidator(_text)]
Words = Annotated[str, AfterValidator(_words)]
Lax = Field(strict=False)
PlanPath = Annotated[Path, Lax, BeforeValidator(_plan_path)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**64)], ...], Lax, Field(min_length=1), BeforeValidator(_drawn_seeds)
]
Rate = Annotated[float | None, BeforeValidator(_rate), WithJsonSchema({"type": "share"})]
Size = Annotated[int, BeforeValidator(_size), WithJsonSchema({"type": "size"})]


class Table(BaseModel):
    """A table of a plan: frozen, without unknown keys. The docstring below each key is its meaning in docs/plan.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)  # built once, within the plan
