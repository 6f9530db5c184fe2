"""Who hears what on the WebSocket."""

import json
import struct
from pathlib import Path

import pytest
import websocket
from raw_client import Client, graph

from plugins.demo.dialect import Dialect
from plugins.demo.serving import Serving, serve


def test_only_status_is_broadcast(client: Client) -> None:
    """Another client hears how long the queue is, and nothing of the prompt itself."""
    with Client(client.url) as other:
        client.run(graph())
        other.run(graph(seed=2))
    with Client(client.url) as third:
        third.frame()
        client.run(graph(seed=3))
        third.socket.settimeout(0.2)
        assert ["status"] * 3 == [third.frame()[0] for _ in range(3)]
        with pytest.raises(websocket.WebSocketTimeoutException):
            third.frame()


def test_first_frame_is_the_status_with_the_clients_id(client: Client) -> None:
    """A client is told its own id and the queue's length at once."""
    assert ("status", {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client.client_id}) == client.frame()


def test_client_without_an_id_is_given_one(client: Client) -> None:
    """Without clientId, the first status names one."""
    with Client(client.url, client_id="") as other:
        assert 32 == len(other.frame()[1]["sid"])


def test_prompt_without_client_tells_its_progress_to_all(client: Client) -> None:
    """Without client_id, only progress is heard, by everybody, and no end marker comes."""
    client.frame()
    client.post("/prompt", {"prompt": graph()})
    frames = client.frames_until(lambda frame: frame == ("status", {"status": {"exec_info": {"queue_remaining": 0}}}))
    assert {"status", "progress_state", "progress"} == {kind for kind, _ in frames}


def test_reconnecting_under_the_same_id_goes_silent(client: Client) -> None:
    """When the old connection ends, the new one under the same id stays open and hears nothing (fact 5)."""
    with Client(client.url, client_id=client.client_id) as again:
        again.frame()
        client.socket.close()
        with Client(client.url) as other:
            other.run(graph())
            prompt_id = again.submit(graph(seed=2))
            other.frames_until(lambda frame: frame == ("status", {"status": {"exec_info": {"queue_remaining": 0}}}))
            again.socket.settimeout(0.2)
            with pytest.raises(websocket.WebSocketTimeoutException):
                again.frames_of(prompt_id)
            assert prompt_id in other.get(f"/history/{prompt_id}").json()


def test_reconnecting_while_running_tells_the_node(comfyui: Path) -> None:
    """A client that comes back under its id is told which of its nodes runs."""
    with serve(comfyui, seconds_per_image=20.0) as serving, Client(serving.url) as client:
        client.submit(graph(steps=200))
        client.frames_until(lambda frame: frame[0] == "progress")
        with Client(serving.url, client_id=client.client_id) as again:
            again.frame()
            assert ("executing", {"node": "3"}) == again.frame()


def test_dropped_connection(serving: Serving, client: Client) -> None:
    """A connection can be cut in the middle; the prompt runs on, and its history is there."""
    client.frame()
    serving.drop(client.client_id)
    with pytest.raises((websocket.WebSocketException, OSError)):
        client.frame()
    with Client(client.url) as other:
        assert "success" == other.run(graph()).history["status"]["status_str"]


def test_features_are_answered_once(client: Client) -> None:
    """The first message may name features; the server answers with its own, and stays calm about nonsense."""
    client.frame()
    client.socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
    assert ("feature_flags", client.get("/features").json()) == client.frame()
    client.socket.send("nonsense")
    assert "executing" == client.run(graph()).types[-1]


@pytest.mark.parametrize(("metadata", "event"), [(False, 1), (True, 4)])
def test_previews(comfyui: Path, metadata: bool, event: int) -> None:  # noqa: FBT001 (parametrized)
    """Where previews are on, each step sends a JPEG; with metadata where the client asked for it."""
    with serve(comfyui, dialect=Dialect(previews=True)) as serving, Client(serving.url) as client:
        client.frame()
        client.socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": metadata}}))
        client.frame()
        prompt_id = client.submit(graph())
        binary = []
        while (message := client.socket.recv()) and not (isinstance(message, str) and '"node": null' in message):
            if isinstance(message, bytes):
                binary.append(message)
    assert 2 == len(binary)
    assert event == struct.unpack(">I", binary[0][:4])[0]
    assert b"\xff\xd8" in binary[0]
    assert metadata == (prompt_id.encode() in binary[0])


def test_foreign_pages_are_refused(client: Client) -> None:
    """A request whose Origin is another site gets 403, over HTTP and WebSocket alike."""
    assert 403 == client.get("/prompt", headers={"Origin": "http://evil.example"}).status_code
    assert 200 == client.get("/prompt", headers={"Origin": client.url}).status_code
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(client.url.replace("http", "ws") + "/ws", origin="http://evil.example")


def test_api_prefix(client: Client) -> None:
    """Every route answers below /api too."""
    for path in ("/queue", "/prompt", "/history", "/models/loras", "/system_stats", "/object_info/KSampler"):
        assert client.get(path).json() == client.get(f"/api{path}").json()
    socket = websocket.create_connection(client.url.replace("http", "ws") + "/api/ws?clientId=x", timeout=5)
    assert "x" == json.loads(socket.recv())["data"]["sid"]
    socket.close()
