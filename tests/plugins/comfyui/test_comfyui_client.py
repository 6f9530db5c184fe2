"""ComfyUI's routes are called as it expects, and every answer that it would not give is told in words."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from plugins.comfyui.answers import HistoryEntry, ImageRef, ServerInfo
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import ComfyUIError, Rejected, Unreachable
from plugins.comfyui.timing import Timing
from plugins.plan.messages import Address
from tests.plugins.comfyui.plain_web import Web
from tests.plugins.comfyui.recorded import recording

GRAPH: dict[str, dict[str, Any]] = {"7": {"class_type": "KSampler", "inputs": {"seed": 1}}}
STATS = recording("get_routes")["exchanges"][0]["response"]["body"]
OBJECT_INFO = "/object_info/LoraLoader"


def recorded_body(path: str) -> Any:
    """Return the recorded answer to a GET."""
    found = [
        each["response"]["body"] for each in recording("get_routes")["exchanges"] if each["request"]["path"] == path
    ]
    return found[0]


def failure(call: Callable[[], object]) -> ComfyUIError:
    """Return the error that a call raises."""
    with pytest.raises(ComfyUIError) as raised:
        call()
    return raised.value


def test_recorded_server_says_what_it_is(web: Web, client: ComfyUI) -> None:
    """A real server's answer to /system_stats gives all that decides pixels, and that it is no stand-in."""
    web.answer("/system_stats", STATS)
    info = client.info()
    torch = STATS["system"]["pytorch_version"]
    known = {"url": web.url, "comfyui_version": "0.3.64", "device": "cpu", "torch": torch, "flags": "--cpu"}
    assert ServerInfo(**known, simulated=False) == info
    assert f"ComfyUI 0.3.64 at {web.url} (cpu, torch {torch}, --cpu)" == str(info)


@pytest.mark.parametrize(
    ("argv", "flags"),
    [
        ([], ""),
        (None, None),
        (["main.py", "--listen", "--port", "8188", "--output-directory", "/home/ann"], ""),
        (["--use-sage-attention", "--fp8_e4m3fn-unet"], "--fp8_e4m3fn-unet --use-sage-attention"),
        (["--fast", "fp16_accumulation", "cublas_ops"], "--fast --fast cublas_ops --fast fp16_accumulation"),
    ],
    ids=["none", "not-said", "others", "precision", "fast"],
)
def test_options_that_decide_pixels_are_kept(web: Web, client: ComfyUI, argv: object, flags: str | None) -> None:
    """Of the options that a server was started with, those that decide how it calculates are kept, and no others."""
    web.answer("/system_stats", {"system": {"comfyui_version": "1", "argv": argv}})
    assert flags == client.info().flags


def test_servers_differ_in_what_is_known_of_both() -> None:
    """What one of two servers does not tell is not held against the other; nor is which GPU of several it is."""
    old = ServerInfo(url="http://a:1", comfyui_version="0.3.64", device="cuda:0 RTX 4090", simulated=False)
    new = ServerInfo(
        url="http://b:1", comfyui_version="0.33.0", device="cuda:1 RTX 4090", simulated=False, torch="2.8", flags=""
    )
    assert ("ComfyUI 0.33.0 instead of 0.3.64",) == new.differences(old)
    assert ("torch 2.8 instead of 2.7", "options none instead of --fp16-unet") == new.differences(
        new.model_copy(update={"torch": "2.7", "flags": "--fp16-unet"})
    )


def test_stand_in_says_that_it_is_one(web: Web, client: ComfyUI) -> None:
    """A stand-in is told as SIMULATED; a server without a device, and one with control characters, break nothing."""
    web.answer("/system_stats", {"system": {"comfyui_version": "1\x1b[2J", "simulated": True}, "devices": []})
    assert f"a SIMULATED ComfyUI 1\\x1b[2J at {web.url}" == str(client.info())


