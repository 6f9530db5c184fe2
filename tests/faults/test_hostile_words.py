"""What a hostile server or plan says comes through the terminal, report, evidence and summary as plain words."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from stand_in.faults import Faults, NodeFailure
from stand_in.serving import serve
from tests.commands.looking import Result
from tests.small_plan import PLAN, Suite

pytestmark = pytest.mark.slow

MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m\r"
SEEN = "\\x1b[2J\\x1b]0;owned\\x07\\u202e\\x9b31m"
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Hostile(Faults):
    """A server that puts markup and escape codes into everything that it says."""

    def __init__(self) -> None:
        self.failing = True

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Tell version and device so."""
        if request.path.endswith("/system_stats"):
            words = f"x{MARKUP}{ESCAPES}"
            return web.json_response({"system": {"comfyui_version": words}, "devices": [{"name": words}]})
        return await super().answer(request)

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Fail so while that is wanted."""
        del prompt_id, node_id
        if self.failing and class_type == "KSampler":
            raise NodeFailure(f"Error{MARKUP}{ESCAPES}", f"{MARKUP}{ESCAPES} [x](http://evil)")


@dataclass(frozen=True)
class Told:
    """What a command printed, and the text files that it left."""

    result: Result
    files: dict[str, str]


@pytest.fixture(scope="module")
def told(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    """Fail every cell on a hostile server, then render all, then deploy."""
    folder = tmp_path_factory.mktemp("words") / "plan"
    shutil.copytree(made_plan, folder)
    title = f"title = '''Spyke {MARKUP}'''"
    text = PLAN.replace('title = "Spyke LoRA, small"', title).replace("The sweet spot", MARKUP.replace('"', ""))
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    suite, hostile = Suite(plan_file=folder / "plan.toml"), Hostile()
    with serve(folder / "ComfyUI", faults=hostile) as serving:

        def go(*arguments: str) -> Told:
            arguments = (*arguments, f"--comfyui-url={serving.url}", f"--junitxml={folder / 'reports/junit.xml'}")
            result = suite.run(*arguments)
            written = [
                path for path in (folder / "reports").rglob("*") if path.suffix in {".html", ".md", ".json", ".xml"}
            ]
            return Told(result, {path.name: path.read_text("utf-8") for path in written})

        failed = go("-m", "generate")
        hostile.failing = False
        rendered = go("-m", "generate")
        deployed = go("-m", "deploy", "--selected-step=600", f"--observed={MARKUP}")
    return {"failed": failed, "rendered": rendered, "deployed": deployed}


@pytest.mark.parametrize(("name", "code"), [("failed", 1), ("rendered", 0), ("deployed", 0)])
def test_terminal_is_not_steered(told: dict[str, Told], name: str, code: int) -> None:
    """No command prints a character that a terminal obeys; what the server said is spelled out."""
    result = told[name].result
    assert (code, []) == (result.returncode, STEERING.findall(result.stdout + result.stderr)), result
    assert SEEN in result.stdout or name == "deployed"


@pytest.mark.parametrize(
    ("name", "file"),
    [("failed", "report.html"), ("rendered", "report.html"), ("deployed", "deploy.html")],
    ids=["failed-cells", "pictures", "deployment"],
)
def test_page_runs_nothing(told: dict[str, Told], name: str, file: str) -> None:
    """No markup of a server or plan is markup in a page, in its text or in its data."""
    page = told[name].files[file]
    assert (0, 0) == (page.count("<script>alert"), page.count("<img src=x"))
    assert "alert(1)" in page


@pytest.mark.parametrize(
    ("name", "file"),
    [("failed", "junit.xml"), ("rendered", "forest.json"), ("deployed", "deployment.json"), ("deployed", "SUMMARY.md")],
    ids=["junit", "evidence", "record", "summary"],
)
def test_file_steers_no_terminal(told: dict[str, Told], name: str, file: str) -> None:
    """What is read with `cat` holds no character that a terminal obeys."""
    assert [] == STEERING.findall(told[name].files[file])


def test_summary_shows_markup_as_text(told: dict[str, Told]) -> None:
    """The summary's words are neither HTML nor links."""
    summary = told["deployed"].files["SUMMARY.md"]
    assert (0, 0) == (len(re.findall(r"(?<!\\)<", summary.replace("> ", ""))), summary.count("[x](http"))
    assert "alert(1)" in summary
