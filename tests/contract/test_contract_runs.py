"""What a prompt does: its reply, its frames in order, its history, its picture, and what is remembered for the next."""

import json
import time
from typing import Any

import pytest

from tests.contract.answers import DONE, extra_of, plain
from tests.contract.story import expected, history, meta, told
from tests.contract.subject import LONG, Subject
from tests.contract.wire import status

LORA_ORDER = ("4", "5", "10", "11", "7", "6", "3", "8", "9")
"""The order in which ComfyUI runs the recorded workflow when it remembers nothing."""
LOADED_ORDER = LORA_ORDER[1:]
"""The same where the base model is loaded."""
BASE_ORDER = tuple(node for node in LOADED_ORDER if node != "10")
"""The same without a LoRA."""
ERROR = "safetensors._safetensors_rust.SafetensorError"


def shown(subject: Subject, stem: str = "p", number: int = 1) -> dict[str, Any]:
    """Return what SaveImage shows for a picture in the corner."""
    return {"images": [subject.image(stem, number)]}


def test_success(subject: Subject) -> None:
    """A prompt that works is told node by node, then in the history, and gives a picture."""
    subject.forget()
    wire = subject.wire()
    assert ("status", status(0, wire.client_id)) == wire.listen()
    graph = subject.graph(subject.lora())
    prompt_id = "5b0a5f3e-7d0c-4f0e-9a66-1f2b3c4d5e6f"
    answer = wire.queue(graph, prompt_id=prompt_id)
    assert (200, "application/json; charset=utf-8") == (answer.status, answer.content_type)
    number = answer.body.pop("number")
    assert {"prompt_id": prompt_id, "node_errors": {}} == answer.body
    run = wire.follow(prompt_id)
    assert expected(ran=LORA_ORDER, shown={"9": shown(subject)}) == told(run)
    item = run.history["prompt"]
    assert [number, prompt_id, graph, {"client_id": wire.client_id}, ["9"]] == [*item[:3], extra_of(item), item[4]]
    assert {
        "outputs": {"9": shown(subject)},
        "status": {
            "status_str": "success",
            "completed": True,
            "messages": [("execution_start",), ("execution_cached", []), ("execution_success",)],
        },
        "meta": {"9": meta("9")},
    } == history(run)
    picture = wire.picture(run.images()[0])
    assert ("PNG", "RGB", (64, 64)) == (picture.format, picture.mode, picture.size)
    assert graph == json.loads(picture.info["prompt"])


def test_baseline(subject: Subject) -> None:
    """The same workflow without a LoRA runs in the same order, and gives another picture."""
    wire = subject.connect()
    lora = wire.run(subject.graph(subject.lora()))
    subject.rest()
    wire.frames_until_idle()
    run = wire.run(subject.graph(stem="q"))
    assert expected(cached={"4"}, ran=BASE_ORDER, shown={"9": shown(subject, "q")}) == told(run)
    assert wire.pixels(lora) != wire.pixels(run)


def test_identical_again(subject: Subject) -> None:
    """The very same prompt again runs no node, and tells the old file again."""
    wire = subject.connect()
    graph = subject.graph(subject.lora())
    first, again = wire.run(graph), wire.run(graph)
    assert expected(cached=graph, ran=(), shown={"9": shown(subject)}) == told(again)
    assert first.history["outputs"] == again.history["outputs"]
    assert first.history["meta"] == again.history["meta"]


def test_identical_again_when_the_file_is_gone(subject: Subject) -> None:
    """The very same prompt names the old file even when it was deleted; /view then says 404."""
    wire = subject.connect()
    image = wire.run(subject.plain(1)).images("2")[0]
    (subject.output / image["filename"]).unlink()
    assert [image] == wire.run(subject.plain(1)).images("2")
    assert 404 == wire.get("/view", **image).status


