"""What a Dask worker does for a run: it drives the ComfyUI beside it, and receives the LoRA files that it lacks.

COMFYUI_URL and COMFYUI_DIR in a worker's environment say where its ComfyUI is; without them it is where the plan says,
on the worker's machine. Every error is returned as a plain `Unreachable`, `BadAnswer`, `Interrupted` or `ComfyUIError`.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

import plugins.render
from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.choices import ServerChoices, choices_of, picker_name
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.ending import stopped
from plugins.comfyui.errors import BadAnswer, ComfyUIError, Interrupted, NotListed, Silent, Unreachable
from plugins.comfyui.server import Finished, Server
from plugins.comfyui.timing import Timing
from plugins.comfyui.workflow import Filled
from plugins.loras.copying import digest_of, drop_parts, let_all_read, new_part, put_in_place, stamp_of, sync_file
from plugins.loras.errors import FolderInUse
from plugins.loras.locking import lock_folder
from plugins.render.render_server import render_cell

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What a worker must know of a run. Paths are texts: a worker may run on another system."""

    run: str
    """A name that is unique to the run."""
    suite: str
    """Digest of the suite's sources: worker and run must be of one version."""
    url: str
    comfyui: str
    loras: str
    """The loras folder as seen from the ComfyUI folder."""
    timeout: float
    """The plan's, in seconds."""
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, kw_only=True)
class LoraFile:
    """A LoRA that a worker's server must have: its names in the loras folder and in the picker, its bytes, its header.

    A `Staged` file cannot be sent in its place: a path of this system may mean nothing on the worker's.
    """

    file: str
    picker_name: str
    sha256: str
    metadata: Mapping[str, str]


