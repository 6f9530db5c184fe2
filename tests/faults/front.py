"""What stands before a server: a line that is cut, refused, closed behind one's back, or leads to another server."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

from stand_in.listening import HOST, Listener

_IDLE_SECONDS = 0.02
_LONGEST_SECONDS = 30.0


class Front:
    """Passes TCP on to `target`, a port of this machine, and is told what to do instead. Safe from any thread."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self.hangs_up = False
        """Whether a connection is closed, without a word, as soon as an answer has passed."""
        self._loop = asyncio.new_event_loop()
        self._listener: Listener | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="front", daemon=True)
        self._thread.start()
        self.accept()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def accept(self) -> None:
        """Let everybody in, at the port that it had before."""
        asyncio.run_coroutine_threadsafe(self._accept(), self._loop).result(_LONGEST_SECONDS)

    def refuse(self) -> None:
        """Cut every connection, and refuse new ones."""
        asyncio.run_coroutine_threadsafe(self._refuse(), self._loop).result(_LONGEST_SECONDS)

    def lead_to(self, url: str) -> None:
        """Cut every connection, and lead new ones to another server of this machine."""
        self.refuse()
        self.target, self.hangs_up = urlsplit(url).port or 0, False
        self.accept()

    def close(self) -> None:
        """Be gone."""
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_LONGEST_SECONDS)
        self._loop.close()

    async def _accept(self) -> None:
        self._listener = await Listener.start(self._protocol, port=self.port)
        self.port = self._listener.port

    async def _refuse(self) -> None:
        if self._listener is not None:
            await self._listener.close()
            self._listener = None
        lines = asyncio.all_tasks() - {asyncio.current_task()}
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            upstream_reader, upstream = await asyncio.open_connection(HOST, self.target)
            there = asyncio.create_task(_pump(reader, upstream))
            try:
                await self._back(upstream_reader, writer)
            finally:
                there.cancel()
                upstream.transport.abort()
                with contextlib.suppress(OSError):
                    await upstream.wait_closed()
        writer.transport.abort()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered = False
        while True:
            try:
                data = await asyncio.wait_for(reader.read(1 << 16), _IDLE_SECONDS if answered else None)
            except TimeoutError:
                return
            if not data:
                return
            writer.write(data)
            await writer.drain()
            answered = self.hangs_up


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@contextlib.contextmanager
def before() -> Iterator[Front]:
    """Stand before a server, which it is yet to be led to."""
    front = Front()
    try:
        yield front
    finally:
        front.close()
