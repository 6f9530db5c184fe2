"""The stand-in in a process of its own."""

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from plugins.demo.process import StandIn, StandInError
from plugins.demo.training import training_run
from plugins.plan.reading import read_plan
from stand_in.__main__ import main
from stand_in.training import TrainingRun
from tests.stand_in.raw_client import Client, graph

ROOT = Path(__file__).parents[3]
SPYKE = ROOT / "plans" / "spyke.toml"


def test_starts_answers_and_stops(tmp_path: Path) -> None:
    """It answers once started, draws a picture, and is gone after stop."""
    with StandIn.start(tmp_path, run=training_run(read_plan(SPYKE)), seconds_per_image=0.0) as stand_in:
        loras = tmp_path / "ComfyUI/models/loras"
        checkpoint = tmp_path / "output/loras/spyke/spyke_plasma_v1-step00000600.safetensors"
        checkpoint.rename(loras / "step600.safetensors")
        with Client(stand_in.url) as client:
            assert "success" == client.run(graph("step600.safetensors")).history["status"]["status_str"]
    with pytest.raises(requests.ConnectionError):
        requests.get(stand_in.url, timeout=60)
    stand_in.stop()


@pytest.mark.slow
def test_dies_with_its_parent(tmp_path: Path) -> None:
    """When the process that started it is killed, it ends too."""
    script = (
        "import os; from pathlib import Path; from plugins.demo.process import StandIn, TrainingRun;"
        f"stand_in = StandIn.start(Path({str(tmp_path)!r}), run=TrainingRun());"
        "print(stand_in.url, flush=True); os._exit(1)"
    )
    url = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            requests.get(url.strip(), timeout=2)
        except requests.ConnectionError:
            return
        time.sleep(0.05)
    pytest.fail("it still answers")


def test_says_why_it_did_not_start(tmp_path: Path) -> None:
    """A workspace that cannot be made is reported with the child's last words."""
    (tmp_path / "output").write_bytes(b"a file where a folder should be")
    with pytest.raises(StandInError, match=r"(?s)ended before it answered.*output"):
        StandIn.start(tmp_path, run=TrainingRun())


def test_a_bad_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that describes no training run ends the stand-in with the file's name and the reason."""
    path = tmp_path / "run.json"
    path.write_text("[]", encoding="utf-8")
    assert 1 == main(["--workspace", str(tmp_path), "--run", str(path)])
    assert capsys.readouterr().err.startswith(f"{path} describes no training run: ")


def test_a_workflow_is_handed_over(tmp_path: Path) -> None:
    """The graph of a plan's own workflow is handed over, from an export or from a picture; what is none is left out."""
    text = json.dumps(graph())
    (tmp_path / "mine.json").write_text(text, encoding="utf-8-sig")
    chunks = PngInfo()
    chunks.add_text("prompt", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "mine.png", pnginfo=chunks)
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    plan = read_plan(SPYKE)
    comfyui = {file.name: plan.comfyui.model_copy(update={"workflow": file}) for file in tmp_path.iterdir()}
    found = {name: training_run(plan.model_copy(update={"comfyui": one})).workflow for name, one in comfyui.items()}
    assert {"mine.json": graph(), "mine.png": graph(), "bare.png": None} == found


def test_by_hand_it_is_the_shipped_plan() -> None:
    """What the stand-in makes when started by hand is what the shipped plan tests."""
    assert TrainingRun() == replace(training_run(read_plan(SPYKE)), left_out=())


def test_says_that_it_took_too_long(tmp_path: Path) -> None:
    """A child that does not answer in time is ended, and told."""
    with pytest.raises(StandInError, match=r"did not answer within 0\.01 s"):
        StandIn.start(tmp_path, run=TrainingRun(), timeout=0.01)


def test_taken_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A port that is taken is told, in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert 1 == main(["--workspace", str(tmp_path), "--port", str(port)])
    assert capsys.readouterr().err.startswith(f"Port {port} cannot be used: ")


def test_importing_it_is_cheap() -> None:
    """The module that starts it loads neither aiohttp nor Pillow."""
    script = "import plugins.demo.process, sys; print({'aiohttp', 'PIL', 'pydantic'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "set()" == result.stdout.strip()
