"""Each planted defect of a run is caught by the check that is there for it, in words that a person can act on.

Everything here is served by a stand-in that lies in exactly one way, or is read from a file that is wrong in exactly
one way. Each table says what is told of which cell; no other cell is alarmed about.
"""

import io
import json
import re
import shutil
import struct
import threading
import uuid
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from PIL import Image, ImageEnhance, ImageOps

from plugins.comfyui.errors import NotListed
from plugins.deploy.gate import GateError
from plugins.loras.copying import digest_of
from plugins.loras.errors import HeaderError, StagingError
from plugins.plan.plan import Plan
from stand_in.faults import NodeFailure, WorkerDied
from stand_in.server import Server
from stand_in.weights import write_weights
from tests.verdicts.faked_run import (
    FakedRun,
    FakingServer,
    Keeping,
    Reply,
    Seen,
    about,
    bared,
    cell_of,
    cells_of,
    graph_of,
    moved,
    repainted,
    rewrite,
    trembling,
)

pytestmark = pytest.mark.slow

SetScene = Callable[..., FakedRun]
LIED_ABOUT = "step600-forest"
"""The cell that most lies are about."""
ROW = ("baseline-forest", LIED_ABOUT, "final-forest")
"""All cells of its prompt: enough for what is told by a picture alone."""
STALE = (
    "stale weights: the LoRA file has changed (SHA-256 {before} before, {step600} now), but the picture is the same, "
    "pixel for pixel. Unless only the file's header was rewritten, the server still uses the old weights: restart it, "
    "then run this again with --regenerate"
)


def noise(deviation: float, *, middle: float = 128.0) -> Image.Image:
    """Return noise around one colour, always the same."""
    values = np.random.default_rng(7).normal(middle, deviation, (64, 64, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def instead(image: Image.Image) -> Callable[[bytes], bytes]:
    """Send another picture, with the right workflow in it."""
    return lambda png: repainted(png, image)


def made_from(node: str, **inputs: Any) -> Callable[[bytes], bytes]:
    """Send the picture with another workflow in it."""

    def lie(png: bytes) -> bytes:
        graph = graph_of(png)
        graph[node]["inputs"] |= inputs
        with Image.open(io.BytesIO(png)) as image:
            return repainted(png, image, graph)

    return lie


def encoded(form: str) -> bytes:
    """Return a good picture in another format."""
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((64, 64)).save(buffer, form)
    return buffer.getvalue()


def recompressed(image: Image.Image) -> Image.Image:
    """Return an image as a poor JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=20)
    return Image.open(buffer)


def bomb(side: int) -> bytes:
    """Return a small PNG that says it is large."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(64)))]
    told = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(told)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        pytest.param(
            instead(Image.new("RGB", (64, 64))),
            "blank: the picture is nearly one colour, rgb(0, 0, 0): 100.0% of it. Black is what NaN gives: where the "
            "baseline is fine, the LoRA is broken; else try another VAE, or start ComfyUI with --force-fp32.",
            id="all-black",
        ),
        pytest.param(
            instead(Image.new("RGB", (64, 64), (200, 30, 90))),
            "blank: the picture is nearly one colour, rgb(200, 30, 90): 100.0% of it.",
            id="one-colour",
        ),
        pytest.param(
            instead(noise(2, middle=128.3)),
            "blank: the picture is nearly one colour, rgb(128, 128, 128): 100.0% of it.\n"
            "noise: neighbouring pixels have nothing in common (correlation 0.03): the picture is static. The decoder "
            "or the LoRA is broken; look at ComfyUI's terminal.",
            id="nearly-one-colour-with-noise",
        ),
        pytest.param(
            instead(noise(60)),
            "noise: neighbouring pixels have nothing in common (correlation 0.04): the picture is static. The decoder "
            "or the LoRA is broken; look at ComfyUI's terminal.",
            id="static",
        ),
        pytest.param(
            instead(Image.new("RGBA", (64, 64), (200, 30, 90, 0))),
            "blank: the picture is wholly transparent",
            id="transparent",
        ),
        pytest.param(
            instead(Image.radial_gradient("L").resize((32, 128)).convert("RGB")),
            "size: size: got 32x128, asked for 64x64",
            id="wrong-size",
        ),
        pytest.param(
            made_from("2", lora_name="spyke_plasma_v1_final.safetensors"),
            "workflow: node 2 (LoraLoader) lora_name: got 'spyke_plasma_v1_final.safetensors', asked for "
            "'spyke_plasma_v1_step600.safetensors'",
            id="another-lora-in-the-workflow",
        ),
        pytest.param(
            made_from("2", strength_model=0.0),
            "workflow: node 2 (LoraLoader) strength_model: got 0.0, asked for 1.0",
            id="another-strength-in-the-workflow",
        ),
        pytest.param(
            made_from("4", text="a cat"),
            "workflow: node 4 (CLIPTextEncode) text: got 'a cat', asked for 'spyke_plasma_v1, standing in a forest'",
            id="another-prompt-in-the-workflow",
        ),
        pytest.param(
            made_from("7", seed=43),
            "workflow: node 7 (KSampler) seed: got 43, asked for 42",
            id="another-seed-in-the-workflow",
        ),
        pytest.param(
            made_from("7", steps=1),
            "workflow: node 7 (KSampler) steps: got 1, asked for 2",
            id="fewer-steps-in-the-workflow",
        ),
    ],
)
def test_wrong_picture_is_told(scene: SetScene, lie: Callable[[bytes], bytes], told: str) -> None:
    """A picture that cannot be judged, or was made from something else, fails its cell by name."""
    where = scene(FakingServer(picture=about(LIED_ABOUT, lie)))
    seen = where.generate(cells_of(where.plan, *ROW))

    assert seen.alarms == {LIED_ABOUT: told}
    assert [check.name for check in seen.evidence[LIED_ABOUT].failures] == [
        line.partition(":")[0] for line in told.splitlines()
    ]


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        pytest.param(lambda png: png[:-200], "it is not a complete PNG: ", id="truncated"),
        pytest.param(
            lambda _: encoded("JPEG"), f"it is not a PNG: {len(encoded('JPEG'))} bytes that begin with b", id="jpeg"
        ),
        pytest.param(
            lambda _: b"<!doctype html><title>502",
            "it is not a PNG: 25 bytes that begin with b'<!doctype ht'.",
            id="html",
        ),
        pytest.param(lambda _: b"", "it is not a PNG: 0 bytes that begin with b''.", id="empty"),
        pytest.param(
            lambda _: bomb(30_000), "it is not a complete PNG: Image size (900000000 pixels) exceeds", id="bomb"
        ),
        pytest.param(
            lambda _: bomb(3_000), "it is 3000x3000, larger than any picture of this plan.", id="far-too-large"
        ),
    ],
)
def test_bytes_that_are_no_picture_are_told(scene: SetScene, lie: Callable[[bytes], bytes], told: str) -> None:
    """What is not a whole picture leaves its cell without one, and is told for what it is."""
    where = scene(FakingServer(picture=about(LIED_ABOUT, lie)))
    seen = where.generate(cells_of(where.plan, *ROW))

    assert list(seen.alarms) == list(seen.lost) == [LIED_ABOUT]
    assert seen.lost[LIED_ABOUT].startswith(f"{where.url} sent no usable picture of step600 x forest: {told}")
    assert not where.store.picture_path(cells_of(where.plan, LIED_ABOUT)[0]).exists()


