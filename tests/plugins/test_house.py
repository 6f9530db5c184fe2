"""The rooms of the house: data passes through them in one order, and pytest comes in by the doors alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOMS = (
    "plan",
    "loras",
    "pictures",
    "comfyui",
    "render",
    "evidence",
    "generate",
    "review",
    "deploy",
    "publish",
    "demo",
)
PLUGINS = Path(__file__).parents[2] / "plugins"
KEY = "plan/stash.py"
"""The one module beside the doors that knows pytest: it names the stash key that they share."""
MODULES = sorted(path.relative_to(PLUGINS).as_posix() for path in PLUGINS.rglob("*.py"))


MOST_LINES = 300
"""Of a module that can be read in one sitting."""


def imported(source: str) -> Iterator[str]:
    """Yield the modules that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)


def wrong(module: str, source: str) -> list[str]:
    """Return what a module imports against the rules of the house."""
    room, name = module.split("/", 1)
    later = ROOMS[ROOMS.index(room) + 1 :]

    def is_wrong(one: str) -> bool:
        package, *inner = one.split(".")
        if package == "plugins":
            return inner[0] in later or inner[1:2] == ["plugin"]
        return (package == "pytest" and name != "plugin.py" and module != KEY) or (
            package == "stand_in" and room != "demo"
        )

    return [one for one in imported(source) if is_wrong(one)]


@pytest.mark.parametrize("module", [one for one in MODULES if "/" in one])
def test_module_imports_from_rooms_before_it(module: str) -> None:
    """A module imports only from rooms that the data has passed, never a door, and pytest only if it is one."""
    assert [] == wrong(module, (PLUGINS / module).read_text("utf-8"))


@pytest.mark.parametrize("module", MODULES)
def test_module_can_be_read_in_one_sitting(module: str) -> None:
    """No module of a room has more than 300 lines."""
    assert len((PLUGINS / module).read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "line",
    [
        "from plugins.deploy.proof import Prover",
        "from plugins.plan.plugin import the_plan",
        "from plugins.plan import plugin",
        "import plugins.review.page",
        "import pytest",
        "from stand_in.serving import serve",
    ],
)
def test_wrong_import_is_found(line: str) -> None:
    """An import from a later room, of a door, of pytest or of the stand-in is found, also inside a function."""
    assert 1 == len(wrong("generate/record.py", f"def late():\n    {line}\n"))


def test_every_room_is_one_of_the_house() -> None:
    """No room is left out of the order."""
    assert {*ROOMS} == {path.name for path in PLUGINS.iterdir() if (path / "__init__.py").exists()}
