"""The one thread that runs prompts."""

import threading

from stand_in.execution import Executor
from stand_in.faults import Faults, WorkerDied
from stand_in.prompt_queue import PromptQueue
from stand_in.websockets import WebSockets


class Worker:
    """Takes prompts from the queue until it is stopped."""

    def __init__(self, queue: PromptQueue, executor: Executor, hub: WebSockets, faults: Faults) -> None:
        self._queue = queue
        self._executor = executor
        self._hub = hub
        self._faults = faults
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stand-in worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, by itself."""
        self._thread.join(timeout)

    def stop(self, timeout: float = 5.0) -> None:
        """Interrupt what runs and end; a hook that blocks for longer is left behind."""
        self._stopping.set()
        self._executor.interrupt()
        self._queue.close()
        self._thread.join(timeout)

    def sleep(self, seconds: float) -> None:
        """Wait, but not beyond the end of the server."""
        self._stopping.wait(seconds)

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
        except WorkerDied:
            pass  # asked for by a test: the server goes on answering, and nothing ever runs again

    def _turn(self) -> None:
        """Run one prompt, if there is one, and then do what `/free` asked for (docs/comfyui.md, "Stale weights")."""
        item = self._queue.take()
        if item is not None:
            prompt_id = item[1]
            self._faults.before_prompt(prompt_id)
            outcome = self._executor.run(item)
            self._faults.before_history(prompt_id)
            self._queue.done(prompt_id, outcome)
            client_id = self._executor.client_id
            if client_id is not None:
                self._hub.send("executing", {"node": None, "prompt_id": prompt_id}, client_id)
        if self._queue.take_flags().get("free_memory"):
            self._executor.free()
