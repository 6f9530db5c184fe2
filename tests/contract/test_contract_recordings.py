"""Our client, in front of what a real ComfyUI answered: every recording passes through its sockets and its HTTP."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import BadAnswer, ExecutionFailed, Interrupted, Rejected
from plugins.comfyui.run import Phase, Run
from plugins.comfyui.server import Finished, Server
from plugins.comfyui.timing import Timing
from plugins.comfyui.workflow import Filled
from tests.contract.replay import RECORDINGS, TODAY, VERSIONS, Replay, Socket, picture, recording, replayed

SUCCEEDED = ("run_success", "run_identical_again", "run_lora_without_matching_keys")
FAILED = {
    "run_corrupt_lora": (
        ExecutionFailed,
        "raised safetensors._safetensors_rust.SafetensorError: Error while deserializing header: header too large",
    ),
    "run_prefix_escape": (
        ExecutionFailed,
        "node 9 (SaveImage) raised Exception: **** ERROR: Saving image outside the output folder is not allowed.",
    ),
    "run_interrupted": (Interrupted, "Somebody interrupted this picture"),
}
REFUSED = {
    "run_unknown_lora": "node 10 (LoraLoader), input lora_name: sent 'nope.safetensors', allowed ",
    "run_unknown_node": "Cannot execute because node NoSuchSampler does not exist. (Node ID '#3')",
    "run_no_outputs": "Prompt has no outputs",
    "run_bad_seed": "node 3 (KSampler), input seed: sent -1, allowed 0 to 18446744073709551615",
    "run_partly_valid": "node 21 (VAEDecode), input vae: nothing was sent, but it is required",
}
"""What the client says of a prompt that was refused, wholly or in part."""
TODAYS = {
    "run_unknown_node": "Node 'NoSuchSampler' not found. The custom node may not be installed.",
    "run_partly_valid": "node 12 (SaveImage), input filename_prefix: nothing was sent, but it is required",
}
"""Where that is another in 0.33.0."""
EXCHANGES = {"get_routes", "object_info", "post_bad_json", "post_empty", "post_free", "queue_running_and_pending"}


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Return each version that was recorded."""
    name: str = request.param
    return name


@contextmanager
def connected(
    version: str, run: str | None, *exchanges: str, socket: Socket = Socket.AFTER
) -> Iterator[tuple[Server, Replay]]:
    """Connect our client to a replay; `/system_stats` is the recorded one. Where frames come, it is theirs to tell."""
    poll = 0.05 if socket is Socket.NEVER else 5.0
    with ExitStack() as stack:
        replay = stack.enter_context(replayed(run, "get_routes", *exchanges, version=version, socket=socket))
        client = ComfyUI(replay.url, timing=Timing(poll=poll))
        server = Server(client, client.info(), timeout=10.0)
        stack.callback(server.close)
        yield server, replay


def render(version: str, name: str, socket: Socket) -> tuple[Finished, list[Run], Replay]:
    """Send a recorded workflow and follow it; give the result, and what was told on the way."""
    graph = recording(name, version)["post"]["request"]["json"]["prompt"]
    told: list[Run] = []
    with connected(version, name, socket=socket) as (server, replay):
        finished = server.render(Filled(graph=graph, save="9", sampler="3"), told.append)
    return finished, told, replay


def test_every_recording_is_replayed(version: str) -> None:
    """A recording that is added is replayed here, or this test says so."""
    names = {path.stem for path in (RECORDINGS / version).glob("*.json")}
    assert {*SUCCEEDED, *FAILED, *REFUSED} | EXCHANGES == names


@pytest.mark.parametrize("socket", Socket)
@pytest.mark.parametrize("name", SUCCEEDED)
def test_recorded_success(version: str, name: str, socket: Socket) -> None:
    """A recorded success gives its picture, its times and the workflow that ran, whenever its frames come."""
    finished, _, replay = render(version, name, socket)
    recorded = recording(name, version)
    entry = recorded["history"][recorded["prompt_id"]]
    times = [data["timestamp"] for _, data in entry["status"]["messages"]]
    assert picture() == finished.png
    assert entry["prompt"][2] == finished.remembered
    assert [datetime.fromtimestamp(stamp / 1000, UTC) for stamp in (times[0], times[-1])] == [
        finished.started,
        finished.ended,
    ]
    (body,) = replay.posted
    assert (finished.prompt_id, finished.remembered) == (body["prompt_id"], body["prompt"])


