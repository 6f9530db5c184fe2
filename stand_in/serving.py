"""Gives a server an address: in a thread of this process for tests, or for as long as a process lives."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from stand_in.faults import Faults
from stand_in.listening import HOST, LeftOpenError, Listener
from stand_in.server import Server
from stand_in.versions import TODAY, Version


@dataclass(frozen=True, kw_only=True)
class Serving:
    """A running stand-in: its address, and the server itself to look behind it."""

    url: str
    server: Server
    loop: asyncio.AbstractEventLoop

    def drop(self, client_id: str) -> None:
        """Cut a client's WebSocket, as a network that fails does."""
        self.loop.call_soon_threadsafe(self.server.hub.drop, client_id)


@contextlib.contextmanager
def serve(
    comfyui: Path,
    *,
    port: int = 0,
    seconds_per_image: float = 0.0,
    faults: Faults | None = None,
    dialect: Version = TODAY,
) -> Iterator[Serving]:
    """Serve a ComfyUI folder from a thread of this process; port 0 picks a free one.

    Raises `OSError` when the port is taken, and `LeftOpenError` at the end when something does not end with it.
    """
    server = Server(comfyui, seconds_per_image=seconds_per_image, faults=faults, dialect=dialect)
    started = threading.Event()
    urls: list[str] = []
    failures: list[BaseException] = []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))

        def ready(url: str) -> None:
            urls.append(url)
            started.set()

        await run_server(server, port=port, ready=ready, stop=stop)

    def target() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=target, name="stand-in server", daemon=True)
    thread.start()
    started.wait()
    if failures:
        thread.join()
        raise failures[0]
    loop, stop = loops[0]
    try:
        yield Serving(url=urls[0], server=server, loop=loop)
    finally:
        with contextlib.suppress(RuntimeError):  # it ended by itself
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failures:
        raise failures[0]


async def run_server(server: Server, *, port: int, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve until `stop` is set; calls `ready` with the address once requests are answered.

    Raises `OSError` when the port is taken, and `LeftOpenError` when something does not end with the server.
    """
    publishing = asyncio.create_task(server.hub.publish())
    try:
        async with listening(server.app, port=port) as url:
            server.worker.start()
            try:
                ready(url)
                await stop.wait()
            finally:
                await asyncio.to_thread(server.worker.stop)
    finally:
        publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publishing
    if server.worker.is_alive:
        raise LeftOpenError("the worker is still busy: a hook blocks it")


@contextlib.asynccontextmanager
async def listening(app: web.Application, *, port: int = 0) -> AsyncIterator[str]:
    """Give an application an address; port 0 picks a free one. When it is left, every connection has ended."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        assert runner.server is not None  # noqa: S101 (it is set up; for the type checker)
        listener = await Listener.start(runner.server, port=port)
        try:
            yield f"http://{HOST}:{listener.port}"
        finally:
            await listener.close()
    finally:
        await runner.cleanup()
