"""A run that is stopped takes back its own prompts, keeps what is finished, and writes the report; the next resumes."""

import shutil
import signal
import threading
import time
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from plugins.comfyui.client import ComfyUI
from stand_in.faults import NodeFailure
from stand_in.serving import Serving, serve
from tests.commands.looking import Result, cell_of, counts, together, told
from tests.small_plan import Posing, Suite, finish
from tests.waiting import until

pytestmark = pytest.mark.slow

RENDERED = 2
"""How many pictures are made before one takes for ever, so that a run can be stopped in the middle of it."""


class Stoppable(Posing):
    """A stand-in that renders some cells when it is let, hangs on the next, and fails on one cell, where asked."""

    def __init__(self, cell: str = "") -> None:
        self.cell = cell
        self.go = threading.Event()
        self.serving: Serving
        self._begun: list[str] = []

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Fail while that cell is sampled."""
        del node_id
        if class_type == "KSampler" and self.cell and self.cell == cell_of(self.serving, prompt_id):
            raise NodeFailure("RuntimeError", "mat1 and mat2 shapes cannot be multiplied")

    def before_step(self, prompt_id: str, node_id: str, step: int) -> None:
        """Wait, first until cells may be rendered, and then until this one is interrupted."""
        del node_id
        if not cell_of(self.serving, prompt_id):
            return
        self.go.wait(120)
        if step == 1:
            self._begun.append(prompt_id)
        if len(self._begun) > RENDERED:
            self.serving.server.executor._interrupted.wait(120)


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """What a stopped run left."""

    result: Result
    waited: float
    """Seconds from the signal to the end."""
    theirs: tuple[str, str]
    """How somebody else's prompts ended, of which one was queued before ours and one among ours."""
    ours_left: int
    """How many prompts of ours were still in the queue."""
    done: list[str]
    """The cells that had evidence."""
    folder: Path
    resumed: Result | None


def evidence(folder: Path) -> list[str]:
    """Name the cells that have evidence."""
    pictures = folder / "reports/pictures"
    return sorted(str(path.relative_to(pictures).with_suffix("")) for path in pictures.rglob("*.json"))


def stop(folder: Path, made_plan: Path, how: signal.Signals | str) -> Stopped:
    """Start a run, stop it once a picture is done and another in the making, and let it end."""
    shutil.copytree(made_plan, folder)
    suite = Suite(plan_file=folder / "plan.toml")
    faults = Stoppable("baseline-novel_pose" if how == "-x" else "")
    with serve(folder / "ComfyUI", faults=faults) as serving:
        faults.serving = serving
        before = theirs(serving)
        arguments = ["-m", "generate", f"--comfyui-url={serving.url}", *(["-x"] if how == "-x" else [])]
        with suite.start(*arguments) as process:
            until(lambda: in_queue(serving))
            among = theirs(serving)
            faults.go.set()
            if how != "-x":
                until(lambda: len(evidence(folder)) >= 1 and in_queue(serving))
                process.send_signal(how)  # type: ignore[arg-type]
            begun = time.monotonic()
            result = finish(process)
        waited = time.monotonic() - begun
        left = len(in_queue(serving))
        until(lambda: serving.server.queue.remaining() == 0)
        ended = [serving.server.queue.history_of(one).get(one) for one in (before, among)]
        outcomes = [one["status"]["status_str"] if one else "gone" for one in ended]
    done, resumed = evidence(folder), None
    if how == signal.SIGINT:
        with serve(folder / "ComfyUI", faults=Posing()) as serving:
            resumed = suite.run("-m", "generate", f"--comfyui-url={serving.url}")
    return Stopped(
        result=result,
        waited=waited,
        theirs=(outcomes[0], outcomes[1]),
        ours_left=left,
        done=done,
        folder=folder,
        resumed=resumed,
    )


def theirs(serving: Serving) -> str:
    """Put somebody else's prompt in the queue."""
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "theirs"}},
    }
    client, prompt_id = ComfyUI(serving.url), str(uuid.uuid4())
    client.post(graph, client_id="somebody", prompt_id=prompt_id)
    client.close()
    return prompt_id


def in_queue(serving: Serving) -> list[str]:
    """Name the cells of ours that run or wait."""
    running, pending = serving.server.queue.current()
    return [cell for item in (*running, *pending) if (cell := cell_of(serving, item[1]))]


WAYS: dict[str, signal.Signals | str] = {"ctrl_c": signal.SIGINT, "sigterm": signal.SIGTERM, "x": "-x"}


@pytest.fixture(scope="module")
def stopped(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stopped]:
    """Stop a run by Ctrl-C, by SIGTERM, and by its first failure."""
    top = tmp_path_factory.mktemp("stop")
    return together({name: partial(stop, top / name, made_plan, how) for name, how in WAYS.items()})


@pytest.mark.parametrize("name", WAYS)
def test_ours_are_withdrawn_and_theirs_are_not(stopped: dict[str, Stopped], name: str) -> None:
    """Nothing of ours is left in the queue when the command has ended; somebody else's prompts ran to their end."""
    one = stopped[name]
    assert 0 == one.ours_left
    assert ("success", "success") == one.theirs


@pytest.mark.parametrize("name", ["ctrl_c", "sigterm"])
def test_a_signal_ends_the_run_soon_and_cleanly(stopped: dict[str, Stopped], name: str) -> None:
    """Ctrl-C and SIGTERM end the run as interrupted (exit code 2), without an error of our own."""
    one = stopped[name]
    assert 2 == one.result.returncode
    assert 30 > one.waited
    assert "KeyboardInterrupt" in told(one.result)
    assert "INTERNALERROR" not in told(one.result)
    assert "Exception ignored" not in told(one.result)


def test_the_first_failure_ends_the_run(stopped: dict[str, Stopped]) -> None:
    """`-x` ends the run after the cell that failed (exit code 1), with the reason."""
    one = stopped["x"]
    assert (1, {"passed": 1, "failed": 1}) == (one.result.returncode, counts(one.result))
    assert "baseline x novel_pose gave no picture." in told(one.result)


@pytest.mark.parametrize("name", WAYS)
def test_what_is_finished_is_kept_and_reported(stopped: dict[str, Stopped], name: str) -> None:
    """Every picture that was finished has its evidence, nothing is half written, and the report is there."""
    one = stopped[name]
    assert 1 <= len(one.done) < 6
    assert name != "x" or "baseline/novel_pose" not in one.done
    for cell in one.done:
        assert (one.folder / f"reports/pictures/{cell}.png").read_bytes().endswith(b"IEND\xaeB`\x82")
    assert (one.folder / "reports/report.html").stat().st_size > 10_000
    assert [] == [path for path in one.folder.rglob("*") if path.name.endswith((".part", ".tmp"))]


def test_the_next_run_resumes(stopped: dict[str, Stopped]) -> None:
    """After Ctrl-C the same command renders what is left, and reuses what was finished."""
    resumed = stopped["ctrl_c"].resumed
    assert resumed is not None
    assert (0, {"passed": 6}) == (resumed.returncode, counts(resumed))
    line = next(line for line in resumed.stdout.splitlines() if line.startswith("pictures: "))
    rendered, reused = int(line.split()[1]), int(line.split()[3])
    assert 6 == rendered + reused
    assert len(stopped["ctrl_c"].done) == reused
    assert 6 == len(evidence(stopped["ctrl_c"].folder))
