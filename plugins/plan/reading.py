"""A plan file becomes a `Plan`, or one message that names every mistake in it."""

import re
import reprlib
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from plugins.plan.fields import shown_address
from plugins.plan.messages import UserError, counted
from plugins.plan.places import ComfyUI, Nodes, Paths
from plugins.plan.plan import Plan
from plugins.plan.program import typable
from plugins.plan.small_files import NotText, read_small, text_of
from plugins.plan.tested import AlwaysOn, Checkpoint, Prompt, Rival, Sampling
from plugins.plan.training.names import without_pair
from plugins.plan.training.steps import with_steps
from plugins.plan.wanted import Criterion, PlannedWork, Production, Publish

_WORDS: Final = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number, without quotes",
    "bool_type": "must be true or false, without quotes",
    "tuple_type": "must be a list, in [ ]",
    "path_type": "must be a path in quotes",
    "missing": "is missing",
    "too_short": "must have at least one entry",
}
_TABLES: Final[Mapping[str, type[BaseModel]]] = {
    "": Plan,
    "paths": Paths,
    "comfyui": ComfyUI,
    "comfyui.nodes": Nodes,
    "sampling": Sampling,
    "production": Production,
    "publish": Publish,
    "summary": PlannedWork,
    "lora": AlwaysOn,
    "checkpoint": Checkpoint,
    "rival": Rival,
    "prompt": Prompt,
    "criterion": Criterion,
}
BUILT_IN_NEEDS: Final = ("base_model", "sampler", "scheduler", "steps", "cfg", "width", "height")
"""The settings for which the built-in workflow has no defaults."""
_LARGEST: Final = 1_000_000
"""Bytes. A plan is a page of text; TOML of many megabytes would be read for minutes."""
_BRIEFLY: Final = reprlib.Repr()
"""How a message repeats a wrong value, which may be of any length and depth."""
_BRIEFLY.maxstring = _BRIEFLY.maxother = _BRIEFLY.maxlong = 200
_HINT: Final = "Write a Windows path in single quotes, 'D:\\training', or with '/'. "
_LISTS: Final = frozenset({"lora", "rival", "checkpoint", "prompt", "criterion"})


class PlanError(UserError):
    """A plan that cannot be used; the message lists every mistake with its key and what would be right."""


