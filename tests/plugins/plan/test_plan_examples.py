"""The plans that are shipped as examples, one for each kind of model."""

from pathlib import Path

import pytest

from plugins.plan.reading import read_plan
from tests.commands.looking import counts, told
from tests.small_plan import ROOT, Suite

EXAMPLES = sorted((ROOT / "plans" / "examples").glob("*.toml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_a_plan(example: Path) -> None:
    """Each example is read without a mistake, and its workflow lies beside it."""
    plan = read_plan(example)
    assert plan.workflow is None or plan.workflow.is_file()


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_renders_in_the_demo(example: Path, tmp_path: Path) -> None:
    """`--demo` renders every example, and warns of nothing."""
    result = Suite(plan_file=example).run("-m", "generate", "--demo", f"--reports={tmp_path}")
    plan = read_plan(example)
    pictures = (len(plan.checkpoints) + 1) * len(plan.prompts) * len(plan.sampling.seeds)
    assert (0, {"passed": pictures}) == (result.returncode, counts(result)), told(result)
    assert "warning:" not in told(result)
