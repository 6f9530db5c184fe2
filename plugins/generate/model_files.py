"""The model files beside the tested LoRA that a row's pictures are made from, as they are now."""

import contextlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from plugins.comfyui.answers import ModelFile
from plugins.comfyui.choices import ServerChoices, model_files
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.lora_slots import is_loaded, is_off, names, slots
from plugins.comfyui.node_types import read_types
from plugins.comfyui.wiring import Wiring
from plugins.evidence.evidence import FileRecord
from plugins.generate.expected import ExpectedInputs
from plugins.loras.copying import digest_of_parts
from plugins.plan.cells import matrix

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
        sampled = digest_of_parts(path)
    return FileRecord(name=key, size=status.st_size, modified=status.st_mtime, local=True, sampled=sampled)


def _reported(key: str, file: ModelFile) -> FileRecord:
    """Return what a server reports of a file."""
    return FileRecord(name=key, size=file.size, modified=file.modified, local=False)
