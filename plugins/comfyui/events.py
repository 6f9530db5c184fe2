"""The server's event socket: news of our prompts while they run. They are hints; the history is the truth."""

import contextlib
import threading
import uuid
from collections.abc import Callable
from typing import Final

import websocket

from plugins.comfyui.answers import Message, read_frame
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.connecting import ca_bundle

Listener = Callable[[Message], None]

_PASSED_OVER: Final = tuple(
    f'{{"type": "{kind}"' for kind in ("progress_state", "status", "execution_cached", "executed")
)
"""How messages begin that change nothing: two of three, among them the longest, all nodes at every step of one."""


class Events:
    """Listens to one server in the background, and hands each message to whoever follows its prompt.

    After a drop it connects again under a new client id (docs/comfyui.md, "Connecting again"); messages of prompts
    posted under the old one do not come any more, so nobody may rely on messages alone.
    """

    def __init__(self, client: ComfyUI) -> None:
        self._client = client
        self._timing = client.timing
        self._listeners: dict[str, Listener] = {}
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._socket: websocket.WebSocket | None = None
        self._client_id = uuid.uuid4().hex
        self._thread = threading.Thread(target=self._listen, name="comfyui-events", daemon=True)
        self._thread.start()

    @property
    def client_id(self) -> str:
        """The id to send with a prompt, so that its messages come here. Waits a little for the first connection."""
        self._connected.wait(self._timing.connect)
        return self._client_id

    def follow(self, prompt_id: str, listener: Listener) -> None:
        """Call `listener` with each message of a prompt, from the listening thread."""
        self._listeners[prompt_id] = listener

    def unfollow(self, prompt_id: str) -> None:
        """Stop calling the prompt's listener."""
        self._listeners.pop(prompt_id, None)

    def close(self) -> None:
        """Stop listening."""
        self._stopping.set()
        if self._socket is not None:
            with contextlib.suppress(OSError, websocket.WebSocketException):
                self._socket.abort()  # type: ignore[no-untyped-call]  # wakes the thread that waits in it
        self._thread.join(self._timing.connect)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            client_id = uuid.uuid4().hex
            try:
                self._socket = websocket.create_connection(
                    f"{self._client.websocket_url}?clientId={client_id}",
                    timeout=self._timing.connect,
                    header=dict(self._client.websocket_headers),
                    sslopt={} if ca_bundle() is True else {"ca_certs": ca_bundle()},
                    skip_utf8_validation=True,  # in Python, byte by byte: 60 ms a picture; decoding tells it as well
                    redirect_limit=0,  # a redirect would be sent our credentials
                    suppress_origin=True,  # a proxy that rewrites Host answers 403 to an Origin that does not match
                    http_no_proxy=["*"] if self._client.is_local else None,
                )
                self._socket.recv()  # the first status: from here on the server knows the client id
                self._client_id = client_id
                self._connected.set()
                self._socket.settimeout(None)
                while not self._stopping.is_set():
                    self._pass_on(self._socket.recv())
            except Exception:  # noqa: BLE001 (news are advice: whatever is wrong with them, polling goes on without)
                self._connected.set()  # nobody should wait for a socket that does not come
                self._stopping.wait(self._timing.reconnect)
            finally:
                if self._socket is not None:
                    with contextlib.suppress(OSError, websocket.WebSocketException):
                        self._socket.close(timeout=0)
                    # also where the goodbye could not be said
                    self._socket.shutdown()  # type: ignore[no-untyped-call]

    def _pass_on(self, frame: str | bytes) -> None:
        if not isinstance(frame, str) or not frame or frame.startswith(_PASSED_OVER):
            return
        message = read_frame(frame)
        listener = self._listeners.get(message.data.prompt_id) if message else None
        if message and listener:
            listener(message)
