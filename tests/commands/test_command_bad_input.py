"""Whatever is wrong is said in one clear message, with the way out, and nothing on the disk has changed."""

import copy
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from plugins.comfyui.workflow import BUILT_IN
from plugins.loras.locking import lock_folder
from stand_in.faults import Faults
from stand_in.serving import serve
from tests.commands.looking import Result, counts, snapshot, together, told
from tests.small_plan import ROOT, Posing, Suite

pytestmark = pytest.mark.slow

Prepare = Callable[[Path, ExitStack], Mapping[str, str] | None]
"""Plants a mistake in a plan's folder; gives words for the command and for what is expected of it."""
OLD = b"the report of an earlier run"
LORAS = "ComfyUI/models/loras"
COPIES = (f"{LORAS}/spyke_plasma_v1_final.safetensors", f"{LORAS}/spyke_plasma_v1_step600.safetensors")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One mistake: the command, what is planted before it, and what must be said."""

    command: str
    says: tuple[str, ...]
    prepare: Prepare = lambda _, __: None
    adds: tuple[str, ...] = ()
    """Files that the command may add before it is refused."""
    wrapper: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def in_plan(*edits: tuple[str, str], serving: bool = False, posing: bool = True) -> Prepare:
    """Edit the plan, and serve its folder where asked."""

    def prepare(folder: Path, stack: ExitStack) -> Mapping[str, str]:
        path = folder / "plan.toml"
        text = path.read_text(encoding="utf-8")
        for old, new in edits:
            assert old in text
            text = text.replace(old, new.format(folder=folder))
        path.write_text(text, encoding="utf-8")
        if not serving:
            return {}
        faults = Posing() if posing else Faults()
        return {"url": stack.enter_context(serve(folder / "ComfyUI", faults=faults)).url}

    return prepare


def without_training_folder(folder: Path, stack: ExitStack) -> None:
    """Take the training folder away."""
    del stack
    shutil.rmtree(folder / "output")


def with_broken_training_files(folder: Path, stack: ExitStack) -> None:
    """Take one training file away, and cut the other short."""
    del stack
    spyke = folder / "output/loras/spyke"
    (spyke / "spyke_plasma_v1.safetensors").unlink()
    os.truncate(spyke / "spyke_plasma_v1-step00000600.safetensors", 900)


def with_the_wrong_step(folder: Path, stack: ExitStack) -> None:
    """Put the final checkpoint under the name of step 600."""
    del stack
    spyke = folder / "output/loras/spyke"
    shutil.copy(spyke / "spyke_plasma_v1.safetensors", spyke / "spyke_plasma_v1-step00000600.safetensors")


def with_unwritable_loras(folder: Path, stack: ExitStack) -> Mapping[str, str]:
    """Take the right to write into the loras folder."""
    (folder / LORAS).chmod(0o555)
    return {"url": stack.enter_context(serve(folder / "ComfyUI", faults=Posing())).url}


def with_another_folder_served(folder: Path, stack: ExitStack) -> Mapping[str, str]:
    """Serve another ComfyUI folder than the plan's."""
    shutil.copytree(folder / "ComfyUI", folder / "reports/other")
    return {"url": stack.enter_context(serve(folder / "reports/other", faults=Posing())).url}


def with_ui_workflow(folder: Path, stack: ExitStack) -> Mapping[str, str]:
    """Name a workflow in the UI's own format."""
    (folder / "mine.json").write_text(json.dumps({"nodes": [], "links": [], "last_node_id": 1}), encoding="utf-8")
    edit = ('url = "http', "workflow = '{folder}/mine.json'\nurl = \"http")
    return in_plan(edit, serving=True)(folder, stack) or {}


def with_a_run_in_progress(folder: Path, stack: ExitStack) -> Mapping[str, str]:
    """Hold the reports folder, as another run does."""
    stack.enter_context(lock_folder(folder / "reports"))
    return {"url": stack.enter_context(serve(folder / "ComfyUI", faults=Posing())).url}


def without_dask(folder: Path, stack: ExitStack) -> None:
    """Hide Dask, as where it is not installed."""
    del stack
    (folder / "absent").mkdir()
    (folder / "absent/distributed.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'distributed'\", name='distributed')\n", encoding="utf-8"
    )


def with_a_starting_stand_in(folder: Path, stack: ExitStack) -> Mapping[str, str]:
    """Have the plan start a stand-in that says what it is, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from stand_in.__main__ import main
folder = {str(folder)!r}
main(["--port", "{port}", "--workspace", folder + "/reports/workspace"])
"""
    (folder / "ComfyUI/main.py").write_text(program, encoding="utf-8")
    start = f"start = ['{sys.executable}', 'main.py']"
    in_plan(('url = "http://127.0.0.1:9"', f'url = "http://127.0.0.1:{port}"\n{start}'))(folder, stack)
    return {"port": str(port)}


