"""The planning tool that reads summaries, get-shit-done: run where Node and the package are there."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[1]
_TOOL = Path(os.environ.get("GSD_TOOLS", _ROOT / ".gsd/node_modules/get-shit-done-cc/get-shit-done/bin/gsd-tools.cjs"))
_NODE = shutil.which("node")

needs_tool = pytest.mark.skipif(
    _NODE is None or not _TOOL.is_file(),
    reason=f"needs Node and {_TOOL}: npm install --prefix .gsd --ignore-scripts get-shit-done-cc@1.32.0",
)


def ask_tool(project: Path, *words: str) -> Any:
    """Run the planning tool in the project's folder, and return what it says."""
    assert _NODE
    found = subprocess.run([_NODE, str(_TOOL), *words], cwd=project, capture_output=True, check=True, encoding="utf-8")
    return json.loads(found.stdout)
