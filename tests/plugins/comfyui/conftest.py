"""A web server that answers as a test wants, and servers to render on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.server import Server
from plugins.comfyui.timing import Timing
from stand_in.serving import Serving
from tests.plugins.comfyui.plain_web import Web


@pytest.fixture
def web() -> Iterator[Web]:
    """Run a web server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            place = self.path.split("?")[0]
            state.seen.append((self.command, self.path, dict(self.headers), body))
            status, headers, content = state.answers.get(place, state.answers.get("", (404, {}, b"")))
            if status == 0:
                state.let_go.wait(30)
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = handle_any  # noqa: N815 (http.server's names)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        state = Web(port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        state.let_go.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def client(web: Web) -> Iterator[ComfyUI]:
    """Connect a client with credentials to the web server."""
    client = ComfyUI(f"http://ada:s%40cret@127.0.0.1:{web.port}/")
    yield client
    client.close()


QUICK = Timing(poll=0.05, gone=0.3, fetch=0.2, pause=0.02, let_go=0.3, reconnect=0.02)
"""Looks at the history often, and gives up soon."""


@pytest.fixture
def connect(stand_in: object) -> Iterator[Callable[..., Server]]:
    """Make servers to render on: `connect(serving, timeout=..., timing=...)`."""
    del stand_in  # it goes after the servers that talk to it
    with ExitStack() as stack:

        def start(serving: Serving, *, timeout: float = 10.0, timing: Timing = QUICK) -> Server:
            client = ComfyUI(serving.url, timing=timing)
            server = Server(client, client.info(), timeout=timeout)
            stack.callback(server.close)
            return server

        yield start
