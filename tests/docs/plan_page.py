"""Write docs/plan.md from the plan's own models: `python -m tests.docs.plan_page`.

What a key means is the docstring below its field; types, bounds and defaults are pydantic's; examples come from the
plans that are shipped, then from `EXAMPLES`.
"""

import ast
import inspect
import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from plugins.plan.fields import Table
from plugins.plan.plan import Plan
from plugins.plan.reading import BUILT_IN_NEEDS

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "plan.md"
EXAMPLES: Final[Mapping[str, object]] = {
    "comfyui.urls": ["http://127.0.0.1:8188", "http://127.0.0.1:8189"],
    "comfyui.timeout": 900,
    "comfyui.nodes.picture": "13",
    "comfyui.nodes.prompt": ["11.value"],
    "comfyui.nodes.negative": ["12.text"],
    "comfyui.nodes.seed": ["5.seed"],
    "comfyui.nodes.lora": "10.lora_1",
    "selection.pass": 0.8,
    "production.workflows": ["pipeline/express/workflows/*.json"],
    "publish.sidecars": ["preview", "lora-manager"],
    "publish.copy": "~/shared/spyke",
    "publish.title": "Spyke",
    "publish.trigger_words": ["spyke_plasma_v1"],
    "publish.base_model": "SD 1.5",
    "publish.architecture": "stable-diffusion-v1-lora",
    "publish.author": "plasma",
    "publish.license": "creativeml-openrail-m",
    "publish.keep_training_notes": True,
}
"""Keys that no shipped plan uses."""

HEAD: Final = """\
# The plan, key by key

<!-- Written by `python -m tests.docs.plan_page` from the plan's models; a test fails where it is out of date. -->

A plan is a TOML file: what is tested, where the files are, and what "good" means. `pytest --new-plan=FOLDER` writes one
from a training folder; [plans/spyke.toml](../plans/spyke.toml) is a complete one to copy. A mistake stops the run
before anything is touched; all mistakes of a plan are listed at once, each with its key.

Paths may begin with `~`. Relative ones start at `paths.project`, and `project` at the folder of the plan file. Write a
Windows path with `/` or in single quotes: `'D:\\training'`. Sizes are written like `"50 MB"`.

The ComfyUI folder is the one that holds `models`. In the portable ComfyUI for Windows that is
`ComfyUI_windows_portable\\ComfyUI`; for ComfyUI Desktop it is the folder that you chose when you installed it, at first
`Documents\\ComfyUI`. For the portable one, `start` under `[comfyui]` is
`['..\\python_embeded\\python.exe', '-s', 'main.py']`. At the command line, write a path with a space in double quotes
and without a `\\` at its end: `--new-plan="D:\\My training\\kira"`.
"""

COLUMNS: Final = ("| key | meaning | type | default | example |", "|---|---|---|---|---|")
_TYPES: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "size": "size",
    "share": '`"all"` or a share',
}


def page() -> str:
    """Return the whole page as Markdown."""
    schema = schema_with_meanings()
    tables = dict(_tables(schema["properties"], schema["$defs"]))
    top = {key: field for key, field in schema["properties"].items() if key not in tables}
    parts = [HEAD, *_section("", "The top of the file", {**schema, "properties": top})]
    for name, kind in tables.items():
        is_list = schema["properties"].get(name, {}).get("type") == "array"
        heading = f"`[[{name}]]`, once for each" if is_list else f"`[{name}]`"
        parts += _section(name, heading, kind, without=tables)
    return "\n".join(parts)


def schema_with_meanings() -> dict[str, Any]:
    """Return the plan's schema; each field's description is the docstring below it."""
    schema = Plan.model_json_schema()
    for table in Table.__subclasses__():
        kind = schema if table is Plan else schema["$defs"][table.__name__]
        body = ast.parse(textwrap.dedent(inspect.getsource(table))).body[0]
        lines = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in pairwise(lines):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                key = table.model_fields[field.target.id].alias or field.target.id
                kind["properties"][key]["description"] = inspect.cleandoc(ast.literal_eval(below.value))
    return schema


def _tables(
    fields: Mapping[str, Any], kinds: Mapping[str, Any], below: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each table's name in TOML and its schema, in the plan's order."""
    for key, field in fields.items():
        either = field.get("anyOf", [field])[0]
        reference = either.get("$ref") or either.get("items", {}).get("$ref")
        if reference:
            kind = kinds[reference.rpartition("/")[2]]
            yield below + key, kind
            yield from _tables(kind["properties"], kinds, f"{below}{key}.")


def _section(table: str, heading: str, kind: Mapping[str, Any], without: Mapping[str, Any] | None = None) -> list[str]:
    rows = [
        _row(f"{table}.{key}".lstrip("."), key, field, needed=key in kind.get("required", ()))
        for key, field in kind["properties"].items()
        if f"{table}.{key}" not in (without or {})
    ]
    purpose = [] if not table else [kind["description"].partition("\n")[0], ""]
    return [
        f"## {heading}",
        "",
        *purpose,
        "| key | meaning | type | default | example |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _row(place: str, key: str, field: Mapping[str, Any], *, needed: bool) -> str:
    default = "required" if needed else _shown_default("all" if field.get("type") == "share" else field.get("default"))
    if place.removeprefix("sampling.") in BUILT_IN_NEEDS:
        default = "required; with a `workflow`, the workflow's"
    meaning = " ".join(field["description"].split())
    cells = (f"`{key}`", meaning, _type(field), default, f"`{_toml(_example(place))}`")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _shown_default(default: object) -> str:
    if default in (None, "", [], 2**63):
        return "none"
    return f"`{_toml(default)}`"


def _type(field: Mapping[str, Any]) -> str:
    """Name a field's type and bounds in a person's words."""
    either = field.get("anyOf", [field])
    names = []
    for one in either:
        if one.get("type") == "null":
            continue
        if one.get("type") == "array":
            names.append(f"list of {_type(one['items'])}".replace("number", "numbers"))
            continue
        if one.get("type") == "object":
            names.append(f"table of {_type(one['additionalProperties'])}".replace("list ", "lists "))
            continue
        name = "path" if one.get("format") == "path" else _TYPES[one["type"]]
        least, most = one.get("minimum", one.get("exclusiveMinimum")), one.get("maximum")
        over = "above " if "exclusiveMinimum" in one else "from "
        bounds = (f" {over}{least}" if least is not None else "", f" to {most}" if most is not None else "")
        names.append(name + "".join(bounds))
    return " or ".join(names)


def _example(place: str) -> object:
    """Return a key's value in the first shipped plan that has it."""
    for plan in sorted((ROOT / "plans").rglob("*.toml"), key=lambda path: (path.name != "spyke.toml", path)):
        value: Any = tomllib.loads(plan.read_text(encoding="utf-8"))
        for part in place.split("."):
            if isinstance(value, list):
                value = next((one for one in value if part in one), None)
            value = value.get(part) if isinstance(value, dict) else None
        if value not in (None, ""):
            return value.strip().partition("\n")[0] if isinstance(value, str) else value
    return EXAMPLES[place]


def _toml(value: object) -> str:
    """Write a value as TOML does, which for these is JSON's way; of a table, its last line."""
    if isinstance(value, dict):
        return f"{[*value][-1]} = {_toml([*value.values()][-1])}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:56]}..." + ('"' if isinstance(value, str) else "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