def of_another_cell(other: str, *, bare: bool) -> FakingServer:
    """Answer /view of one cell with another cell's picture; `bare`: on a server that writes no metadata."""
    kept: dict[str, bytes] = {}

    def picture(png: bytes) -> bytes:
        cell = cell_of(png)
        kept[cell] = png
        sent = kept[other] if cell == "final-novel_pose" else png
        return bared(sent) if bare else sent

    return FakingServer(picture=picture)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        pytest.param(
            "step600-novel_pose",
            {
                "final-novel_pose": "twin: it is step600 x novel_pose's, pixel for pixel, although their "
                "inputs differ (LoRA {final} here, {step600} there)",
                "step600-novel_pose": "twin: it is final x novel_pose's, pixel for pixel, although their "
                "inputs differ (LoRA {step600} here, {final} there)",
            },
            id="of-another-checkpoint",
        ),
        pytest.param(
            "final-forest",
            {
                "final-novel_pose": "twin: it is final x forest's, pixel for pixel, although their "
                "inputs differ (another prompt, seed or strength)",
                "final-forest": "twin: it is final x novel_pose's, pixel for pixel, although their "
                "inputs differ (another prompt, seed or strength)",
            },
            id="of-another-prompt",
        ),
        pytest.param(
            "baseline-forest",
            {
                "final-novel_pose": "twin: it is baseline x forest's, pixel for pixel, although their "
                "inputs differ (LoRA {final} here, none there)",
                "baseline-forest": "twin: it is final x novel_pose's, pixel for pixel, although their "
                "inputs differ (LoRA none here, {final} there)",
            },
            id="of-another-baseline",
        ),
        pytest.param(
            "baseline-novel_pose",
            {
                "final-novel_pose": "LoRA effect: the picture is the baseline's, pixel for pixel: no key of this LoRA "
                "fits this base model. spyke_plasma_v1_final.safetensors: module networks.lora; rank 1; base model "
                "version sd_v1; made for SD 1.x; keys lora_te* (3), lora_unet* (3)",
            },
            id="of-its-own-baseline",
        ),
    ],
)
def test_picture_of_another_cell_is_told(scene: SetScene, other: str, told: dict[str, str]) -> None:
    """Where no workflow tells, another cell's picture is told by its pixels, in both cells."""
    where = scene(of_another_cell(other, bare=True))

    assert where.generate().alarms == {cell: where.filled(message) for cell, message in told.items()}


