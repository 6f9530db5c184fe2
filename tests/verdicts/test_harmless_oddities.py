"""What is odd and harmless raises no alarm: a person who is warned of nothing soon reads no warning at all."""

import contextlib
import io
import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from plugins.comfyui.workflow import BUILT_IN
from plugins.plan.plan import Plan
from plugins.render import rendering
from stand_in.faults import Frame
from stand_in.versions import LATER, TODAY, Version
from stand_in.weights import write_weights
from tests.verdicts.faked_run import (
    FakedRun,
    FakingServer,
    bared,
    cells_of,
    repainted,
    trembling,
    without_training_images,
)

SetScene = Callable[..., FakedRun]


@pytest.fixture(autouse=True)
def ahead(scene: SetScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Render ahead, as a real run does."""
    del scene
    monkeypatch.setattr(rendering, "AHEAD", 3)


def changed(plan: Plan, **values: Any) -> Plan:
    """Return the plan without training images and with other values in it."""
    return without_training_images(plan).model_copy(update=values)


def assert_no_alarm(where: FakedRun) -> None:
    """Generate, deploy step600, and see that nobody was alarmed at any point."""
    seen = where.generate()

    assert seen.alarms == {}
    assert len(seen.evidence) == 6 * len(where.plan.sampling.seeds)
    assert {one.identical for one in where.deploy().proof} == {True}


@pytest.mark.parametrize(
    "dialect",
    [
        pytest.param(TODAY, id="today"),
        pytest.param(replace(TODAY, previews=True), id="previews", marks=pytest.mark.slow),
        pytest.param(replace(TODAY, combo_lists=True), id="combo-lists", marks=pytest.mark.slow),
        pytest.param(LATER, id="later", marks=pytest.mark.slow),
        pytest.param(replace(LATER, previews=True), id="later-with-previews", marks=pytest.mark.slow),
    ],
)
def test_any_version_is_fine(scene: SetScene, dialect: Version) -> None:
    """Servers of other versions, and ones that send previews, raise no alarm."""
    assert_no_alarm(scene(dialect=dialect))


def test_server_that_is_not_bit_stable_is_fine(scene: SetScene) -> None:
    """A server that never gives the same pixels twice is said to be one, and production is proven by nearness."""
    where = scene(FakingServer(picture=trembling))
    seen = where.generate()
    deployment = where.deploy()

    assert seen.alarms == {}
    (stability,) = seen.stability
    assert (stability.stable, 0 < stability.difference < 2) == (False, True)
    assert "Production will be compared by nearness instead of pixel for pixel." in str(stability)
    assert [one.identical for one in deployment.proof] == [False, False]
    assert all(one.distance < 2 < (one.runner_up_distance or 0) for one in deployment.proof)


def test_other_files_in_the_loras_folder_are_fine(scene: SetScene, plan: Plan) -> None:
    """Other people's LoRAs, dotfiles, subfolders, links and half-written files are none of our business."""
    loras = plan.paths.loras
    write_weights(loras / "someone" / "else v2.safetensors", {"lora_unet_a.lora_down.weight": (4, 4)}, {}, seed="x")
    shutil.copyfile(plan.training_file(plan.checkpoints[0]), loras / "spyke_plasma_v1_step600 copy.safetensors")
    (loras / "archive").mkdir()
    for name in ("spyke_plasma_v1_step600.safetensors", "spyke_plasma_v1.safetensors"):
        shutil.copyfile(plan.training_file(plan.checkpoints[1]), loras / "archive" / name)
    shutil.copyfile(plan.training_file(plan.checkpoints[0]), loras / "old_spyke_plasma_v1_step600.safetensors")
    for name in (".DS_Store", "._spyke_plasma_v1_step600.safetensors", "readme.txt", "put_loras_here", "x.part"):
        (loras / name).write_bytes(b"\0\1")
    (loras / "gone.safetensors").symlink_to(loras / "nowhere")
    before = {path.name for path in loras.iterdir()}

    assert_no_alarm(scene())

    assert {path.name for path in loras.iterdir()} == {*before, "spyke_plasma_v1.safetensors"}


def test_any_words_in_a_prompt_are_fine(scene: SetScene, plan: Plan) -> None:
    """Prompts may hold letters of any script, emoji, quotes, braces, line breaks and what looks like a format."""
    words = (
        'spyke_plasma_v1, 森の中, Ünïcödé, "quoted", {a|b}, (x:1.2)',
        "spyke_plasma_v1 \U0001f98a\n\\n %s {0} \u202e <b>",
    )
    prompts = tuple(one.model_copy(update={"text": text}) for one, text in zip(plan.prompts, words, strict=True))
    negative = plan.sampling.model_copy(update={"negative": "悪い手, “lowres”"})

    assert_no_alarm(scene(plan=changed(plan, prompts=prompts, sampling=negative)))


@pytest.mark.slow
def test_server_that_lists_with_backslashes_is_fine(
    scene: SetScene, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Windows server lists files in subfolders with a backslash, and is asked for them as it spells them."""
    loras = plan.paths.loras / "characters"
    paths = without_training_images(plan).paths.model_copy(update={"loras": loras})
    asked: list[str] = []
    # The stand-in runs on this system: it finds the file by its own separator, and validates by its own list.
    where = scene(plan=plan.model_copy(update={"paths": paths}))
    folders = where.serving.server.folders
    names, find = folders.names, folders.find

    def listed(kind: str) -> list[str]:
        return [name.replace("/", "\\") for name in names(kind)]

    def found(kind: str, name: str) -> Path | None:
        asked.append(name)
        return find(kind, name.replace("\\", "/"))

    monkeypatch.setattr(folders, "names", listed)
    monkeypatch.setattr(folders, "find", found)

    assert_no_alarm(where)
    assert "characters\\spyke_plasma_v1_step600.safetensors" in asked


def test_extra_outputs_are_fine(scene: SetScene, plan: Plan) -> None:
    """A workflow of a person's own, with a preview beside the saved picture and other things in it, raises no alarm."""
    where = scene(plan=changed(plan, comfyui=plan.comfyui.model_copy(update={"workflow": Path("own.json")})))
    graph = json.loads(json.dumps(BUILT_IN))
    graph["1"]["inputs"]["ckpt_name"] = "AnythingXL_inkBase.safetensors"
    graph["2"]["inputs"]["lora_name"] = plan.production.file
    graph["20"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}, "_meta": {"title": "Preview"}}
    (plan.paths.project / "own.json").write_text(json.dumps(graph), "utf-8")

    seen = where.generate()

    assert (seen.alarms, len(seen.evidence)) == ({}, 6)


def extra_words(event: str, data: dict[str, Any], client_id: str | None) -> Iterator[Frame]:
    """Send what a client does not know in between, and everything twice."""
    del client_id
    yield "crystools.monitor", {"cpu": 3, "prompt_id": None}
    yield event, data | {"unknown": [1, 2]}
    yield event, data


@pytest.mark.slow
def test_unknown_and_repeated_frames_are_fine(scene: SetScene) -> None:
    """Events of custom nodes, unknown fields, and events that come twice change nothing."""
    assert_no_alarm(scene(FakingServer(frames=extra_words)))


def test_server_without_metadata_is_fine(scene: SetScene) -> None:
    """A server that writes no workflow into pictures (`--disable-metadata`) is taken at its history."""
    where = scene(FakingServer(picture=bared))
    checks = [check for one in where.generate().evidence.values() for check in one.checks if check.name == "workflow"]

    assert {str(check) for check in checks} == {
        "workflow: the PNG carries no workflow; the server's history was compared instead"
    }
    assert {one.identical for one in where.deploy().proof} == {True}


def test_clutter_among_training_images_is_fine(scene: SetScene, plan: Plan) -> None:
    """Captions, .DS_Store, subfolders and an image that cannot be read do not keep the others from being compared."""
    folder = plan.paths.training_images
    assert folder is not None
    (folder / "10_spyke").mkdir()
    (folder / "spyke_plasma_v1_01.png").rename(folder / "10_spyke" / "01.PNG")
    for name in ("spyke_plasma_v1_02.txt", ".DS_Store", "10_spyke/01.caption", "unreadable.png", "metadata.jsonl"):
        (folder / name).write_bytes(b"spyke_plasma_v1, standing")
    seen = scene(plan=plan).generate(cells_of(plan, "step600-forest", "step600-novel_pose"))

    assert seen.alarms == {}
    assert {one.nearest is not None for one in seen.evidence.values()} == {True}


@pytest.mark.parametrize(
    "is_there", [pytest.param(True, id="empty", marks=pytest.mark.slow), pytest.param(False, id="not-there")]
)
def test_no_training_images_are_fine(scene: SetScene, plan: Plan, *, is_there: bool) -> None:
    """A training folder that is empty or away is said not to have been compared with, and alarms nobody."""
    assert plan.paths.training_images is not None
    shutil.rmtree(plan.paths.training_images)
    if is_there:
        plan.paths.training_images.mkdir()
    where = scene(plan=plan)
    seen = where.generate()

    assert seen.alarms == {}
    assert {one.nearest for one in seen.evidence.values()} == {None}
    assert {one.identical for one in where.deploy().proof} == {True}


@pytest.mark.slow
def test_several_seeds_are_fine(scene: SetScene, plan: Plan) -> None:
    """Each prompt may be rendered with several seeds; each is compared with the baseline of its own."""
    assert_no_alarm(scene(plan=changed(plan, sampling=plan.sampling.model_copy(update={"seeds": (42, 7)}))))


def test_lora_without_metadata_is_fine(scene: SetScene, plan: Plan) -> None:
    """Files whose headers say nothing of their training are compared by what they render."""
    shapes = {"lora_unet_mid_block.lora_down.weight": (4, 320), "lora_unet_mid_block.lora_up.weight": (320, 4)}
    for checkpoint in plan.checkpoints:
        metadata = {"ss_steps": str(checkpoint.step), "ss_max_train_steps": "920"} if checkpoint.label else {}
        write_weights(plan.training_file(checkpoint), shapes, metadata, seed=checkpoint.id)

    assert_no_alarm(scene())


@pytest.mark.slow
def test_other_peoples_prompts_are_fine(scene: SetScene) -> None:
    """Prompts that others post all the while are run in their order, and alarm nobody."""
    where = scene()
    assert where.generate().alarms == {}
    plan = where.plan
    shutil.copyfile(plan.training_file(plan.checkpoints[1]), plan.paths.loras / "theirs.safetensors")
    graph = json.loads(where.store.evidence_path(cells_of(where.plan, "final-forest")[0]).read_text("utf-8"))[
        "workflow"
    ]
    graph["2"]["inputs"]["lora_name"] = "theirs.safetensors"
    theirs: list[str] = []
    enough = threading.Event()

    def post() -> None:
        with contextlib.closing(where.connect().client) as client:
            while not enough.is_set():
                graph["7"]["inputs"]["seed"] = len(theirs)
                theirs.append(str(uuid.uuid4()))
                client.post(graph, client_id="another person", prompt_id=theirs[-1])
                while where.serving.server.queue.remaining() > 2 and not enough.is_set():
                    time.sleep(0.005)

    other = threading.Thread(target=post)
    other.start()
    try:
        seen = where.generate(regenerate=True)
        proof = where.deploy().proof
    finally:
        enough.set()
        other.join()

    assert (seen.alarms, seen.rendered) == ({}, 6)
    assert {one.identical for one in proof} == {True}
    history = where.serving.server.queue.history()
    done = [prompt_id for prompt_id in history if prompt_id in theirs]
    assert done == theirs[: len(done)]
    assert {history[prompt_id]["status"]["status_str"] for prompt_id in done} == {"success"}


@pytest.mark.slow
def test_second_run_that_reuses_all_is_fine(scene: SetScene) -> None:
    """A run with nothing to render reuses every picture, alarms nobody, and asks the server for nothing."""
    where = scene()
    where.generate()
    count = len(where.serving.server.queue.history())
    seen = where.generate()

    assert (seen.alarms, seen.rendered, seen.reused) == ({}, 0, 6)
    assert len(where.serving.server.queue.history()) == count


@pytest.mark.slow
def test_same_checkpoint_deployed_again_is_fine(scene: SetScene) -> None:
    """Deploying what is in production already is proven once more, and nothing is replaced."""
    where = scene()
    where.generate()
    first = where.deploy()
    second = where.deploy()

    assert (second.production.read_bytes(), second.backup) == (first.production.read_bytes(), None)
    assert {one.identical for one in second.proof} == {True}


def test_pale_pictures_are_fine(scene: SetScene, plan: Plan) -> None:
    """Pictures without colours and with little contrast are pictures; only one with nothing in it alarms."""

    def pale(png: bytes) -> bytes:
        with Image.open(io.BytesIO(png)) as image:
            return repainted(png, image.convert("L").point(lambda value: 100 + value // 5).convert("RGB"))

    assert_no_alarm(scene(FakingServer(picture=pale), plan=changed(plan)))
