"""What clients ask for and post about prompts: validation, queue, interrupt, history, memory."""

import json
import time
import uuid
from typing import Any, Final

from aiohttp import web

from stand_in.catalogue import Catalogue
from stand_in.execution import Executor
from stand_in.faults import Faults
from stand_in.prompt_queue import SECRETS, PromptQueue
from stand_in.validation import validate
from stand_in.versions import Version

_NO_UUID: Final = (
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one"
)


class Routes:
    """Handlers over one queue.

    A body that is no JSON is a 500 (post_bad_json.json), and so is most that is no object: bodies are looked into
    without asking first, as ComfyUI does.
    """

    def __init__(
        self,
        queue: PromptQueue,
        executor: Executor,
        catalogue: Catalogue,
        faults: Faults,
        dialect: Version,
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._catalogue = catalogue
        self._faults = faults
        self._dialect = dialect
        self._number = 0

    def add_to(self, app: web.Application, prefix: str) -> None:
        """Add the handlers below `prefix`."""
        router = app.router
        router.add_get(f"{prefix}/prompt", self.get_prompt)
        router.add_post(f"{prefix}/prompt", self.post_prompt)
        router.add_get(f"{prefix}/queue", self.get_queue)
        router.add_post(f"{prefix}/queue", self.post_queue)
        router.add_post(f"{prefix}/interrupt", self.post_interrupt)
        router.add_post(f"{prefix}/free", self.post_free)
        router.add_get(f"{prefix}/history", self.get_history)
        router.add_get(f"{prefix}/history/{{prompt_id}}", self.get_history_of)
        router.add_post(f"{prefix}/history", self.post_history)

    async def get_prompt(self, _request: web.Request) -> web.Response:
        """Count the prompts that wait or run."""
        return web.json_response({"exec_info": {"queue_remaining": self._queue.remaining()}})

    async def post_prompt(self, request: web.Request) -> web.Response:
        """Queue a prompt, or say why not."""
        body = await request.json()
        number = self._next_number(body)
        if "prompt" not in body:
            return _refused("no_prompt", "No prompt provided", "No prompt provided")
        workflow = body["prompt"]
        prompt_id = self._prompt_id(body)
        if prompt_id is None:
            return _refused("invalid_prompt_id", "prompt_id must be a valid UUID", _NO_UUID)
        verdict = validate(workflow, self._catalogue, self._dialect, body.get("partial_execution_targets"))
        extra_data = body.get("extra_data", {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        if verdict.error is not None:
            answer = {"error": verdict.error, "node_errors": verdict.node_errors}
            return web.json_response(answer, status=400)
        if self._dialect.create_times:
            extra_data = {name: value for name, value in extra_data.items() if name not in SECRETS}
            extra_data["create_time"] = time.time_ns() // 1_000_000
        self._queue.put((number, prompt_id, workflow, extra_data, list(verdict.outputs)))
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    async def get_queue(self, _request: web.Request) -> web.Response:
        """Return what runs and what waits."""
        running, pending = self._queue.current()
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def post_queue(self, request: web.Request) -> web.Response:
        """Drop prompts that wait."""
        body = await request.json()
        if _given(body, "clear"):
            self._queue.clear()
        for prompt_id in _given(body, "delete") or ():
            self._queue.delete(prompt_id)
        return web.Response()

    async def post_interrupt(self, request: web.Request) -> web.Response:
        """Stop the prompt that runs, if it is the one named; without a name, whichever it is."""
        try:
            body = await request.json()
        except json.JSONDecodeError:
            body = {}
        prompt_id = body.get("prompt_id")
        running, _ = self._queue.current()
        if not prompt_id or any(item[1] == prompt_id for item in running):
            self._executor.interrupt()
        return web.Response()

    async def post_free(self, request: web.Request) -> web.Response:
        """Leave word for the worker to forget what it remembers; answers before that has happened."""
        body = await request.json()
        for name in ("unload_models", "free_memory"):
            if body.get(name):
                self._queue.set_flag(name, wake=self._faults.free_now())
        return web.Response()

    async def get_history(self, request: web.Request) -> web.Response:
        """Return the finished prompts."""
        most = request.query.get("max_items")
        offset = int(request.query.get("offset", "-1"))
        return web.json_response(self._queue.history(most=None if most is None else int(most), offset=offset))

    async def get_history_of(self, request: web.Request) -> web.Response:
        """Return one finished prompt; `{}` while it is unknown or unfinished."""
        return web.json_response(self._queue.history_of(request.match_info["prompt_id"]))

    async def post_history(self, request: web.Request) -> web.Response:
        """Drop finished prompts from the history."""
        body = await request.json()
        if _given(body, "clear"):
            self._queue.forget_all()
        for prompt_id in _given(body, "delete") or ():
            self._queue.forget(prompt_id)
        return web.Response()

    def _prompt_id(self, body: Any) -> str | None:  # noqa: ANN401 (whatever JSON came)
        """Return a prompt its id: the one it asks for, or a new one; None where it may not have what it asks for."""
        if not self._dialect.canonical_prompt_ids:
            return str(body.get("prompt_id", uuid.uuid4()))
        asked = body.get("prompt_id")
        if asked is None:
            return str(uuid.uuid4())
        return asked if _canonical(asked) else None

    def _next_number(self, body: Any) -> float:  # noqa: ANN401 (whatever JSON came)
        """Return a prompt its place: the one it asks for, or the next; `front` counts backwards."""
        if "number" in body:
            return float(body["number"])
        number = -self._number if _given(body, "front") else self._number
        self._number += 1
        return number


def _given(body: Any, name: str) -> Any:  # noqa: ANN401 (whatever JSON came)
    """Look for a key as ComfyUI does, which takes a list for an object without it."""
    return body[name] if name in body else None  # noqa: SIM401 (a list has no `get`)


def _refused(kind: str, message: str, details: str) -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)


def _canonical(prompt_id: object) -> bool:
    try:
        return isinstance(prompt_id, str) and str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False