def test_workflow_of_another_cell_is_told(scene: SetScene) -> None:
    """Another cell's picture is told by the workflow in it, field by field."""
    failed = scene(of_another_cell("step600-forest", bare=False)).generate().evidence["final-novel_pose"].failures

    assert [check.name for check in failed] == ["workflow", "twin"]
    assert [difference.field for difference in failed[0].differences] == [
        "node 2 (LoraLoader) lora_name",
        "node 4 (CLIPTextEncode) text",
        "node 9 (SaveImage) filename_prefix",
    ]


def test_prompt_that_is_ignored_is_told(scene: SetScene) -> None:
    """A server that gives one picture for every prompt is told as giving a wrong one, not as a copied LoRA file."""
    first: dict[str, bytes] = {}

    def picture(png: bytes) -> bytes:
        return bared(first.setdefault(cell_of(png).partition("-")[0], png))

    alarms = scene(FakingServer(picture=picture)).generate().alarms

    assert alarms["step600-novel_pose"] == (
        "twin: it is step600 x forest's, pixel for pixel, although their inputs differ "
        "(another prompt, seed or strength)"
    )
    assert len(alarms) == 6


def test_file_from_an_earlier_run_is_told(scene: SetScene) -> None:
    """A picture that an earlier run left under the output folder is not this run's."""
    kept: dict[str, bytes] = {}
    where = scene(FakingServer(picture=about(LIED_ABOUT, lambda png: kept.setdefault("first", png))))
    assert where.generate().alarms == {}

    (difference,) = where.generate(regenerate=True).evidence[LIED_ABOUT].failures[0].differences

    assert difference.field == "node 9 (SaveImage) filename_prefix"
    assert difference.got != difference.asked


def test_history_of_another_graph_is_told(scene: SetScene) -> None:
    """A server that writes no metadata is taken at its history, and that tells another seed."""

    def reply(request: web.Request, server: Server) -> web.StreamResponse | None:
        history = server.queue.history_of(request.path.rpartition("/")[2]) if "/history/" in request.path else {}
        for entry in history.values():
            if "step600-forest" in json.dumps(entry["prompt"][2]):
                entry["prompt"][2]["7"]["inputs"]["seed"] = 7
        return web.json_response(history) if history else None

    assert scene(FakingServer(reply=reply, picture=bared)).generate().alarms == {
        LIED_ABOUT: "workflow: the PNG carries no workflow; the server's history was compared instead; "
        "node 7 (KSampler) seed: got 7, asked for 42"
    }


def test_weights_of_another_lora_are_told(scene: SetScene) -> None:
    """A server that loads another LoRA than it was told gives twins, and both are named with their LoRAs."""

    def lora_of(path: Path) -> Path:
        return path.with_name(path.name.replace("step600", "final"))

    where = scene(FakingServer(lora_of=lora_of))

    assert where.generate().alarms == {
        f"{column}-{row}": where.filled(
            f"twin: it is {other} x {row}'s, pixel for pixel, although their inputs differ "
            f"(LoRA {{{column}}} here, {{{other}}} there)"
        )
        for row in ("forest", "novel_pose")
        for column, other in (("step600", "final"), ("final", "step600"))
    }


def test_file_copied_under_two_names_alarms_nobody(scene: SetScene, plan: Plan) -> None:
    """Two checkpoints that are one file are rendered once, and the second shows the first's pictures."""
    shapes = {"lora_unet_mid_block.lora_down.weight": (4, 320), "lora_unet_mid_block.lora_up.weight": (320, 4)}
    for checkpoint in plan.checkpoints:
        write_weights(plan.training_file(checkpoint), shapes, {}, seed="one and the same")

    where = scene()
    seen = where.generate()

    assert ({}, 4) == (seen.alarms, seen.rendered)
    assert {"": 4, "step600": 2} == Counter(one.rendered_as for one in seen.evidence.values())
    assert [True, True] == [one.identical for one in where.deploy("final").proof]


