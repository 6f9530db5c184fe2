"""Each threshold of a verdict is pinned by a value just on each side of it, and by what must come before it."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.errors import Unreachable
from plugins.deploy.proof import ProofError, Prover
from plugins.deploy.rollback import ProductionRollback
from plugins.evidence.deployments import Proven
from plugins.generate.stability import Stability, StabilityCheck, read_stability, write_stability
from plugins.pictures.check import Outcome
from plugins.pictures.checks import check_lora_applied, check_no_training_copy, check_not_noise
from plugins.pictures.likeness import Nearest
from plugins.pictures.picture import Picture
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan

SERVER = ServerInfo(url="http://a:1", comfyui_version="0.33.0", device="cpu", simulated=False)


def picture(image: Image.Image) -> Picture:
    """Return a picture of which nothing but the pixels counts."""
    return Picture(image=image, sha256="a" * 64, workflow=None)


def alike(correlation: float) -> Image.Image:
    """Return noise in which a pixel resembles the one beside it by so much."""
    random = np.random.default_rng(1)
    values = random.normal(size=(256, 256))
    for x in range(1, 256):
        values[:, x] = correlation * values[:, x - 1] + np.sqrt(1 - correlation**2) * values[:, x]
    return Image.fromarray((128 + 30 * values).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("correlation", "outcome"), [(0.46, Outcome.FAILED), (0.54, Outcome.PASSED)], ids=["below", "above"]
)
def test_static_begins_where_neighbours_share_half(correlation: float, outcome: Outcome) -> None:
    """A picture is static below a correlation of 0.5 of neighbouring pixels."""
    assert outcome is check_not_noise(picture(alike(correlation))).outcome


@pytest.mark.parametrize(("effect", "outcome"), [(0.99, Outcome.WARNING), (1.0, Outcome.PASSED)], ids=["below", "at"])
def test_effect_is_seen_from_one_on(effect: float, outcome: Outcome) -> None:
    """A LoRA is warned of below a mean difference of 1 of 255."""
    assert outcome is check_lora_applied(identical=False, effect=effect, lora="a", header="").outcome


@pytest.mark.parametrize(("effect", "outcome"), [(3.99, Outcome.FAILED), (4.0, Outcome.PASSED)], ids=["below", "at"])
def test_effect_is_twice_the_noise(effect: float, outcome: Outcome) -> None:
    """An effect below twice the server's own noise is none that can be told from it."""
    assert outcome is check_lora_applied(identical=False, effect=effect, noise=2.0, lora="a", header="").outcome


@pytest.mark.parametrize(
    ("distance", "outcome"), [(0.149, Outcome.WARNING), (0.15, Outcome.PASSED)], ids=["below", "at"]
)
def test_copy_is_nearer_than_its_threshold(distance: float, outcome: Outcome) -> None:
    """A picture nearer than 0.15 to a training image looks like a copy."""
    nearest = Nearest(image=Path("a.png"), distance=distance, usual=None)
    assert outcome is check_no_training_copy(nearest).outcome


@pytest.mark.parametrize(("other", "is_proof"), [(1.99, False), (2.0, True)], ids=["below", "at"])
def test_proof_by_nearness_is_clear(other: float, *, is_proof: bool) -> None:
    """Production proves itself by nearness where every other candidate is at least twice as far away."""
    nothing: Any = None
    prover = Prover(expected=nothing, evidence={}, store=nothing, servers=(), stability=())
    proven = Proven(
        row="forest",
        server="http://a:1",
        picture="proof/forest.png",
        pixels_sha256="a" * 64,
        identical=False,
        distance=1.0,
        runner_up="final",
        runner_up_distance=other,
    )
    server: Any = SimpleNamespace(info=SERVER)

    assert is_proof == (prover._problem(proven, server) == "")


