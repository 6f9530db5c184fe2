"""Ways to have prompts rendered without this suite, to hold it against: the bare bound, and what peers do.

`python -m benchmarks.posting WAY URL FILE` posts the prompts of a JSON file in one of these ways, and does nothing
else: what such a process takes is what a person waits for.
"""

import json
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import requests
import websocket

Graph = dict[str, Any]

_SECONDS: Final = 600.0
"""How long any one prompt may take."""


class Bare:
    """One server over plain HTTP, with a socket that tells of ends: no checks, no files, no second try."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._client_id = uuid.uuid4().hex
        self._socket = websocket.create_connection(
            f"{url.replace('http', 'ws', 1)}/ws?clientId={self._client_id}", timeout=_SECONDS
        )

    def all_at_once(self, graphs: Sequence[Graph]) -> None:
        """Post all prompts, and fetch each picture when it is told of: a server is never left without work."""
        waiting = {self._post(graph) for graph in graphs}
        while waiting:
            waiting.remove(prompt_id := self._ended(waiting))
            self._fetch(prompt_id)

    def one_by_one(self, graphs: Sequence[Graph]) -> None:
        """Post a prompt, wait for its end, fetch its picture, and only then post the next."""
        for graph in graphs:
            self._fetch(self._ended({self._post(graph)}))

    def history(self) -> list[tuple[str, Graph, float, float]]:
        """Return (id, graph, start and end in seconds since 1970) of all that the server has run, in its order."""
        entries = self._session.get(f"{self._url}/history", timeout=_SECONDS).json()
        found = []
        for prompt_id, entry in sorted(entries.items(), key=lambda item: item[1]["prompt"][0]):
            times = [data["timestamp"] / 1000 for _, data in entry["status"]["messages"]]
            found.append((prompt_id, entry["prompt"][2], min(times), max(times)))
        return found

    def close(self) -> None:
        """Let go of the server."""
        self._socket.close()
        self._session.close()

    def _post(self, graph: Graph) -> str:
        body = {"prompt": graph, "client_id": self._client_id}
        answer = self._session.post(f"{self._url}/prompt", json=body, timeout=_SECONDS)
        answer.raise_for_status()
        return str(answer.json()["prompt_id"])

    def _ended(self, prompt_ids: set[str]) -> str:
        while True:
            frame = self._socket.recv()
            message = json.loads(frame) if isinstance(frame, str) else {}
            data = message.get("data", {})
            if message.get("type") == "executing" and data["node"] is None and data["prompt_id"] in prompt_ids:
                return str(data["prompt_id"])

    def _fetch(self, prompt_id: str) -> None:
        while not (entry := self._session.get(f"{self._url}/history/{prompt_id}", timeout=_SECONDS).json()):
            time.sleep(0.005)
        for output in entry[prompt_id]["outputs"].values():
            for place in output["images"]:
                self._session.get(f"{self._url}/view", params=place, timeout=_SECONDS).raise_for_status()


def simplified(url: str, graphs: Sequence[Graph]) -> None:
    """Have comfy-api-simplified render the prompts, as its read-me shows."""
    from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper  # noqa: PLC0415 (the other ways lack it)

    api = ComfyApiWrapper(url)
    for graph in graphs:
        titled = {node: {**value, "_meta": {"title": value["class_type"]}} for node, value in graph.items()}
        save = next(
            value["class_type"]
            for value in graph.values()
            if value["class_type"].endswith("Image") and ("images" in value["inputs"])
        )
        api.queue_and_wait_images(ComfyWorkflowWrapper(titled), save)


def anew(graphs: Sequence[Graph]) -> list[Graph]:
    """Return the same prompts under other file names: the very same would be answered from the server's cache."""
    word, found = uuid.uuid4().hex[:8], []
    for graph in json.loads(json.dumps(list(graphs))):
        for node in graph.values():
            if "filename_prefix" in node["inputs"]:
                node["inputs"]["filename_prefix"] = f"bench/{word}"
        found.append(graph)
    return found


def queued(url: str, graphs: Sequence[Graph]) -> None:
    """Post all prompts at once, as ComfyUI's own examples post one, and fetch each picture."""
    bare = Bare(url)
    bare.all_at_once(graphs)
    bare.close()


def one_by_one(url: str, graphs: Sequence[Graph]) -> None:
    """Post a prompt, wait for it, fetch its picture, and post the next, as ComfyUI's own examples do."""
    bare = Bare(url)
    bare.one_by_one(graphs)
    bare.close()


WAYS: Final[dict[str, Callable[[str, Sequence[Graph]], None]]] = {
    "queued": queued,
    "one-by-one": one_by_one,
    "simplified": simplified,
}

if __name__ == "__main__":
    way, address, file = sys.argv[1:]
    WAYS[way](address, json.loads(Path(file).read_text("utf-8")))