def test_lora_without_matching_keys_is_told(scene: SetScene, plan: Plan) -> None:
    """A LoRA of which no key fits gives the picture of the baseline, and its column ends; its header says why."""
    rewrite(plan.training_file(plan.checkpoints[0]), {"other_net.a": (4, 4), "other_net.b": (4, 4), "third.c": (4,)})
    told = (
        "LoRA effect: the picture is the baseline's, pixel for pixel: no key of this LoRA fits this base model. "
        "spyke_plasma_v1_step600.safetensors: module networks.lora; rank 1; base model version sd_v1; made for SD 1.x; "
        "keys other_net* (2), third_c* (1)"
    )

    keys = "ComfyUI did not load 3 of 3 keys (others: 3), such as other_net.a"
    assert scene().generate().alarms == {
        "step600-forest": f"LoRA keys: {keys}\n{told}",
        "step600-novel_pose": f"It was not rendered: {keys}. See the column's first picture.",
    }


def test_lora_that_does_nothing_is_told_on_a_server_that_is_not_bit_stable(scene: SetScene, plan: Plan) -> None:
    """A LoRA without effect is no LoRA with a small effect: it is held against the server's own noise."""
    rewrite(plan.training_file(plan.checkpoints[0]), {"other_net.a": (4, 4)})

    def silent(request: web.Request, _: Server) -> web.StreamResponse | None:
        return web.Response(status=404) if "/internal/logs" in request.path else None

    alarms = scene(FakingServer(picture=trembling, reply=silent)).generate().alarms

    assert ["step600-forest", "step600-novel_pose"] == list(alarms)
    for said in alarms.values():
        assert re.match(
            r"LoRA effect: the picture differs from the baseline by 0\.\d\d of 255, and this server's two renderings "
            r"of one picture by 0\.\d\d: the LoRA's effect cannot be told from noise\.",
            said,
        )


def test_base_model_that_is_replaced_renders_all_again(scene: SetScene, plan: Plan) -> None:
    """Pictures from another base model of the same name are not reused, and not deployed by."""
    where = scene()
    where.generate()
    (base,) = (plan.paths.comfyui / "models" / "checkpoints").glob("AnythingXL*")
    write_weights(base, {"another.weight": (8, 8)}, {}, seed="another")

    with pytest.raises(GateError, match=rf"checkpoints/{base.name} is another file now than when the pictures were"):
        where.deploy()
    again = where.generate()

    assert (6, 0) == (again.rendered, again.reused)


def telling(version: str, *options: str) -> Reply:
    """Be a ComfyUI of some version that was started with some options."""

    def reply(request: web.Request, _: Server) -> web.StreamResponse | None:
        system = {"comfyui_version": version, "argv": ["main.py", *options]}
        told = {"system": system, "devices": [{"name": "cpu"}]}
        return web.json_response(told) if request.path.endswith("/system_stats") else None

    return reply


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param(telling("0.3.64"), telling("0.33.0"), id="another-version"),
        pytest.param(telling("0.33.0", "--fp16-unet"), telling("0.33.0", "--bf16-unet"), id="another-precision"),
    ],
)
def test_other_server_renders_the_whole_row(scene: SetScene, plan: Plan, before: Reply, now: Reply) -> None:
    """What another ComfyUI does otherwise is not taken for a LoRA's effect: the baseline is rendered there, too."""
    forest = cells_of(plan, "baseline-forest")
    scene(FakingServer(reply=before)).generate(forest)
    rewrite(plan.training_file(plan.checkpoints[0]), {"other_net.a": (4, 4)})

    seen = scene(FakingServer(reply=now, picture=moved)).generate(cells_of(plan, *ROW))

    assert (3, 0) == (seen.rendered, seen.reused)
    assert [LIED_ABOUT] == list(seen.alarms)
    assert "the picture is the baseline's, pixel for pixel" in seen.alarms[LIED_ABOUT]


def test_lora_of_another_architecture_is_refused(scene: SetScene, plan: Plan) -> None:
    """A LoRA for SDXL is refused on an SD 1.x base model before anything is staged or rendered."""
    attention = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    base = plan.paths.comfyui / "models" / "checkpoints" / "AnythingXL_inkBase.safetensors"
    write_weights(base, {f"model.{attention.replace('to_k', 'to_k.weight')}": (320, 768)}, {}, seed="base")
    rewrite(plan.training_file(plan.checkpoints[1]), {f"lora_unet_{attention}.lora_down.weight": (4, 2048)})
    where = scene()

    with pytest.raises(HeaderError) as caught:
        where.generate()

    assert str(caught.value) == (
        "The base model AnythingXL_inkBase.safetensors is SD 1.x, and these LoRAs are not:\n"
        "  final: module networks.lora; rank 1; base model version sd_v1; made for SDXL; keys lora_unet* (1)\n"
        "  Correct `base_model` under [sampling] in the plan: it must be of the kind that they were trained on."
    )
    assert list(plan.paths.loras.iterdir()) == []
    assert where.serving.server.queue.history() == {}