@pytest.mark.parametrize(("taken_out", "is_proof"), [(102, True), (101, False)], ids=["twice-as-far", "as-near"])
def test_rollback_by_nearness_is_clear(plan: Plan, tmp_path: Path, taken_out: int, *, is_proof: bool) -> None:
    """On a server that is not bit-stable, a rollback stands where the picture is far from what was taken out."""
    nothing: Any = SimpleNamespace(plan=plan)
    cell = matrix(plan)[0]
    there = tmp_path / "pictures" / "step600" / f"{cell.row}.png"
    there.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), (taken_out,) * 3).save(there)
    undoing = ProductionRollback(expected=nothing, servers=(), reports=tmp_path, meanwhile=lambda _: None)
    found, wanted = (Image.new("RGB", (8, 8), (value,) * 3) for value in (100, 101))
    pair = ({("http://a:1", cell): picture(found)}, {("http://a:1", cell): picture(wanted)})

    if is_proof:
        assert "1.00 of 255 away from what a copy of this file rendered" in undoing._compare(*pair, "step600")[cell.row]
    else:
        with pytest.raises(ProofError, match="is not what was put back"):
            undoing._compare(*pair, "step600")


@dataclass(frozen=True)
class Twice:
    """Renders what it is told to, and notes it."""

    calls: list[str] = field(default_factory=list)
    tag: str = "run"

    def render(self, cell: object, server: object, **_: object) -> Any:
        """Note that a picture was rendered."""
        del cell
        self.calls.append("render")
        return SimpleNamespace(
            picture=picture(Image.new("RGB", (8, 8), (7, 7, 7))), server=getattr(server, "info", None)
        )


def test_weights_are_forgotten_before_the_second_picture(plan: Plan, tmp_path: Path) -> None:
    """A server is not called bit-stable for what its cache answers: it forgets everything, then renders once more."""
    renderer: Any = Twice()
    server: Any = SimpleNamespace(info=SERVER, forget_weights=lambda *, again: renderer.calls.append(f"forget {again}"))
    first: Any = SimpleNamespace(cell=matrix(plan)[0], picture=picture(Image.new("RGB", (8, 8), (9, 7, 7))))
    stability = Stability(renderer, tmp_path)

    assert (True, False) == (stability.is_due(server), stability.is_due(server))
    stability.measure(first, server)

    assert ["forget True", "render"] == renderer.calls
    assert 0.6667 == stability.noise_of(SERVER)
    assert [(False, 0.6667)] == [(one.stable, one.difference) for one in read_stability(tmp_path)]


def test_new_measurement_takes_the_place_of_the_one_on_an_alike_server(plan: Plan, tmp_path: Path) -> None:
    """What was measured before is kept for servers of other kinds alone."""
    other = SERVER.model_copy(update={"url": "http://b:1", "comfyui_version": "0.3.64"})
    before = {
        info.url: StabilityCheck(cell="baseline-forest", server=info, stable=False, difference=difference)
        for info, difference in ((SERVER, 5.0), (other, 0.25))
    }
    write_stability(tuple(before.values()), tmp_path)
    renderer: Any = Twice()
    server: Any = SimpleNamespace(info=SERVER, forget_weights=lambda **_: None)
    first: Any = SimpleNamespace(cell=matrix(plan)[0], picture=picture(Image.new("RGB", (8, 8), (9, 7, 7))))
    stability = Stability(renderer, tmp_path)
    assert (5.0, 0.25) == (stability.noise_of(SERVER), stability.noise_of(other))

    assert stability.is_due(server)
    stability.measure(first, server)

    assert (0.6667, 0.25) == (stability.noise_of(SERVER), stability.noise_of(other))
    assert [0.6667, 0.25] == [one.difference for one in read_stability(tmp_path)]


def test_measurement_that_failed_says_nothing_of_the_server(plan: Plan, tmp_path: Path) -> None:
    """Where the second picture cannot be rendered, that is said, and neither noise nor stability are known."""

    def fails(*, again: bool) -> None:
        raise Unreachable(f"gone, {again}")

    renderer: Any = Twice()
    server: Any = SimpleNamespace(info=SERVER, forget_weights=fails)
    first: Any = SimpleNamespace(cell=matrix(plan)[0], picture=picture(Image.new("RGB", (8, 8))))
    stability = Stability(renderer, tmp_path)
    assert stability.is_due(server)
    stability.measure(first, server)

    assert ["Whether the server renders the same picture twice was not measured: gone, True"] == [
        *stability.last_lines()
    ]
    assert None is stability.noise_of(SERVER)
    assert () == read_stability(tmp_path)
