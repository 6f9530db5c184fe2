"""A port of this machine, and every connection that came in by it, until its socket is closed."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final, Self

HOST: Final = "127.0.0.1"
"""The stand-in never answers to another machine."""
GONE_SECONDS: Final = 10.0
"""How long an aborted connection may take to close its socket. It takes one turn of the loop."""


class LeftOpenError(RuntimeError):
    """A server has ended, and something of it is still open."""


class Listener:
    """Accepts connections, and ends them all. Use it in the loop that it was made in.

    A loop that is closed with a connection half made or half closed leaves the socket to the garbage collector,
    which warns minutes later, in whatever is running then.
    """

    def __init__(self, listening: socket.socket, make_protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self._listening = listening
        self._make_protocol = make_protocol
        self._connections: list[asyncio.Transport] = []
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, make_protocol: Callable[[], asyncio.BaseProtocol], *, port: int = 0) -> Self:
        """Accept connections at a port; 0 picks a free one. Raises `OSError` when the port is taken."""
        listener = cls(socket.create_server((HOST, port)), make_protocol)
        loop = asyncio.get_running_loop()
        listener._server = await loop.create_server(lambda: _Entrance(listener), sock=listener._listening)
        return listener

    @property
    def port(self) -> int:
        """The port that it accepts connections at."""
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def connections(self) -> list[asyncio.Transport]:
        """The connections whose socket is open, those included that are closing."""
        return [one for one in self._connections if one.get_extra_info("socket").fileno() != -1]

    async def close(self, *, within: float = GONE_SECONDS) -> None:
        """Accept no more, and end every connection, whatever waits to be sent on it.

        Raises `LeftOpenError` when one is not closed `within` these seconds.
        """
        if self._server is not None:
            await self._refuse(self._server)
            self._server = None
        end = asyncio.get_running_loop().time() + within
        while connections := self.connections:
            for connection in connections:
                connection.abort()
            await asyncio.sleep(0)
            if asyncio.get_running_loop().time() > end and self.connections:
                raise LeftOpenError(f"aborted, and still open after {within:.0f} s: {self.connections}")

    async def _refuse(self, server: asyncio.Server) -> None:
        """Accept no more connections, and make those whole that were accepted.

        The reader goes first: a server that is closed between accepting a connection and making its transport
        never closes that socket (python/cpython#109564).
        """
        with contextlib.suppress(NotImplementedError):  # the loop of Windows has no readers, and makes them at once
            asyncio.get_running_loop().remove_reader(self._listening)
        for _ in range(3):  # one turn to make the transport, one to connect its protocol, one to read
            await asyncio.sleep(0)
        server.close()

    def made(self, connection: asyncio.Transport) -> None:
        """Take note of a new connection, and give it its protocol."""
        self._connections = [*self.connections, connection]
        protocol = self._make_protocol()
        connection.set_protocol(protocol)
        protocol.connection_made(connection)


class _Entrance(asyncio.Protocol):
    """Shows a new connection to its listener."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand the connection over."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (TCP is; for the type checker)
        self._listener.made(transport)
