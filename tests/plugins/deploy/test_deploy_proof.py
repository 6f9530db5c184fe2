"""Production is rendered again on a server, and is proven where it gives what was judged."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import NotListed
from plugins.comfyui.server import Server
from plugins.comfyui.timing import Timing
from plugins.deploy.proof import ProofError, Prover
from plugins.evidence.deployments import Proven
from plugins.evidence.evidence import Evidence
from plugins.evidence.store import Store
from plugins.generate.preparing import prepare
from plugins.generate.stability import StabilityCheck
from plugins.loras.staging import preflight
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from plugins.plan.tested import Checkpoint
from stand_in.serving import Serving
from tests.rendered import rendered_and_kept
from tests.small_plan import Posing


class Sending(Posing):
    """Sends other bytes than were rendered, once told to."""

    content: bytes | None = None

    def picture(self, png: bytes) -> bytes:
        """Send the bytes."""
        return self.content or png


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A matrix that a stand-in rendered, and a production file that is to be proven."""

    prover: Prover
    server: Server
    sending: Sending
    selected: Checkpoint
    said: list[str]

    @property
    def production(self) -> Path:
        """The production file."""
        plan = self.prover.expected.plan
        return plan.paths.loras / plan.production.file

    def put(self, number: int) -> None:
        """Put a checkpoint into production."""
        plan = self.prover.expected.plan
        part = self.production.with_suffix(".part")
        part.write_bytes(plan.training_file(plan.checkpoints[number]).read_bytes())
        part.replace(self.production)

    def prove(self, stability: StabilityCheck | None = None) -> tuple[Proven, ...]:
        """Prove step600, on a server of which this was found out."""
        return replace(self.prover, stability=(stability,) if stability else ()).prove(
            self.selected, meanwhile=self.said.append
        )

    def measured(self, *, stable: bool, device: str | None = None) -> StabilityCheck:
        """Say whether the server gives the same picture again."""
        info = self.server.info
        return StabilityCheck(
            cell="baseline-forest",
            server=info.model_copy(update={"device": device or info.device}),
            stable=stable,
            difference=0.0 if stable else 0.2,
        )

    def nearly(self, column: str, *, off: int) -> bytes:
        """Return a judged picture of the first row with every value moved by `off`."""
        store = self.prover.store
        with Image.open(store.folder / column / "forest.png") as picture:
            moved = picture.convert("RGB").point(lambda value: value - off if value > 127 else value + off)
        buffer = BytesIO()
        moved.save(buffer, "PNG")
        return buffer.getvalue()


@pytest.fixture
def proof(plan: Plan, tmp_path: Path, stand_in: Callable[..., Serving]) -> Iterator[Proof]:
    """Render the matrix, and put step600 into production."""
    bare = plan.model_copy(update={"paths": plan.paths.model_copy(update={"training_images": None})})
    sending = Sending()
    client = ComfyUI(stand_in(faults=sending).url, timing=Timing(fetch=0.2))
    server = Server(client, client.info(), timeout=20)
    store = Store(tmp_path / "reports")
    prepared = prepare(bare, (server,), store, headers=preflight(bare))
    evidence = {cell: rendered_and_kept(prepared, cell, server) for cell in matrix(bare) if cell.checkpoint}
    prover = Prover(
        expected=prepared.expected,
        evidence=evidence,
        store=store,
        servers=(server,),
        stability=(),
    )
    proof = Proof(prover=prover, server=server, sending=sending, selected=bare.checkpoints[0], said=[])
    proof.put(0)
    yield proof
    server.close()


def _blank(like: Evidence) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (like.picture.width, like.picture.height)).save(buffer, "PNG")
    return buffer.getvalue()


def _of_baseline(like: Evidence, picture: Path) -> Evidence:
    """Return evidence of a baseline's picture, as far as the proof looks at it."""
    record = like.picture.model_copy(update={"sha256": hashlib.sha256(picture.read_bytes()).hexdigest()})
    cell = like.cell.model_copy(update={"column": "baseline", "step": None})
    return like.model_copy(update={"cell": cell, "picture": record, "lora": None})


def test_selected_checkpoint_is_proven_pixel_for_pixel(proof: Proof) -> None:
    """Production that renders the judged pictures is proven on every prompt, and its pictures are kept."""
    proven = proof.prove()

    assert [(one.row, one.identical, one.distance) for one in proven] == [
        ("forest", True, 0.0),
        ("novel_pose", True, 0.0),
    ]
    assert str(proven[0]) == "forest: the judged picture, pixel for pixel"
    assert all((proof.prover.store.reports / one.picture).is_file() for one in proven)
    assert proof.said == [
        "proof 1 of 2  spyke_plasma_v1 x forest",
        "proof 2 of 2  spyke_plasma_v1 x novel_pose",
    ]


