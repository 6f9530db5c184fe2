"""A stand-in that ends leaves nothing open, whatever its clients do meanwhile."""

import asyncio
import contextlib
import gc
import itertools
import os
import socket
import threading
import warnings
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from stand_in.faults import Faults
from stand_in.listening import HOST, LeftOpenError, Listener
from stand_in.serving import Serving, serve
from tests.stand_in.raw_client import Client, graph

ENDS = 200 if os.environ.get("CI") else 50
TORN = ("hangs-up", "says-goodbye", "never-reads")
RECONNECTING = 2
FRAME = bytes(8 << 20)
"""More than the buffers of a connection take: the rest waits in the server."""
CLOSE_FRAME = b"\x88\x82\x00\x00\x00\x00\x03\xe8"
HANDSHAKE = (
    "GET /ws?clientId={} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def connected(url: str, client_id: str) -> socket.socket:
    """Open a WebSocket, and read the beginning of what comes."""
    address = urlsplit(url)
    client = socket.socket()
    try:
        client.settimeout(20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((address.hostname, address.port))
        client.sendall(HANDSHAKE.format(client_id).encode())
        assert client.recv(64).startswith(b"HTTP/1.1 101 ")
    except BaseException:
        client.close()
        raise
    return client


class Reconnecting:
    """Clients that connect to the server of the moment, hear its first word, hang up and connect again."""

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:9"
        self.times = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._connect, args=(str(n),)) for n in range(RECONNECTING)]

    def _connect(self, client_id: str) -> None:
        while not self._over.wait(0.001):
            with contextlib.suppress(OSError, AssertionError), connected(self.url, client_id):
                self.times += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def torn(serving: Serving, client_id: str, stack: contextlib.ExitStack) -> None:
    """Open a WebSocket, get a large frame, and do what the client's id says; until `stack` closes the socket."""
    client = stack.enter_context(connected(serving.url, client_id))
    serving.server.hub.send_preview(FRAME, {}, client_id)
    if client_id != "never-reads":
        client.recv(1 << 16)
    if client_id == "says-goodbye":
        client.sendall(CLOSE_FRAME)
    if client_id == "hangs-up":
        client.close()


def test_many_ends_leave_nothing_open(comfyui: Path) -> None:
    """Clients that reconnect, hang up in mid-frame and never read: no socket is left to the garbage collector."""
    threads = set(threading.enumerate())
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with Reconnecting() as clients:
            for _, client_id in zip(range(ENDS), itertools.cycle(TORN)):
                with contextlib.ExitStack() as stack, serve(comfyui) as serving:
                    clients.url = serving.url
                    torn(serving, client_id, stack)
        gc.collect()
    assert [] == [str(one.message) for one in caught]
    assert clients.times > ENDS
    assert set() == set(threading.enumerate()) - threads


def test_connection_that_stays_open_fails_its_listener() -> None:
    """A listener whose connections do not end says so, and names them."""
    made: asyncio.Queue[Any] = asyncio.Queue()

    class Deaf(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.abort = lambda: None
            made.put_nowait(transport)

    async def ended() -> None:
        listener = await Listener.start(Deaf)
        with socket.create_connection((HOST, listener.port)):
            connection = await made.get()
            try:
                await listener.close(within=0.0)
            finally:
                del connection.abort
                await listener.close()

    with pytest.raises(LeftOpenError, match="still open"):
        asyncio.run(ended())


def test_worker_that_is_left_behind_fails_its_server(comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that blocks on and on outlives the server: its own test is to hear of it."""
    entered, released = threading.Event(), threading.Event()

    class Blocking(Faults):
        def before_prompt(self, prompt_id: str) -> None:
            del prompt_id
            entered.set()
            released.wait(60)

    stack = contextlib.ExitStack()
    serving = stack.enter_context(serve(comfyui, faults=Blocking()))
    worker = serving.server.worker
    monkeypatch.setattr(worker, "stop", partial(worker.stop, timeout=0.0))
    with Client(serving.url) as client:
        client.submit(graph())
        assert entered.wait(20)
    with pytest.raises(LeftOpenError, match="worker"):
        stack.close()
    released.set()
    worker.join(20)
    assert not worker.is_alive