class WorkerAgent:
    """One worker's ComfyUI in one run. Safe to use from several threads."""

    def __init__(self, settings: WorkerSettings, *, worker: str) -> None:
        self._settings: Final = settings
        self._worker: Final = worker
        self._url: Final = os.environ.get("COMFYUI_URL") or settings.url
        self._comfyui: Final = Path(os.environ.get("COMFYUI_DIR") or settings.comfyui).expanduser()
        self._loras: Final = self._comfyui / settings.loras
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._closed = False
        self._known: dict[str, tuple[str, tuple[int, int, int]]] = {}
        """Digest of each LoRA that was read, with the file's stamp then."""
        self._part: Path | None = None
        """The LoRA that is being received."""
        self._digest = hashlib.sha256()

    def describe(self, classes: tuple[str, ...] = ()) -> tuple[ServerInfo, ServerChoices]:
        """Return the server's version, what it offers, and how it describes node classes."""
        if not self._comfyui.is_dir():
            raise Unreachable(
                f"{self._comfyui} is not there. Start the worker with COMFYUI_DIR=... in its environment, which names "
                "the folder of the ComfyUI beside it."
            )
        try:
            server = self._connected()
        except (Unreachable, BadAnswer) as error:
            raise Unreachable(
                f"{error} Start the ComfyUI beside this worker, which does not start it; or start the worker with "
                "COMFYUI_URL=http://... in its environment, which names another address."
            ) from error
        choices = choices_of(server.client, classes=classes)
        info = server.info.model_copy(update={"worker": self._worker})
        return info, replace(choices, url=f"{choices.url} beside {self._worker}")

    def forget(self) -> None:
        """Clear the server's memory."""
        self._connected().forget_weights(again=True)

    def log(self) -> object:
        """Return the last lines of the server's log."""
        return self._connected().client.log()

    def render(self, workflow: Filled, loras: tuple[LoraFile, ...]) -> Finished:
        """Render a workflow that uses these LoRAs."""
        finished = render_cell(self._connected(), workflow)
        for lora in loras:
            if not self._holds(lora):
                raise ComfyUIError(
                    f"{self._place(lora)} was changed while a picture was rendered from it. Run this again, "
                    "and leave the loras folder alone meanwhile."
                )
        return finished

    def find(self, lora: LoraFile) -> str | None:
        """Return the name of a LoRA in the picker; None where its bytes are not here."""
        return self._listed(lora) if self._holds(lora) else None

    def receive(self, lora: LoraFile, block: bytes, *, first: bool) -> None:
        """Append the next bytes of a LoRA; the first block discards an unfinished one."""
        try:
            if first or self._part is None:
                self._loras.mkdir(parents=True, exist_ok=True)
                drop_parts(self._place(lora))
                self._part, self._digest = new_part(self._place(lora)), hashlib.sha256()
            with self._part.open("ab") as part:
                part.write(block)
            self._digest.update(block)
        except OSError as error:
            drop_parts(self._place(lora))
            raise self._unwritable(lora, error) from error

    def install(self, lora: LoraFile) -> str:
        """Put the received LoRA in its place, in one step, and return its name in the picker."""
        part, self._part = self._part, None
        target = self._place(lora)
        try:
            if part is None or self._digest.hexdigest() != lora.sha256:
                raise Unreachable(f"{target} arrived incomplete. Is the network failing?")
            sync_file(part)
            let_all_read(part)
            with lock_folder(self._loras):
                put_in_place(part, target)
        except FolderInUse as error:
            raise Unreachable(str(error)) from None
        except OSError as error:
            raise self._unwritable(lora, error) from error
        finally:
            drop_parts(self._place(lora))
        self._known[lora.file] = lora.sha256, stamp_of(target)
        return self._listed(lora)

    def close(self) -> None:
        """Cancel our prompts, and begin no others."""
        with self._lock:
            self._closed = True
            server = self._server
        if server:
            server.close()

    def _place(self, lora: LoraFile) -> Path:
        return self._loras / lora.file

    def _connected(self) -> Server:
        with self._lock:
            if self._closed:
                raise stopped()
            if self._server is None:
                client = ComfyUI(self._url, timing=self._settings.timing)
                try:
                    self._server = Server(client, client.info(), timeout=self._settings.timeout)
                except BaseException:
                    client.close()
                    raise
            return self._server

    def _listed(self, lora: LoraFile) -> str:
        file = self._place(lora)
        try:
            return self._connected().ask(
                lambda client: picker_name(client, lora.picker_name, file=file, metadata=lora.metadata)
            )
        except NotListed as error:
            raise Unreachable(
                f"{error} (COMFYUI_DIR in a Dask worker's environment names its ComfyUI's folder.)"
            ) from error

    def _holds(self, lora: LoraFile) -> bool:
        """Return whether the loras folder has these bytes under the LoRA's name; a changed file is read again."""
        file = self._place(lora)
        try:
            stamp = stamp_of(file)
            known = self._known.get(lora.file)
            if known is None or known[1] != stamp:
                known = self._known[lora.file] = digest_of(file), stamp
        except OSError:
            return False
        return known[0] == lora.sha256

    def _unwritable(self, lora: LoraFile, error: OSError) -> Unreachable:
        return Unreachable(
            f"{lora.file} cannot be put into {self._loras}: {error.strerror or error}. Make the folder writable, or "
            "free some room."
        )


def on_worker(
    settings: WorkerSettings,
    call: Callable[Concatenate[WorkerAgent, Given], Answer],
    *given: Given.args,
    **named: Given.kwargs,
) -> Answer:
    """Call a method of the agent of the worker that this runs on.

    Secedes first, so that the worker's thread pool stays free for the next prompt.
    """
    from distributed import get_worker, secede  # noqa: PLC0415 (an optional dependency)

    worker = get_worker()
    secede()
    name = str(worker.name)
    if settings.suite != suite_digest():
        raise Unreachable(
            "It runs another version of this suite. Bring its checkout to the same commit, and start it again."
        )
    if settings.run not in worker.extensions:
        joined = threading.Event()

        def join() -> None:
            worker.extensions.setdefault(settings.run, WorkerAgent(settings, worker=name))
            joined.set()

        worker.loop.add_callback(join)  # the worker's own thread reads that list; an extension is closed with it
        joined.wait()
    agent: WorkerAgent = worker.extensions[settings.run]
    try:
        return call(agent, *given, **named)
    except (Unreachable, Silent) as error:
        raise Unreachable(str(error)) from None
    except ComfyUIError as error:  # plain, so that it can travel
        kind = next(kind for kind in (Interrupted, BadAnswer, ComfyUIError) if isinstance(error, kind))
        raise kind(str(error)) from None


@cache
def suite_digest() -> str:
    """Return a digest of the suite's sources, independent of line endings; computed once per process."""
    folder = Path(plugins.render.__file__ or "").parents[1]
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()