def read_plan(path: Path, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Plan:
    """Read the plan at `path`.

    `overrides` replaces single keys of its tables (`{"paths": {"comfyui": "/elsewhere"}}`): the command line overrides
    the file. Relative paths start at the plan file's folder, or further in.

    Raises `PlanError`.
    """
    try:
        raw = tomllib.loads(text_of(read_small(path, largest=_LARGEST)))
    except FileNotFoundError:
        raise PlanError(f"No plan at {path}.{_others(path)}") from None
    except NotText as error:
        raise PlanError(f"The plan {path} {error}.") from error
    except OSError as error:
        raise PlanError(f"The plan {path} cannot be read: {error}. plans/spyke.toml shows the format.") from error
    except (ValueError, RecursionError) as error:  # also numbers of more digits than Python reads
        raise PlanError(
            f"The plan {path} is not TOML: {error}. {_HINT if _of_a_windows_path(error) else ''}"
            "plans/spyke.toml shows the format."
        ) from error
    for table, values in (overrides or {}).items():
        if isinstance(raw.get(table, {}), dict):
            raw[table] = {**raw.get(table, {}), **values}
    context = {"folder": path.parent.absolute()}
    raw = _with_steps(raw, context)
    mistakes = [*_missing_settings(raw), *_pairs(raw), *_duplicates(raw)]
    try:
        plan = Plan.model_validate(raw, context=context)
    except ValidationError as error:
        # A list whose entries are all wrong is reported as too short as well.
        details = [one for one in error.errors() if one["type"] != "too_short" or not one["input"]]
        mistakes = [_mistake(detail) for detail in details] + mistakes
    if mistakes:
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise PlanError(f"The plan {path} has {counted(len(mistakes), 'mistake')}:{lines}")
    return plan


def _others(path: Path) -> str:
    """Name the plans that are there, for a person who mistyped one."""
    folder = path.parent if path.parent.is_dir() else Path()
    files = sorted(plan for each in (folder, folder / "plans") for plan in each.glob("*.toml"))
    there = [plan for plan in files if plan.name != "pyproject.toml"]
    if near := get_close_matches(path.stem, [plan.stem for plan in there], n=1):
        meant = next(plan for plan in there if plan.stem == near[0])
        return f" Did you mean {typable(f'--plan={meant}')}?"
    named = f"There are: {', '.join(map(str, there))}." if there else "Name one with --plan=FILE."
    return f" {named} --new-plan=FOLDER writes one from a training folder."


def _of_a_windows_path(error: Exception) -> bool:
    """Say whether TOML stopped at an unknown backslash escape, as in a Windows path."""
    return any(words in str(error) for words in ("Unescaped '\\'", "Invalid hex value"))


def _with_steps(raw: dict[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the steps that the plan leaves to the training files, where it says where these are."""
    tables = raw.get("checkpoint")
    try:
        folder = Paths.model_validate(raw.get("paths"), context=context).checkpoints
    except ValidationError:
        return raw  # said with the other mistakes
    return {**raw, "checkpoint": with_steps(tables, folder)} if isinstance(tables, list) else raw


def _pairs(raw: Mapping[str, Any]) -> Iterator[str]:
    """Find checkpoints of two files: Wan 2.2 has one LoRA for high noise and one for low noise."""
    seen: dict[str, int] = {}
    tables = raw.get("checkpoint")
    for index, entry in enumerate(tables if isinstance(tables, list) else []):
        file = entry.get("file") if isinstance(entry, dict) else None
        stem, which = without_pair(file) if isinstance(file, str) else ("", "")
        if which and (first := seen.setdefault(stem, index)) != index:
            yield (
                f"checkpoint[{index}].file: {file!r} and checkpoint[{first}]'s are one checkpoint in two files, for "
                "high and for low noise, and a column takes one file. Leave one out; the workflow can load it"
            )


def _missing_settings(raw: Mapping[str, Any]) -> Iterator[str]:
    """Find missing settings, if the plan has no custom workflow that would supply them."""
    comfyui, sampling = raw.get("comfyui"), raw.get("sampling")
    if isinstance(sampling, dict) and not (isinstance(comfyui, dict) and comfyui.get("workflow")):
        yield from (f"sampling.{key}: is missing" for key in BUILT_IN_NEEDS if key not in sampling)


def _duplicates(raw: Mapping[str, Any]) -> Iterator[str]:
    """Find ids that name two things; in the raw file, so that no other mistake hides them."""
    for table, key in (
        ("lora", "file"),
        ("rival", "label"),
        ("checkpoint", "step"),
        ("checkpoint", "epoch"),
        ("checkpoint", "label"),
        ("checkpoint", "file"),
        ("prompt", "id"),
        ("criterion", "id"),
    ):
        entries = raw.get(table)
        seen: dict[str, int] = {}
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            value = entry.get(key) if isinstance(entry, dict) else None
            if not isinstance(value, str | int) or _is_named_otherwise(entry, key):
                continue  # no id at all, which is reported under its key
            # Two ids that differ in case alone are one file on macOS and Windows.
            first = seen.setdefault(str(value).casefold(), index)
            if first != index:
                yield f"{table}[{index}].{key}: {value!r} is already {table}[{first}]'s; each needs its own"


def _is_named_otherwise(entry: Mapping[str, Any], key: str) -> bool:
    """Say whether a checkpoint's step or epoch is not its id: a label comes first, then the step."""
    return (key in {"step", "epoch"} and "label" in entry) or (key == "epoch" and "step" in entry)


def _mistake(detail: ErrorDetails) -> str:
    """One mistake as `key: what is wrong, and what would be right`."""
    location = detail["loc"]
    key = re.sub(r"\.\[", "[", ".".join(f"[{part}]" if isinstance(part, int) else part for part in location))
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return f"{key}: unknown key{_nearest_key(location)}"
    if kind == "model_type":
        table = str(location[0])
        return f"{key}: must be a table, [[{table}]]" if table in _LISTS else f"{key}: must be a table, [{table}]"
    if kind == "tuple_type" and key in _LISTS:
        return f"{key}: must be written as [[{key}]], once for each"
    words = _WORDS.get(kind)
    if words is None:
        words = detail["msg"].removeprefix("Value error, ")
        words = words[0].lower() + words[1:] if words.startswith("Input should") else words
        words = words.replace("input should", "should")
    if kind in {"missing", "too_short", "value_error"}:
        return f"{key}: {words}" if key else words
    if location[:2] in {("comfyui", "url"), ("comfyui", "urls")}:
        given = shown_address(given) if isinstance(given, str) else type(given).__name__  # it may hold a password
    return f"{key}: {words}, not {_BRIEFLY.repr(given)}"


def _nearest_key(location: tuple[int | str, ...]) -> str:
    """Suggest the key that was probably meant."""
    table = ".".join(map(str, location[:-1] if location[1:2] == ("nodes",) else location[: len(location) > 1]))
    known = [field.alias or name for name, field in _TABLES[table].model_fields.items()]
    near = get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