def test_new_prefix_runs_only_save_image(subject: Subject) -> None:
    """A prefix of its own makes nothing but SaveImage run again, with the same pixels."""
    wire = subject.connect()
    lora = subject.lora()
    first, again = wire.run(subject.graph(lora)), wire.run(subject.graph(lora, stem="q"))
    cached = [node for node in LORA_ORDER if node != "9"]
    assert expected(cached=cached, ran=["9"], shown={"9": shown(subject, "q")}) == told(again)
    assert wire.pixels(first) == wire.pixels(again)


def test_new_seed_runs_from_the_sampler_on(subject: Subject) -> None:
    """A new seed runs sampler, decoder and SaveImage, whose number goes up, and gives another picture."""
    wire = subject.connect()
    lora = subject.lora()
    first, again = wire.run(subject.graph(lora, seed=1)), wire.run(subject.graph(lora, seed=2))
    cached = {"4", "5", "10", "11", "7", "6"}
    assert expected(cached=cached, ran=["3", "8", "9"], shown={"9": shown(subject, number=2)}) == told(again)
    assert wire.pixels(first) != wire.pixels(again)


def test_new_lora_runs_from_its_loader_on(subject: Subject) -> None:
    """Another LoRA runs all but base model and empty latents, and gives another picture."""
    wire = subject.connect()
    first, again = (wire.run(subject.graph(subject.lora(name), stem=name)) for name in ("a", "b"))
    assert expected(cached={"4", "5"}, ran=LORA_ORDER[2:], shown={"9": shown(subject, "b")}) == told(again)
    assert wire.pixels(first) != wire.pixels(again)


def test_only_the_last_prompt_is_remembered(subject: Subject) -> None:
    """A prompt in between makes the first one's own nodes run again, and what both share is remembered."""
    wire = subject.connect()
    for seed in (1, 2):
        wire.run(subject.graph(seed=seed))
    assert sorted({"4", "5", "11", "6", "7"}) == wire.run(subject.graph(seed=1)).cached


def test_node_ids_do_not_matter(subject: Subject) -> None:
    """A node is the same when its class, inputs and ancestors are, whatever its id."""
    wire = subject.connect()
    wire.run(subject.graph())
    renamed = subject.graph()
    renamed["55"] = renamed.pop("5")
    renamed["3"]["inputs"]["latent_image"] = ["55", 0]
    assert sorted(renamed) == wire.run(renamed).cached


def test_unknown_inputs_are_part_of_a_node(subject: Subject) -> None:
    """An input that a node does not know is no mistake, but makes the node another one."""
    wire = subject.connect()
    wire.run(subject.plain(2))
    other = subject.plain(2)
    other["1"]["inputs"]["remark"] = "nobody reads this"
    assert [] == wire.run(other).cached


def test_same_graph_same_pixels(subject: Subject) -> None:
    """The same workflow gives the same pixels when all of it runs again."""
    wire = subject.connect()
    lora = subject.lora()
    first = wire.run(subject.graph(lora))
    subject.rest()
    wire.frames_until_idle()
    again = wire.run(subject.graph(lora, stem="q"))
    assert ["4"] == again.cached
    assert wire.pixels(first) == wire.pixels(again)


def test_lora_without_matching_keys(subject: Subject) -> None:
    """A LoRA that matches no layer is a success like any other, with the baseline's pixels."""
    subject.rest()
    wire = subject.connect()
    run = wire.run(subject.graph(subject.lora("nomatch")))
    assert expected(cached={"4"}, ran=LOADED_ORDER, shown={"9": shown(subject)}) == told(run)
    assert ("success", True, "execution_success") == run.ended
    assert wire.pixels(wire.run(subject.graph(stem="q"))) == wire.pixels(run)


def test_strength_0_is_the_baseline(subject: Subject) -> None:
    """At both strengths 0 a LoRA leaves the baseline's pixels, and a broken file is not even opened."""
    wire = subject.connect()
    name = subject.lora()
    (subject.loras / "a.safetensors").write_bytes(b"broken")
    graph = subject.graph(name)
    graph["10"]["inputs"] |= {"strength_model": 0, "strength_clip": 0}
    assert wire.pixels(wire.run(graph)) == wire.pixels(wire.run(subject.graph(stem="q")))


