"""Who hears what on the WebSocket."""

import json
import uuid

import pytest
import websocket

from tests.contract.answers import extra_of
from tests.contract.story import expected, line, told
from tests.contract.subject import LONG, Subject
from tests.contract.wire import status


def test_first_frame(subject: Subject) -> None:
    """A client is told the queue's length and its own id at once, and then nothing."""
    wire = subject.wire()
    assert ("status", status(0, wire.client_id)) == wire.listen()
    assert wire.hears_nothing()


def test_first_frame_without_an_id(subject: Subject) -> None:
    """A client that names no id, or an empty one, is given one of 32 hexadecimal digits."""
    wire = subject.wire("")
    for path in ("/ws", "/ws?clientId="):
        kind, data = wire.listen(path)
        sid = data.pop("sid")
        assert ("status", status(0)) == (kind, data)
        assert (32, True) == (len(sid), set(sid) <= set("0123456789abcdef"))
        assert wire.socket is not None
        wire.socket.close()


def test_any_client_id_will_do(subject: Subject) -> None:
    """A client's id may be any text."""
    wire = subject.wire("me and you")
    assert ("status", status(0, "me and you")) == wire.listen()


def test_first_frame_while_busy(subject: Subject) -> None:
    """A client that comes while prompts wait and run is told how many; of what runs, nothing."""
    wire = subject.connect()
    running = subject.busy(wire)
    other = subject.wire()
    assert ("status", status(1, other.client_id)) == other.listen()
    assert other.hears_nothing()
    subject.stop(wire, running)


def test_two_clients(subject: Subject) -> None:
    """Only the queue's length is broadcast: each client hears its own prompts, and nothing of the other's."""
    first, second = subject.connect(), subject.connect()
    busy = subject.busy(first)
    run = second.submit(subject.plain(1))
    subject.stop(first, busy)
    heard = second.follow(run)
    rest = expected(ran=("1", "2"), shown={"2": {"images": [subject.image("plain")]}})[2:]
    # Put and taken: busy; put: ours; over: busy; taken: ours.
    assert [("status", length) for length in (1, 1, 2, 1, 1)] + rest == told(heard)
    assert [("status", status(0))] == first.frames_until_idle()[1:]
    assert first.hears_nothing()


def test_prompt_without_client(subject: Subject) -> None:
    """Without client_id, only its progress is heard, by everybody, and no end marker comes."""
    wires = [subject.connect(), subject.connect()]
    subject.rest()
    for wire in wires:
        wire.frames_until_idle()
    prompt_id = wires[0].submit(subject.graph(), client_id=None)
    entry = wires[0].wait(prompt_id).history
    assert [{}, "success"] == [extra_of(entry["prompt"]), entry["status"]["status_str"]]
    assert ["execution_start", "execution_cached", "execution_success"] == [
        kind for kind, _ in entry["status"]["messages"]
    ]
    story = expected(cached={"4"}, ran=("5", "11", "7", "6", "3", "8", "9"))
    broadcast = [entry for entry in story if entry[0] in {"status", "progress_state", "progress"}]
    for wire in wires:
        frames = wire.frames_until_idle()
        assert broadcast == [line(frame, prompt_id) for frame in frames]
        assert wire.hears_nothing()


def test_interruption_without_client(subject: Subject) -> None:
    """That a prompt without client was interrupted is told to everybody."""
    wire, other = subject.connect(), subject.connect()
    prompt_id = wire.submit(subject.graph(stem="busy", steps=LONG, seed=uuid.uuid4().int % 2**32), client_id=None)
    wire.frames_until(lambda kind, _: kind == "progress")
    wire.post("/interrupt", {"prompt_id": prompt_id})
    for each in (wire, other):
        frames = each.frames_until_idle()
        assert ["execution_interrupted", "status"] == [kind for kind, _ in frames[-2:]]
        assert prompt_id == frames[-2][1]["prompt_id"]