def test_effect_near_nothing_is_told(scene: SetScene, plan: Plan) -> None:
    """A LoRA that was hardly trained changes next to nothing, and the number is told."""
    rewrite(plan.training_file(plan.checkpoints[0]), stand_in_training="0")
    seen = scene().generate()

    effects = {cell: one.compared.effect for cell, one in seen.evidence.items() if one.compared}
    assert seen.alarms == {
        cell: "LoRA effect: the LoRA has next to no effect: the picture differs from the baseline by "
        f"{effects[cell]:.2f} of 255"
        for cell in ("step600-forest", "step600-novel_pose")
    }
    assert 0 < effects["step600-forest"] < 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda image: image, id="as-it-is"),
        pytest.param(lambda image: image.crop((40, 60, 460, 480)), id="cropped"),
        pytest.param(ImageOps.mirror, id="mirrored"),
        pytest.param(lambda image: ImageOps.mirror(image).crop((0, 0, 430, 430)), id="mirrored-and-cropped"),
        pytest.param(lambda image: image.convert("L"), id="grey"),
        pytest.param(lambda image: ImageEnhance.Brightness(image).enhance(0.6), id="darkened"),
        pytest.param(lambda image: ImageEnhance.Color(image).enhance(2.0), id="recoloured"),
        pytest.param(recompressed, id="recompressed"),
    ],
)
def test_training_copy_is_told(scene: SetScene, plan: Plan, change: Callable[[Image.Image], Image.Image]) -> None:
    """A picture that is a training image again, whatever was done to it, is told with the image and its distance."""
    assert plan.paths.training_images
    with Image.open(plan.paths.training_images / "spyke_plasma_v1_03.png") as image:
        copy = change(image.convert("RGB")).resize((64, 64)).convert("RGB")
    where = scene(FakingServer(picture=about(LIED_ABOUT, instead(copy))), plan=plan)
    seen = where.generate(cells_of(plan, LIED_ABOUT))

    nearest = seen.evidence[LIED_ABOUT].nearest
    assert nearest is not None
    assert seen.alarms == {
        LIED_ABOUT: "training copy: looks like a copy of a training image: nearest training image: "
        f"spyke_plasma_v1_03.png, at distance {nearest.distance:.2f}; training images are usually "
        f"{nearest.usual:.2f} from each other"
    }


def test_overtrained_checkpoint_is_told(scene: SetScene, plan: Plan) -> None:
    """A checkpoint that only gives the training set again is warned of on every prompt, and not failed."""
    seen = scene(plan=plan).generate()

    assert {cell: [check.name for check in one.warnings] for cell, one in seen.evidence.items() if one.warnings} == {
        "final-forest": ["training copy"],
        "final-novel_pose": ["training copy"],
    }
    assert [cell for cell, one in seen.evidence.items() if one.failures] == []


def test_staged_file_that_changes_meanwhile_is_told(scene: SetScene) -> None:
    """A staged file that somebody replaces while it is rendered leaves its cells without a picture."""

    def lora_of(path: Path) -> Path:
        if "step600" in path.name:
            shutil.copyfile(path.with_name(path.name.replace("step600", "final")), path)
        return path

    where = scene(FakingServer(lora_of=lora_of))

    assert where.generate().alarms == {
        f"step600-{row}": where.filled(
            "{loras}/spyke_plasma_v1_step600.safetensors was changed while "
            f"step600 x {row} was rendered from it. Run this again, and leave the loras folder alone "
            "meanwhile."
        )
        for row in ("forest", "novel_pose")
    }


