"""A ComfyUI client of a few lines that knows HTTP and WebSocket and nothing else, least of all our own client."""

import io
import json
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import requests
import websocket
from PIL import Image

Frame = tuple[str, dict[str, Any]]
"""A text frame: its type and its data. Binary frames are previews, and left out."""


@dataclass(frozen=True)
class Answer:
    """What came back for a request."""

    status: int
    content_type: str | None
    body: Any
    """JSON where it is some, else the text; bytes for anything that is no text."""
    headers: dict[str, str] = field(default_factory=dict, compare=False)
    content: bytes = field(default=b"", compare=False)


@dataclass(frozen=True)
class Run:
    """One prompt from its POST to its end marker."""

    prompt_id: str
    frames: list[Frame]
    history: dict[str, Any]

    def images(self, node: str = "9") -> list[dict[str, str]]:
        """Name the pictures that a node saved, as /view wants them."""
        shown: list[dict[str, str]] = self.history["outputs"][node]["images"]
        return shown

    @property
    def cached(self) -> list[str]:
        """The nodes that were not run again."""
        return next(sorted(data["nodes"]) for kind, data in self.frames if kind == "execution_cached")

    @property
    def ended(self) -> tuple[str, bool, str]:
        """How the history says it ended: its status, whether completed, and the last message's type."""
        status = self.history["status"]
        return status["status_str"], status["completed"], status["messages"][-1][0]


