"""The small plan before a stand-in that may lie, rendered and deployed in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from plugins.comfyui.timing import Timing
from plugins.plan.plan import Plan
from plugins.render import rendering
from stand_in.serving import serve
from stand_in.versions import TODAY, Version
from tests.plugins.deploy.conftest import judged, made_judged
from tests.small_plan import made_plan, plan, plan_file
from tests.verdicts.faked_run import FakedRun, FakingServer, without_training_images

__all__ = ["judged", "made_judged", "made_plan", "plan", "plan_file"]


@pytest.fixture
def scene(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakedRun]]:
    """Set up a run: `scene(FakingServer(...))`. It has no training images unless `plan` gives a plan that has.

    Pictures are rendered one by one, so that a lie about one of them falls on the same moment every time.
    """
    monkeypatch.setattr(rendering, "AHEAD", 1)
    timing = Timing(listed=0.0, poll=0.1, gone=0.3, fetch=0.3)
    bare = without_training_images(plan)
    with ExitStack() as stack:

        def start(
            faults: FakingServer | None = None,
            *,
            plan: Plan = bare,
            comfyui: Path | None = None,
            dialect: Version = TODAY,
        ) -> FakedRun:
            faults = faults or FakingServer()
            serving = stack.enter_context(serve(comfyui or plan.paths.comfyui, faults=faults, dialect=dialect))
            faults.server = serving.server
            return FakedRun(plan=plan, reports=tmp_path / "reports", serving=serving, timing=timing)

        yield start