@pytest.fixture
def elsewhere(tmp_path: Path, plan: Plan) -> Path:
    """Return another ComfyUI folder, with the same base model."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(plan.paths.comfyui / "models" / "checkpoints", folder / "models" / "checkpoints")
    (folder / "models" / "loras").mkdir(parents=True)
    return folder


def test_picker_without_the_file_is_told(scene: SetScene, elsewhere: Path) -> None:
    """A server that reads another folder does not list what was staged; the options that mend it are told."""
    where = scene(comfyui=elsewhere)

    with pytest.raises(NotListed) as caught:
        where.generate()

    assert str(caught.value) == where.filled(
        "spyke_plasma_v1_step600.safetensors lies in {loras}, but is not in the LoRA list of {url}. That server reads "
        "another folder: name its ComfyUI folder with --comfyui-dir, or correct `comfyui` and `loras` under [paths] in "
        "the plan. What was copied there stays; remove it if that is the wrong folder: "
        "spyke_plasma_v1_step600.safetensors, spyke_plasma_v1_final.safetensors in {loras}"
    )


def test_picker_that_means_another_file_is_told(scene: SetScene, elsewhere: Path, plan: Plan) -> None:
    """A server whose file of that name is another one is told by both headers, before anything is rendered."""
    for checkpoint in plan.checkpoints:
        shutil.copyfile(
            plan.training_file(plan.checkpoints[1]), elsewhere / "models" / "loras" / plan.staged_file(checkpoint)
        )
    where = scene(comfyui=elsewhere)

    with pytest.raises(NotListed) as caught:
        where.generate()

    assert str(caught.value) == where.filled(
        "{url} has another file under the name spyke_plasma_v1_step600.safetensors than "
        "{loras}/spyke_plasma_v1_step600.safetensors: its header says step 920, the staged file's step 600. It reads "
        "another folder: name its ComfyUI folder with --comfyui-dir, or correct `comfyui` and `loras` under [paths] in "
        "the plan. What was copied there stays; remove it if that is the wrong folder: "
        "spyke_plasma_v1_step600.safetensors, spyke_plasma_v1_final.safetensors in {loras}"
    )
    assert where.serving.server.queue.history() == {}


def test_base_model_that_is_not_there_is_told(scene: SetScene, plan: Plan) -> None:
    """A base model that the server does not have is told with the nearest name, before anything is staged."""
    base = plan.paths.comfyui / "models" / "checkpoints" / "AnythingXL_inkBase.safetensors"
    base.rename(base.with_name("AnythingXL_v5.safetensors"))
    where = scene()

    with pytest.raises(NotListed) as caught:
        where.generate()

    assert str(caught.value) == where.filled(
        "The base model 'AnythingXL_inkBase' is not in the list of {url}. Nearest are: AnythingXL_v5.safetensors. Put "
        "the file into ComfyUI's models/checkpoints, or correct `base_model` under [sampling] in the plan."
    )
    assert list(plan.paths.loras.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes()[:-9]),
            "{checkpoints}/spyke_plasma_v1-step00000600.safetensors is not a complete safetensors file (",
            id="cut-short",
        ),
        pytest.param(
            lambda path: path.write_bytes(b""),
            "{checkpoints}/spyke_plasma_v1-step00000600.safetensors is not a complete safetensors file (it is empty). "
            "If it is still being written or copied, wait; else copy it from the trainer's output again.",
            id="empty",
        ),
        pytest.param(
            lambda path: shutil.copyfile(path.with_name("spyke_plasma_v1.safetensors"), path),
            "{checkpoints}/spyke_plasma_v1-step00000600.safetensors says that it was saved at step 920 (ss_steps), but "
            "the plan calls it step 600, and its name says step 600. Correct the plan's [[checkpoint]], or the file.",
            id="another-step-inside",
        ),
        pytest.param(
            lambda path: path.unlink(),
            "{checkpoints}/spyke_plasma_v1-step00000600.safetensors is missing (checkpoint step600)",
            id="missing",
        ),
    ],
)
def test_broken_training_file_is_refused(
    scene: SetScene, plan: Plan, spoil: Callable[[Path], object], told: str
) -> None:
    """A checkpoint that is broken, or another one, is refused by name before anything is staged."""
    where = scene()
    told = where.filled(told)
    spoil(plan.training_file(plan.checkpoints[0]))

    with pytest.raises(StagingError) as caught:
        where.generate()

    assert str(caught.value).startswith(f"1 of the plan's 2 checkpoints cannot be staged:\n  {told}")
    assert str(caught.value).endswith(
        "Nothing was copied. Finish the training, or correct the plan's [[checkpoint]] tables."
    )
    assert list(plan.paths.loras.iterdir()) == []


def history_with(outputs: Any) -> Callable[[web.Request, Server], web.StreamResponse | None]:
    """Tell other outputs of one cell than there were."""

    def reply(request: web.Request, server: Server) -> web.StreamResponse | None:
        history = server.queue.history_of(request.path.rpartition("/")[2]) if "/history/" in request.path else {}
        for entry in history.values():
            if LIED_ABOUT in json.dumps(entry["prompt"][2]):
                entry["outputs"] = outputs
        return web.json_response(history) if history else None

    return reply


def posted(told: dict[str, Any], status: int = 200) -> Callable[[web.Request, Server], web.StreamResponse | None]:
    """Answer the third cell's POST /prompt; the two baselines, one of them twice, and two tiny prompts are run."""
    seen: list[int] = []

    def reply(request: web.Request, _: Server) -> web.StreamResponse | None:
        if request.path.endswith("/prompt") and request.method == "POST":
            seen.append(1)
            if len(seen) == 6:
                return web.json_response(told, status=status)
        return None

    return reply


def fail_at_once(class_type: str, error: BaseException) -> Callable[[str, str, str], None]:
    """Raise in the first checkpoint's picture; the two baselines are run, one of them twice."""
    seen: list[str] = []

    def before_node(prompt_id: str, node_id: str, node_class: str) -> None:
        del node_id
        if node_class == class_type:
            seen.append(prompt_id)
            if len(seen) == 4:
                raise error

    return before_node


