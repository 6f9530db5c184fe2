"""`-m generate --cluster` as a person runs it: on two machines, with its report, and stopped in the middle."""

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.commands.looking import Result, counts, told
from tests.machines import Machine, Machines
from tests.small_plan import PLAN, Suite, finish
from tests.waiting import until

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Runs:
    """What came of a run that was stopped, and of the next one, which went to its end."""

    machines: list[Machine]
    stopped: Result
    left: list[int]
    """How many prompts were waiting on each machine when the stopped command had ended."""
    whole: Result
    folder: Path


@pytest.fixture(scope="module")
def runs(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Stop a run by Ctrl-C, then run it to its end, from a machine without a ComfyUI folder."""
    folder = tmp_path_factory.mktemp("command") / "run"
    shutil.copytree(made_plan, folder)
    shutil.rmtree(folder / "ComfyUI")
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    suite = Suite(plan_file=folder / "plan.toml")
    with Machines.over(tmp_path_factory.mktemp("machines"), made_plan / "ComfyUI") as cluster:
        machines = cluster.start("anna", "bert")
        command = ("-m", "generate", f"--cluster={cluster.address}")
        for machine in machines:
            machine.switch.still = True
        with suite.start(*command) as process:
            until(lambda: any(machine.serving.server.queue.remaining() for machine in machines))
            process.send_signal(signal.SIGINT)
            stopped = finish(process)
        left = [len(machine.serving.server.queue.current()[1]) for machine in machines]
        for machine in machines:
            machine.switch.calm()
        whole = suite.run(*command)
        yield Runs(machines=machines, stopped=stopped, left=left, whole=whole, folder=folder)


def test_ctrl_c_withdraws_what_is_queued(runs: Runs) -> None:
    """Ctrl-C ends the run as interrupted, and leaves nothing of ours in any queue."""
    assert 2 == runs.stopped.returncode
    assert "INTERNALERROR" not in told(runs.stopped)
    assert "Traceback" not in told(runs.stopped)
    assert [0, 0] == runs.left


def test_the_matrix_is_rendered_and_reported(runs: Runs) -> None:
    """All cells pass, the header names both servers with their workers, and each evidence names one of them."""
    assert (0, {"passed": 6}) == (runs.whole.returncode, counts(runs.whole)), runs.whole
    for machine in runs.machines:
        assert f"ComfyUI 0.33.0 at {machine.serving.url} beside {machine.name} (cpu)" in told(runs.whole)
    evidence = [path.read_text(encoding="utf-8") for path in (runs.folder / "reports/pictures").rglob("*.json")]
    assert [1] * 6 == [sum(f'"worker": "{machine.name}"' in one for machine in runs.machines) for one in evidence]
    assert (runs.folder / "reports/report.html").stat().st_size > 10_000
    assert "is bit-stable: baseline-forest, rendered twice, gave the same pixels" in told(runs.whole)


def test_this_machine_needs_no_comfyui(runs: Runs) -> None:
    """The command makes no ComfyUI folder where it runs; the LoRA files lie beside the workers."""
    assert not (runs.folder / "ComfyUI").exists()
    assert {"spyke_plasma_v1_step600.safetensors", "spyke_plasma_v1_final.safetensors"} == {
        path.name for machine in runs.machines for path in machine.loras.glob("*.safetensors")
    }
