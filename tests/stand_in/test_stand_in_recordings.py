"""What a ComfyUI 0.3.64 was recorded to answer, the stand-in answers too where it speaks as that version does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stand_in.serving import serve
from stand_in.versions import EARLIER
from stand_in.weights import write_weights
from tests.stand_in.raw_client import Client, graph, write_lora

RECORDINGS = Path(__file__).parents[1] / "contract" / "recordings" / "0.3.64"
NAMES = [f"spyke_plasma_v1_{step}.safetensors" for step in ("final", "step200", "step400", "step600", "step800")]
WARM_UPS: dict[str, dict[str, Any]] = {
    "run_success": {"lora": "x.safetensors"},
    "run_identical_again": {"lora": NAMES[3], "seed": 1795379466},
    "run_partly_valid": {"lora": NAMES[3]},
    "run_corrupt_lora": {"lora": NAMES[3]},
    "run_lora_without_matching_keys": {"lora": NAMES[3]},
    "run_interrupted": {"lora": "x.safetensors"},
}
"""What ran before a recording was made, as far as the caches tell."""
REFUSED = ["run_bad_seed", "run_no_outputs", "run_unknown_lora", "run_unknown_node"]


def recording(name: str) -> Any:
    """Read one recording."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Make the ComfyUI folder that the recordings were made with."""
    loras = tmp_path / "models/loras"
    for name, step in zip(NAMES, (920, 200, 400, 600, 800), strict=True):
        write_lora(loras / name, step)
    write_lora(loras / "x.safetensors", 400)
    write_lora(loras / "y.safetensors", 800)
    write_weights(tmp_path / "models/checkpoints/AnythingXL_inkBase.safetensors", {"w": (4,)}, {}, seed="base")
    return tmp_path