def test_recorded_loras_are_listed(web: Web, client: ComfyUI) -> None:
    """The picker's list is read from what a real server answers to /object_info/LoraLoader."""
    web.answer(OBJECT_INFO, recorded_body(OBJECT_INFO))
    assert tuple(recorded_body("/models/loras")) == client.loras()


def test_newer_list_shape_is_read(web: Web, client: ComfyUI) -> None:
    """A newer server's COMBO list is read as the older one's."""
    node = {"LoraLoader": {"input": {"required": {"lora_name": ["COMBO", {"options": ["a", "b\\c"]}]}}}}
    web.answer(OBJECT_INFO, node)
    assert ("a", "b\\c") == client.loras()


@pytest.mark.parametrize("answer", [{}, [], {"LoraLoader": {}}, {"LoraLoader": {"input": {"required": {}}}}], ids=str)
def test_missing_node_is_told(web: Web, client: ComfyUI, answer: object) -> None:
    """A server without the node is told with the node and the input."""
    web.answer(OBJECT_INFO, answer)
    told = failure(client.loras)
    assert f"{web.url} has no node LoraLoader with an input lora_name; is it a ComfyUI?" == str(told)


@pytest.mark.parametrize("answer", [{}, [], {"system": {}}, {"system": None, "devices": 5}, "hello", None], ids=str)
def test_another_program_is_told(web: Web, client: ComfyUI, answer: object) -> None:
    """Another program that answers JSON at the address is not taken for ComfyUI."""
    web.answer("/system_stats", answer)
    told = f"Something answers at {web.url}, but not as ComfyUI does. Is that the right address and port?"
    assert told == str(failure(client.info))


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"", b"[" * 100_000, b"1" * 5000], ids=["html", "empty", "deep", "huge_number"]
)
def test_answer_that_is_not_json_is_told(web: Web, client: ComfyUI, body: bytes) -> None:
    """An answer that cannot be read as JSON is told with the address, and never crashes."""
    web.answer("/system_stats", body)
    told = str(failure(client.info))
    assert f"{web.url} answered 200 with something that is not JSON (" == told[: told.index("(") + 1]
    assert "Is that the right address and port?" in told


def test_proxy_error_page_is_told_in_its_words(web: Web) -> None:
    """A proxy's page of HTML is told by its words alone, after GETs were tried again; control codes are spelled out."""
    client = ComfyUI(web.url, timing=Timing(pause=0.001))
    web.answer("", b"<html><h1>502 Bad\n Gateway</h1>\x1b[31m<p>nginx</p></html>", status=502)
    told = str(failure(client.queue))
    assert f"{web.url} answered GET /queue with 502 (502 Bad Gateway \\x1b[31m nginx)." == told
    assert ["GET"] * 4 == [seen[0] for seen in web.seen]
    client.close()


def test_post_is_never_sent_twice(web: Web, client: ComfyUI) -> None:
    """A POST that a proxy answers with 502 is not repeated: it may have been taken."""
    web.answer("", b"down", status=502)
    told = str(failure(lambda: client.post(GRAPH, client_id="c", prompt_id="p")))
    assert f"{web.url} answered POST /prompt with 502 (down)." == told
    assert ["POST"] == [seen[0] for seen in web.seen]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(web: Web, client: ComfyUI, status: int) -> None:
    """No redirect is followed, so that neither a prompt nor a password goes elsewhere."""
    web.answer("", b"moved", status=status, Location=f"{web.url}/elsewhere")
    posted = failure(lambda: client.post(GRAPH, client_id="c", prompt_id="p"))
    asked = failure(client.info)
    hint = "It points to another address, which is not followed; name that one with --comfyui-url."
    assert f"{web.url} answered POST /prompt with {status} (moved). {hint}" == str(posted)
    assert f"{web.url} answered GET /system_stats with {status} (moved). {hint}" == str(asked)
    assert ["/prompt", "/system_stats"] == [seen[1] for seen in web.seen]