def test_other_candidate_in_production_is_told(proof: Proof) -> None:
    """Production that renders another candidate's picture is no proof; the candidate is named."""
    proof.put(1)

    with pytest.raises(ProofError) as caught:
        proof.prove()

    assert str(caught.value) == (
        f"spyke_plasma_v1.safetensors x forest on {proof.server.client.url} is not what was judged: "
        "it is final's picture, pixel for pixel."
    )


def test_former_production_is_not_served_from_memory(proof: Proof) -> None:
    """A server that rendered the former file of this name reads the new one."""
    proof.put(1)
    with pytest.raises(ProofError):
        proof.prove()
    proof.put(0)

    assert all(one.identical for one in proof.prove())


def test_difference_on_a_bit_stable_server_is_told(proof: Proof) -> None:
    """Where the server gave the same pixels twice, the slightest difference is no proof."""
    proof.sending.content = proof.nearly("step600", off=1)

    with pytest.raises(ProofError) as caught:
        proof.prove(proof.measured(stable=True))

    assert "it differs by 1.00 of 255, and this server gave the same pixels twice" in str(caught.value)


@pytest.mark.parametrize(
    "device",
    [pytest.param(None, id="an-unstable-server"), pytest.param("another GPU", id="a-server-that-nobody-measured")],
)
def test_small_difference_elsewhere_is_told_and_passes(proof: Proof, device: str | None) -> None:
    """Where pixels are not promised, a picture much nearer to the judged one than to any other is proof."""
    stability = proof.measured(stable=device is not None, device=device)
    proof.sending.content = proof.nearly("step600", off=1)
    cells = [cell for cell in proof.prover.evidence if cell.row == "forest"]
    proven = replace(
        proof.prover, stability=(stability,), evidence={cell: proof.prover.evidence[cell] for cell in cells}
    )._prove(cells[0], proof.server)

    assert (proven.identical, proven.distance, proven.runner_up) == (False, 1.0, "final")
    assert proven.runner_up_distance is not None
    assert proven.runner_up_distance > 2
    assert str(proven) == (
        f"forest: 1.00 of 255 from the judged picture; the next candidate, final, is at {proven.runner_up_distance:.2f}"
    )


def test_checkpoint_that_was_saved_twice_is_no_other_candidate(proof: Proof) -> None:
    """Another checkpoint of the same tensors has the same picture, and does not stand against the proof."""
    proof.sending.content = proof.nearly("step600", off=1)
    ours, theirs = (cell for cell in proof.prover.evidence if cell.row == "forest")
    judged = proof.prover.evidence[ours]
    same = judged.model_copy(update={"rendered_as": "step600"})
    shutil.copyfile(proof.prover.store.picture_path(ours), proof.prover.store.picture_path(theirs))
    proof.prover.store.write_picture(ours.baseline, _blank(judged))
    proof.prover.store.write_evidence(
        ours.baseline, _of_baseline(judged, proof.prover.store.picture_path(ours.baseline))
    )

    proven = replace(
        proof.prover, stability=(proof.measured(stable=False),), evidence={ours: judged, theirs: same}
    )._prove(ours, proof.server)

    assert (1.0, "baseline") == (proven.distance, proven.runner_up)


def test_picture_as_near_to_another_candidate_is_told(proof: Proof) -> None:
    """A picture that could be another candidate's is no proof, whatever the server promises."""
    proof.sending.content = proof.nearly("final", off=1)

    with pytest.raises(ProofError, match=r"it differs by .* of 255, and final's picture is as near \(1\.00\)"):
        proof.prove(proof.measured(stable=False))


def test_bytes_that_are_no_picture_are_told(proof: Proof) -> None:
    """A server that sends no PNG proves nothing."""
    proof.sending.content = b"<html>"

    with pytest.raises(ProofError) as caught:
        proof.prove()

    assert str(caught.value) == (
        f"{proof.server.client.url} sent no usable picture of spyke_plasma_v1.safetensors x forest: "
        "it is not a PNG: 6 bytes that begin with b'<html>'. "
        "If there is a proxy in front of it, check that, then run this again."
    )


def test_production_that_is_not_listed_is_told(proof: Proof) -> None:
    """A server whose picker lacks the production file reads another folder."""
    proof.production.unlink()

    with pytest.raises(NotListed, match=r"spyke_plasma_v1\.safetensors lies in .*, but is not in the LoRA list"):
        proof.prove()


def test_every_server_is_proven(proof: Proof) -> None:
    """The production LoRA is rendered on every server that serves it, not on the first alone."""
    both = replace(proof.prover, servers=(proof.server, proof.server))

    assert 4 == len(both.prove(proof.selected, meanwhile=proof.said.append))
