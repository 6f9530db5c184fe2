"""The tools around the contract: the small base model, the recorder, the table of agreement."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stand_in.weights import read_header, read_lora
from tests.contract import base_model, declarations, recorder
from tests.contract.agreement import Agreement, scenario_of
from tests.contract.base_model import write_lora
from tests.contract.replay import RECORDINGS, TODAY
from tests.contract.servers import REAL, STAND_IN, stand_in, why_not_real
from tests.contract.tiny_shapes import base_shapes, lora_shapes
from tests.contract.trimming import trimmed


def test_base_model_is_small() -> None:
    """The base model has the 728 tensors that ComfyUI takes for SD 1.5, in 502 MB; a LoRA 216 in 1.5 MB."""
    sizes = [2 * sum(math.prod(shape) for shape in shapes.values()) for shapes in (base_shapes(), lora_shapes())]
    assert [728, 216] == [len(base_shapes()), len(lora_shapes())]
    assert [502, 1] == [size // 1_000_000 for size in sizes]
    assert (320, 4, 3, 3) == base_shapes()["model.diffusion_model.input_blocks.0.0.weight"]


def test_base_model_keeps_what_goes_through_it_in_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Norm weights are 1, biases 0, and matrices as wide as their inputs are many."""
    few = {"a.norm.weight": (8,), "a.bias": (8,), "b.weight": (64, 400), "c.weight": (32, 16, 3, 3)}
    monkeypatch.setattr(base_model, "base_shapes", lambda: few)
    (tmp_path / "models").mkdir()
    assert 0 == base_model.main([str(tmp_path)])
    tensors = load_file(tmp_path / "models/checkpoints/tiny_sd15.safetensors")
    assert few == {name: tensor.shape for name, tensor in tensors.items()}
    assert {np.dtype("float16")} == {tensor.dtype for tensor in tensors.values()}
    assert (1.0, 0.0) == (float(tensors["a.norm.weight"].mean()), float(np.abs(tensors["a.bias"]).max()))
    assert 1 / 20 == pytest.approx(float(tensors["b.weight"].astype("f4").std()), rel=0.05)
    assert 1 / 12 == pytest.approx(float(tensors["c.weight"].astype("f4").std()), rel=0.05)


def test_lora_is_made_by_its_seed(tmp_path: Path) -> None:
    """The same seed gives the same bytes, another one others; the header tells a trainer's notes."""
    for name, seed in (("a", 1), ("again", 1), ("b", 2)):
        write_lora(tmp_path / name, seed=seed, step=200)
    first, again, other = ((tmp_path / name).read_bytes() for name in ("a", "again", "b"))
    assert first == again != other
    lora = read_lora(tmp_path / "a")
    assert ("contract", 200 / 920, True, True) == (lora.trigger, lora.fraction, lora.fits_model, lora.fits_clip)
    tensors = load_file(tmp_path / "a")
    assert {8.0} == {float(tensor) for name, tensor in tensors.items() if name.endswith(".alpha")}


def test_lora_that_fits_nothing(tmp_path: Path) -> None:
    """A prefix before its keys makes a LoRA match no layer."""
    write_lora(tmp_path / "n", seed=1, prefix="nomatch_")
    lora = read_lora(tmp_path / "n")
    assert (False, False) == (lora.fits_model, lora.fits_clip)


def test_loras_of_several_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A LoRA's training step is the one that is given, else the number at its name's end, else 600."""
    monkeypatch.setattr(base_model, "base_shapes", lambda: {"w": (4,)})
    (tmp_path / "models").mkdir()
    names = ("a", "b", "kira-400", "kira-step00000800")
    assert 0 == base_model.main([str(tmp_path), "--lora", "a=200", *(f"--lora={name}" for name in names[1:])])
    headers = [read_header(tmp_path / f"models/loras/{name}.safetensors")["__metadata__"] for name in names]
    assert ["200", "600", "400", "800"] == [header["ss_steps"] for header in headers]


def test_declarations_are_of_this_version(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a server's node classes declare is taken over a class a line, without words, and without names of files."""
    with stand_in(tmp_path / "ComfyUI", made) as server:
        assert 0 == declarations.main([server.url])
    kept = Path(declarations.__file__).parents[2] / "stand_in/declarations/0.33.0.json"
    assert kept.read_text(encoding="utf-8") == capsys.readouterr().out


def test_base_model_wants_a_comfyui_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without models is not written into, and told."""
    assert 1 == base_model.main([str(tmp_path)])
    assert f"{tmp_path} is no ComfyUI folder: it has no models/.\n" == capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_recorder(tmp_path: Path, made: Path) -> None:
    """The recorder writes every recording in the form of those that are here, trimmed, and leaves no LoRA behind."""
    with stand_in(tmp_path / "ComfyUI", made) as server:
        arguments = ["--url", server.url, "--dir", str(server.folder), "--base", server.base]
        assert 0 == recorder.main([*arguments, "--out", str(tmp_path / "out")])
        assert [] == list((server.folder / "models/loras").iterdir())
    written = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "out").iterdir()}
    assert {path.name for path in (RECORDINGS / TODAY).glob("*.json")} == written.keys()
    for name, told in written.items():
        assert str(tmp_path) not in json.dumps(told)
        assert json.loads((RECORDINGS / TODAY / name).read_text(encoding="utf-8")).keys() == told.keys()


def test_trimming() -> None:
    """Tooltips, descriptions, tracebacks, tensors and where things lie are left out; the rest stays."""
    told = {
        "traceback": ["File /home/ada/ComfyUI/x.py"],
        "description": "words",
        "seed": ["INT", {"min": 0, "tooltip": "words"}],
        "current_inputs": {"images": ["tensor([[1.0,\n 2.0]])"]},
        "message": "in /home/ada/ComfyUI/output",
        "output_tooltips": ["words", "words"],
    }
    assert {
        "traceback": ["<trimmed>"],
        "seed": ["INT", {"min": 0}],
        "current_inputs": {"images": ["tensor(...)"]},
        "message": "in /srv/ComfyUI/output",
        "output_tooltips": ["<trimmed>"] * 2,
    } == trimmed(told, ("/home/ada/ComfyUI",))


def test_table_of_agreement() -> None:
    """The table tells where both servers agree, and where one differs or was left out."""
    agreement = Agreement()
    for name, outcomes in {"a": ("passed", "passed"), "b": ("passed", "failed"), "c": ("passed", "skipped")}.items():
        for server, outcome in zip((STAND_IN, REAL), outcomes, strict=True):
            agreement.note(name, server, outcome)
    agreement.note("b", REAL, "passed")
    assert [
        "scenario  stand-in  real",
        "a         agrees    agrees",
        "b         agrees    DIFFERS",
        "c         agrees    left out",
        "1 of 3 scenarios agree on stand-in and real",
    ] == [line.rstrip() for line in agreement.lines((STAND_IN, REAL))]


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("test_success[stand-in]", "runs: success"),
        ("test_no_workflow[stand-in-null]", "runs: no workflow [null]"),
        ("test_not_in_list[number as scheduler-stand-in]", "runs: not in list [number as scheduler]"),
    ],
)
def test_scenarios_are_named_as_people_read(name: str, scenario: str) -> None:
    """A scenario's name is its test's, without the server."""
    assert scenario == scenario_of("test_contract_runs", name, STAND_IN)


def test_without_a_real_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing for a real server is named."""
    monkeypatch.setenv("COMFYUI_URL", "http://127.0.0.1:8188")
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    assert "no real ComfyUI: set COMFYUI_DIR (see CONTRIBUTING.md)" == why_not_real()
