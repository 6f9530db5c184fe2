"""ComfyUI's HTTP routes, as typed calls."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

import requests
from pydantic import ValidationError

from plugins.comfyui.answers import (
    MODEL_FILES,
    NAMES,
    NODES,
    HistoryEntry,
    ImageRef,
    ModelFile,
    Posted,
    Queue,
    ServerInfo,
    SystemStats,
    options_of,
)
from plugins.comfyui.errors import BadAnswer, BrokenAnswer, ComfyUIError, Rejected
from plugins.comfyui.rejection import describe_rejection
from plugins.comfyui.timing import Timing
from plugins.comfyui.transport import Answer, Transport

Graph = dict[str, dict[str, Any]]
"""A workflow in API format: `{node_id: {"class_type": ..., "inputs": ...}}`."""


class ComfyUI:
    """One ComfyUI server. `url` may carry credentials; they are sent, and never shown.

    Every call raises `Unreachable` where no answer comes, and `BadAnswer` for one that ComfyUI would not give.
    """

    def __init__(self, url: str, *, timing: Timing = Timing()) -> None:  # noqa: B008 (a frozen value)
        self.timing: Final = timing
        self._transport: Final = Transport(url, timing=timing)
        self.url: Final = self._transport.url

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, by its address."""
        return self._transport.is_local

    @property
    def websocket_url(self) -> str:
        """The address of the server's event socket, without the client id."""
        return re.sub(r"^http", "ws", self.url) + "/ws"

    @property
    def websocket_headers(self) -> Mapping[str, str]:
        """The headers that authorise the event socket, as HTTP requests are."""
        return self._transport.authorising_headers

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def info(self) -> ServerInfo:
        """Ask the server what it is. This is also how to see whether one answers at all."""
        try:
            stats = SystemStats.model_validate(self._json("GET", "/system_stats"))
        except ValidationError as error:
            raise BadAnswer(
                f"Something answers at {self.url}, but not as ComfyUI does. Is that the right address and port?"
            ) from error
        return ServerInfo(url=self.url, **stats.model_dump())

    def options(self, node: str, field: str) -> tuple[str, ...]:
        """List what a node's drop-down offers, exactly as the server spells it."""
        try:
            nodes = NODES.validate_python(self._json("GET", f"/object_info/{node}"))
            listed = options_of(nodes[node].required[field])
        except (ValidationError, KeyError) as error:
            raise self._no_input(node, field) from error
        if listed is None:
            raise self._no_input(node, field)
        return tuple(listed)

    def node_classes(self, names: Sequence[str]) -> dict[str, Any]:
        """Return what the server says of node classes, in its own words; a class that it lacks is absent."""
        if any("/" in name for name in names):  # which no route takes
            answer = self._json("GET", "/object_info")
            return {name: answer[name] for name in names if isinstance(answer, dict) and name in answer}
        found = {}
        for name in names:
            answer = self._json("GET", f"/object_info/{quote(name, safe='')}")
            if isinstance(answer, dict) and name in answer:
                found[name] = answer[name]
        return found

    def _no_input(self, node: str, field: str) -> BadAnswer:
        return BadAnswer(f"{self.url} has no node {node} with an input {field}; is it a ComfyUI?")

    def loras(self) -> tuple[str, ...]:
        """List the LoRAs that the picker offers, as the server spells them: with backslashes on Windows."""
        return self.options("LoraLoader", "lora_name")

    def lora_metadata(self, name: str) -> Mapping[str, str] | None:
        """Return the trainer's notes in a LoRA file as the server reads them; empty where it finds none.

        None where it has no such route: then the 404 is not ComfyUI's own, which has no text.
        """
        answer = self._request("GET", "/view_metadata/loras", params={"filename": name}, accept=(200, 404))
        if answer.status == requests.codes.not_found and not answer.body:
            return {}
        metadata = self._decoded(answer) if answer.status == requests.codes.ok else None
        return metadata if isinstance(metadata, dict) else None

    def model_files(self, folder: str) -> tuple[ModelFile, ...]:
        """List the files of a model folder (`loras`) with size and time; none where the server does not say."""
        try:
            answer = self._request("GET", f"/experiment/models/{folder}", accept=(200, 404, 405))
            return MODEL_FILES.validate_python(self._decoded(answer)) if answer.status == requests.codes.ok else ()
        except (ValidationError, BadAnswer):
            return ()

    def embeddings(self) -> tuple[str, ...] | None:
        """List the embeddings, without their file endings; None where the server does not say."""
        try:
            answer = self._request("GET", "/embeddings", accept=(200, 401, 403, 404, 405, 500))
            return NAMES.validate_python(self._decoded(answer)) if answer.status == requests.codes.ok else None
        except (ValidationError, BadAnswer):
            return None

    def log(self) -> object:
        """Return the last lines of the server's log as it answers them; None where it shows none."""
        answer = self._request("GET", "/internal/logs/raw", accept=(200, 401, 403, 404, 405, 500))
        return self._decoded(answer) if answer.status == requests.codes.ok else None

    def post(self, graph: Graph, *, client_id: str, prompt_id: str) -> None:
        """Put a workflow in the queue under our own id.

        Raises `Rejected` where the server refuses it, or would run only part of it (docs/comfyui.md, "Partly valid
        prompts"). After `Unreachable` it may be queued or not.
        """
        body = {"prompt": graph, "client_id": client_id, "prompt_id": prompt_id}
        answer = self._request("POST", "/prompt", json=body, accept=(200, 400))
        sent = self._decoded(answer)
        posted = Posted.model_validate(sent if isinstance(sent, dict) else {})
        if answer.status != requests.codes.ok or posted.node_errors:
            raise Rejected(f"{self.url} refused the workflow: {describe_rejection(sent, graph)}")
        if posted.prompt_id != prompt_id:
            if posted.prompt_id:  # it is ours all the same, and nobody will wait for it
                with contextlib.suppress(ComfyUIError):
                    self.delete((posted.prompt_id,))
                    self.interrupt(posted.prompt_id)
            raise BadAnswer(
                f"{self.url} gave the workflow another id than the one it was sent with, so that its end cannot be "
                "recognised. Update ComfyUI, or the proxy in front of it, and run this again."
            )

    def history(self, prompt_id: str) -> HistoryEntry | None:
        """Return what the server remembers of a finished prompt; None while it is unknown or unfinished."""
        answer = self._json("GET", f"/history/{prompt_id}")
        entry = answer.get(prompt_id) if isinstance(answer, dict) else None
        return HistoryEntry.model_validate(entry) if isinstance(entry, dict) else None

    def queue(self) -> Queue:
        """Look at the queue."""
        try:
            return Queue.model_validate(self._json("GET", "/queue"))
        except ValidationError as error:
            raise BadAnswer(
                f"{self.url} answered GET /queue as ComfyUI does not. Is that the right address and port?"
            ) from error

    def delete(self, prompt_ids: Sequence[str], *, wait: float | None = None) -> None:
        """Take waiting prompts out of the queue; what is running stays. A server that hangs reads it later."""
        self._request("POST", "/queue", json={"delete": list(prompt_ids)}, wait=wait)

    def interrupt(self, prompt_id: str) -> None:
        """Stop this prompt if it is the one running, and no other's."""
        self._request("POST", "/interrupt", json={"prompt_id": prompt_id})

    def free(self) -> None:
        """Ask the server to forget what it cached; it does so after the prompt it is busy with or takes next."""
        self._request("POST", "/free", json={"free_memory": True, "unload_models": False})

    def view(self, image: ImageRef) -> bytes:
        """Fetch a picture's bytes, as the server wrote them. Raises `BadAnswer` for what no node saves."""
        name = PurePosixPath(image.filename.replace("\\", "/"))
        folder = PurePosixPath(image.subfolder.replace("\\", "/"))
        if image.type != "output" or len(name.parts) != 1 or folder.is_absolute() or ".." in {*folder.parts, name.name}:
            raise BadAnswer(
                f"{self.url} says that it saved the picture as {str(name)!r} in {str(folder)!r} of its {image.type!r} "
                "folder, where ComfyUI saves none. Is something else answering there?"
            )
        return self._request("GET", "/view", params=image.model_dump()).body

    def _json(self, method: str, path: str) -> Any:  # noqa: ANN401 (JSON)
        return self._decoded(self._request(method, path))

    def _decoded(self, answer: Answer) -> Any:  # noqa: ANN401 (JSON)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise BrokenAnswer(
                f"{self.url} answered {answer.status} with something that is not JSON ({answer.snippet}). "
                "Is that the right address and port?"
            ) from error

    def _request(self, method: str, path: str, *, accept: Sequence[int] = (200,), **details: Any) -> Answer:  # noqa: ANN401 (requests')
        return self._transport.request(method, path, accept=accept, **details)
