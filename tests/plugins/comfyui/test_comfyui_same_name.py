"""Under a staged file's name the server must read that very file, also where two folders hold one."""

import json
from pathlib import Path
from typing import Any

import pytest

from plugins.comfyui.choices import picker_name
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import NotListed
from plugins.comfyui.timing import Timing
from tests.lora_files import XL, kohya, write_file
from tests.plugins.comfyui.plain_web import Web

OLDER = "2 folders hold it, and the first one's was written at another time"
NAME = "kira_step600.safetensors"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a staged file."""
    return write_file(tmp_path / "loras" / NAME, kohya(XL), {"ss_steps": "600"})


def listed(file: Path, *, folder: int = 0, size: int = 0, later: float = 0.0) -> dict[str, Any]:
    """Return a server's entry for a file like this one, so much larger and written so much later."""
    status = file.stat()
    times = {"modified": status.st_mtime + later, "created": status.st_mtime}
    return {"name": NAME, "pathIndex": folder, "size": status.st_size + size, **times}


def ask(web: Web, file: Path, files: object) -> str:
    """Look for the file on a server that lists these files, and reads the staged one's notes."""
    node = {"LoraLoader": {"input": {"required": {"lora_name": [[NAME], {}]}}}}
    for route, answer in (
        ("/object_info/LoraLoader", node),
        ("/view_metadata/loras", {"ss_steps": "600"}),
        ("/experiment/models/loras", files),
    ):
        web.answers[route] = (200, {}, json.dumps(answer).encode())
    client = ComfyUI(f"http://127.0.0.1:{web.port}", timing=Timing(listed=0.0))
    try:
        return picker_name(client, NAME, file=file, metadata={"ss_steps": "600"})
    finally:
        client.close()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        pytest.param([{"size": 7}], "it has {more} bytes, and the staged one has {size}", id="another-size"),
        pytest.param(
            [{"folder": 1}, {"size": 7}],
            "it has {more} bytes, and the staged one has {size}",
            id="first-folder",
        ),
        pytest.param(
            [{"later": -60.0}, {"folder": 1}],
            "2 folders hold it, and the first one's was written at another time",
            id="time",
        ),
    ],
)
def test_another_file_of_the_name_is_told(web: Web, file: Path, files: list[dict[str, Any]], reason: str) -> None:
    """A file of the same name and notes in a folder that the server looks into first is found by size and time."""
    with pytest.raises(NotListed) as caught:
        ask(web, file, [listed(file, **one) for one in files])

    size = file.stat().st_size
    assert str(caught.value) == (
        f"http://127.0.0.1:{web.port} reads another file under the name {NAME} than {file}: "
        f"{reason.format(size=size, more=size + 7)}. A folder that it searches first holds a file of this name: move "
        "that away, or give the plan another name."
    )


@pytest.mark.parametrize(
    "files",
    [
        pytest.param([{}], id="the-file"),
        pytest.param([{"later": 3600.0}], id="on-a-machine-of-another-time"),
        pytest.param([{}, {"folder": 1, "size": 7}], id="another-one-behind-it"),
        pytest.param([{"later": 1.0}, {"folder": 1}], id="a-time-of-whole-seconds"),
        pytest.param([], id="nothing-listed"),
    ],
)
def test_the_staged_file_is_taken(web: Web, file: Path, files: list[dict[str, Any]]) -> None:
    """What is the staged file, or cannot be told from it, is no reason to refuse."""
    assert NAME == ask(web, file, [listed(file, **one) for one in files])


@pytest.mark.parametrize("answer", [None, {}, [1], [{"name": NAME}], "no"])
def test_answer_of_another_shape_is_not_checked(web: Web, file: Path, answer: object) -> None:
    """A server whose list is another one is not held against it."""
    assert NAME == ask(web, file, answer)


def test_server_that_cannot_list_sizes_is_taken_at_its_notes(web: Web, file: Path) -> None:
    """The list of sizes is one more witness: where a server fails to give it, the file's own notes have to do."""
    node = {"LoraLoader": {"input": {"required": {"lora_name": [[NAME], {}]}}}}
    web.answer("/object_info/LoraLoader", node)
    web.answer("/view_metadata/loras", {"ss_steps": "600"})
    web.answer("/experiment/models/loras", b"Server got itself in trouble", status=500)
    client = ComfyUI(web.url, timing=Timing(listed=0.0))

    assert NAME == picker_name(client, NAME, file=file, metadata={"ss_steps": "600"})

    client.close()
