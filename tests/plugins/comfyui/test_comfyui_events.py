"""The event socket is opened as HTTP requests are, and is opened anew when it drops."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import websocket
from aiohttp import web

from plugins.comfyui.answers import Message
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.events import Events
from plugins.comfyui.timing import Timing
from stand_in.faults import Frame
from stand_in.serving import Serving
from tests.small_plan import Posing
from tests.waiting import until


class Noting(Posing):
    """A stand-in that notes who connects, and can refuse."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.client_ids: list[str] = []
        self.refusing = 0

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Note a socket's request; refuse as many as asked."""
        if request.path.endswith("/ws"):
            self.headers.append(dict(request.headers))
            self.client_ids.append(request.query["clientId"])
            if self.refusing:
                self.refusing -= 1
                return web.Response(status=503)
        return await super().answer(request)


@pytest.fixture
def noting() -> Noting:
    """Return the notes of who connected."""
    return Noting()


@pytest.fixture
def serving(stand_in: Callable[..., Serving], noting: Noting) -> Serving:
    """Serve with notes."""
    return stand_in(faults=noting)


def test_socket_carries_the_credentials_and_no_origin(serving: Serving, noting: Noting) -> None:
    """The socket is authorised as HTTP requests are, and sends no Origin, which a proxy would refuse."""
    client = ComfyUI(serving.url.replace("://", "://ada:secret@"))
    events = Events(client)
    client_id = events.client_id
    events.close()
    client.close()
    assert [client_id] == noting.client_ids
    assert "Basic YWRhOnNlY3JldA==" == noting.headers[0]["Authorization"]
    assert "Origin" not in noting.headers[0]


def test_messages_go_to_whoever_follows(serving: Serving) -> None:
    """A message goes to the follower of its prompt alone, until that follower leaves; the rest is passed over."""
    client = ComfyUI(serving.url)
    events = Events(client)
    heard: list[Message] = []
    others: list[Message] = []
    seen = threading.Event()
    events.follow("a", heard.append)
    events.follow("b", others.append)
    events.follow("end", lambda _: seen.set())
    client_id, hub = events.client_id, serving.server.hub
    hub.send_preview(b"\xff\xd8", {}, client_id)
    hub.send("status", {"status": {}})
    hub.send("new_kind", {"prompt_id": ["a"]}, client_id)
    hub.send("executing", {"prompt_id": "a", "node": "3"}, client_id)
    hub.send("executing", {"prompt_id": "end"}, client_id)
    assert seen.wait(30)
    events.unfollow("a")
    seen.clear()
    hub.send("executing", {"prompt_id": "a", "node": "4"}, client_id)
    hub.send("executing", {"prompt_id": "end"}, client_id)
    assert seen.wait(30)
    events.close()
    client.close()
    assert [("executing", "a", "3")] == [(one.type, one.data.prompt_id, one.data.node) for one in heard]
    assert [] == others


def test_dropped_socket_connects_under_a_new_id(serving: Serving, noting: Noting) -> None:
    """After a drop, and a refusal, the socket connects again under an id that it never had."""
    client = ComfyUI(serving.url, timing=Timing(reconnect=0.01))
    events = Events(client)
    first = events.client_id
    noting.refusing = 1
    serving.drop(first)
    until(lambda: events.client_id != first)
    second = events.client_id
    heard = threading.Event()
    events.follow("a", lambda _: heard.set())
    serving.server.hub.send("executing", {"prompt_id": "a"}, second)
    assert heard.wait(30)
    events.close()
    client.close()
    assert 3 == len(set(noting.client_ids))
    assert (first, second) == (noting.client_ids[0], noting.client_ids[2])


def test_text_that_is_none_drops_the_socket(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are no text end the connection, and another one is made."""
    client = ComfyUI(serving.url, timing=Timing(reconnect=0.01))
    events = Events(client)
    first, receive = events.client_id, websocket.WebSocket.recv_data
    broken = [(websocket.ABNF.OPCODE_TEXT, b"\xff")]
    monkeypatch.setattr(
        websocket.WebSocket, "recv_data", lambda *_, **__: broken.pop() if broken else receive(*_, **__)
    )
    serving.server.hub.send("status", {"status": {}}, first)
    serving.server.hub.send("status", {"status": {}}, first)
    until(lambda: events.client_id != first)
    events.close()
    client.close()


def test_closing_takes_no_time(serving: Serving) -> None:
    """Closing wakes the thread that waits for a message, and leaves no socket and no thread behind."""
    client = ComfyUI(serving.url)
    events = Events(client)
    assert 32 == len(events.client_id)
    time.sleep(0.05)  # until it waits without an end
    begun = time.monotonic()
    events.close()
    client.close()
    assert 4 > time.monotonic() - begun
    assert not events._thread.is_alive()
    until(lambda: not serving.server.hub._sockets)


def test_absent_socket_keeps_nobody_waiting(serving: Serving, noting: Noting) -> None:
    """Where no socket can be had, an id is given at once, and closing takes no time."""
    noting.refusing = 1_000
    client = ComfyUI(serving.url)
    begun = time.monotonic()
    events = Events(client)
    assert 32 == len(events.client_id)
    events.close()
    client.close()
    assert 4 > time.monotonic() - begun


class Garbling(Noting):
    """A stand-in whose frames are no JSON objects at first."""

    def frames(self, event: str, data: dict[str, Any], client_id: str | None) -> Iterable[Frame]:
        """Send the end as it is, and before it what no ComfyUI sends."""
        del client_id
        if data.get("prompt_id") == "end":
            yield "progress", {"prompt_id": "end", "value": float("inf"), "max": float("nan"), "node": {}}
            yield "x", []  # type: ignore[misc]
            yield "x", "text"  # type: ignore[misc]
        yield event, data


def test_senseless_frames_are_passed_over(stand_in: Callable[..., Serving]) -> None:
    """Frames that no ComfyUI sends do not end the listening."""
    serving = stand_in(faults=Garbling())
    client = ComfyUI(serving.url)
    events = Events(client)
    heard: list[Message] = []
    events.follow("end", heard.append)
    serving.server.hub.send("executing", {"prompt_id": "end", "node": None}, events.client_id)
    until(lambda: len(heard) == 2)
    events.close()
    client.close()
    assert ["progress", "executing"] == [message.type for message in heard]
