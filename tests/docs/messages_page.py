"""Write docs/messages.md from the code: `python -m tests.docs.messages_page`.

A message is the text of a `raise` of a `UserError` of ours, or of pytest's `UsageError`; what differs from run to run
is shown as `…`.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "messages.md"
HEAD: Final = """\
# Messages that end a run, or a picture

<!-- Written by `python -m tests.docs.messages_page` from the code; a test fails where it is out of date. -->

Every message names the thing, the place and the next step. They are listed by what they are about, as the code words
them; `…` stands for what differs: names, numbers, what a server said. What is wrong in a plan is listed with its key;
[plan.md](plan.md) says what each key takes.
"""
ROOMS: Final[Mapping[str, str]] = {
    "plan": "Plans, options and training folders",
    "loras": "LoRA files and the loras folder",
    "pictures": "Pictures",
    "comfyui": "ComfyUI and workflows",
    "render": "Several servers and clusters",
    "evidence": "Evidence",
    "generate": "Generating",
    "review": "The ballot and the report",
    "deploy": "Deploying, verifying, rolling back",
    "publish": "Publishing",
    "demo": "The demo",
}
_SHORTEST: Final = 25
"""Letters. What is shorter is a part of a message."""


def page() -> str:
    """Return the whole page as Markdown."""
    parts = [HEAD]
    for room, title in ROOMS.items():
        if lines := sorted(set(_messages(ROOT / "plugins" / room)), key=str.casefold):
            parts += [f"## {title}", "", *(f"- {line}" for line in lines), ""]
    return "\n".join(parts)


@cache
def errors_of_users() -> frozenset[str]:
    """Return the names of `UserError` and of every class below it, and of pytest's own for wrong options."""
    bases = {
        node.name: {ast.unparse(base) for base in node.bases}
        for path in (ROOT / "plugins").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    known = {"UserError", "UsageError"}
    while more := {name for name, above in bases.items() if above & known} - known:
        known |= more
    return frozenset(known)


def _messages(room: Path) -> Iterator[str]:
    kinds = errors_of_users()
    for path in sorted(room.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            node.target.id: node.value
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                kind = ast.unparse(node.exc.func).rpartition(".")[2]
                text = _text(node.exc.args[0], constants) if kind in kinds and node.exc.args else ""
                if len(text) >= _SHORTEST:
                    yield _markdown(text)


def _text(node: ast.expr, constants: Mapping[str, ast.expr]) -> str:
    """Return a message as it is written in the code, with `…` for what is filled in."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, constants) for part in parts)
        case ast.BinOp(left=left, right=right):
            return _text(left, constants) + _text(right, constants)
        case ast.FormattedValue(value=ast.Name(id=name)) if name in constants:
            return _text(constants[name], {})
        case _:
            return "…"


def _markdown(text: str) -> str:
    """Escape what Markdown would take for its own, on one line."""
    text = re.sub(r"(…[ :;.]*){2,}", "… ", " ".join(text.split())).strip()
    return re.sub(r"([*_<>\[\]|])", r"\\\1", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
