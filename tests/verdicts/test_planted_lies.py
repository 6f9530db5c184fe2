"""What a server could still lie about: each lie is found by a check or by the proof, or is pinned as one that is not.

`docs/checks.md` has the table.
"""

import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from plugins.deploy.gate import GateError
from plugins.loras.errors import DeploymentError
from plugins.plan.plan import Plan
from stand_in.server import Server
from stand_in.weights import write_weights
from tests.verdicts.faked_run import FakedRun, FakingServer, bared, cell_of, graph_of, repainted

pytestmark = pytest.mark.slow

SetScene = Callable[..., FakedRun]
LIED_ABOUT, OTHER = "final-forest", "step600-forest"
NOT_JUDGED = r"spyke_plasma_v1\.safetensors x forest on .* is not what was judged: "


def lying_by(lie: Callable[[bytes, bytes], bytes], *, other: str = OTHER) -> FakingServer:
    """Send for one cell what `lie` makes of its own picture and of another cell's, which was rendered before it."""
    kept: dict[str, bytes] = {}

    def picture(png: bytes) -> bytes:
        cell = cell_of(png)
        kept[cell] = png
        return lie(png, kept[other]) if cell == LIED_ABOUT else png

    return FakingServer(picture=picture)


def pixels_of(png: bytes) -> Image.Image:
    """Return the pixels of a picture."""
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")


def one_row_changed(png: bytes) -> Image.Image:
    """Return a picture in which the values of one row are others by 20."""
    values = np.asarray(pixels_of(png), dtype=np.int16).copy()
    values[30] += np.where(values[30] > 127, -20, 20)
    return Image.fromarray(values.astype(np.uint8))


def test_pixels_of_another_lora_under_the_right_workflow_are_told(scene: SetScene) -> None:
    """Another checkpoint's pixels with this cell's own workflow written into them are told by the pixels alone."""
    where = scene(lying_by(lambda own, other: repainted(other, pixels_of(other), graph_of(own))))

    assert where.generate().alarms == {
        f"{column}-forest": where.filled(
            f"twin: it is {other} x forest's, pixel for pixel, although their inputs differ "
            f"(LoRA {{{column}}} here, {{{other}}} there)"
        )
        for column, other in (("step600", "final"), ("final", "step600"))
    }


def test_weights_of_a_lora_that_nobody_knows_are_found_by_the_proof(scene: SetScene, plan: Plan) -> None:
    """A server that renders a checkpoint from a stranger's LoRA alarms nobody, until production is rendered."""
    shapes = {"lora_unet_mid_block.lora_down.weight": (4, 320), "lora_unet_mid_block.lora_up.weight": (320, 4)}
    stranger = plan.paths.project / "stranger.safetensors"
    write_weights(stranger, shapes, {}, seed="somebody else's")
    where = scene(FakingServer(lora_of=lambda path: stranger if "step600" in path.name else path))
    assert where.generate().alarms == {}

    with pytest.raises(DeploymentError, match=NOT_JUDGED):
        where.deploy()


def test_metadata_of_another_cell_are_told(scene: SetScene) -> None:
    """The right pixels with another cell's workflow written into them fail: nobody knows which of the two is true."""
    seen = scene(lying_by(lambda own, other: repainted(own, pixels_of(own), graph_of(other)))).generate()

    assert list(seen.alarms) == [LIED_ABOUT]
    (failed,) = seen.evidence[LIED_ABOUT].failures
    assert [difference.field for difference in failed.differences] == [
        "node 2 (LoraLoader) lora_name",
        "node 9 (SaveImage) filename_prefix",
    ]


def test_baseline_with_one_row_changed_is_warned_of(scene: SetScene) -> None:
    """The baseline's pixels with a little changed are no LoRA's work: what it does is next to nothing."""
    lying = lying_by(lambda own, other: repainted(own, one_row_changed(other)), other="baseline-forest")

    assert scene(lying).generate().alarms == {
        LIED_ABOUT: "LoRA effect: the LoRA has next to no effect: the picture differs from the baseline by 0.31 of 255"
    }