def test_credentials_are_sent_and_never_shown(web: Web, client: ComfyUI) -> None:
    """The user and password of an address go into the header, decoded, and into no address, message or text."""
    web.answer("", b"no", status=403)
    error = failure(client.info)
    assert "Basic YWRhOnNAY3JldA==" == web.seen[0][2]["Authorization"]
    assert {"Authorization": "Basic YWRhOnNAY3JldA=="} == dict(client.websocket_headers)
    shown = [client.url, client.websocket_url, repr(client), str(client), str(error), repr(error), web.seen[0][1]]
    chain: BaseException | None = error
    while chain is not None:
        shown.append(str(chain))
        chain = chain.__cause__ or chain.__context__
    for text in shown:
        assert "ada" not in text
        assert "cret" not in text


def test_credentials_are_not_in_the_message_of_a_closed_port(free_port: int) -> None:
    """An address that nobody answers is told without its password, and with the innermost reason."""
    client = ComfyUI(f"http://ada:secret@127.0.0.1:{free_port}")
    error = failure(lambda: client.interrupt("x"))
    client.close()
    assert isinstance(error, Unreachable)
    assert f"No ComfyUI answers at http://127.0.0.1:{free_port} ([Errno 111] Connection refused)." == str(error)


def test_no_credentials_no_header(web: Web) -> None:
    """Without credentials no header authorises anything."""
    client = ComfyUI(web.url)
    assert {} == dict(client.websocket_headers)
    client.close()


@pytest.mark.parametrize(
    ("url", "address", "websocket"),
    [
        ("http://127.0.0.1:8188/", "http://127.0.0.1:8188", "ws://127.0.0.1:8188/ws"),
        ("https://u:p@gpu.example/comfy/?a=b#c", "https://gpu.example/comfy", "wss://gpu.example/comfy/ws"),
        ("http://[::1]:8188", "http://[::1]:8188", "ws://[::1]:8188/ws"),
    ],
    ids=["plain", "proxy", "ipv6"],
)
def test_addresses(url: str, address: str, websocket: str) -> None:
    """A server's address loses its credentials, query and last slash; its socket is below the same path."""
    client = ComfyUI(url)
    assert (address, websocket) == (client.url, client.websocket_url)
    client.close()


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("gpu", False),
    ],
)
def test_local_addresses(host: str, local: bool) -> None:  # noqa: FBT001 (a parameter of the test)
    """This machine's own addresses are told from others; a proxy from the environment is for the others."""
    client = ComfyUI(f"http://{host}:8188")
    assert local == client.is_local
    client.close()


@pytest.mark.parametrize("call", ["info", "interrupt"])
def test_silence_ends(web: Web, call: str) -> None:
    """A server that takes a request and never answers is given up after one wait, which the message tells."""
    client = ComfyUI(web.url, timing=Timing(answer=0.1))
    web.answer("", b"", status=0)
    begun = time.monotonic()
    error = failure(client.info if call == "info" else lambda: client.interrupt("x"))
    method, path = ("GET", "/system_stats") if call == "info" else ("POST", "/interrupt")
    assert f"{web.url} did not answer {method} {path} within 0 s." == str(error)
    assert isinstance(error, Unreachable)
    assert 20 > time.monotonic() - begun
    assert 1 == len(web.seen)
    client.close()


def test_post_sends_ids_and_graph(web: Web, client: ComfyUI) -> None:
    """A workflow is posted under our own id, for our own socket."""
    web.answer("/prompt", {"prompt_id": "p", "number": 1, "node_errors": {}})
    client.post(GRAPH, client_id="c", prompt_id="p")
    method, path, headers, body = web.seen[0]
    assert ("POST", "/prompt", "application/json") == (method, path, headers["Content-Type"])
    assert (
        b'{"prompt": {"7": {"class_type": "KSampler", "inputs": {"seed": 1}}}, "client_id": "c", "prompt_id": "p"}'
        == body
    )


