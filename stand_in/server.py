"""The stand-in as a whole: folder, catalogue, queue, worker and sockets, put together."""

import io
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from PIL import Image

from stand_in.catalogue import Catalogue
from stand_in.execution import Executor
from stand_in.faults import Faults
from stand_in.folders import Folders
from stand_in.log import Log
from stand_in.nodes.node import Node
from stand_in.prompt_queue import PromptQueue
from stand_in.routes import Routes
from stand_in.versions import MAX_UPLOAD, TODAY, Version
from stand_in.views import Views
from stand_in.websockets import WebSockets
from stand_in.worker import Worker

DEVICE: Final = "SIMULATED (embedded stand-in)"
"""Name under which the stand-in declares itself, where a real server names its GPU."""


class Server:
    """A ComfyUI look-alike over one ComfyUI folder. `serving.serve` gives it an address.

    `seconds_per_image` is spread over the sampling steps.
    """

    def __init__(
        self,
        comfyui: Path,
        *,
        seconds_per_image: float = 0.0,
        faults: Faults | None = None,
        dialect: Version = TODAY,
    ) -> None:
        self.faults = faults or Faults()
        self.folders = Folders(comfyui)
        self.hub = WebSockets(self.faults, self._greeting, dialect.features)
        self.log = Log(levels=dialect.log_levels)
        self.queue = PromptQueue(self._queue_changed)
        self.catalogue = Catalogue(self.folders, dialect)
        self.executor = Executor(
            self.folders,
            self.catalogue,
            self.hub.send,
            faults=self.faults,
            log=self.log,
            throttles_progress=dialect.throttles_progress,
            seconds_per_image=seconds_per_image,
            sleep=self._sleep,
            preview=self._preview if dialect.previews else None,
        )
        self.worker = Worker(self.queue, self.executor, self.hub, self.faults)
        routes = Routes(self.queue, self.executor, self.catalogue, self.faults, dialect)
        views = Views(self.folders, self.catalogue, self.faults, device=DEVICE, dialect=dialect)
        self.app = web.Application(client_max_size=MAX_UPLOAD, middlewares=[self._middleware()])
        # ComfyUI offers every route below /api too.
        for prefix in ("", "/api"):
            self.app.router.add_get(f"{prefix}/ws", self.hub.connect)
            routes.add_to(self.app, prefix)
            views.add_to(self.app, prefix)
        self.app.router.add_get("/internal/logs/raw", self._get_log)

    def register(self, name: str, described: Mapping[str, Any], node: type[Node] | None = None) -> None:
        """Add a node class, as a custom node pack does.

        `described` is its entry of `/object_info` (`Catalogue.register`); without `node`, it hands on what it takes.
        """
        self.catalogue.register(name, described)
        if node is not None:
            self.executor.behaviours[name] = node

    def _middleware(self) -> Any:  # noqa: ANN401 (aiohttp's own decorated function)
        @web.middleware
        async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401
            if _is_foreign(request):
                return web.Response(status=403)
            if request.method == "OPTIONS":
                return web.Response()
            answer = await self.faults.answer(request)
            response: web.StreamResponse = answer if answer is not None else await handler(request)
            return response

        return middleware

    async def _get_log(self, _request: web.Request) -> web.Response:
        """Return the last lines of the log; this route is not below /api."""
        return web.json_response(self.log.raw())

    def _greeting(self, client_id: str) -> list[tuple[str, dict[str, Any]]]:
        frames: list[tuple[str, dict[str, Any]]] = [("status", {"status": self._status(), "sid": client_id})]
        if self.executor.client_id == client_id and self.executor.running_node is not None:
            frames.append(("executing", {"node": self.executor.running_node}))
        return frames

    def _queue_changed(self) -> None:
        self.hub.send("status", {"status": self._status()})

    def _status(self) -> dict[str, Any]:
        return {"exec_info": {"queue_remaining": self.queue.remaining()}}

    def _sleep(self, seconds: float) -> None:
        self.worker.sleep(seconds)

    def _preview(self, prompt_id: str, node_id: str, done: int, of: int, client_id: str | None) -> None:
        """Send a small picture that clears up as sampling goes on."""
        image = Image.new("RGB", (64, 64), (round(200 * done / of), 120, 140))
        jpeg = io.BytesIO()
        image.save(jpeg, format="jpeg")
        metadata = {
            "node_id": node_id,
            "prompt_id": prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        self.hub.send_preview(jpeg.getvalue(), metadata, client_id)


def _is_foreign(request: web.Request) -> bool:
    """Return whether a page of another site sent this request to this machine; ComfyUI refuses those with 403.

    A Host that is not this machine's is left to the proxy that passed it on.
    """
    host = urlsplit("//" + request.headers.get("Host", "").lower())
    origin = urlsplit(request.headers.get("Origin", "").lower())
    if not _is_loopback(host.hostname):
        return False
    ours = host.hostname if origin.port is None else host.netloc
    theirs = origin.hostname if host.port is None else origin.netloc
    return bool(ours and theirs and ours != theirs)


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"
