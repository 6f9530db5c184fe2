"""The open WebSockets, and the one stream of frames that goes out to them in order."""

import asyncio
import contextlib
import json
import struct
import uuid
from collections.abc import Callable
from typing import Any, Final

from aiohttp import WSMsgType, web

from stand_in.faults import Faults

PREVIEW: Final = 1
PREVIEW_WITH_METADATA: Final = 4
"""Event numbers of binary frames (big-endian u32 first)."""


class WebSockets:
    """Sends frames to clients by their id. `greeting` gives what a client hears first.

    Keeps a fault of note: when a client connects again under its old id, the old connection's end removes the
    new one, which then stays open and hears nothing (docs/comfyui.md, "Connecting again").
    """

    def __init__(
        self, faults: Faults, greeting: Callable[[str], list[tuple[str, dict[str, Any]]]], own_features: dict[str, Any]
    ) -> None:
        self._faults = faults
        self._greeting = greeting
        self._own_features = own_features
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._features: dict[str, dict[str, Any]] = {}
        self._transports: dict[str, asyncio.Transport] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outgoing: asyncio.Queue[tuple[str, dict[str, Any], str | None] | tuple[bytes, str | None]] = (
            asyncio.Queue()
        )

    def send(self, event: str, data: dict[str, Any], client_id: str | None = None) -> None:
        """Queue a text frame for one client, or for all; safe from any thread."""
        self._queue((event, data, client_id))

    def send_preview(self, image: bytes, metadata: dict[str, Any], client_id: str | None) -> None:
        """Queue a JPEG preview, with its metadata where the client said that it understands them."""
        flags = self._features.get(client_id or "", {})
        if flags.get("supports_preview_metadata") is True:
            text = json.dumps({**metadata, "image_type": "image/jpeg"}).encode()
            frame = struct.pack(">II", PREVIEW_WITH_METADATA, len(text)) + text + image
        else:
            frame = struct.pack(">II", PREVIEW, 1) + image
        self._queue((frame, client_id))

    async def publish(self) -> None:
        """Send what is queued, for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            message = await self._outgoing.get()
            if len(message) == 2:  # noqa: PLR2004 (a binary frame and its client)
                for socket in self._sockets_of(message[1]):
                    with contextlib.suppress(ConnectionError):
                        await socket.send_bytes(message[0])
            else:
                for event, data in self._faults.frames(*message):
                    await self._send(event, data, message[2])

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one WebSocket until its client leaves."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        client_id = request.query.get("clientId", "") or uuid.uuid4().hex
        self._sockets[client_id] = socket
        self._features[client_id] = {}
        if isinstance(request.transport, asyncio.Transport):
            self._transports[client_id] = request.transport
        try:
            for event, data in self._greeting(client_id):
                for frame in self._faults.frames(event, data, client_id):
                    await self._send(*frame, client_id)
            first = True
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._heard(client_id, message.data, first=first)
                    first = False
        finally:
            self._sockets.pop(client_id, None)
            self._features.pop(client_id, None)
            self._transports.pop(client_id, None)
        return socket

    def drop(self, client_id: str) -> None:
        """Cut a client's connection without a word, as a network that fails does; call it in the server's loop."""
        transport = self._transports.get(client_id)
        if transport is not None:
            transport.abort()

    async def _heard(self, client_id: str, text: str, *, first: bool) -> None:
        """Answer the one message that clients may send: their features, at the very start."""
        with contextlib.suppress(json.JSONDecodeError, AttributeError):
            message = json.loads(text)
            if first and message.get("type") == "feature_flags":
                self._features[client_id] = message.get("data", {})
                await self._send("feature_flags", self._own_features, client_id)

    async def _send(self, event: str, data: dict[str, Any], client_id: str | None) -> None:
        for socket in self._sockets_of(client_id):
            with contextlib.suppress(ConnectionError):
                await socket.send_json({"type": event, "data": data})

    def _sockets_of(self, client_id: str | None) -> list[web.WebSocketResponse]:
        if client_id is None:
            return list(self._sockets.values())
        return [self._sockets[client_id]] if client_id in self._sockets else []

    def _queue(self, message: tuple[str, dict[str, Any], str | None] | tuple[bytes, str | None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the server is closing
                self._loop.call_soon_threadsafe(self._outgoing.put_nowait, message)