@pytest.fixture
def client(recorded: Path, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Connect a client to a stand-in over that folder; a test's parameter makes sampling take that long."""
    seconds = getattr(request, "param", 0.0)
    with serve(recorded, seconds_per_image=seconds, dialect=EARLIER) as serving, Client(serving.url) as client:
        yield client


def plain(value: Any, ids: dict[str, str]) -> Any:
    """Put what differs from run to run aside: ids, times, counters, orders of sets, objects, paths."""
    text = json.dumps(value)
    for found, name in ids.items():
        text = text.replace(found, name)
    text = re.sub(r'"timestamp": \d+', '"timestamp": 0', text)
    text = re.sub(r"_\d{5}_\.png", "_N_.png", text)
    return json.loads(text, object_hook=_plain_object)


def _plain_object(value: dict[str, Any]) -> dict[str, Any]:
    for name in ("executed", "current_outputs"):
        if name in value:
            value[name] = sorted(value[name])
    if "traceback" in value:
        value["traceback"] = []
    if "current_inputs" in value:
        value["current_inputs"] = sorted(value["current_inputs"])
    if "exception_message" in value:
        value["exception_message"] = value["exception_message"].split("\n")[0]
    value.pop("description", None)
    if "output_tooltips" in value:
        value["output_tooltips"] = [""] * len(value["output_tooltips"])
    return value


def own(frames: list[Any], ids: dict[str, str]) -> list[Any]:
    """Return a prompt's own frames, in order, with all that they say."""
    return [(frame["type"], plain(frame["data"], ids)) for frame in frames if frame["type"] not in {"status", "bin"}]


def statuses(frames: list[Any]) -> list[int]:
    """Return the queue's length as the status frames told it."""
    return [frame["data"]["status"]["exec_info"]["queue_remaining"] for frame in frames if frame["type"] == "status"]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_recorded(client: Client, name: str) -> None:
    """A workflow that cannot run is refused with the recorded status and body."""
    post = recording(name)["post"]
    response = client.post("/prompt", post["request"]["json"])
    assert post["response"]["status"] == response.status_code
    assert post["response"]["content_type"] == response.headers["content-type"]
    assert post["response"]["body"] == response.json()


@pytest.mark.parametrize(
    "name",
    [
        "run_success",
        "run_identical_again",
        "run_partly_valid",
        "run_corrupt_lora",
        "run_lora_without_matching_keys",
        "run_prefix_escape",
    ],
)
def test_runs_as_recorded(client: Client, recorded: Path, name: str) -> None:
    """A prompt's reply, frames and history are the recorded ones, in the recorded order."""
    expected = recording(name)
    if name in WARM_UPS:
        client.run(graph(**WARM_UPS[name]))
    (recorded / "models/loras/corrupt.safetensors").write_bytes(b"this is no safetensors file at all")
    write_lora(recorded / "models/loras/nomatch.safetensors", 600, prefix="nomatch_")
    ids = {expected["prompt_id"]: "PROMPT", expected["client_id"]: "CLIENT"}
    body = expected["post"]["request"]["json"] | {"client_id": client.client_id}
    response = client.post("/prompt", body)
    assert expected["post"]["response"]["body"] == response.json() | {
        "number": expected["post"]["response"]["body"]["number"]
    }
    run = client.follow(expected["prompt_id"])
    frames = [{"type": kind, "data": data} for kind, data in run.frames]
    mine = {expected["prompt_id"]: "PROMPT", client.client_id: "CLIENT"}
    assert own(expected["frames"], ids) == own(frames, mine)
    if name in WARM_UPS:
        assert statuses(expected["frames"])[-3:] == statuses(frames)[-3:]
    history = expected["history"][expected["prompt_id"]]
    history["prompt"][0] = run.history["prompt"][0]
    assert plain(history, ids) == plain(run.history, mine)


@pytest.mark.parametrize("client", [30.0], indirect=True)
def test_interrupted_as_recorded(client: Client) -> None:
    """An interrupt during sampling, well before the next step, ends the prompt with the recorded frames and history."""
    expected = recording("run_interrupted")
    workflow = expected["post"]["request"]["json"]["prompt"]
    warm = client.submit(graph("x.safetensors", steps=40))
    client.frames_until(lambda frame: frame[0] == "progress")
    client.post("/interrupt", {"prompt_id": warm})
    client.frames_of(warm)
    prompt_id = client.submit(workflow)
    first = client.frames_until(lambda frame: frame[0] == "progress")
    client.post("/interrupt", {"prompt_id": prompt_id})
    run = client.follow(prompt_id)
    ids = {expected["prompt_id"]: "PROMPT", expected["client_id"]: "CLIENT"}
    mine = {prompt_id: "PROMPT", client.client_id: "CLIENT"}
    frames = [{"type": kind, "data": data} for kind, data in first + run.frames]
    assert own(expected["frames"], ids) == own(frames, mine)
    history = expected["history"][expected["prompt_id"]]
    assert plain(history["status"], ids) == plain(run.history["status"], mine)
    assert history["outputs"] == run.history["outputs"]


def test_get_routes_as_recorded(client: Client) -> None:
    """Everything that can be asked for is answered with the recorded status, type and body."""
    for exchange in recording("get_routes")["exchanges"]:
        path, expected = exchange["request"]["path"], exchange["response"]
        response = client.get(path)
        told: Any = plain(response.json(), {}) if expected["content_type"] else response.text
        assert (path, expected["status"]) == (path, response.status_code)
        assert (path, expected["content_type"]) == (path, response.headers.get("content-type"))
        if path == "/system_stats":
            assert expected["body"]["system"].keys() == told["system"].keys() - {"simulated"}
            assert expected["body"]["devices"][0].keys() == told["devices"][0].keys()
        else:
            assert (path, plain(expected["body"], {})) == (path, told)


@pytest.mark.parametrize("name", ["post_bad_json", "post_empty", "post_free"])
def test_posts_as_recorded(client: Client, name: str) -> None:
    """A body that is broken or empty is answered as recorded, and so is /free."""
    exchange = recording(name)["exchange"]
    request, expected = exchange["request"], exchange["response"]
    response = client.post(request["path"], request.get("json"), data=request.get("body"))
    assert expected["status"] == response.status_code
    assert expected["content_type"] == response.headers.get("content-type")
    assert expected["body"] == (response.json() if isinstance(expected["body"], dict) else response.text)


@pytest.mark.parametrize("client", [5.0], indirect=True)
def test_queue_as_recorded(client: Client) -> None:
    """What runs and waits is told as recorded, and a waiting prompt can be deleted."""
    queue, delete, history, remaining = recording("queue_running_and_pending")["exchanges"]
    items = queue["response"]["body"]["queue_running"] + queue["response"]["body"]["queue_pending"]
    for _, prompt_id, workflow, _, _ in items:
        client.submit(workflow, prompt_id=prompt_id)
    client.frames_until(lambda frame: frame[0] == "execution_start")
    told = client.get("/queue").json()
    assert queue["response"]["body"].keys() == told.keys()
    for expected, actual in zip(items, told["queue_running"] + told["queue_pending"], strict=True):
        number, prompt_id, workflow, _, outputs = expected
        assert [number - items[0][0], prompt_id, workflow, {"client_id": client.client_id}, outputs] == actual
    response = client.post("/queue", delete["request"]["json"])
    assert (delete["response"]["status"], delete["response"]["body"]) == (response.status_code, response.text)
    assert history["response"]["body"] == client.get(history["request"]["path"]).json()
    assert remaining["response"]["body"] == client.get("/prompt").json()
