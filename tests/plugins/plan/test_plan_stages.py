"""Which stages a command line asks for."""

from pathlib import Path

import pytest

from plugins.plan.stages import mistyped, stages_of

ACCEPTANCE = Path("suite/tests/acceptance").absolute()


@pytest.mark.parametrize(
    ("expression", "arguments", "expected"),
    [
        pytest.param("generate", (), {"generate"}, id="generate"),
        pytest.param("deploy", (), {"deploy"}, id="deploy"),
        pytest.param("deploy or verify", (), {"deploy", "verify"}, id="two"),
        pytest.param("(generate)", (), {"generate"}, id="in-brackets"),
        pytest.param("generate and not slow", (), {"generate"}, id="with-another-marker"),
        pytest.param("not generate", (), set(), id="not-generate"),
        pytest.param("not  deploy and verify", (), {"verify"}, id="one-negated"),
        pytest.param("browser", (), set(), id="another-marker"),
        pytest.param("generated", (), set(), id="longer-word"),
        pytest.param("browser", (f"{ACCEPTANCE}/test_verify.py",), set(), id="another-marker-on-a-stage"),
        pytest.param("", (), set(), id="nothing"),
        pytest.param("", ("suite/tests",), set(), id="the-tests-folder"),
        pytest.param("", ("suite/tests/acceptance",), {"generate", "verify"}, id="the-folder-never-deploys"),
        pytest.param("", ("suite/tests/acceptance/test_verify.py",), {"verify"}, id="a-file"),
        pytest.param(
            "",
            ("suite/tests/acceptance/test_generate.py::test_checkpoint_renders_prompt[step600-forest]",),
            {"generate"},
            id="a-node",
        ),
        pytest.param("", (f"{ACCEPTANCE}/test_deploy.py",), {"deploy"}, id="an-absolute-path"),
        pytest.param("", ("suite/tests/plugins/test_deploy.py",), set(), id="a-file-of-that-name-elsewhere"),
        pytest.param("", ("suite/tests/acceptance/test_other.py",), set(), id="another-file-there"),
    ],
)
def test_stages_are_read_off_the_command_line(expression: str, arguments: tuple[str, ...], expected: set[str]) -> None:
    """A stage is asked for by its marker or its file; a deployment never by accident."""
    assert stages_of(expression, arguments, ACCEPTANCE) == expected


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("generat", "generate"),
        ("deply", "deploy"),
        ("deployment", "deploy"),
        ("not (verfy)", "not (verify)"),
        ("generate or deploy", ""),
        ("slow", ""),
        ("verified", ""),
        ("foo", ""),
    ],
)
def test_a_mistyped_stage_is_named(typed: str, meant: str) -> None:
    """A word that is nearly a stage, and is no marker of anybody else's, is taken for a mistyped one."""
    assert meant == mistyped(typed, known=["slow", "verified"])