def test_error_without_client(subject: Subject) -> None:
    """That a prompt without client failed is told to nobody; the history has it."""
    wire = subject.connect()
    graph = subject.plain(1)
    graph["2"]["inputs"]["filename_prefix"] = "../../x"
    prompt_id = wire.submit(graph, client_id=None)
    assert {"status", "progress_state"} == {kind for kind, _ in wire.frames_until_idle()}
    assert ("error", False, "execution_error") == wire.wait(prompt_id).ended


def test_prompt_of_a_client_that_is_not_there(subject: Subject) -> None:
    """A prompt of an id that no socket has runs unheard."""
    wire = subject.connect()
    prompt_id = wire.submit(subject.plain(1), client_id="nobody")
    assert [1, 1, 0] == [data["status"]["exec_info"]["queue_remaining"] for _, data in wire.frames_until_idle()]
    assert ("success", True, "execution_success") == wire.wait(prompt_id).ended


def test_reconnecting_while_running(subject: Subject) -> None:
    """A client that comes back under its id is told at once which of its nodes runs, and then hears it go on."""
    wire = subject.connect()
    running = subject.busy(wire)
    again = subject.wire(wire.client_id)
    assert ("status", status(1, wire.client_id)) == again.listen()
    assert ("executing", {"node": "3"}) == again.frame()
    subject.stop(again, running)


def test_nothing_is_replayed(subject: Subject) -> None:
    """A client that comes back under its id after its prompt's end hears nothing of it."""
    wire = subject.connect()
    wire.run(subject.plain(1))
    again = subject.wire(wire.client_id)
    assert ("status", status(0, wire.client_id)) == again.listen()
    assert again.hears_nothing()


def test_reconnecting_goes_silent(subject: Subject) -> None:
    """When the old connection ends after the new one came, the new one stays open and hears nothing more."""
    old = subject.connect()
    new = subject.connect(old.client_id)
    first = new.run(subject.plain(1))
    assert ("success", True, "execution_success") == first.ended
    assert old.socket is not None
    old.socket.close()
    other = subject.connect()
    prompt_id = new.submit(subject.plain(2))
    other.frames_until_idle()
    assert new.hears_nothing()
    assert ("success", True, "execution_success") == new.wait(prompt_id).ended
    assert new.socket is not None
    new.socket.ping("still there")
    assert new.hears_nothing()


def test_old_connection_hears_nothing_once_replaced(subject: Subject) -> None:
    """Of two connections under one id, the newer one hears everything and the older one nothing."""
    old = subject.connect()
    new = subject.connect(old.client_id)
    new.run(subject.plain(1))
    assert old.hears_nothing()


def test_features(subject: Subject) -> None:
    """The first message may name features, and is answered with the server's; later ones and nonsense are not."""
    wire = subject.connect()
    features = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
    assert wire.socket is not None
    wire.socket.send(features)
    assert ("feature_flags", wire.get("/features").body) == wire.frame()
    for message in (features, "no JSON", "5", '{"type": "unknown"}'):
        wire.socket.send(message)
    assert wire.hears_nothing()
    assert "success" == wire.run(subject.plain(1)).ended[0]


def test_features_come_first_or_never(subject: Subject) -> None:
    """After any other message that is JSON, features are not answered any more."""
    wire = subject.connect()
    assert wire.socket is not None
    wire.socket.send('{"type": "unknown"}')
    wire.socket.send(json.dumps({"type": "feature_flags", "data": {}}))
    assert wire.hears_nothing()


def test_foreign_pages(subject: Subject) -> None:
    """A request from another site's page is refused with 403, over HTTP and WebSocket alike."""
    wire = subject.wire()
    assert 403 == wire.ask("GET", "/prompt", headers={"Origin": "http://evil.example"}).status
    assert 200 == wire.ask("GET", "/prompt", headers={"Origin": subject.server.url}).status
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        wire.listen(suppress_origin=False, origin="http://evil.example")
    assert ("status", status(0, wire.client_id)) == wire.listen(suppress_origin=False, origin=subject.server.url)


def test_below_api(subject: Subject) -> None:
    """The socket is below /api too."""
    wire = subject.wire()
    assert ("status", status(0, wire.client_id)) == wire.listen("/api/ws")
