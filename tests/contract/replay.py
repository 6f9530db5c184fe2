"""A server that answers as one recording says, whoever asks: ids are the asker's, the rest is what a ComfyUI said."""

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web
from PIL import Image

from stand_in.serving import listening

RECORDINGS: Final = Path(__file__).parent / "recordings"
TODAY: Final = "0.33.0"
VERSIONS: Final = (TODAY, "0.3.64")
"""Versions of ComfyUI that were recorded."""


class Socket(StrEnum):
    """When a prompt's frames are sent."""

    AFTER = "frames after the reply"
    BEFORE = "frames before the reply"
    NEVER = "no frames"


def recording(name: str, version: str = TODAY) -> Any:
    """Read one recording."""
    return json.loads((RECORDINGS / version / f"{name}.json").read_text(encoding="utf-8"))


def picture() -> bytes:
    """Return the picture that every /view shows."""
    png = io.BytesIO()
    Image.new("RGB", (8, 8), (10, 20, 30)).save(png, format="png")
    return png.getvalue()


class Replay:
    """Answers a prompt as a recorded run was, and every other request from recorded exchanges."""

    def __init__(self, run: Any, exchanges: Sequence[Any], socket: Socket) -> None:
        self._run = run
        self._socket = socket
        self._answers = {
            (exchange["request"]["method"], exchange["request"]["path"]): exchange["response"] for exchange in exchanges
        }
        self._ids: dict[str, str] = {}
        self._over = asyncio.Event()
        self._connected: list[web.WebSocketResponse] = []
        self.url = ""
        self.posted: list[Any] = []
        """The bodies of the prompts that were posted."""

    def application(self) -> web.Application:
        """Return the routes."""
        application = web.Application()
        application.router.add_get("/ws", self._listen)
        application.router.add_post("/prompt", self._prompt)
        application.router.add_get("/history/{prompt_id}", self._history)
        application.router.add_get("/queue", self._queue)
        application.router.add_get("/view", self._view)
        application.router.add_route("*", "/{path:.*}", self._recorded)
        return application

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._connected.append(socket)
        first = {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}}}
        await socket.send_json(self._run["frames"][0] if self._run and self._run["frames"] else first)
        async for _ in socket:
            pass
        return socket

    async def _prompt(self, request: web.Request) -> web.StreamResponse:
        if self._run is None:
            return await self._recorded(request)
        body = await request.json()
        self.posted.append(body)
        self._ids = {self._run["prompt_id"]: body["prompt_id"], self._run["client_id"]: body["client_id"]}
        told = self._run["post"]["response"]
        if self._socket is Socket.BEFORE:
            await self._play()
        answer = web.json_response(self._renamed(told["body"]), status=told["status"])
        if self._socket is Socket.BEFORE:
            return answer
        await answer.prepare(request)
        await answer.write_eof()
        await self._play()
        return answer

    async def _play(self) -> None:
        """Send the frames; the history is there from the status after the prompt's end on, as it was."""
        frames = self._run["frames"][1:]
        ends = [index for index, frame in enumerate(frames) if frame["type"].startswith("execution_")]
        for index, frame in enumerate(frames):
            if index > max(ends):
                self._over.set()
            if self._socket is not Socket.NEVER:
                for socket in self._connected:
                    with contextlib.suppress(ConnectionError):  # it heard enough
                        await socket.send_json(self._renamed(frame))
        self._over.set()

    async def _history(self, request: web.Request) -> web.StreamResponse:
        entry = self._renamed(self._run["history"]) if self._run and self._over.is_set() else {}
        return web.json_response(entry if request.match_info["prompt_id"] in entry else {})

    async def _queue(self, request: web.Request) -> web.StreamResponse:
        if self._run is None:
            return await self._recorded(request)
        running = [] if self._over.is_set() else [[0, prompt_id, {}, {}, []] for prompt_id in self._ids.values()]
        return web.json_response({"queue_running": running, "queue_pending": []})

    async def _view(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=picture(), content_type="image/png")

    async def _recorded(self, request: web.Request) -> web.StreamResponse:
        told = self._answers.get((request.method, unquote(request.path_qs)))
        if told is None:
            return web.Response(status=404)
        if told["content_type"] is None or told["content_type"].startswith("text/"):
            return web.Response(text=told["body"], status=told["status"])
        return web.json_response(told["body"], status=told["status"])

    def _renamed(self, value: Any) -> Any:
        text = json.dumps(value)
        for recorded, ours in self._ids.items():
            text = text.replace(recorded, ours)
        return json.loads(text)


@contextmanager
def replayed(run: str | None, *exchanges: str, version: str = TODAY, socket: Socket = Socket.AFTER) -> Iterator[Replay]:
    """Serve a recorded run, and recorded exchanges, on a free port."""
    told = [exchange for name in exchanges for exchange in _exchanges(recording(name, version))]
    started = threading.Event()
    made: list[tuple[Replay, asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        replay, stop = Replay(recording(run, version) if run else None, told, socket), asyncio.Event()
        async with listening(replay.application()) as replay.url:
            made.append((replay, asyncio.get_running_loop(), stop))
            started.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="replay", daemon=True)
    thread.start()
    assert started.wait(30)
    replay, loop, stop = made[0]
    try:
        yield replay
    finally:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def _exchanges(recorded: Any) -> list[Any]:
    return list(recorded["exchanges"] if "exchanges" in recorded else [recorded["exchange"]])