def test_lora_that_is_not_linked(subject: Subject) -> None:
    """A LoRA node that leads to no output is not run, and has no effect."""
    subject.rest()
    wire = subject.connect()
    graph = subject.graph(subject.lora())
    graph["3"]["inputs"]["model"] = ["4", 0]
    graph["11"]["inputs"]["clip"] = ["4", 1]
    run = wire.run(graph)
    assert expected(cached={"4"}, ran=BASE_ORDER, shown={"9": shown(subject)}) == told(run)
    assert wire.pixels(wire.run(subject.graph(stem="q"))) == wire.pixels(run)


def test_every_input_changes_the_picture(subject: Subject) -> None:
    """Whatever is changed in the workflow changes the pixels: no two of these pictures are the same."""
    changes: dict[str, tuple[str, str, Any]] = {
        "prompt": ("6", "text", "spyke_plasma_v1, crouching in a city"),
        "negative prompt": ("7", "text", "blurry"),
        "clip skip": ("11", "stop_at_clip_layer", -1),
        "cfg": ("3", "cfg", 4.0),
        "steps": ("3", "steps", 5),
        "sampler": ("3", "sampler_name", "euler"),
        "scheduler": ("3", "scheduler", "karras"),
        "denoise": ("3", "denoise", 0.5),
        "strength": ("10", "strength_model", 0.5),
        "no strength in the text": ("10", "strength_clip", 0.0),
        "no strength in the model": ("10", "strength_model", 0.0),
    }
    wire = subject.connect()
    graph = subject.graph(subject.lora(), steps=4)  # with 2, two schedulers may be the same
    seen = {wire.pixels(wire.run(graph)): "nothing"}
    for name, (node, key, value) in changes.items():
        other = json.loads(json.dumps(graph))
        other[node]["inputs"][key] = value
        pixels = wire.pixels(wire.run(other))
        assert (name, None) == (name, seen.get(pixels))
        seen[pixels] = name


def test_size(subject: Subject) -> None:
    """The picture is as large as its latents, in whole steps of 8 pixels."""
    wire = subject.connect()
    graph = subject.graph()
    graph["5"]["inputs"] |= {"width": 100, "height": 72}
    assert (96, 72) == wire.picture(wire.run(graph).images()[0]).size


def test_batch(subject: Subject) -> None:
    """A batch of two is two files with numbers in a row, and two different pictures."""
    wire = subject.connect()
    graph = subject.graph()
    graph["5"]["inputs"]["batch_size"] = 2
    images = wire.run(graph).images()
    assert [subject.image("p", number) for number in (1, 2)] == images
    first, second = (wire.picture(image).tobytes() for image in images)
    assert first != second


def test_prefix_with_fields(subject: Subject) -> None:
    """Fields in a prefix are filled in, and a file that is there is not overwritten."""
    wire = subject.connect()
    first = wire.run(subject.plain(3, stem="%width%x%height%_a"))
    assert [subject.image("16x16_a")] == first.images("2")
    assert [subject.image("16x16_a", 2)] == wire.run(subject.plain(4, stem="16x16_a")).images("2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            b"this is no safetensors file at all", "Error while deserializing header: header too large", id="text"
        ),
        pytest.param(b"", "Error while deserializing header: header too small", id="empty"),
        pytest.param(None, "Error while deserializing header: incomplete metadata, file not fully covered", id="short"),
    ],
)
def test_corrupt_lora(subject: Subject, content: bytes | None, message: str) -> None:
    """A LoRA that is no safetensors file, empty or cut short fails its prompt alone, and is told."""
    subject.rest()
    wire = subject.connect()
    name = subject.lora()
    path = subject.loras / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-8] if content is None else content)
    graph = subject.graph(name)
    run = wire.run(graph)
    inputs = sorted(graph["10"]["inputs"])
    about = {"executed": ["5"], "inputs": inputs, "outputs": sorted(graph)}
    end = ("execution_error", "10", "LoraLoader", ERROR, message, about)
    assert expected(cached={"4"}, ran=("5", "10"), end=end) == told(run)
    assert {
        "outputs": {},
        "status": {
            "status_str": "error",
            "completed": False,
            "messages": [("execution_start",), ("execution_cached", ["4"]), end],
        },
        "meta": {},
    } == history(run)
    assert ("success", True, "execution_success") == wire.run(subject.graph(stem="q")).ended


