"""Commands as people type them: a space for `=`, an option half remembered, a dash of a text program."""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

from plugins.spaces import SWITCHES, VALUED, joined, slips
from tests.small_plan import ROOT


def run(*words: str | Path, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Type a command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": "", **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize(
    ("in_environment", "others"),
    [
        pytest.param(False, (), id="typed"),
        pytest.param(True, (), id="in-environment", marks=pytest.mark.slow),
        pytest.param(False, ("-c", "pyproject.toml"), id="with-settings-named", marks=pytest.mark.slow),
        pytest.param(False, ("--rootdir", "FOLDER"), id="with-another-root", marks=pytest.mark.slow),
    ],
)
def test_a_folder_that_is_there_may_follow_a_space(
    tmp_path: Path,
    made_plan: Path,
    in_environment: bool,  # noqa: FBT001
    others: tuple[str, ...],
) -> None:
    """A plan, a ComfyUI and a reports folder outside of the suite are found, where pytest would look for tests there.

    ComfyUI's own conftest.py is not executed.
    """
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "conftest.py").write_text("raise RuntimeError('somebody else')", encoding="utf-8")
    chosen = ("-m", "generate", "--collect-only", "-q", "-k", "step600-forest")
    paths = ("--plan", made_plan / "plan.toml", "--reports", tmp_path, "--comfyui-dir", tmp_path)
    others = tuple(one.replace("FOLDER", str(tmp_path)) for one in others)
    if in_environment:
        result = run(*chosen, PYTEST_ADDOPTS=" ".join(f'"{word}"' for word in map(str, paths)))
    else:
        result = run(*paths, *chosen, *others)
    assert 0 == result.returncode, result
    assert "test_generate.py::test_checkpoint_renders_prompt[step600-forest]" in result.stdout
    assert "" == result.stderr


def test_a_copy_of_the_suite_runs_itself(tmp_path: Path) -> None:
    """In a copy that has its original's .venv, or none, the copy's own tests run, with a space as with `=`."""
    copy = tmp_path / "copy"
    for name in ("plugins", "plans", "tests/acceptance"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("conftest.py", "pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, copy / name)
    script = [sys.executable, "-c", "import sys; del sys.path[0]; import pytest; sys.exit(pytest.main(sys.argv[1:]))"]
    words = ("-p", "no:cacheprovider", "-m", "generate", "--collect-only", "-q", "--demo", "--reports", str(tmp_path))
    result = subprocess.run([*script, *words], cwd=copy, capture_output=True, encoding="utf-8", check=False)
    assert 0 == result.returncode, result
    assert f"not known: {tmp_path}" in result.stdout


def test_outside_of_the_suite_one_line_says_where_to_stand(tmp_path: Path) -> None:
    """Typed in another folder, the suite's options are not "unrecognized": the line names the suite's folder."""
    result = run("-m", "generate", "--demo", "--reports", tmp_path, folder=tmp_path)
    line = f"ERROR: --demo --reports={tmp_path}: the suite's options work in its own folder. First: cd {ROOT}"
    assert (4, line) == (result.returncode, result.stderr.strip())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--reports /tmp/x -m generate", "--reports=/tmp/x -m generate"),
        ("--ballot a.json --ballot b.json", "--ballot=a.json --ballot=b.json"),
        ("--reports=/tmp/x tests/plugins", "--reports=/tmp/x tests/plugins"),
        ("--demo tests/acceptance", "--demo tests/acceptance"),
        ("--reports --demo", "--reports --demo"),
        ("--html /tmp/x.html --reports", "--html /tmp/x.html --reports"),
    ],
)
def test_a_value_is_joined_to_its_option(typed: str, meant: str) -> None:
    """Only a value that follows one of the suite's own options is joined to it."""
    assert meant.split() == joined(typed.split())


@pytest.mark.parametrize(
    ("unknown", "places", "said"),
    [
        ("--selected_step=600", "", "--selected_step=600: there is no such option. Did you mean --selected-step?"),
        ("--report=/tmp/x", "", "--report=/tmp/x: there is no such option. Did you mean --reports?"),
        ("--Reports", "", "--Reports: there is no such option. Did you mean --reports?"),
        ("--step=600", "", "--step=600: there is no such option. Did you mean --selected-step?"),
        ("--url=x", "", "--url=x: there is no such option. Did you mean --comfyui-url?"),
        ("--generate", "", "--generate: did you mean -m generate?"),
        ("--collect-onyl", "", ""),
        ("-x", "", ""),
        ("", "deploy", "deploy: did you mean -m deploy?"),
        ("", "tests/plugins", ""),
        ("", "\N{EM DASH}demo", "\N{EM DASH}demo: its dash is not the one of the keyboard. Type --demo"),
        (
            "",
            "\N{EN DASH}-reports=x",
            "\N{EN DASH}-reports=x: its dash is not the one of the keyboard. Type --reports=x",
        ),
        ("--demo", "", ""),
    ],
)
def test_slip_is_answered_with_what_was_meant(unknown: str, places: str, said: str) -> None:
    """What pytest would not understand is answered with what comes near; what is not this suite's is left to pytest."""
    assert [said] * bool(said) == list(slips(unknown.split(), places.split(), ROOT / "plans"))


def test_second_file_after_an_option_is_named(tmp_path: Path) -> None:
    """A shell makes two names of `--ballot=~/Downloads/ballot*.json`; the second would be a place to look for tests."""
    said = f"{tmp_path}: pytest looks for tests there. Write its option before it: --ballot={tmp_path}"
    assert [said] == list(slips(["--demo", "--ballot=a.json"], [str(tmp_path)], ROOT))


class Options:
    """What the doors add to pytest's options."""

    def __init__(self) -> None:
        self.valued: set[str] = set()
        self.switches: set[str] = set()

    def getgroup(self, *_names: str) -> "Options":
        """Return the group that they all are in."""
        return self

    def addoption(self, name: str, *, action: str = "store", **_others: object) -> None:
        """Take up an option."""
        (self.switches if action == "store_true" else self.valued).add(name)


def test_every_option_of_the_suite_is_known() -> None:
    """What is joined, and what is refused elsewhere, are the options that the doors add."""
    doors: Sequence[str] = runpy.run_path(str(ROOT / "conftest.py"))["pytest_plugins"]
    options = Options()
    for door in map(import_module, doors):
        getattr(door, "pytest_addoption", lambda _parser: None)(options)
    assert (options.valued, options.switches) == ({*VALUED}, {*SWITCHES})
