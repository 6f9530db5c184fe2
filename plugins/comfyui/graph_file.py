"""A workflow file becomes a graph: an "Export (API)" JSON, or a PNG that ComfyUI wrote its graph into."""

import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from plugins.comfyui.client import Graph
from plugins.comfyui.errors import WorkflowError
from plugins.plan.small_files import LARGEST, read_small

MOST_NODES: Final = 2_000
"""More than any workflow that a person draws."""
_DEEPEST: Final = 32
"""How deep the values of an input may be nested."""
_PLAIN: Final = (str, int)
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_OTHER_PICTURES: Final = {b"\xff\xd8\xff": "a JPEG", b"RIFF": "a WebP or a film", b"GIF8": "a GIF"}
_EXPORT: Final = "In ComfyUI, choose Workflow > Export (API), and name that file."


def read_graph(path: Path) -> Graph:
    """Read a person's own workflow: its nodes with their class, inputs and title. Raises `WorkflowError`."""
    try:
        content = read_small(path)
    except OSError as error:
        raise WorkflowError(
            f"The workflow {path} cannot be read: {error.strerror or error}. Correct `workflow` under [comfyui] in the "
            "plan."
        ) from error
    try:
        return graph_of(_parsed(_graph_in_png(content) if content.startswith(_PNG) else content))
    except WorkflowError as error:
        raise WorkflowError(f"The workflow {path} {error}") from None


def graph_of(content: Any) -> Graph:  # noqa: ANN401 (JSON)
    """Return the nodes of a graph in API format, without what ComfyUI keeps beside them.

    Raises `WorkflowError` with a message that the file's name is to be put before.
    """
    if isinstance(content, dict) and "class_type" not in content and isinstance(content.get("prompt"), dict):
        content = content["prompt"]  # the body of a POST /prompt
    if isinstance(content, dict) and _is_ui_format(content):
        raise WorkflowError(f"is saved in the UI's own format. {_EXPORT}")
    if not isinstance(content, dict) or not content:
        raise WorkflowError(f"is not a ComfyUI workflow. {_EXPORT}")
    strange = [str(name)[:40] for name, node in content.items() if not _is_node(node)]
    if len(strange) == len(content):
        raise WorkflowError(f"is not a ComfyUI workflow. {_EXPORT}")
    if strange:
        raise WorkflowError(
            f"is not a complete ComfyUI workflow: {', '.join(map(repr, strange[:5]))} has no class_type and inputs. "
            f"{_EXPORT}"
        )
    if len(content) > MOST_NODES:
        raise WorkflowError(f"has {len(content)} nodes; at most {MOST_NODES} are taken. Export the part that is used.")
    unusable = {name: reason for name, node in content.items() if (reason := _unusable(node["inputs"]))}
    for name, node in content.items() if unusable or _unwritable(content) else ():
        parts = [name, node["class_type"], node["inputs"], _title(node)]
        if reason := unusable.get(name) or _unwritable(parts):
            shown = name[:40].encode(errors="backslashreplace").decode()
            raise WorkflowError(f"holds {reason} in node {shown}, which cannot be sent to ComfyUI. {_EXPORT}")
    return {
        name: {
            "class_type": node["class_type"],
            "inputs": node["inputs"],
            **({"_meta": {"title": title}} if (title := _title(node)) else {}),
        }
        for name, node in content.items()
    }


def _parsed(content: bytes) -> Any:  # noqa: ANN401 (JSON)
    for start, what in _OTHER_PICTURES.items():
        if content.startswith(start):
            raise WorkflowError(f"is {what}. Of pictures, only a PNG that ComfyUI saved can be read. {_EXPORT}")
    try:
        return json.loads(content)  # in UTF-8, UTF-16 or UTF-32, with a byte order mark or without
    except RecursionError:
        raise WorkflowError("is nested too deep to be one of ComfyUI's.") from None
    except ValueError as error:
        raise WorkflowError(f"cannot be read: {error}. {_EXPORT}") from None


def _graph_in_png(content: bytes) -> bytes:
    texts = dict(_texts(content))
    if "prompt" in texts:
        return texts["prompt"]
    if "workflow" in texts:
        raise WorkflowError(f"is a picture that holds a workflow only in the UI's own format. Open it there. {_EXPORT}")
    raise WorkflowError(f"is a picture without a ComfyUI workflow in it. {_EXPORT}")


def _texts(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the text chunks of a PNG by keyword; what is packed is unpacked as far as a small file may be long."""
    place = len(_PNG)
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4])
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        place += 12 + length
        keyword, _, rest = data.partition(b"\0")
        name = keyword.decode("latin-1")
        if kind == b"tEXt":
            yield name, rest.decode("latin-1").encode()
        elif kind == b"zTXt":
            yield name, _unpacked(rest[1:]).decode("latin-1").encode()
        elif kind == b"iTXt" and len(rest) > 1:
            text = rest[2:].split(b"\0", 2)[-1]
            yield name, _unpacked(text) if rest[0] else text


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(data, LARGEST)
    except zlib.error as error:
        raise WorkflowError(f"cannot be read: {error}. {_EXPORT}") from None
    if unpacking.unconsumed_tail:
        raise WorkflowError(f"holds a text of more than {LARGEST / 1e6:.0f} MB. {_EXPORT}")
    return text


def _is_ui_format(content: dict[str, Any]) -> bool:
    """Tell the UI's own save by its lists of nodes and links; other tools' graphs have other fields."""
    return "last_node_id" in content or (isinstance(content.get("nodes"), list) and "links" in content)


def _is_node(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _title(node: dict[str, Any]) -> str:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title if isinstance(title, str) else ""


def _unusable(inputs: dict[str, Any]) -> str:
    """Say what among an input's values JSON cannot carry, or is nested past sense; empty where all is well."""
    level: list[Any] = [value for value in inputs.values() if not isinstance(value, _PLAIN)]
    for _ in range(_DEEPEST):
        if not level:
            return ""
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            return "a number that is none (NaN or Infinity)"
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
            if not isinstance(inner, _PLAIN)
        ]
    return f"values nested deeper than {_DEEPEST} levels"


def _unwritable(content: Any) -> str:  # noqa: ANN401 (JSON)
    """Say that a text holds half of a character, which UTF-8 cannot carry; empty where none does."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "half of a character (a lone surrogate)"
    return ""