AS_A_PERSON = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
"""Root may write everywhere; this takes that right from a command."""
CANDIDATES = (
    "--selected-step=600 spyke_plasma_v1-step00000600.safetensors",
    "--selected-step=final spyke_plasma_v1.safetensors",
    "Nothing was deployed.",
)
CASES = {
    "unknown_step": Case(
        command="-m deploy --selected-step=700", says=("Spyke LoRA, small has no checkpoint '700'.", *CANDIDATES)
    ),
    "no_step": Case(command="-m deploy", says=("Which checkpoint is to be deployed?", *CANDIDATES)),
    "plan_not_found": Case(
        command="-m generate --plan={folder}/none.toml",
        says=("No plan at {folder}/none.toml. There are: {folder}/plan.toml. --new-plan=FOLDER writes",),
    ),
    "plan_not_toml": Case(
        command="-m generate",
        prepare=in_plan(("[sampling]", "[sampling")),
        says=("The plan {folder}/plan.toml is not TOML:", "line 15", "plans/spyke.toml shows the format."),
    ),
    "plan_mistakes": Case(
        command="-m verify",
        prepare=in_plan(
            ('name = "spyke_plasma_v1"', 'name = "../spyke"'),
            ("steps = 2", 'steps = "2"\nsmapler = 1'),
            ('id = "novel_pose"', 'id = "Forest"'),
            ('step = 920\nlabel = "final"', "step = 600"),
        ),
        says=(
            "The plan {folder}/plan.toml has 5 mistakes:",
            "name: '../spyke' cannot be part of a file name everywhere",
            "sampling.steps: must be a whole number, without quotes, not '2'",
            "sampling.smapler: unknown key; did you mean 'sampler'?",
            "prompt[1].id: 'Forest' is already prompt[0]'s; each needs its own",
            "checkpoint[1].step: 600 is already checkpoint[0]'s; each needs its own",
        ),
    ),
    "training_folder_missing": Case(
        command="-m generate",
        prepare=without_training_folder,
        says=(
            "The training output folder {folder}/output/loras/spyke is not there.",
            "Correct `project` or `checkpoints` under [paths] in the plan, or try --demo.",
        ),
    ),
    "training_files_missing_and_cut": Case(
        command="-m generate",
        prepare=with_broken_training_files,
        says=(
            "2 of the plan's 2 checkpoints cannot be staged:",
            "{folder}/output/loras/spyke/spyke_plasma_v1.safetensors is missing (checkpoint final)",
            "spyke_plasma_v1-step00000600.safetensors is not a complete safetensors file (",
            "Nothing was copied.",
        ),
    ),
    "training_step_contradicts": Case(
        command="-m generate",
        prepare=with_the_wrong_step,
        says=(
            "spyke_plasma_v1-step00000600.safetensors says that it was saved at step 920 (ss_steps), but the plan",
            "calls it step 600, and its name says step 600. Correct the plan's [[checkpoint]], or the file.",
        ),
    ),
    "loras_unwritable": Case(
        command="-m generate --comfyui-url={url}",
        prepare=with_unwritable_loras,
        wrapper=AS_A_PERSON if hasattr(os, "geteuid") and os.geteuid() == 0 else (),
        says=(
            "The checkpoints cannot be staged in {folder}/ComfyUI/models/loras: Permission denied",
            "Make the folder",
        ),
    ),
    "comfyui_unreachable": Case(
        command="-m generate",
        says=(
            "No ComfyUI answers at http://127.0.0.1:9 ([Errno 111] Connection refused).",
            "Start one (python main.py in {folder}/ComfyUI), name another with --comfyui-url, or try --demo.",
        ),
    ),
    "comfyui_dies": Case(
        command="-m generate",
        prepare=in_plan(('url = "http', "start = ['sh', '-c', 'echo no GPU; exit 3']\nurl = \"http")),
        adds=("reports/comfyui.log",),
        says=(
            "No ComfyUI answers at http://127.0.0.1:9; starting it in {folder}/ComfyUI",
            "but it ended at once (exit code 3). The last lines of its log, {folder}/reports/comfyui.log: | no GPU",
        ),
    ),
    "base_model_not_listed": Case(
        command="-m generate --comfyui-url={url}",
        prepare=in_plan(("AnythingXL_inkBase", "AnythingXL_inkBsae"), serving=True),
        says=(
            "The base model 'AnythingXL_inkBsae' is not in the list of {url}.",
            "Nearest are: AnythingXL_inkBase.safetensors.",
        ),
    ),
    "lora_not_listed": Case(
        command="-m generate --comfyui-url={url}",
        prepare=with_another_folder_served,
        adds=COPIES,
        says=(
            "spyke_plasma_v1_step600.safetensors lies in {folder}/ComfyUI/models/loras, but is not in the LoRA list of",
            "{url}. That server reads another folder: name its ComfyUI folder with --comfyui-dir",
            "What was copied there stays; remove it if that is the wrong folder: spyke_plasma_v1_step600.safetensors,",
            "spyke_plasma_v1_final.safetensors in {folder}/ComfyUI/models/loras",
        ),
    ),
    "workflow_in_ui_format": Case(
        command="-m generate --comfyui-url={url}",
        prepare=with_ui_workflow,
        says=("The workflow {folder}/mine.json is saved in the UI's own format. In ComfyUI, choose Workflow > Export",),
    ),
    "stand_in_without_demo": Case(
        command="-m generate --comfyui-url={url}",
        prepare=in_plan(serving=True, posing=False),
        says=(
            "{url} is a stand-in: its pictures are SIMULATED",
            "leave out --comfyui-url and add --demo, which brings its own.",
        ),
    ),
    "demo_with_a_server": Case(
        command="-m generate --demo --comfyui-url=http://127.0.0.1:9",
        adds=("reports/demo/",),
        says=("--demo brings its own ComfyUI. Leave out --comfyui-url and --comfyui-dir, or --demo.",),
    ),
    "several_processes": Case(
        command="-n 2 -m generate --comfyui-url={url}",
        prepare=in_plan(serving=True),
        says=(
            "-n cannot be used with -m generate, deploy or verify:",
            "Name more servers instead: --comfyui-url=URL --comfyui-url=URL,",
            "or those of many machines: --cluster=ADDRESS",
        ),
    ),
    "cluster_without_dask": Case(
        command="-m generate --cluster=tcp://127.0.0.1:9",
        prepare=without_dask,
        environment={"PYTHONPATH": "{folder}/absent", "PYTHONDONTWRITEBYTECODE": "1"},
        says=("--cluster needs Dask, and distributed is not installed. Install it: uv sync --group cluster",),
    ),
    "cluster_that_does_not_answer": Case(
        command="-m generate --cluster=tcp://127.0.0.1:9",
        says=("No Dask scheduler answers at tcp://127.0.0.1:9", "Start one (uv run python -m dask scheduler)"),
    ),
    "cluster_at_no_address": Case(
        command="-m generate --cluster=yes",
        says=("'yes' is not the address of a Dask scheduler; write it like tcp://10.0.0.5:8786",),
    ),
    "cluster_of_no_name": Case(
        command="-m generate --cluster=",
        says=("'' is not the address of a Dask scheduler; write it like tcp://10.0.0.5:8786",),
    ),
    "cluster_to_deploy": Case(
        command="-m deploy --selected-step=600 --cluster=tcp://127.0.0.1:9",
        says=("--cluster is only for -m generate:", "Leave out --cluster."),
    ),
    "cluster_in_a_demo": Case(
        command="-m generate --demo --cluster=tcp://127.0.0.1:9",
        adds=("reports/demo/",),
        says=("--demo brings its own ComfyUI. Leave out --cluster, or --demo.",),
    ),
    "cluster_and_servers": Case(
        command="-m generate --cluster=tcp://127.0.0.1:9 --comfyui-url=http://a:1 --comfyui-url=http://b:1",
        says=("With --cluster every worker drives the one ComfyUI beside it. Leave out --comfyui-url,",),
    ),
    "two_stages": Case(
        command="-m generate|or|deploy --selected-step=600",
        says=("generate and deploy are two commands: a person looks at the pictures in between.",),
    ),
    "publish_without_a_table": Case(
        command="-m publish",
        says=("has no [publish], so nothing is published. docs/publish.md describes that table.",),
    ),
    "publish_beside_a_deployment": Case(
        command="-m publish|or|deploy --selected-step=600",
        says=("publish is a separate command, after a deployment: pytest -m publish",),
    ),
    "step_without_deployment": Case(
        command="-m generate --selected-step=600",
        says=("--selected-step is for a deployment: pytest -m deploy --selected-step=STEP",),
    ),
    "nothing_generated": Case(
        command="-m deploy --selected-step=600",
        says=(
            "step600 cannot be deployed: 4 of 4 pictures are missing or did not pass.",
            "step600 x forest: it was not rendered",
            "final x novel_pose: it was not rendered",
            "Nothing was deployed. Render what is missing, and look at the report again: pytest -m generate --plan=",
        ),
    ),
    "another_run": Case(
        command="-m generate --comfyui-url={url}",
        prepare=with_a_run_in_progress,
        says=("Another run is using {folder}/reports (", "). Wait for it to end, then run this again."),
    ),
    "started_and_refused": Case(
        command="-m generate",
        prepare=with_a_starting_stand_in,
        adds=("reports/comfyui.log", "reports/workspace"),
        says=("No ComfyUI answers at http://127.0.0.1:{port}; starting it in {folder}/ComfyUI", "is a stand-in:"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What came of a case: the command's result, the disk before and after, and the case's words."""

    result: Result
    before: dict[str, bytes]
    after: dict[str, bytes]
    words: Mapping[str, str]


@pytest.fixture(scope="module")
def refusals(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Refusal]]:
    """Run every case in a folder of its own, with an old report in it."""
    top = tmp_path_factory.mktemp("bad")
    with ExitStack() as stack:
        yield together({name: partial(refuse, top / name, made_plan, case, stack) for name, case in CASES.items()})


def refuse(folder: Path, made_plan: Path, case: Case, stack: ExitStack) -> Refusal:
    """Plant a case's mistake and run its command."""
    shutil.copytree(made_plan, folder)
    (folder / "reports").mkdir()
    (folder / "reports/report.html").write_bytes(OLD)
    words = {"folder": str(folder), **(case.prepare(folder, stack) or {})}
    environment = {name: value.format(**words) for name, value in case.environment.items()}
    suite = Suite(plan_file=folder / "plan.toml", wrapper=case.wrapper, environment=environment)
    before = look(folder)
    result = suite.run(*(word.format(**words).replace("|", " ") for word in case.command.split()))
    return Refusal(result=result, before=before, after=look(folder), words=words)


def look(folder: Path) -> dict[str, bytes]:
    """Read the plan's folder, but for what Python keeps of a plugin."""
    return snapshot(folder, without=("__pycache__",))


@pytest.mark.parametrize("name", CASES)
def test_mistake_is_told_and_changes_nothing(refusals: dict[str, Refusal], name: str) -> None:
    """The command exits with 4, says what, where and what to do instead, and leaves folder and old report alone."""
    case, refusal = CASES[name], refusals[name]
    if case.wrapper and not shutil.which(case.wrapper[0]):
        pytest.skip(f"root may write everywhere, and {case.wrapper[0]} is not there to change that")
    assert 4 == refusal.result.returncode, refusal.result
    for words in case.says:
        assert " ".join(words.format(**refusal.words).split()) in told(refusal.result)
    assert "Traceback" not in told(refusal.result)
    assert {} == counts(refusal.result)
    after = {file: data for file, data in refusal.after.items() if not file.startswith(case.adds or ("?",))}
    assert refusal.before == after
    assert OLD == refusal.after["reports/report.html"]


def test_a_server_that_we_started_is_stopped_after_a_refusal(refusals: dict[str, Refusal]) -> None:
    """A run that is refused after it started a server does not leave that server behind."""
    port = int(refusals["started_and_refused"].words["port"])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def test_workflow_that_the_server_refuses_is_told_in_words(
    plan_file: Path, run_suite: Callable[..., Result], tmp_path: Path
) -> None:
    """A workflow that the server would not take is told before anything is staged, with node and input."""
    graph = copy.deepcopy(BUILT_IN)
    graph["2"]["inputs"]["lora_name"] = "spyke_plasma_v1.safetensors"
    graph["7"]["inputs"]["denoise"] = 7.0
    (tmp_path / "own.json").write_text(json.dumps(graph), encoding="utf-8")
    text = plan_file.read_text(encoding="utf-8").replace("[comfyui]", '[comfyui]\nworkflow = "own.json"')
    plan_file.write_text(text, encoding="utf-8")
    with serve(tmp_path / "ComfyUI", faults=Posing()) as serving:
        result = run_suite("-m", "generate", f"--comfyui-url={serving.url}")
        assert [] == list(serving.server.folders.root.glob("output/*"))
    assert pytest.ExitCode.USAGE_ERROR == result.returncode
    assert f"own.json does not run on {serving.url}" in told(result)
    assert "Node 7 'KSampler': denoise is 7.0, and at most 1 is taken." in told(result)
    assert [] == list((tmp_path / "ComfyUI/models/loras").glob("*.safetensors"))
    assert [] == list((tmp_path / "reports/pictures").rglob("*.*"))
