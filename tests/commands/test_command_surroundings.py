"""Whatever pytest finds around it (plugins, options, settings, signals), a stage runs, or says why before it begins."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from stand_in.serving import Serving
from tests.commands.looking import counts, snapshot
from tests.small_plan import ROOT, Suite

_ODD = """
import warnings

import pytest


def pytest_configure():
    warnings.warn(DeprecationWarning("an option of this plugin is not set"), stacklevel=1)


@pytest.fixture
def turn(request):
    return request.param


def pytest_generate_tests(metafunc):
    metafunc.fixturenames.append("turn")
    metafunc.parametrize("turn", [1, 2], indirect=True)
"""
"""A plugin that warns while pytest is configured, as pytest-asyncio does, and repeats tests, as pytest-repeat does."""

_MANY = """
import contextlib, io, json, os, signal, sys
import pytest

signal.signal(signal.SIGHUP, signal.SIG_IGN)
fsync, seen = os.fsync, {}


class Looking:
    def pytest_sessionstart(self):
        seen["signals"] = [signal.getsignal(signal.SIGHUP).name, signal.getsignal(signal.SIGTERM).__name__]

    def pytest_runtest_call(self):
        seen["fsync is the system's"] = os.fsync is fsync


home = os.getcwd()
for folder, arguments in json.loads(sys.argv[1]):
    os.chdir(os.path.join(home, folder))
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = pytest.main(arguments, plugins=[Looking()])
    print(json.dumps([int(code), out.getvalue(), seen]))
"""
"""A program that runs several commands, one after the other, with SIGHUP ignored as under `nohup`."""

CHANGE_NOTHING = {
    "setup_plan": (0, ["--setup-plan", "-m", "generate"], "test_checkpoint_renders_prompt[final-forest]"),
    "setup_only": (0, ["--setup-only", "-m", "deploy", "--selected-step=600"], "SETUP    S attempt"),
    "collect_only": (0, ["--collect-only", "-m", "generate"], "6/"),
    "fixtures": (0, ["--fixtures", "-m", "deploy", "--selected-step=600"], "fixtures defined from"),
    "nothing_chosen": (5, ["-m", "generate", "-k", "nosuch"], "0 selected"),
    "no_expression": (4, ["-m", "generate", "-k", "step600 and"], "Wrong expression passed to '-k'"),
    "unknown_setting": (4, ["-m", "generate", "-o", "nosuch=1"], "Unknown config option: nosuch"),
    "no_such_stage": (4, ["-m", "generat"], "-m generat: there is no such marker. Did you mean -m generate?"),
    "no_metadata": (
        4,
        ["-m", "generate", "-p", "no:metadata"],
        "-p no:metadata: pytest-html, which writes the page, needs pytest-metadata. Leave it out, or add -p no:html",
    ),
    "nobodys_home": (
        4,
        ["-m", "generate", "--ballot=~nosuchuser/b.json"],
        "--ballot=~nosuchuser/b.json names no place",
    ),
    "no_utf_8": (4, ["-m", "verify", "--comfyui-dir=/tmp/a\udce9"], "--comfyui-dir=/tmp/a\\udce9 has letters that"),
    "no_such_file": (4, ["-m", "generate", "tests/nosuch.py"], "file or directory not found"),
}


Many = tuple[dict[str, tuple[int, str]], dict[str, object], set[str]]
"""What each command printed, with its exit code; what was seen within; and the files that changed."""


@pytest.fixture(scope="module")
def many(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Many:
    """Run commands that are to change nothing, and one in plans/ that verifies, beside the report of an earlier run."""
    folder = tmp_path_factory.mktemp("surroundings") / "whole"
    shutil.copytree(made_plan, folder)
    (folder / "reports").mkdir()
    (folder / "reports/report.html").write_text("the report of an earlier run", encoding="utf-8")
    common = [f"--plan={folder / 'plan.toml'}", f"--reports={folder / 'reports'}", "-p", "no:cacheprovider"]
    commands = [("", [*arguments, *common]) for _, arguments, _ in CHANGE_NOTHING.values()]
    verify = ["-m", "verify", "-k", "production_lora_is_present", *common]
    before = snapshot(folder)
    done = subprocess.run(
        [sys.executable, "-c", _MANY, json.dumps([*commands, ("plans", verify)])],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    told = {name: (line[0], line[1]) for name, line in zip(CHANGE_NOTHING, lines, strict=False)}
    after = snapshot(folder)
    return told, lines[-1][2], {name for name in before | after if before.get(name) != after.get(name)}


@pytest.mark.parametrize("name", CHANGE_NOTHING)
def test_what_lists_or_is_mistyped_changes_nothing(many: Many, name: str) -> None:
    """Listing options, and mistakes that pytest finds itself, end before anything is staged, deployed or written."""
    told, _, changed = many
    code, _, words = CHANGE_NOTHING[name]
    assert code == told[name][0], told[name][1]
    assert words in told[name][1]
    assert set() == changed


def test_collecting_lists_readable_tests(many: Many) -> None:
    """`--collect-only` lists six tests by checkpoint and prompt, though no server answers."""
    lines = many[0]["collect_only"][1].splitlines()
    assert [
        "forest",
        "novel_pose",
        "step600-forest",
        "step600-novel_pose",
        "final-forest",
        "final-novel_pose",
    ] == [line.split("[")[1].split("]")[0] for line in lines if "<Function" in line]


def test_an_ignored_signal_stays_ignored(many: Many) -> None:
    """Under nohup a closed terminal stops nothing; SIGTERM, which was not ignored, is a person's Ctrl-C."""
    assert ["SIG_IGN", "default_int_handler"] == many[1]["signals"]