def test_failed_node_is_not_remembered(subject: Subject) -> None:
    """A node that failed runs again in the next prompt; those before it are known."""
    wire = subject.connect()
    name = subject.lora()
    (subject.loras / "a.safetensors").write_bytes(b"broken")
    graph = subject.graph(name)
    assert "error" == wire.run(graph).ended[0]
    subject.lora()
    again = wire.run(graph)
    assert ["4", "5"] == again.cached
    assert "success" == again.ended[0]


def test_prefix_escape(subject: Subject) -> None:
    """A prefix that leaves the output folder is taken, runs, and fails in SaveImage; nothing is written there."""
    wire = subject.connect()
    wire.run(subject.plain(50))
    graph = subject.plain(5)
    graph["2"]["inputs"]["filename_prefix"] = f"../../{subject.corner}"
    run = wire.run(graph)
    message = "**** ERROR: Saving image outside the output folder is not allowed."
    inputs = ["extra_pnginfo", "filename_prefix", "images", "prompt"]
    about = {"executed": ["1"], "inputs": inputs, "outputs": ["1", "2"]}
    end = ("execution_error", "2", "SaveImage", "Exception", message, about)
    assert expected(ran=("1", "2"), end=end) == told(run)
    assert [] == list(subject.folder.parent.glob(f"{subject.corner}*"))


def test_interrupted(subject: Subject) -> None:
    """An interrupt during sampling ends the prompt there: told as interrupted, in the history as an error."""
    subject.rest()
    wire = subject.connect()
    prompt_id = wire.submit(subject.graph(steps=LONG))
    heard = wire.frames_until(lambda kind, _: kind == "progress")
    assert DONE == plain(wire.post("/interrupt", {"prompt_id": prompt_id}))
    run = wire.follow(prompt_id, heard)
    steps = [data["value"] for kind, data in run.frames if kind == "progress"]  # one, or more if the interrupt was late
    assert (1, sorted(set(steps))) == (steps[0], steps)
    assert steps[-1] < LONG
    end = ("execution_interrupted", "3", "KSampler", ["11", "5", "6", "7"])
    assert expected(cached={"4"}, ran=BASE_ORDER[:-2], steps=LONG, reported=steps, end=end) == told(run)
    assert {
        "outputs": {},
        "status": {
            "status_str": "error",
            "completed": False,
            "messages": [("execution_start",), ("execution_cached", ["4"]), end],
        },
        "meta": {},
    } == history(run)
    again = wire.run(subject.graph())
    assert (sorted({"4", "5", "11", "6", "7"}), "success") == (again.cached, again.ended[0])


def test_partly_valid(subject: Subject) -> None:
    """Where one of two outputs is wrong, the reply is 200 with node_errors, and the other one runs."""
    wire = subject.connect()
    wire.run(subject.plain(6))
    graph = subject.plain(7)
    graph["20"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}
    answer = wire.queue(graph)
    assert 200 == answer.status
    assert {
        "20": {
            "errors": [
                {
                    "type": "required_input_missing",
                    "message": "Required input is missing",
                    "details": "filename_prefix",
                    "extra_info": {"input_name": "filename_prefix"},
                }
            ],
            "dependent_outputs": ["20"],
            "class_type": "SaveImage",
        }
    } == answer.body["node_errors"]
    run = wire.follow(answer.body["prompt_id"])
    assert expected(ran=("1", "2"), shown={"2": shown(subject, "plain", 2)}) == told(run)
    assert ["2"] == run.history["prompt"][4]