class Wire:
    """One client of the server at `url`, and of no other: no redirects, no proxies.

    `patience` is how many seconds it waits for an answer or a frame. `posted` collects the ids of its prompts.
    """

    def __init__(self, url: str, *, patience: float, client_id: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.client_id = uuid.uuid4().hex if client_id is None else client_id
        self.patience = patience
        self.posted: list[str] = []
        self.session = requests.Session()
        self.session.trust_env = False
        self.socket: websocket.WebSocket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        if self.socket is not None:
            self.socket.close(timeout=1)
        self.session.close()

    def listen(self, path: str = "/ws", **options: Any) -> Frame:
        """Open the socket under the client id, and give the first frame."""
        query = f"?clientId={quote(self.client_id)}" if self.client_id else ""
        options = {"suppress_origin": True, **options}
        self.socket = websocket.create_connection(
            "ws" + self.url.removeprefix("http") + path + query,
            timeout=self.patience,
            http_no_proxy=["*"],
            **options,
        )
        return self.frame()

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request and give whatever comes back."""
        answer = self.session.request(method, self.url + path, timeout=self.patience, allow_redirects=False, **options)
        kind = answer.headers.get("content-type")
        body: Any = answer.content
        if kind is None or kind.startswith("text/"):
            body = answer.text
        elif kind.startswith("application/json"):
            body = answer.json()
        return Answer(answer.status_code, kind, body, dict(answer.headers), answer.content)

    def get(self, path: str, **query: str) -> Answer:
        """GET a path."""
        return self.ask("GET", path, params=query or None)

    def post(self, path: str, body: Any) -> Answer:
        """POST JSON to a path."""
        return self.ask("POST", path, json=body)

    def queue(self, graph: Any, **body: Any) -> Answer:
        """POST a prompt under an id of its own, and this client's; `None` leaves a key out."""
        body = {"prompt": graph, "client_id": self.client_id, "prompt_id": str(uuid.uuid4())} | body
        body = {name: value for name, value in body.items() if value is not None}
        answer = self.post("/prompt", body)
        if isinstance(answer.body, dict) and "prompt_id" in answer.body:
            self.posted.append(answer.body["prompt_id"])
        elif "prompt_id" in body:
            self.posted.append(body["prompt_id"])
        return answer

    def submit(self, graph: Any, **body: Any) -> str:
        """Queue a prompt that must be taken without a complaint, and give its id."""
        answer = self.queue(graph, **body)
        assert (200, {}) == (answer.status, answer.body["node_errors"]), answer.body
        prompt_id: str = answer.body["prompt_id"]
        return prompt_id

    def run(self, graph: Any, **body: Any) -> Run:
        """Queue a prompt and follow it to its end marker."""
        return self.follow(self.submit(graph, **body))

    def follow(self, prompt_id: str, before: Iterable[Frame] = ()) -> Run:
        """Follow a prompt to its end marker, and read its history."""
        frames = [*before, *self.frames_until(lambda kind, data: is_end(kind, data, prompt_id))]
        return Run(prompt_id, frames, self.history(prompt_id))

    def wait(self, prompt_id: str) -> Run:
        """Wait for a prompt without the socket, by looking at the history."""
        deadline = time.monotonic() + self.patience
        while prompt_id not in (entry := self.get(f"/history/{prompt_id}").body):
            assert time.monotonic() < deadline, f"prompt {prompt_id} is not in the history"
            time.sleep(0.02)
        return Run(prompt_id, [], entry[prompt_id])

    def wait_until_idle(self) -> None:
        """Wait until no prompt waits or runs."""
        deadline = time.monotonic() + self.patience
        while self.get("/prompt").body["exec_info"]["queue_remaining"]:
            assert time.monotonic() < deadline, "the queue does not get empty"
            time.sleep(0.02)

    def history(self, prompt_id: str) -> dict[str, Any]:
        """Return a finished prompt's entry in the history."""
        entry: dict[str, Any] = self.get(f"/history/{prompt_id}").body[prompt_id]
        return entry

    def frame(self) -> Frame:
        """Return the next text frame."""
        assert self.socket is not None, "not listening"
        while isinstance(message := self.socket.recv(), bytes) or not message:
            assert message, "the server closed the socket"
        told = json.loads(message)
        assert {"type", "data"} == told.keys()
        return told["type"], told["data"]

    def frames_until(self, last: Callable[[str, dict[str, Any]], bool]) -> list[Frame]:
        """Return the frames up to and with the one that is asked for."""
        deadline = time.monotonic() + self.patience
        frames = [self.frame()]
        while not last(*frames[-1]):
            assert time.monotonic() < deadline, f"not heard in time; last: {frames[-3:]}"
            frames.append(self.frame())
        return frames

    def frames_until_idle(self) -> list[Frame]:
        """Return the frames up to the status that tells of an empty queue."""
        return self.frames_until(lambda kind, data: (kind, data) == ("status", status(0)))

    def statuses(self, count: int) -> list[int]:
        """Return the queue's length as the next status frames tell it, whatever comes in between."""
        told = [self.frames_until(lambda kind, _: kind == "status")[-1][1] for _ in range(count)]
        return [data["status"]["exec_info"]["queue_remaining"] for data in told]

    def skip(self) -> None:
        """Leave out the frames that have come already."""
        while not self.hears_nothing(0.005):
            pass

    @property
    def silence(self) -> float:
        """How many seconds without a frame mean that none will come, on a server for which one has such patience."""
        return min(0.5, max(0.1, self.patience / 300))

    def hears_nothing(self, seconds: float | None = None) -> bool:
        """Whether no frame comes for so long."""
        assert self.socket is not None, "not listening"
        self.socket.settimeout(self.silence if seconds is None else seconds)
        try:
            self.frame()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.socket.settimeout(self.patience)
        return False

    def picture(self, image: dict[str, str]) -> Image.Image:
        """Fetch a picture."""
        answer = self.get("/view", **image)
        assert 200 == answer.status
        with Image.open(io.BytesIO(answer.content)) as picture:
            picture.load()
            return picture

    def pixels(self, run: Run, node: str = "9") -> bytes:
        """Return the pixels of a run's first picture, whatever its file says besides."""
        return self.picture(run.images(node)[0]).convert("RGB").tobytes()

    def waiting(self) -> list[str]:
        """Return the ids of the prompts that wait, in the order in which they will run."""
        return [item[1] for item in sorted(self.get("/queue").body["queue_pending"], key=lambda item: item[0])]

    def running(self) -> list[str]:
        """Return the ids of the prompts that run."""
        return [item[1] for item in self.get("/queue").body["queue_running"]]


def is_end(kind: str, data: dict[str, Any], prompt_id: str) -> bool:
    """Tell a prompt's end marker."""
    return kind == "executing" and data.get("node") is None and data.get("prompt_id") == prompt_id


def status(remaining: int, sid: str | None = None) -> dict[str, Any]:
    """Return the data of a status frame."""
    told: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": remaining}}}
    return told if sid is None else {**told, "sid": sid}