def missing_output(request: web.Request, _: Server) -> web.StreamResponse | None:
    """Have no file where one cell's picture should be."""
    wanted = request.path.endswith("/view") and LIED_ABOUT in request.query.get("filename", "")
    return web.Response(status=404) if wanted else None


@pytest.mark.parametrize(
    ("lying", "told"),
    [
        pytest.param(
            lambda: FakingServer(reply=history_with({})),
            r"{url} finished prompt [0-9a-f-]{{36}}, but node 9 saved 0 pictures instead of 1\. To try once more, .*",
            id="no-output",
        ),
        pytest.param(
            lambda: FakingServer(reply=history_with({"9": {"images": [{"filename": "a.png"}, {"filename": "b.png"}]}})),
            r"{url} finished prompt [0-9a-f-]{{36}}, but node 9 saved 2 pictures instead of 1\. To try once more, .*",
            id="two-outputs",
        ),
        pytest.param(
            lambda: FakingServer(reply=missing_output),
            r"{url} answered GET /view with 404 \(.*\)\. The picture was made, .*",
            id="no-file",
        ),
        pytest.param(
            lambda: FakingServer(
                reply=posted(
                    {
                        "prompt_id": "x",
                        "number": 1,
                        "node_errors": {
                            "9": {
                                "class_type": "SaveImage",
                                "dependent_outputs": ["9"],
                                "errors": [{"type": "x", "message": "Value not in list", "details": "images"}],
                            }
                        },
                    }
                )
            ),
            r"{url} refused the workflow: \n  node 9 \(SaveImage\): Value not in list \(images\)",
            id="node-errors-in-a-200",
        ),
        pytest.param(
            lambda: FakingServer(reply=posted({"prompt_id": "somebody else's", "number": 1, "node_errors": {}})),
            r"{url} gave the workflow another id than the one it was sent with, .*",
            id="another-prompt-id",
        ),
        pytest.param(
            lambda: FakingServer(
                before_node=fail_at_once("KSampler", NodeFailure("torch.OutOfMemoryError", "Allocation on device"))
            ),
            r"{url} failed on this picture: node 7 \(KSampler\) raised torch\.OutOfMemoryError: Allocation on device.*",
            id="out-of-memory",
        ),
        pytest.param(
            lambda: FakingServer(before_node=fail_at_once("VAEDecode", ValueError("NaN"))),
            r"{url} failed on this picture: node 8 \(VAEDecode\) raised ValueError: NaN\. Look at its terminal, .*",
            id="node-error",
        ),
        pytest.param(
            lambda: FakingServer(before_node=fail_at_once("SaveImage", OSError(28, "No space left on device"))),
            r"{url} failed on this picture: node 9 \(SaveImage\) raised OSError: .* No space left on device\. Make .*",
            id="full-disk",
        ),
    ],
)
def test_picture_that_was_not_made_is_told(scene: SetScene, lying: Callable[[], FakingServer], told: str) -> None:
    """Where a server made no picture, or not the one, its cell has none and says what happened on which server."""
    where = scene(lying())
    seen = where.generate()

    assert list(seen.alarms) == list(seen.lost) == [LIED_ABOUT]
    assert re.fullmatch(where.filled(told), seen.lost[LIED_ABOUT])


def test_picture_that_somebody_stopped_is_told(scene: SetScene) -> None:
    """A picture that somebody interrupts is told as that, and the others are made."""
    lying = FakingServer()
    begun: list[str] = []

    def before_step(prompt_id: str, node_id: str, step: int) -> None:
        del node_id
        if step == 1:
            begun.append(prompt_id)
            if len(begun) == 4:
                lying.server.executor.interrupt()

    lying.before_step = before_step  # type: ignore[method-assign]
    where = scene(lying)

    assert where.generate().alarms == {
        LIED_ABOUT: f"Somebody interrupted this picture on {where.url}. "
        "To render it, run this again; what is finished is kept."
    }


def test_picture_that_the_server_forgot_is_told(scene: SetScene) -> None:
    """A prompt of which the server knows nothing any more is told, after it was tried once more."""
    posted: list[str] = []

    def reply(request: web.Request, server: Server) -> web.StreamResponse | None:
        prompt_id = request.path.rpartition("/")[2]
        forgotten = "/history/" in request.path and LIED_ABOUT in json.dumps(server.queue.history_of(prompt_id))
        if forgotten:
            posted.append(prompt_id)
        return web.json_response({}) if forgotten else None

    where = scene(FakingServer(reply=reply))

    assert where.generate().alarms == {
        LIED_ABOUT: f"{where.url} has lost this picture: it was restarted, or its queue was cleared. "
        "Run this again; what is finished is kept."
    }
    assert len(set(posted)) == 2


