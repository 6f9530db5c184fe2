"""What decides pixels beside a cell's own inputs, and which servers may render the cells of one row."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from plugins.comfyui.answers import ModelFile
from plugins.comfyui.choices import ServerChoices, model_files
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.lora_slots import is_loaded, is_off, names, slots
from plugins.comfyui.node_types import read_types
from plugins.comfyui.wiring import Wiring
from plugins.evidence.evidence import Evidence, FileRecord, Population, population_of
from plugins.generate.expected import ExpectedInputs
from plugins.loras.copying import sample_of
from plugins.plan.cells import Cell, matrix
from plugins.render.render_server import RenderServer

Files = tuple[FileRecord, ...]


def files_used(
    expected: ExpectedInputs, choices: ServerChoices, *, base_model: str, comfyui: Path | None = None
) -> Files:
    """Return the model files that the baseline's workflow names, as they are now.

    A file below `comfyui` is read itself, since a server's list may be outdated.
    """
    graph = expected.filled(matrix(expected.plan)[0].baseline, base_model=base_model, lora_file=None).graph
    named = {
        value.replace("\\", "/")
        for node in graph.values()
        for value in node["inputs"].values()
        if isinstance(value, str)
    }
    loras = _loras(Wiring(graph, read_types(choices.nodes)), expected.plan.lora_files)
    found = []
    for key, file in sorted(choices.files.items()):
        folder, _, name = key.partition("/")
        if name in named or (folder == "loras" and not loras.isdisjoint(_called(name))):
            found.append(_seen(comfyui, key) or _reported(key, file))
    return tuple(found)


def files_again(files: Iterable[FileRecord], client: ComfyUI, *, comfyui: Path) -> Files:
    """Return the files of these names as they are now; those that cannot be read here, as a server lists them.

    A file that neither this machine nor the server has is left out. Raises `ComfyUIError`.
    """
    names = [one.name for one in files]
    listed = model_files(client, sorted({name.partition("/")[0] for name in names}))
    found = (_seen(comfyui, name) or (_reported(name, listed[name]) if name in listed else None) for name in names)
    return tuple(filter(None, found))


def _loras(wiring: Wiring, tested: frozenset[str]) -> frozenset[str]:
    """Return the LoRAs beside the tested one that dictionaries and tags of a graph load, as they are written there."""
    return frozenset(
        slot.file.replace("\\", "/").strip()
        for slot in slots(wiring, tested)
        if (slot.tag or slot.path) and is_loaded(slot) and not is_off(wiring, slot) and not names(slot, tested)
    )


def _called(name: str) -> set[str]:
    """Return what a dictionary or a tag may call a file: with its folder and ending, or without."""
    path = PurePosixPath(name)
    return {name, path.name, path.stem, str(path.with_suffix(""))}


def _seen(comfyui: Path | None, key: str) -> FileRecord | None:
    """Return a file as this machine sees it; None if it is elsewhere."""
    if comfyui is None:
        return None
    path = comfyui / "models" / key
    try:
        status = path.stat()
    except OSError:
        return None
    sampled = None
    with contextlib.suppress(OSError):
        sampled = sample_of(path)
    return FileRecord(name=key, size=status.st_size, modified=status.st_mtime, local=True, sampled=sampled)


def _reported(key: str, file: ModelFile) -> FileRecord:
    """Return what a server reports of a file."""
    return FileRecord(name=key, size=file.size, modified=file.modified, local=False)


class Rows:
    """Keeps each row to one population: only pictures rendered under the same conditions are compared.

    A row is a baseline and all cells that are compared with it. `reusable` are the pictures of earlier runs with the
    right inputs; those that may stay are `kept`. Safe to use from several threads.
    """

    def __init__(
        self, cells: Iterable[Cell], reusable: Mapping[Cell, Evidence], servers: Mapping[RenderServer, Files]
    ) -> None:
        self._populations = {server: population_of(server.info, files) for server, files in servers.items()}
        self._lock = threading.Lock()
        self._bound: dict[Cell, Population] = {}
        """The population of each row, by its baseline."""
        self._made: set[Cell] = set()
        """The baselines of the rows that have a picture."""
        self.kept: dict[Cell, Evidence] = {}
        rows: dict[Cell, list[Cell]] = {}
        for cell in cells:
            rows.setdefault(cell.baseline, []).append(cell)
        for baseline, row in rows.items():
            self.kept |= self._kept(baseline, row, {cell: reusable[cell] for cell in row if cell in reusable})

    def take(self, cell: Cell, server: RenderServer) -> bool:
        """Return whether a server may render a cell; the first one to do so decides on its row's population."""
        with self._lock:
            mine = self._populations[server]
            return self._bound.setdefault(cell.baseline, mine) == mine

    def may(self, cell: Cell, server: RenderServer) -> bool:
        """Return whether a server might render a cell."""
        with self._lock:
            mine = self._populations[server]
            return self._bound.get(cell.baseline, mine) == mine

    def made(self, cell: Cell) -> None:
        """Note that a cell has its picture, which fixes the population of its row."""
        with self._lock:
            self._made.add(cell.baseline)

    def give_back(self, cell: Cell) -> None:
        """Let other servers take a cell's row, if it has no picture yet."""
        with self._lock:
            if cell.baseline not in self._made:
                self._bound.pop(cell.baseline, None)

    def _kept(self, baseline: Cell, row: Sequence[Cell], reusable: dict[Cell, Evidence]) -> dict[Cell, Evidence]:
        """Return the pictures of a row that may stay: all, or those of the population of this run's servers."""
        found = [one.population for one in reusable.values()]
        if len(reusable) == len(row) and len(set(found)) <= 1:
            return reusable
        there = [one for one in found if one in self._populations.values()]
        if not there:
            return {}
        self._bound[baseline] = most = max(there, key=there.count)
        self._made.add(baseline)
        return {cell: one for cell, one in reusable.items() if one.population == most}


def made_on(evidence: Iterable[Evidence]) -> dict[str, int]:
    """Count pictures by the ComfyUI version and machine that they were made on, the most frequent first."""
    return dict(Counter(one.server.version_and_machine for one in evidence).most_common())


def several_populations(evidence: Iterable[Evidence]) -> Iterator[str]:
    """Yield a warning where pictures were made on several versions or machines."""
    found = made_on(evidence)
    if len(found) > 1:
        counts = ", ".join(f"{count} on {name}" for name, count in found.items())
        yield (
            f"warning: the pictures were made on different servers: {counts}. Each row was made on one; to have "
            "them all from one, render them again there: pytest -m generate --regenerate"
        )