def test_another_checkpoint_with_one_row_changed_is_found_by_the_proof(scene: SetScene) -> None:
    """Two checkpoints may be that near, so generating does not alarm; but production renders something else."""
    where = scene(lying_by(lambda own, other: repainted(own, one_row_changed(other))))
    assert where.generate().alarms == {}

    with pytest.raises(DeploymentError, match=NOT_JUDGED):
        where.deploy("final")


def test_history_that_names_somebody_elses_picture_is_told(scene: SetScene, plan: Plan) -> None:
    """A server without metadata whose history has the right workflow and names another file is told by that name."""
    theirs = plan.paths.comfyui / "output" / "theirs_00001_.png"
    theirs.parent.mkdir(exist_ok=True)
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(theirs)

    def reply(request: web.Request, server: Server) -> web.StreamResponse | None:
        history = server.queue.history_of(request.path.rpartition("/")[2]) if "/history/" in request.path else {}
        for entry in history.values():
            if LIED_ABOUT in json.dumps(entry["prompt"][2]):
                entry["outputs"] = {"9": {"images": [{"filename": theirs.name, "subfolder": "", "type": "output"}]}}
        return web.json_response(history) if history else None

    alarms = scene(FakingServer(reply=reply, picture=lambda png: png if is_bare(png) else bared(png))).generate().alarms

    assert list(alarms) == [LIED_ABOUT]
    assert re.fullmatch(
        r"workflow: the PNG carries no workflow; the server's history was compared instead; "
        r"file: got 'theirs_00001_\.png', asked for 'final-forest-[0-9a-f]+' at its beginning",
        alarms[LIED_ABOUT],
    )


def is_bare(png: bytes) -> bool:
    """Say whether no workflow is written in a picture."""
    with Image.open(io.BytesIO(png)) as image:
        return "prompt" not in image.info


def test_server_that_says_nowhere_what_it_rendered_deploys_nothing(scene: SetScene) -> None:
    """A proxy that strips pictures, before a server whose history has no workflow: not checked, so not deployed."""

    def reply(request: web.Request, server: Server) -> web.StreamResponse | None:
        history: dict[str, Any] = {}
        if "/history/" in request.path:
            history = server.queue.history_of(request.path.rpartition("/")[2])
        return web.json_response({key: entry | {"prompt": []} for key, entry in history.items()}) if history else None

    where = scene(FakingServer(reply=reply, picture=bared))
    assert where.generate().alarms == {}

    with pytest.raises(GateError, match="4 of 4 pictures are missing or did not pass") as caught:
        where.deploy()

    assert str(caught.value).count("its check 'workflow' was not made") == 4


def recompressed(png: bytes) -> bytes:
    """Return a picture as a proxy does that makes it smaller, and loses nothing."""
    return repainted(png, pixels_of(png))


def with_few_colours(png: bytes) -> bytes:
    """Return a picture as a proxy does that reduces its colours to a palette."""
    return repainted(png, pixels_of(png).quantize(64))


def test_proxy_that_recompresses_without_loss_is_fine(scene: SetScene) -> None:
    """Other bytes of the same pixels with the same workflow are the same picture."""
    where = scene(FakingServer(picture=recompressed))

    assert where.generate().alarms == {}
    assert {one.identical for one in where.deploy().proof} == {True}


def test_proxy_that_reduces_colours_is_warned_of(scene: SetScene) -> None:
    """A picture with a palette was not written by ComfyUI, and is said to have been changed on its way."""
    seen = scene(FakingServer(picture=with_few_colours)).generate()

    assert [[check.name for check in one.warnings] for one in seen.evidence.values()] == [["colours"]] * 6
    assert [cell for cell, one in seen.evidence.items() if one.failures] == []