def test_a_stage_runs_from_any_folder_of_the_suite(many: Many) -> None:
    """Typed in plans/, a stage's tests are found as well."""
    assert "fsync is the system's" in many[1]


def test_a_users_run_waits_for_the_disk(many: Many) -> None:
    """What lets the suite's own tests leave files in memory is not in a user's run."""
    assert many[1]["fsync is the system's"]


@pytest.mark.slow
def test_other_peoples_plugins_and_settings_change_nothing(plan_file: Path, stand_in: Callable[..., Serving]) -> None:
    """Under -O, without autoloaded plugins, with a plugin that warns and one that repeats tests, the report is made."""
    folder = plan_file.parent
    (folder / "odd.py").write_text(_ODD, encoding="utf-8")
    odd = {"PYTHONPATH": str(folder), "PYTHONOPTIMIZE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    suite = Suite(plan_file=plan_file, environment=odd)
    result = suite.run("-p", "odd", "-m", "generate", f"--comfyui-url={stand_in().url}")

    assert (0, {"passed": 12}) == (result.returncode, counts(result)), result
    assert "pictures: 6 rendered, 0 reused" in result.stdout
    assert (suite.reports / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "page", "words"),
    [
        (
            "--html=FOLDER/mine.html",
            "mine.html",
            "Look at FOLDER/mine.html (its pictures only open from FOLDER/reports: leave out --html)",
        ),
        ("-pno:html", "", "No page was written, since pytest-html is off"),
    ],
    ids=["page-elsewhere", "no-page"],
)
def test_the_end_names_the_page_that_is_there(
    plan_file: Path, stand_in: Callable[..., Serving], typed: str, page: str, words: str
) -> None:
    """Where the page was written elsewhere, or not at all, the last line says so and names none that is not there."""
    folder = plan_file.parent
    result = Suite(plan_file=plan_file).run(
        "-mgenerate",
        "-kstep600-forest",
        typed.replace("FOLDER", str(folder)),
        f"--comfyui-url={stand_in().url}",
    )
    assert 0 == result.returncode, result
    assert words.replace("FOLDER", str(folder)) in result.stdout
    assert [page] * bool(page) == [path.name for path in folder.rglob("*.html")]


def test_a_python_that_lacks_what_is_needed_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pytest of another Python, such as the system's, says what that lacks and what to type instead."""
    monkeypatch.setitem(sys.modules, "websocket", None)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "conftest.py"))
    assert 4 == caught.value.code
    told = capsys.readouterr().err
    assert told.startswith(f"ERROR: {sys.executable} lacks websocket, yaml. Use the suite's own Python: `uv run pytest")
    assert 1 == told.count("\n")


def test_what_is_needed_is_what_the_project_declares() -> None:
    """Whatever pyproject.toml declares as needed in every run is looked for."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = {re.split(r"[\[>]", one)[0].lower() for one in declared} - {"pytest"} | {"numpy"}
    needed = set(runpy.run_path(str(ROOT / "conftest.py"))["NEEDED"])
    provided = packages_distributions()
    assert names == {provided[name][0].lower() for name in needed}


def test_warnings_fail_the_suites_own_tests(pytestconfig: pytest.Config) -> None:
    """A warning is an error here, though not in a user's run."""
    assert "error" in pytestconfig.getini("filterwarnings")
    with pytest.raises(UserWarning, match="planted"):
        warnings.warn("planted", stacklevel=1)