def test_nothing_comes_from_a_cache_on_the_way(web: Web, client: ComfyUI) -> None:
    """A proxy that caches is asked for what is there now: a picture's name comes again, and a picker's list grows."""
    web.answer("/queue", {"queue_running": [], "queue_pending": []})
    client.queue()
    assert "no-cache" == web.seen[0][2]["Cache-Control"]


def test_server_that_changes_the_id_is_told(web: Web, client: ComfyUI) -> None:
    """A prompt that cannot be followed, since the server gave it another id, is an error, and is withdrawn."""
    web.answer("", {"prompt_id": "other", "node_errors": {}})
    error = failure(lambda: client.post(GRAPH, client_id="c", prompt_id="p"))
    assert str(error).startswith(f"{web.url} gave the workflow another id than the one it was sent with, ")
    assert ["/prompt", "/queue", "/interrupt"] == [seen[1] for seen in web.seen]


@pytest.mark.parametrize(
    "name", ["run_bad_seed", "run_unknown_lora", "run_unknown_node", "run_no_outputs", "run_partly_valid"]
)
def test_recorded_refusals_are_refusals(web: Web, client: ComfyUI, name: str) -> None:
    """What a real server refused is refused, and so is what it would have run without some of its outputs."""
    post = recording(name)["post"]
    web.answer("/prompt", post["response"]["body"], status=post["response"]["status"])
    sent = post["request"]["json"]
    error = failure(lambda: client.post(sent["prompt"], client_id=sent["client_id"], prompt_id=sent["prompt_id"]))
    assert isinstance(error, Rejected)
    assert str(error).startswith(f"{web.url} refused the workflow: \n  ")


def test_recorded_error_500_is_told(web: Web, client: ComfyUI) -> None:
    """What a real server answers to JSON that is broken is told with its status."""
    answer = recording("post_bad_json")["exchange"]["response"]
    web.answer("/prompt", answer["body"].encode(), status=answer["status"])
    error = failure(lambda: client.post(GRAPH, client_id="c", prompt_id="p"))
    told = "500 Internal Server Error Server got itself in trouble"
    assert f"{web.url} answered POST /prompt with 500 ({told})." == str(error)


def test_recorded_queue_is_sorted(web: Web, client: ComfyUI) -> None:
    """The recorded queue gives who runs and who waits; waiting prompts come in the order of their numbers."""
    body = recording("queue_running_and_pending")["exchanges"][0]["response"]["body"]
    web.answer("/queue", body)
    assert (body["queue_running"][0][1],) == client.queue().running
    web.answer("/queue", {"queue_running": [], "queue_pending": [[3, "c"], [-1, "z"], [2, "b"]]})
    queue = client.queue()
    assert ((), ("z", "b", "c")) == (queue.running, queue.pending)


@pytest.mark.parametrize("body", [{}, [], {"queue_running": [1], "queue_pending": []}, {"queue_running": 3}], ids=str)
def test_odd_queue_is_told(web: Web, client: ComfyUI, body: object) -> None:
    """A queue in another shape is told, and not taken for an empty one."""
    web.answer("/queue", body)
    assert f"{web.url} answered GET /queue as ComfyUI does not. Is that the right address and port?" == str(
        failure(client.queue)
    )


def test_history_is_none_while_unfinished(web: Web, client: ComfyUI) -> None:
    """A prompt without a history entry of its own is unfinished."""
    answers: list[object] = [{}, {"other": {}}, {"p": None}, []]
    for answer in answers:
        web.answer("/history/p", answer)
        assert client.history("p") is None
    web.answer("/history/p", {"p": {"status": {}}})
    assert HistoryEntry() == client.history("p")


