"""The rooms' doors, in the order in which the data passes; a Python without what they need is told so in one line."""

import gc
import sys
from importlib.util import find_spec

NEEDED = (
    "aiohttp",
    "filelock",
    "jinja2",
    "numpy",
    "PIL",
    "pydantic",
    "pytest_html",
    "requests",
    "safetensors",
    "websocket",
    "yaml",
)
if missing := [name for name in NEEDED if find_spec(name) is None]:
    sys.stderr.write(
        f"ERROR: {sys.executable} lacks {', '.join(missing)}. Use the suite's own Python: `uv run pytest ...` (or "
        "`.uv/bin/uv run pytest ...`), or activate its environment first: source .venv/bin/activate. Was the folder "
        "moved or renamed? Delete its .venv, and uv makes it anew.\n"
    )
    raise SystemExit(4)

gc.disable()  # until all is loaded, and stays: to look through it meanwhile takes a tenth of that time
pytest_plugins = [
    "plugins.plan.plugin",
    "plugins.comfyui.plugin",
    "plugins.render.plugin",
    "plugins.generate.plugin",
    "plugins.review.plugin",
    "plugins.deploy.plugin",
    "plugins.publish.plugin",
    "plugins.demo.plugin",
]