def test_server_that_died_inside_is_told(scene: SetScene) -> None:
    """A server that takes prompts and never runs them is given up after the plan's timeout."""
    begun: list[str] = []

    def before_prompt(prompt_id: str) -> None:
        begun.append(prompt_id)
        if len(begun) == 5:
            raise WorkerDied

    where = scene(FakingServer(before_prompt=before_prompt))

    assert where.generate(cells_of(where.plan, LIED_ABOUT), timeout=1.0).alarms == {
        LIED_ABOUT: f"{where.url} gave no sign of life for 1 s. If it is only slow, raise `timeout` "
        "under [comfyui] in the plan; else look at its terminal, restart it, and run this again; "
        "what is finished is kept."
    }


def replace_training_file(plan: Plan) -> None:
    """Have the trainer write step600 again, with other weights."""
    rewrite(plan.training_file(plan.checkpoints[0]), ss_max_train_steps="700")


def pixels(seen: Seen) -> dict[str, str]:
    """Return the digest of every picture's pixels."""
    return {cell: one.picture.pixels_sha256 for cell, one in seen.evidence.items()}


def truth(scene: SetScene) -> dict[str, str]:
    """Render the training files as they are on a server that was never used before."""
    fresh = scene()
    return pixels(replace(fresh, reports=fresh.reports.with_name("truth")).generate())


@pytest.mark.parametrize(
    "free_now", [pytest.param(True, id="at-once"), pytest.param(False, id="after-the-next-prompt")]
)
def test_replaced_file_is_rendered_anew(scene: SetScene, tmp_path: Path, *, free_now: bool) -> None:
    """A training file that was replaced under its name is rendered anew, also where /free is applied late."""
    where = scene(Keeping(tmp_path / "kept", free_now=free_now))
    before = pixels(where.generate())
    replace_training_file(where.plan)
    again = where.generate()

    assert again.alarms == {}
    assert (again.rendered, again.reused) == (2, 4)
    assert pixels(again) == truth(scene) != before


def test_replaced_file_is_rendered_anew_on_a_busy_server(scene: SetScene, tmp_path: Path) -> None:
    """Other people's prompts that use the old file stay in their order, and ours come after, from the new bytes."""
    ran: list[str] = []
    ours = threading.Event()

    def before_prompt(prompt_id: str) -> None:
        ran.append(prompt_id)
        if prompt_id == theirs[0]:
            ours.wait(30)

    def reply(request: web.Request, server: Server) -> None:
        if request.path.endswith("/prompt") and request.method == "POST" and server.queue.remaining() == len(theirs):
            ours.set()

    theirs = [str(uuid.UUID(int=number)) for number in range(1, 4)]
    lying = Keeping(tmp_path / "kept", free_now=False, reply=reply, before_prompt=before_prompt)
    where = scene(lying)
    before = pixels(where.generate())
    count = len(ran)
    graph = json.loads(where.store.evidence_path(cells_of(where.plan, LIED_ABOUT)[0]).read_text())["workflow"]
    client = where.connect().client
    for number, prompt_id in enumerate(theirs):
        graph["7"]["inputs"]["seed"] = number
        client.post(graph, client_id="another person", prompt_id=prompt_id)
    replace_training_file(where.plan)
    again = where.generate()

    assert again.alarms == {}
    assert ran[count : count + 3] == theirs
    assert [entry and entry.status for entry in map(client.history, theirs)] == ["success"] * 3
    assert pixels(again) == truth(scene) != before
    client.close()


def test_server_that_ignores_free_is_told(scene: SetScene, tmp_path: Path) -> None:
    """A server that never forgets gives the old pictures for a replaced file, and both digests are told."""
    where = scene(Keeping(tmp_path / "kept", forgets=False))
    assert where.generate().alarms == {}
    before = digest_of(where.plan.training_file(where.plan.checkpoints[0]))[:12]
    replace_training_file(where.plan)

    told = where.filled(STALE.replace("{before}", before))
    assert where.generate().alarms == {"step600-forest": told, "step600-novel_pose": told}


def test_wrong_picture_is_told_over_several_runs(scene: SetScene) -> None:
    """Checkpoints that were rendered one by one (`-k step600`) are held against each other all the same."""

    def lora_of(path: Path) -> Path:
        return path.with_name(path.name.replace("step600", "final"))

    where = scene(FakingServer(lora_of=lora_of))
    assert where.generate(cells_of(where.plan, "step600-forest")).alarms == {}

    assert where.generate(cells_of(where.plan, "final-forest")).alarms == {
        "final-forest": where.filled(
            "twin: it is step600 x forest's, pixel for pixel, although their inputs differ "
            "(LoRA {final} here, {step600} there)"
        )
    }
