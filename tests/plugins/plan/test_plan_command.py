"""The command that was typed: where its files are, and what to type next."""

from dataclasses import replace
from pathlib import Path

import pytest

from plugins.plan.command import DEFAULT_PLAN, Command
from plugins.plan.messages import Address
from plugins.plan.program import program
from tests.plain_command import plain_command


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Return a bare command, typed in the suite's own folder."""
    return plain_command(tmp_path)


@pytest.mark.parametrize(
    ("told", "completed"),
    [
        ("Run pytest -m generate, look again.", "Run pytest -m generate --plan=my.toml --reports=FOLDER, look again."),
        (
            "Deploy with pytest -m deploy --selected-step=STEP.",
            "Deploy with pytest -m deploy --selected-step=STEP --plan=my.toml --reports=FOLDER.",
        ),
        ("Then: pytest -m deploy --rollback", "Then: pytest -m deploy --rollback --plan=my.toml --reports=FOLDER"),
        ("It is there; run this again.", "It is there; run this again."),
    ],
)
def test_commands_in_a_message_can_be_typed_as_they_stand(command: Command, told: str, completed: str) -> None:
    """A suggested command names the plan and the folder of the command that suggests it."""
    typed = replace(command, plan_typed="my.toml", reports_typed="FOLDER")
    assert completed.replace("FOLDER", str(command.typed_in / "FOLDER")) == typed.completed(told)


def test_next_command_goes_to_the_same_servers_without_their_password(command: Command) -> None:
    """Servers and the ComfyUI folder are named again; who types the command knows the password."""
    urls = (Address("http://me:secret@a:1"), Address("http://b:2/sub/"))
    typed = replace(command, comfyui_urls=urls, comfyui_dir="my tools/ComfyUI")
    assert (
        "pytest -m verify '--comfyui-dir=my tools/ComfyUI' --comfyui-url=http://a:1 --comfyui-url=http://b:2/sub"
        == typed.next("-m verify")
    )


def test_demonstration_has_a_folder_of_its_own(command: Command, tmp_path: Path) -> None:
    """A demonstration's files lie apart, and its next command names the folder that was typed."""
    demo = replace(command, demo=True, reports_typed="out")
    assert tmp_path / "out" / "demo" == demo.reports
    assert f"pytest -m verify --reports={tmp_path / 'out'} --demo" == demo.next("-m verify")


@pytest.mark.parametrize(
    ("argv", "script", "environment", "typed"),
    [
        ("python -m pytest -m generate", "/site/pytest/__main__.py", {}, "python -m pytest"),
        (".venv/bin/python3 -O -X utf8 -m pytest", "/p/__main__.py", {}, ".venv/bin/python3 -O -X utf8 -m pytest"),
        ("/v/bin/python /v/bin/pytest -m generate", "FOLDER/bin/pytest", {"PATH": "FOLDER/bin"}, "pytest"),
        ("/v/bin/python /v/bin/pytest -m generate", "FOLDER/bin/pytest", {"PATH": ""}, "bin/pytest"),
        ("/v/bin/python /v/bin/pytest", "/v/bin/pytest", {"UV": "FOLDER/.uv/bin/uv"}, ".uv/bin/uv run pytest"),
        (
            "/v/bin/python /v/bin/pytest",
            "/v/bin/pytest",
            {"UV": "FOLDER/bin/uv", "PATH": "FOLDER/bin"},
            "uv run pytest",
        ),
        ("/v/bin/python3 -m pytest", "/p/__main__.py", {"UV": "/my tools/uv"}, "'/my tools/uv' run python -m pytest"),
        ("python -c pass", "-c", {}, "pytest"),
        ("python tool.py -m x", "tool.py", {}, "pytest"),
    ],
)
def test_next_command_is_typed_as_this_one(
    tmp_path: Path, argv: str, script: str, environment: dict[str, str], typed: str
) -> None:
    """The program is named as it was typed, as seen from the folder that it was typed in."""
    (tmp_path / "bin").mkdir()
    for name in ("pytest", "uv"):
        (tmp_path / "bin" / name).touch(mode=0o755)
    here = {name: value.replace("FOLDER", str(tmp_path)) for name, value in environment.items()}
    given = program(argv.split(), script.replace("FOLDER", str(tmp_path)), here, typed_in=tmp_path)
    assert typed == given


def test_listing_runs_nothing(command: Command) -> None:
    """What only lists tests asks for a stage, and carries none out."""
    assert (frozenset({"generate"}), frozenset()) == (command.stages, replace(command, only_lists=True).runs)


def test_plan_is_read_once(command: Command) -> None:
    """Whoever asks for the plan gets the same one."""
    read: list[Path] = []
    typed = replace(command, read=read.append)  # type: ignore[arg-type]
    _ = typed.plan, typed.plan
    assert [command.suite / DEFAULT_PLAN] == read
