"""Runs one prompt: node by node along its links, reporting every step in ComfyUI's frames and order.

docs/comfyui.md, "Order of messages".
"""

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from stand_in.caches import Caches, Shown
from stand_in.catalogue import Catalogue
from stand_in.faults import Faults, NodeFailure
from stand_in.folders import Folders, OutsideOutputError
from stand_in.graph import Schedule, Workflow, links
from stand_in.log import Log
from stand_in.nodes import behaviour
from stand_in.nodes.node import Kit, Node
from stand_in.progress import Progress
from stand_in.prompt_queue import Item, Outcome
from stand_in.validation import type_name

Send = Callable[[str, dict[str, Any], str | None], None]
"""Sends a frame to one client, or to all where the client is None."""


_PAUSE: Final = 0.1
"""Seconds between two reports of sampling steps, at least."""


class Interrupted(Exception):
    """Somebody asked the running prompt to stop."""


class Executor:
    """Runs prompts one after the other; what it remembers in between is `caches`."""

    def __init__(  # noqa: PLR0913 (one argument for each thing it works with)
        self,
        folders: Folders,
        catalogue: Catalogue,
        send: Send,
        *,
        faults: Faults,
        log: Log,
        throttles_progress: bool = True,
        seconds_per_image: float,
        sleep: Callable[[float], None],
        preview: Callable[[str, str, int, int, str | None], None] | None = None,
    ) -> None:
        self.caches = Caches()
        self.behaviours: dict[str, type[Node]] = {}
        """What node classes do that a test has registered."""
        self.client_id: str | None = None
        self.running_node: str | None = None
        """The node that a client hears of when it connects again."""
        self._catalogue = catalogue
        self._interrupted = threading.Event()
        self._send = send
        self._faults = faults
        self._preview = preview
        self._kit = Kit(
            folders=folders,
            faults=faults,
            log=log,
            seconds_per_image=seconds_per_image,
            sleep=sleep,
            step=self._step,
        )
        self._progress = Progress("")
        self._throttles = throttles_progress
        self._reported = 0.0
        self._node_id = ""

    def interrupt(self) -> None:
        """Stop the running prompt at its next node or sampling step."""
        self._interrupted.set()

    def free(self) -> None:
        """Forget everything."""
        self.caches = Caches()

    def run(self, item: Item) -> Outcome:
        """Run one prompt to its end; failures are part of the outcome, not raised."""
        _, prompt_id, workflow, extra_data, outputs = item
        begun = time.monotonic()
        self._interrupted.clear()
        self.client_id = extra_data.get("client_id")
        outcome = Outcome()
        self._tell(outcome, "execution_start", {"prompt_id": prompt_id})
        self._progress = Progress(prompt_id)
        self.caches.take(workflow)
        cached = [node_id for node_id in workflow if self.caches.has(node_id)]
        self._tell(outcome, "execution_cached", {"nodes": cached, "prompt_id": prompt_id})
        schedule = Schedule(
            workflow, outputs, is_cached=self.caches.has, is_output=lambda name: self._catalogue[name].is_output
        )
        executed: list[str] = []
        while schedule and outcome.completed:
            node_id = schedule.next()
            if node_id is None:
                raise RuntimeError("a workflow that waits for itself passed validation")
            if self.caches.has(node_id):
                self._repeat(node_id)
            else:
                outcome.completed = self._attempt(node_id, workflow, extra_data, outcome, executed)
            schedule.done(node_id)
        if outcome.completed:
            self._tell(outcome, "execution_success", {"prompt_id": prompt_id})
        self.running_node = None
        self._kit.log.write(f"Prompt executed in {time.monotonic() - begun:.2f} seconds")
        for node_id in self.caches.node_ids:
            shown = self.caches.shown(node_id)
            if shown:
                outcome.outputs[node_id], outcome.meta[node_id] = shown.output, shown.meta
        return outcome

    def _attempt(
        self,
        node_id: str,
        workflow: Workflow,
        extra_data: Mapping[str, Any],
        outcome: Outcome,
        executed: list[str],
    ) -> bool:
        """Run one node and report how it went. Return whether it succeeded."""
        class_type = workflow[node_id]["class_type"]
        self._send("progress_state", self._progress.start(node_id), self.client_id)
        inputs = self._inputs(node_id, workflow, extra_data)
        failure = {
            "prompt_id": self._progress.prompt_id,
            "node_id": node_id,
            "node_type": class_type,
            "executed": executed,
        }
        try:
            self._run_node(node_id, class_type, inputs)
        except Interrupted:
            self._tell(outcome, "execution_interrupted", failure, broadcast=True)
            return False
        except Exception as error:  # noqa: BLE001 (any failure of a node is an answer)
            failure |= {
                "exception_message": f"{error}\n{_tip(error)}",
                "exception_type": _reported_type(error),
                "traceback": traceback.format_tb(error.__traceback__),
                "current_inputs": {name: [_plain(value)] for name, value in inputs.items()},
                "current_outputs": self.caches.node_ids,
            }
            self._tell(outcome, "execution_error", failure)
            return False
        self._send("progress_state", self._progress.finish(node_id), self.client_id)
        executed.append(node_id)
        return True

    def _run_node(self, node_id: str, class_type: str, inputs: dict[str, Any]) -> None:
        prompt_id = self._progress.prompt_id
        self._node_id = node_id
        if self.client_id is not None:
            self.running_node = node_id
            data = {"node": node_id, "display_node": node_id, "prompt_id": prompt_id}
            self._send("executing", data, self.client_id)
        node = self.caches.object(node_id, class_type)
        if node is None:
            declared = self._catalogue[class_type]
            node = (self.behaviours.get(class_type) or behaviour(declared))(self._kit, declared)
            self.caches.keep_object(node_id, class_type, node)
        if self._interrupted.is_set():
            raise Interrupted
        self._faults.before_node(prompt_id, node_id, class_type)
        values, ui = node(**inputs)
        if ui:
            meta = {
                "node_id": node_id,
                "display_node": node_id,
                "parent_node": None,
                "real_node_id": node_id,
            }
            self.caches.show(node_id, Shown(output=ui, meta=meta))
            self._executed(node_id, ui)
        self.caches.keep(node_id, values)

    def _inputs(self, node_id: str, workflow: Workflow, extra_data: Mapping[str, Any]) -> dict[str, Any]:
        """Gather a node's inputs: results along its links, plain values that it knows, hidden ones."""
        node = workflow[node_id]
        declared = self._catalogue[node["class_type"]]
        required, optional = self._catalogue.accepted(node["class_type"], node["inputs"])
        known = {*required, *optional}
        linked = {name: self.caches.values(source)[slot] for name, (source, slot) in links(node)}
        inputs = {
            name: linked.get(name, value)
            for name, value in node["inputs"].items()
            if name in linked or name in known or declared.takes_anything
        }
        hidden = {"prompt": workflow, "extra_pnginfo": extra_data.get("extra_pnginfo"), "unique_id": node_id}
        return inputs | {name: hidden.get(name) for name in declared.hidden}

    def _repeat(self, node_id: str) -> None:
        """Send an output node's old result again."""
        shown = self.caches.shown(node_id)
        self._executed(node_id, shown.output if shown else None)
        self._send("progress_state", self._progress.finish(node_id), self.client_id)

    def _executed(self, node_id: str, output: dict[str, Any] | None) -> None:
        if self.client_id is not None:
            data = {
                "node": node_id,
                "display_node": node_id,
                "output": output,
                "prompt_id": self._progress.prompt_id,
            }
            self._send("executed", data, self.client_id)

    def _step(self, done: int, of: int) -> None:
        """Report one sampling step. Raises `Interrupted` instead when asked to stop."""
        prompt_id, node_id = self._progress.prompt_id, self._node_id
        self._faults.before_step(prompt_id, node_id, done)
        if self._interrupted.is_set():
            raise Interrupted
        if not self._reports(done, of):
            return
        self._send("progress_state", self._progress.update(node_id, done, of), self.client_id)
        data = {"value": done, "max": of, "prompt_id": prompt_id, "node": node_id}
        self._send("progress", data, self.client_id)
        if self._preview is not None:
            self._preview(prompt_id, node_id, done, of, self.client_id)

    def _reports(self, done: int, of: int) -> bool:
        """Return whether this step is reported: the first, the last, and others if enough time has passed."""
        now = time.monotonic()
        waits = self._throttles and 1 < done < of and now - self._reported < _PAUSE and self._preview is None
        self._reported = self._reported if waits else now
        return not waits

    def _tell(self, outcome: Outcome, event: str, data: dict[str, Any], *, broadcast: bool = False) -> None:
        """Send a frame that the history keeps too."""
        data = {**data, "timestamp": time.time_ns() // 1_000_000}
        outcome.messages.append((event, data))
        if self.client_id is not None or broadcast:
            self._send(event, data, self.client_id)


def _reported_type(error: Exception) -> str:
    """Name the type that a real server would name."""
    if isinstance(error, NodeFailure | OutsideOutputError):
        return error.exception_type
    return type_name(error)


def _tip(error: Exception) -> str:
    """ComfyUI adds advice to an out-of-memory error, and to no other."""
    if "OutOfMemory" in _reported_type(error):
        return "The GPU's memory was exhausted.\n\nTIPS: A large batch_size may be the reason."
    return ""


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int | float | bool | str) else str(value)
