"""`pytest -m generate` before a server that dies: every picture that is missing fails, and the reason is said once."""

from pathlib import Path

import pytest

from stand_in.faults import WorkerDied
from stand_in.serving import serve
from tests.commands.looking import counts, told
from tests.small_plan import Posing, Suite

pytestmark = pytest.mark.slow

RENDERED = 2
"""The first baseline, twice."""


class Dying(Posing):
    """Renders the first baseline, and then takes prompts that it never runs."""

    def __init__(self) -> None:
        self._sampled = 0

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Die over the next picture."""
        del prompt_id, node_id
        self._sampled += class_type == "KSampler"
        if self._sampled > RENDERED:
            raise WorkerDied


def test_reason_of_a_dead_server_is_said_once(plan_file: Path) -> None:
    """Five of six pictures are missing for one reason: five tests fail, four of them in a line."""
    url = 'url = "http://127.0.0.1:9"'
    plan_file.write_text(plan_file.read_text("utf-8").replace(url, f"{url}\ntimeout = 1"), "utf-8")
    with serve(plan_file.parent / "ComfyUI", faults=Dying()) as serving:
        result = Suite(plan_file=plan_file).run("-m", "generate", f"--comfyui-url={serving.url}")

    said, _, _ = told(result).partition("short test summary info")  # pytest's own, which repeats each reason
    assert counts(result) == {"failed": 5, "passed": 1}
    assert said.count("gave no sign of life") == 1
    assert said.count("gave no picture, for the same reason as baseline x novel_pose.") == 4