def test_recorded_progress(version: str) -> None:
    """What a recorded success tells on its way: each node in order, each sampling step, its end."""
    _, told, _ = render(version, "run_success", Socket.AFTER)
    nodes = list(dict.fromkeys(run.node for run in told if run.node))
    assert ["10", "11", "7", "6", "3", "8", "9"] == [node for node in nodes if node != "5"]  # it was cached in one
    assert [(1, 2), (2, 2)] == list(dict.fromkeys((run.value, run.maximum) for run in told if run.maximum))
    phases = dict.fromkeys(run.phase for run in told)
    phases.pop(Phase.QUEUED, None)  # told first, unless the socket is faster than the answer to the POST
    assert [Phase.RUNNING, Phase.SUCCEEDED] == list(phases)


@pytest.mark.parametrize("socket", Socket)
@pytest.mark.parametrize("name", FAILED)
def test_recorded_failure(version: str, name: str, socket: Socket) -> None:
    """A recorded failure or interruption is raised as what it was, with ComfyUI's own words."""
    kind, words = FAILED[name]
    with pytest.raises(kind) as caught:
        render(version, name, socket)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", REFUSED)
def test_recorded_refusal(version: str, name: str) -> None:
    """A recorded refusal names node, input, what was sent and what is allowed."""
    with pytest.raises(Rejected) as caught:
        render(version, name, Socket.AFTER)
    assert (TODAYS[name] if version == TODAY and name in TODAYS else REFUSED[name]) in str(caught.value)


def test_recorded_routes(version: str) -> None:
    """The recorded machine, lists, metadata and empty queue are read as they are."""
    with connected(version, None) as (server, _):
        client = server.client
        info = server.info
        names = tuple(_recorded(version, "get_routes", "/models/loras"))
        assert (version, "cpu", False) == (info.comfyui_version, info.device, info.simulated)
        assert names == client.loras()
        loader = _recorded(version, "get_routes", "/object_info/CheckpointLoaderSimple")["CheckpointLoaderSimple"]
        base_models = tuple(loader["input"]["required"]["ckpt_name"][0])
        assert 1 == len(base_models)
        assert base_models == client.options("CheckpointLoaderSimple", "ckpt_name")
        metadata = client.lora_metadata(
            next(name for name in names if name.endswith(("_step600.safetensors", "/a.safetensors")))
        )
        assert metadata is not None
        assert "600" == metadata["ss_steps"]
        assert {} == client.lora_metadata("nope.safetensors")
        assert ((), ()) == (client.queue().running, client.queue().pending)
        assert client.history("no-such-id") is None
        with pytest.raises(BadAnswer, match="has no node NoSuchNode"):
            client.options("NoSuchNode", "lora_name")


def test_recorded_node_types(version: str) -> None:
    """The recorded samplers and schedulers are listed."""
    with connected(version, None, "object_info") as (server, _):
        required = _recorded(version, "object_info", "/object_info/KSampler")["KSampler"]["input"]["required"]
        for name in ("sampler_name", "scheduler"):
            assert tuple(required[name][0]) == server.client.options("KSampler", name)
            assert len(server.client.options("KSampler", name)) > 5


def test_recorded_queue(version: str) -> None:
    """A recorded queue is read: who runs, who waits in which order; deleting and /free are acknowledged."""
    items = recording("queue_running_and_pending", version)["exchanges"][0]["response"]["body"]
    with connected(version, None, "queue_running_and_pending", "post_free") as (server, _):
        queue = server.client.queue()
        assert tuple(item[1] for item in items["queue_running"]) == queue.running
        pending = sorted(items["queue_pending"], key=lambda item: item[0])
        assert tuple(item[1] for item in pending) == queue.pending
        server.client.delete([queue.pending[0]])
        server.client.free()
        assert server.client.history(queue.pending[0]) is None


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("post_bad_json", BadAnswer, "answered POST /prompt with 500 (500 Internal Server Error Server got itself in"),
        ("post_empty", Rejected, "No prompt provided"),
    ],
)
def test_recorded_posts(version: str, name: str, kind: type[Exception], words: str) -> None:
    """What ComfyUI says to a broken or empty body is told, and not taken for success."""
    with connected(version, None, name) as (server, _), pytest.raises(kind) as caught:
        server.client.post({}, client_id="me", prompt_id="p")
    assert words in str(caught.value)


def _recorded(version: str, name: str, path: str) -> Any:
    (body,) = [
        exchange["response"]["body"]
        for exchange in recording(name, version)["exchanges"]
        if exchange["request"]["path"] == path
    ]
    return body
