"""What a server may answer that no ComfyUI would: too much, from elsewhere, or words that steer a terminal."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from plugins.comfyui import transport
from plugins.comfyui.answers import ImageRef, ServerInfo
from plugins.comfyui.choices import picker_names
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import ComfyUIError
from plugins.comfyui.events import Events
from plugins.comfyui.names import check_offered, find_base_model, find_lora
from plugins.loras.staging import preflight, stage
from plugins.pictures.check import Check
from plugins.pictures.checks import check_workflow
from plugins.pictures.picture import read_picture
from tests.faults.hostile_case import Answer, Ground, answering, connected, harmless, http, refused
from tests.plugins.evidence.made_evidence import png_of

_ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"
_SHOWN = r"\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"
_ADDRESS = "Is that the right address and port?"
_STATS = {"system": {"comfyui_version": "0.3.64"}, "devices": [{"name": "cpu"}]}
_GRAPH: dict[str, dict[str, Any]] = {"7": {"class_type": "KSampler", "inputs": {"seed": 1}}}
_LARGEST = 1 << 20


def told(answer: Answer, ask: Callable[[ComfyUI], object] = ComfyUI.info) -> Callable[[Ground], object]:
    """Ask a server that answers so. What is read of one answer is limited to 1 MB, so that the test is quick."""

    def act(ground: Ground) -> object:
        ground.patch.setattr(transport, "_LARGEST_ANSWER", _LARGEST)
        return ask(ground.client(answer))

    return act


def as_json(value: object) -> Answer:
    """Answer every request with JSON."""
    return http(json.dumps(value).encode())


def endless(head: str) -> Answer:
    """Send a head, and then a body without end."""

    def answer(_: str) -> Iterator[bytes]:
        yield head.encode() + b"\r\n\r\n"
        while True:
            yield b"x" * 65536

    return answer


def endless_headers(_: str) -> Iterator[bytes]:
    """Send headers without end."""
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-More: 1\r\n" * 1000


def post(client: ComfyUI) -> object:
    """Put a workflow in the queue."""
    client.post(_GRAPH, client_id="c", prompt_id="p")
    return None


def redirected(place: str) -> Callable[[Ground], tuple[object, object]]:
    """Ask a server that sends us elsewhere, with a password: nobody comes there."""

    def act(ground: Ground) -> tuple[object, object]:
        there = answering(as_json(_STATS), ground.stack)
        move = http(b"", f"Location: {there.url}{place}", status="307 Temporary Redirect")
        here = answering(move, ground.stack)
        with connected(here.url.replace("//", "//ada:secret@")) as client:
            for ask in (client.info, lambda: post(client)):
                refusal(ask)
        return [], there.seen

    return act


def refusal(ask: Callable[[], object]) -> str:
    """Return the words in which something is refused."""
    try:
        ask()
    except ComfyUIError as error:
        return str(error)
    return "it was not refused"


def socket_redirected(ground: Ground) -> tuple[object, object]:
    """Open the event socket of a server that sends it elsewhere: nobody comes there."""
    there = answering(http(b""), ground.stack)
    move = http(b"", f"Location: {there.url.replace('http', 'ws')}/ws", status="302 Found")
    here = answering(move, ground.stack)
    with connected(here.url.replace("//", "//ada:secret@")) as client:
        events = Events(client)
        asked = bool(events.client_id)  # waits until the first attempt has ended
        events.close()
    return (True, True, []), (asked, here.seen[0].startswith("GET /ws?clientId="), there.seen)


def info_of(stats: object, *shown: str) -> Callable[[Ground], tuple[object, object]]:
    """Ask a server what it is: what it says is short, and steers nothing."""

    def act(ground: Ground) -> tuple[object, object]:
        info: ServerInfo = ground.client(as_json(stats)).info()
        return (True, True, True), (
            str(info).isprintable(),
            len(str(info)) < 500,
            all(word in str(info) for word in shown),
        )

    return act


def picker(ask: Callable[[str], object]) -> Callable[[Ground], object]:
    """Look for a name in a list of names that steer a terminal."""
    return lambda ground: ask(ground.client(http(b"")).url)


def view(**place: str) -> Callable[[Ground], object]:
    """Fetch a picture from where the history says that it is."""
    image = ImageRef(**({"filename": "a.png", "subfolder": "spyke", "type": "output"} | place))
    return told(http(b"secret"), lambda client: client.view(image))


def staged_elsewhere(answer: Answer) -> Callable[[Ground], object]:
    """See the staged LoRAs in the picker of a server that answers so when asked for their notes."""

    def act(ground: Ground) -> object:
        plan = ground.plan
        staged = stage(plan, preflight(plan))
        names = [one.file.name for one in staged]
        listed = as_json({"LoraLoader": {"input": {"required": {"lora_name": [names]}}}})

        def routes(first: str) -> Iterable[bytes]:
            return (answer if "view_metadata" in first else listed)(first)

        client = ground.client(routes)
        return picker_names(plan, client, staged)

    return act


def workflow_in_a_picture(graph: Mapping[str, Any]) -> Check:
    """Compare the workflow that was sent with another."""
    picture = read_picture(png_of_any(), largest=10**6)
    return check_workflow(picture, sent=_GRAPH, remembered=graph, file="a.png", stem="a")


def png_of_any() -> bytes:
    """Return some picture without a workflow."""

    class _Cell:
        id = "any"

    return png_of(_Cell())  # type: ignore[arg-type]


def hostile_workflow(ground: Ground) -> tuple[object, object]:
    """Compare with a workflow whose nodes and inputs have names of escape codes: the check is safe to print."""
    del ground
    graph = {_ESCAPES: {"class_type": _ESCAPES, "inputs": {_ESCAPES: _ESCAPES}}}
    return (True, "failed"), (str(workflow_in_a_picture(graph)).isprintable(), workflow_in_a_picture(graph).outcome)


def workflow_of_many_nodes(ground: Ground) -> tuple[object, object]:
    """Compare with a workflow of 20,000 other nodes: the check tells the first of them."""
    del ground
    graph = {str(number): {"class_type": "x", "inputs": {"a": "y" * 500}} for number in range(20_000)}
    return True, len(str(workflow_in_a_picture(graph))) < 20_000


def nested(depth: int) -> bytes:
    """Return JSON of lists in lists."""
    return b"[" * depth + b"]" * depth


_BAD_REQUEST = "400 Bad Request"
ROWS = (
    refused(
        "body without end", told(endless("HTTP/1.1 200 OK")), "sent more than 1 MB in one answer", "Is it a ComfyUI?"
    ),
    refused(
        "body that swells",
        told(http(gzip.compress(b"x" * 5_000_000), "Content-Encoding: gzip")),
        "sent more than 1 MB in one answer",
    ),
    refused(
        "body of broken gzip", told(http(b"nonsense", "Content-Encoding: gzip")), "No ComfyUI answers at http://127"
    ),
    refused("headers without end", told(endless_headers), "No ComfyUI answers at http://127"),
    refused(
        "no HTTP at all", told(lambda _: [b"SSH-2.0-OpenSSH_9.6\r\n\x1b[2J\r\n"]), "No ComfyUI answers at", "SSH-2.0"
    ),
    refused("JSON nested without end", told(http(nested(200_000))), "something that is not JSON", _ADDRESS),
    refused("JSON with an endless number", told(http(b"1" * 9000)), "something that is not JSON", _ADDRESS),
    refused("JSON of another kind", told(as_json([[]])), "but not as ComfyUI does", _ADDRESS),
    refused(
        "refusal nested deep",
        told(http(b'{"error": ' + nested(850) + b"}", status=_BAD_REQUEST), post),
        "refused the workflow",
    ),
    refused(
        "refusal with escape codes",
        told(http(json.dumps({"error": {"message": _ESCAPES}}).encode(), status=_BAD_REQUEST), post),
        "refused the workflow",
        _SHOWN,
    ),
    refused(
        "refusal of 500 kB",
        told(http(json.dumps({"error": {"message": "x" * 500_000}}).encode(), status=_BAD_REQUEST), post),
        "refused the workflow",
    ),
    refused(
        "error page with escape codes", told(http(b"\x1b[2J<b>\xc2\x9b31m", status="500 \x1b[1m")), r"\x1b[2J", "500"
    ),
    harmless("redirect elsewhere", redirected("/")),
    harmless("redirect to another route", redirected("/prompt")),
    harmless("socket redirected elsewhere", socket_redirected),
    refused(
        "redirect to no address", told(http(b"", "Location: http://[::1", status="302 Found")), "answered GET", "302"
    ),
    refused(
        "redirect with a body without end",
        told(endless("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/")),
        "sent more than 1 MB in one answer",
    ),
    harmless(
        "version and device with escape codes",
        info_of({"system": {"comfyui_version": _ESCAPES}, "devices": [{"name": _ESCAPES}]}, _SHOWN),
    ),
    harmless(
        "version and device of a megabyte",
        info_of({"system": {"comfyui_version": "1" * 10**6}, "devices": [{"name": "x" * 10**6}]}),
    ),
    refused(
        "base models with escape codes",
        picker(lambda url: find_base_model("Anything", [f"Anything{_ESCAPES}"], server=url)),
        _SHOWN,
        "correct `base_model` under [sampling]",
    ),
    refused(
        "base models with names of a megabyte",
        picker(lambda url: find_base_model("Anything", ["x" * 10**6] * 3, server=url)),
        "correct `base_model` under [sampling]",
    ),
    refused(
        "samplers with escape codes",
        picker(lambda url: check_offered("euler", [_ESCAPES], key="sampler", server=url)),
        _SHOWN,
        "Correct `sampler` under [sampling]",
    ),
    refused(
        "LoRAs in other folders",
        picker(
            lambda url: find_lora("a.safetensors", ["../a.safetensors", "b/a.safetensors"], server=url, folder="/l")
        ),
        "a.safetensors lies in /l, but is not in the LoRA list",
        "name its ComfyUI folder with --comfyui-dir",
    ),
    refused(
        "LoRA of the same name with other notes",
        staged_elsewhere(as_json({"ss_steps": _ESCAPES})),
        "has another file under the name spyke_plasma_v1_step600.safetensors",
        _SHOWN,
        "with --comfyui-dir",
    ),
    refused(
        "LoRA of the same name without notes",
        staged_elsewhere(http(b"", status="404 Not Found")),
        "has another file under the name spyke_plasma_v1_step600.safetensors",
        "with --comfyui-dir",
    ),
    harmless(
        "no route for notes",
        lambda ground: (
            ("spyke_plasma_v1_step600.safetensors", "spyke_plasma_v1_final.safetensors"),
            staged_elsewhere(http(b"404: Not Found", status="404 Not Found"))(ground),
        ),
    ),
    refused("picture above its folder", view(filename="../../etc/passwd"), "'../../etc/passwd'", "ComfyUI saves none"),
    refused("picture at the root", view(filename="/etc/passwd"), "'/etc/passwd'", "ComfyUI saves none"),
    refused("picture in a Windows folder", view(filename="..\\..\\boot.ini"), "ComfyUI saves none"),
    refused("picture in a folder above", view(subfolder="spyke/../.."), "ComfyUI saves none"),
    refused("picture in a folder at the root", view(subfolder="/etc"), "in '/etc'", "ComfyUI saves none"),
    refused("picture of another kind", view(type="input"), "its 'input' folder", "ComfyUI saves none"),
    refused("picture without a name", view(filename=""), "ComfyUI saves none"),
    harmless("picture with a hostile workflow", hostile_workflow),
    harmless("picture with a workflow of many nodes", workflow_of_many_nodes),
)