def test_partial_execution(subject: Subject) -> None:
    """Only the outputs that are asked for run; where that is none, there is nothing to do."""
    wire = subject.connect()
    graph = subject.plain(8)
    graph["20"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    run = wire.run(graph, partial_execution_targets=["2"])
    assert (["2"], {"2"}) == (run.history["prompt"][4], run.history["outputs"].keys())
    assert "prompt_no_outputs" == wire.queue(graph, partial_execution_targets=[]).body["error"]["type"]


def test_preview_image(subject: Subject) -> None:
    """PreviewImage writes below temp, under a name of its own."""
    wire = subject.connect()
    graph = subject.plain(9)
    graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    image = wire.run(graph).images("2")[0]
    assert ("temp", "", "ComfyUI_temp_") == (image["type"], image["subfolder"], image["filename"][:13])
    assert image["filename"].endswith("_00001_.png")
    assert (16, 16) == wire.picture(image).size
    (subject.folder / "temp" / image["filename"]).unlink()


def test_two_outputs(subject: Subject) -> None:
    """What leads to an output soonest runs first; each output is told when it is there, and again when cached."""
    subject.rest()
    wire = subject.connect()
    graph = subject.graph()
    graph["22"] = {"class_type": "KSampler", "inputs": {**graph["3"]["inputs"], "latent_image": ["3", 0], "seed": 2}}
    graph["21"] = {"class_type": "VAEDecode", "inputs": {"samples": ["22", 0], "vae": ["4", 2]}}
    graph["9"]["inputs"]["images"] = ["21", 0]
    graph["20"] = {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": subject.prefix("q")}}
    run = wire.run(graph)
    order = [data["node"] for kind, data in run.frames if kind == "executing"]
    assert ["3", "8", "20", "22", "21", "9", None] == order[order.index("3") :]
    again = wire.run(graph)
    outputs = {data["node"]: data["output"] for kind, data in again.frames if kind == "executed"}
    assert {"9": shown(subject), "20": shown(subject, "q")} == outputs == again.history["outputs"]


def test_two_loras(subject: Subject) -> None:
    """A second LoRA behind the first changes the picture once more."""
    wire = subject.connect()
    one, two = subject.graph(subject.lora("a")), subject.graph(subject.lora("a"), stem="q")
    two["12"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["10", 0], "lora_name": subject.lora("b"), "strength_model": 1.0},
    }
    two["3"]["inputs"]["model"] = ["12", 0]
    assert wire.pixels(wire.run(one)) != wire.pixels(wire.run(two))


def test_model_only_loader(subject: Subject) -> None:
    """LoraLoaderModelOnly does to the model what LoraLoader does at text strength 0."""
    wire = subject.connect()
    both, only = subject.graph(subject.lora()), subject.graph(subject.lora(), stem="q")
    both["10"]["inputs"]["strength_clip"] = 0.0
    only["10"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["4", 0], "lora_name": subject.lora(), "strength_model": 1.0},
    }
    only["11"]["inputs"]["clip"] = ["4", 1]
    assert wire.pixels(wire.run(both)) == wire.pixels(wire.run(only))


def test_extra_data(subject: Subject) -> None:
    """Extra data is kept in the history, keys for paid nodes are not; `extra_pnginfo` goes into the picture."""
    wire = subject.connect()
    extra = {"api_key_comfy_org": "k", "auth_token_comfy_org": "t", "extra_pnginfo": {"workflow": {"a": 1}}, "mine": 2}
    run = wire.run(subject.plain(10), extra_data=extra)
    kept = {"client_id": wire.client_id, "extra_pnginfo": {"workflow": {"a": 1}}, "mine": 2}
    assert kept == extra_of(run.history["prompt"])
    info = wire.picture(run.images("2")[0]).info
    assert {"a": 1} == json.loads(info["workflow"])
    assert "mine" not in info


def test_steps_are_reported_now_and_then(subject: Subject) -> None:
    """Of many quick steps the first and the last are reported, and of those between them one every 100 ms at most."""
    wire = subject.connect()
    start = time.monotonic()
    run = wire.run(subject.graph(stem="steps", size=16, steps=60))
    spent = time.monotonic() - start
    steps = [data["value"] for kind, data in run.frames if kind == "progress"]
    assert (1, 60) == (steps[0], steps[-1])
    assert len(steps) <= 3 + spent / 0.1
