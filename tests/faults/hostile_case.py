"""One row of the table of hostile inputs: what comes in, and how it must end."""

import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.timing import Timing
from plugins.plan.cells import Cell, matrix
from plugins.plan.plan import Plan
from plugins.plan.reading import read_plan
from tests.small_plan import PLAN

Answer = Callable[[str], Iterable[bytes]]
"""What a server sends, piece by piece, to a request of which it is given the first line."""


@dataclass(frozen=True)
class Ground:
    """The small plan with real files, to which a row does its harm."""

    folder: Path
    patch: pytest.MonkeyPatch
    stack: ExitStack

    @property
    def plan(self) -> Plan:
        """Read the plan as it is now."""
        return read_plan(self.folder / "plan.toml")

    @property
    def cell(self) -> Cell:
        """Return step600 on the first prompt."""
        return matrix(self.plan)[2]

    @property
    def elsewhere(self) -> Path:
        """Return a folder that no run has any business in, with a file that must stay."""
        folder = self.folder.parent / "elsewhere"
        folder.mkdir(exist_ok=True)
        (folder / "kept.txt").write_text("kept", encoding="utf-8")
        return folder

    def draft(self, old: str, new: str) -> Plan:
        """Read the plan with a piece of its text replaced."""
        assert old in PLAN
        path = self.folder / "plan.toml"
        path.write_text(PLAN.replace(old, new, 1), encoding="utf-8")
        return read_plan(path)

    def file(self, name: str, content: bytes) -> Path:
        """Write a file into the plan's folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def huge(self, name: str) -> Path:
        """Make a file of 100 MB that takes no room."""
        path = self.file(name, b"")
        with path.open("r+b") as file:
            file.truncate(100_000_000)
        return path

    def client(self, answer: Answer) -> ComfyUI:
        """Connect a client to a server that answers so."""
        return self.stack.enter_context(connected(answering(answer, self.stack).url))


@dataclass(frozen=True)
class Row:
    """An input with a name that reads as words. What it does raises a refusal, or gives what was expected and found."""

    name: str
    act: Callable[[Ground], Any]
    says: tuple[str, ...] = ()
    """What a refusal must tell: the thing, the place, the next step. Empty: the input does no harm."""


def refused(name: str, act: Callable[[Ground], Any], *says: str) -> Row:
    """Make the row of an input that is refused with these words."""
    return Row(name, act, says)


def harmless(name: str, act: Callable[[Ground], tuple[object, object]]) -> Row:
    """Make the row of an input that does no harm: `act` gives what is expected, and what was found."""
    return Row(name, act)


@dataclass(frozen=True)
class Wire:
    """A server that sends bytes as they are, and the first lines of the requests that came."""

    url: str
    seen: list[str] = field(default_factory=list)


def answering(answer: Answer, stack: ExitStack, *, tls: ssl.SSLContext | None = None) -> Wire:
    """Run a server on a free port for as long as `stack` is open, with a certificate where one is given."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            first = self.rfile.readline().decode("latin-1").strip()
            length = 0
            while (line := self.rfile.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            wire.seen.append(first)
            try:
                for piece in answer(first):
                    self.wfile.write(piece)
            except OSError:
                return  # the client has heard enough

    server = stack.enter_context(_Server(("127.0.0.1", 0), Handler))
    wire = Wire(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.shutdown)
    return wire


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def connected(url: str) -> Iterator[ComfyUI]:
    """Connect a client, and let go of it."""
    client = ComfyUI(url, timing=Timing(pause=0.001, listed=0.0))
    try:
        yield client
    finally:
        client.close()


def http(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """Answer every request with one body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    head = "".join(f"{line}\r\n" for line in lines) + "\r\n"
    return lambda _: [head.encode("latin-1"), body]


def fifo(path: Path) -> Path:
    """Make a pipe that nobody writes to, where the system has pipes."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(path)
    return path


def link(path: Path, target: Path) -> None:
    """Put a link to `target` at `path`, in place of what is there."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name} before"))
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this account may not make links (Windows)")
