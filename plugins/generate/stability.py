"""Whether a server renders the same pixels twice: every comparison of pixels depends on it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from plugins.comfyui.answers import ServerInfo
from plugins.comfyui.errors import ComfyUIError
from plugins.evidence.files import write_atomically
from plugins.generate.cell_renderer import CellFailedError, CellRenderer, Rendered
from plugins.pictures.checks import effect_of
from plugins.plan.record import Record
from plugins.plan.small_files import read_small
from plugins.render.render_server import RenderServer

STABILITY: Final = "canary.json"


class StabilityCheck(Record):
    """One cell rendered twice by one server. `difference` is the mean over pixels and channels, of 255."""

    cell: str
    server: ServerInfo
    stable: bool
    difference: float

    def is_of(self, server: ServerInfo) -> bool:
        """Say whether this was measured on a server of the same version, device and options, as far as is known."""
        return not self.server.differences(server)

    def __str__(self) -> str:
        if self.stable:
            return f"{self.server.address} is bit-stable: {self.cell}, rendered twice, gave the same pixels"
        return (
            f"{self.server.address} is not bit-stable: {self.cell}, rendered twice, differs by "
            f"{self.difference:.2f} of 255. Production will be compared by nearness instead of pixel for pixel."
        )


_KEPT: Final = TypeAdapter(tuple[StabilityCheck, ...])


class Stability:
    """How much two renderings of one picture differ on this run's servers. Safe to use from several threads.

    It is measured once for all servers that are alike, with the first picture that one of them renders.
    """

    def __init__(self, renderer: CellRenderer, reports: Path) -> None:
        self._renderer: Final = renderer
        self._reports: Final = reports
        self._before: Final = read_stability(reports)
        self._measured: dict[tuple[str | None, ...], Future[StabilityCheck | None]] = {}
        self._problems: list[str] = []
        self._lock = threading.Lock()

    def is_due(self, server: RenderServer) -> bool:
        """Say whether a server's next picture is to be rendered twice; if so, the caller must call `measure`."""
        key = _key(server.info)
        with self._lock:
            due = key not in self._measured
            if due:
                self._measured[key] = Future()
        return due

    def measure(self, first: Rendered, server: RenderServer, posted: Callable[[], None] = lambda: None) -> None:
        """Render a picture a second time where it was rendered, compare, and keep the result for later commands.

        The server's caches are cleared before, so that it samples and loads models again, as for the proof of a
        deployment. `posted` is called when the second one is in the queue.
        """
        found = None
        try:
            server.forget_weights(again=True)
            second = replace(self._renderer, tag=f"{self._renderer.tag}-again").render(
                first.cell, server, posted=posted
            )
            found = StabilityCheck(
                cell=first.cell.id,
                server=second.server,
                stable=second.picture.pixels_sha256 == first.picture.pixels_sha256,
                difference=effect_of(second.picture.image, first.picture.image),
            )
        except (ComfyUIError, CellFailedError) as error:
            self._problems.append(f"Whether the server renders the same picture twice was not measured: {error}")
        finally:
            self._measured[_key(server.info)].set_result(found)
        try:
            with self._lock:
                write_stability(self._checks(), self._reports)
        except OSError as error:
            self._problems.append(f"Whether the server renders the same picture twice could not be recorded: {error}")

    def not_measured(self, server: RenderServer) -> None:
        """Let the next picture of such a server be rendered twice, since this one was not made."""
        with self._lock:
            self._measured.pop(_key(server.info)).set_result(None)

    def noise_of(self, server: ServerInfo) -> float | None:
        """Return how much a server's pictures differ, once it is measured; None where it was not."""
        with self._lock:
            future = self._measured.get(_key(server))
        found = future.result() if future else next((one for one in self._before if one.is_of(server)), None)
        return found.difference if found else None

    def last_lines(self) -> Iterator[str]:
        """Yield what the terminal shows in the end."""
        yield from (str(future.result()) for future in self._measured.values() if future.done() and future.result())
        yield from self._problems

    def _checks(self) -> tuple[StabilityCheck, ...]:
        """Return what was measured in this run, and before on servers of other kinds."""
        done = (future.result() for future in self._measured.values() if future.done())
        new = tuple(one for one in done if one)
        return (*new, *(one for one in self._before if not any(each.is_of(one.server) for each in new)))


def _key(server: ServerInfo) -> tuple[str | None, ...]:
    return tuple(server.configuration.values())


def write_stability(found: tuple[StabilityCheck, ...], reports: Path) -> None:
    """Save what was measured."""
    write_atomically(reports / STABILITY, _KEPT.dump_json(found, indent=2) + b"\n")


def read_stability(reports: Path) -> tuple[StabilityCheck, ...]:
    """Return what was measured, the last first; nothing where nothing was, or where it cannot be read."""
    try:
        content = read_small(reports / STABILITY).strip()
        return _KEPT.validate_json(content if content.startswith(b"[") else b"[" + content + b"]")
    except (OSError, ValidationError, RecursionError):
        return ()