def test_metadata_where_there_is_some(web: Web, client: ComfyUI) -> None:
    """The trainer's notes are given where the server reads them, empty where it finds none, and None elsewhere."""
    web.answer("/view_metadata/loras", {"ss_steps": "600"})
    assert {"ss_steps": "600"} == client.lora_metadata("a b.safetensors")
    assert "/view_metadata/loras?filename=a+b.safetensors" == web.seen[0][1]
    web.answer("/view_metadata/loras", b"", status=404)
    assert {} == client.lora_metadata("a")
    web.answer("/view_metadata/loras", b"404: Not Found", status=404)
    assert client.lora_metadata("a") is None
    web.answer("/view_metadata/loras", ["odd"])
    assert client.lora_metadata("a") is None


def test_actions_are_ours_alone(web: Web, client: ComfyUI) -> None:
    """Deleting, interrupting and freeing name what they are about; an interrupt never comes without an id."""
    web.answer("", b"")
    client.delete(["a", "b"])
    client.interrupt("a")
    client.free()
    assert [
        ("POST", "/queue", b'{"delete": ["a", "b"]}'),
        ("POST", "/interrupt", b'{"prompt_id": "a"}'),
        ("POST", "/free", b'{"free_memory": true, "unload_models": false}'),
    ] == [(method, path, body) for method, path, _, body in web.seen]


def test_picture_is_fetched_as_it_is(web: Web, client: ComfyUI) -> None:
    """A picture's bytes come unchanged, from the place that the history named."""
    web.answer("/view", b"\x89PNG")
    assert b"\x89PNG" == client.view(ImageRef(filename="a b.png", subfolder="x/y", type="output"))
    assert "/view?filename=a+b.png&subfolder=x%2Fy&type=output" == web.seen[0][1]


@pytest.fixture
def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


SECRETS = ("hunter2", "s%40cret", "s@cret", "YWRhOnNAY3JldA")
"""A header's value, and a password as it is typed, meant and sent."""


class Interrupting(HTTPAdapter):
    """Ctrl-C, or another end, in the middle of a request, while its headers are at hand."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self._error = error

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
        """Stop while the request is sent."""
        secrets = request.headers["X-Key"], request.headers["Authorization"]
        raise self._error(len(secrets))


def traceback_of(error: pytest.ExceptionInfo[BaseException]) -> str:
    """Return a traceback with all that --full-trace and --showlocals print."""
    return str(error.getrepr(showlocals=True, funcargs=True, abspath=True))


@pytest.mark.parametrize("error", [KeyboardInterrupt, requests.ConnectionError, requests.ReadTimeout])
def test_traceback_shows_no_secret(web: Web, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    """Arguments and locals of a traceback hold neither a header's value nor a password, also at Ctrl-C."""
    monkeypatch.setenv("COMFYUI_HEADERS", json.dumps({"X-Key": SECRETS[0]}))
    client = ComfyUI(Address(f"http://ada:{SECRETS[1]}@127.0.0.1:{web.port}/"))
    client._transport._session.mount("http://", Interrupting(error))
    with pytest.raises((KeyboardInterrupt, Unreachable)) as raised:
        client.info()
    client.close()
    told = traceback_of(raised)
    assert "client.info()" in told
    assert [] == [number for number, secret in enumerate(SECRETS) if secret in told]


def test_real_traceback_shows_no_secret(client: ComfyUI) -> None:
    """A connection that is refused leaves a traceback without the library's frames, which hold the headers."""
    client._transport._session.headers["X-Key"] = SECRETS[0]
    client._transport.url = "http://127.0.0.1:1"  # type: ignore[misc]
    with pytest.raises(Unreachable) as raised:
        client.queue()
    told = traceback_of(raised)
    assert "No ComfyUI answers at http://127.0.0.1:1" in told
    assert [] == [number for number, secret in enumerate(SECRETS) if secret in told]


def test_address_shows_no_secret_in_a_traceback() -> None:
    """An address with credentials is an ordinary text, whose representation leaves them out."""
    address = Address("https://ada:s@cret@gpu.example:8188/x")
    assert ("https://ada:s@cret@gpu.example:8188/x", "'https://***@gpu.example:8188/x'") == (
        str(address),
        repr(address),
    )
