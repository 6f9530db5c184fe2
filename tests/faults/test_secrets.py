"""The table of secrets: what a proxy in front of ComfyUI wants is sent to it, and stands nowhere else."""

import base64
import json
import shutil
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from plugins.comfyui.errors import BadAnswer
from plugins.comfyui.events import Events
from plugins.plan.reading import PlanError, read_plan
from stand_in.faults import NodeFailure
from stand_in.serving import serve
from tests.commands.looking import Result, together
from tests.faults.hostile_case import answering, connected, http
from tests.small_plan import PLAN, Posing, Suite

pytestmark = pytest.mark.slow

USER, PASSWORD, TOKEN = "proxy-user", "proxy-pass/word", "bearer-token"
TYPED = f"{USER}:proxy-pass%2Fword"
SECRETS = (
    USER,
    "proxy-pass",
    TOKEN,
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
)
"""None of these may stand in anything that a command prints or writes."""
HEADERS = {"COMFYUI_HEADERS": json.dumps({"X-Proxy-Token": TOKEN})}
LOUD = ("-vv", "--showlocals", "--full-trace")
CRASH = """
def boom(*_, **__):
    raise RuntimeError("boom")

def pytest_configure(config):
    import {module} as module
    module.{name} = boom
"""
CRASHES = {
    "crash_in_a_request": CRASH.format(module="urllib3.connection", name="HTTPConnection.getresponse"),
    "crash_in_a_test": CRASH.format(module="plugins.generate.generation", name="Generation.evidence_of"),
}
"""Plugins that make the suite crash at some place, as a mistake in it would."""


class Proxied(Posing):
    """A server that notes which requests came without what the proxy wants."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.without: list[str] = []
        self.failing = False

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Look at the headers of every request, the socket's too."""
        self.asked.add(request.path)
        wanted = ("Basic " + SECRETS[3], TOKEN)
        if (request.headers.get("Authorization"), request.headers.get("X-Proxy-Token")) != wanted:
            self.without.append(request.path)
        return await super().answer(request)

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Fail where a failure is wanted."""
        del prompt_id, node_id
        if self.failing and class_type == "KSampler":
            raise NodeFailure("torch.OutOfMemoryError", "Allocation on device")


@dataclass
class Leavings:
    """What every command printed and wrote, by the command's name, and what the server saw."""

    results: dict[str, Result] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    proxied: Proxied = field(default_factory=Proxied)


@pytest.fixture(scope="module")
def leavings(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leavings]:
    """Run every command, each in a folder of its own but for those that go the whole way."""
    top, found = tmp_path_factory.mktemp("secrets"), Leavings()
    with ExitStack() as stack:

        def go(name: str, *arguments: str, place: str = "", text: str = PLAN, faults: Proxied | None = None) -> None:
            folder = top / (place or name)
            if not folder.exists():
                shutil.copytree(made_plan, folder)
            (folder / "plan.toml").write_text(text, encoding="utf-8")
            for crash, body in CRASHES.items():
                (folder / f"{crash}.py").write_text(body, encoding="utf-8")
            if faults:
                url = stack.enter_context(serve(folder / "ComfyUI", faults=faults)).url
                arguments = (*arguments, f"--comfyui-url={url.replace('//', f'//{TYPED}@')}")
            suite = Suite(plan_file=folder / "plan.toml", environment={**HEADERS, "PYTHONPATH": str(folder)})
            found.results[name] = suite.run(*arguments, "--junitxml", str(folder / "reports/junit.xml"))
            written = [path for part in ("reports", "planning") for path in (folder / part).rglob("*")]
            found.files[name] = {path.name: path.read_bytes() for path in written if path.is_file()}

        def whole_way() -> None:
            go("run", "-m", "generate", *LOUD, place="whole", faults=found.proxied)
            go("deployment", "-m", "deploy", "--selected-step=600", *LOUD, place="whole", faults=found.proxied)

        failing = Proxied()
        failing.failing = True
        dying = f"start = ['{sys.executable}', '-c', 'import os; print(os.environ); exit(3)']\nurl = \"http://{TYPED}@"
        jobs: dict[str, Callable[[], None]] = {
            "whole": whole_way,
            "failing": partial(go, "failing_cells", "-m", "generate", *LOUD, faults=failing),
            "dying": partial(go, "dying_server", "-m", "generate", *LOUD, text=PLAN.replace('url = "http://', dying)),
        }
        for crash in CRASHES:
            jobs[crash] = partial(go, crash, "-p", crash, "-m", "generate", *LOUD, faults=Proxied())
        together(jobs)
        yield found


ENDS: Mapping[str, tuple[int, str]] = {
    "run": (0, "6 passed"),
    "deployment": (0, "SUMMARY.md"),
    "failing_cells": (1, "torch.OutOfMemoryError"),
    "dying_server": (4, "No ComfyUI answers at http://127.0.0.1:9; starting it"),
    "crash_in_a_request": (3, "RuntimeError: boom"),
    "crash_in_a_test": (1, "RuntimeError: boom"),
}
"""Each command's exit status, and words that show that it came to where a secret might be told."""


@pytest.mark.parametrize("name", ENDS)
def test_no_secret_is_told(leavings: Leavings, name: str) -> None:
    """Neither the terminal nor any file of the command holds a user, password or token, whatever went wrong."""
    result, files = leavings.results[name], leavings.files[name]
    code, words = ENDS[name]
    assert (code, True) == (result.returncode, words in " ".join(f"{result.stdout} {result.stderr}".split())), result
    places = {"terminal": f"{result.stdout}{result.stderr}".encode(), **files}
    told = [(secret, place) for secret in SECRETS for place, text in places.items() if secret.encode() in text]
    assert [] == told


def test_what_a_command_leaves_was_looked_at(leavings: Leavings) -> None:
    """The files in which no secret was found are those that matter."""
    assert {"report.html", "junit.xml", "forest.json", "forest.png", "canary.json"} <= {*leavings.files["run"]}
    assert {"deploy.html", "SUMMARY.md", "deployment.json"} <= {*leavings.files["deployment"]}
    assert b"environ(" in leavings.files["dying_server"]["comfyui.log"]


def test_secrets_go_to_http_and_socket_alike(leavings: Leavings) -> None:
    """Every request of two commands carried the headers from the environment and the credentials of the address."""
    assert [] == leavings.proxied.without
    assert {"/ws", "/prompt", "/view", "/free", "/system_stats"} <= leavings.proxied.asked


def test_advised_command_leaves_the_password_out(leavings: Leavings) -> None:
    """The command that a run advises names the server without its user and password."""
    assert "pytest -m deploy --selected-step=STEP" in leavings.results["run"].stdout
    assert "--comfyui-url=http://127.0.0.1:" in leavings.results["run"].stdout


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param(f"url = 'http//{TYPED}@h:8188'", "'http//***@h:8188' is not", id="a-mistyped-address"),
        pytest.param(f"url = 'ftp://{TYPED}@h'", "'ftp://***@h' is not", id="another-protocol"),
        pytest.param(f"url = '{TYPED}@h:8188'", "'***@h:8188' is not", id="no-protocol"),
        pytest.param("url = 'http://proxy-user:proxy-pass/word@h'", "'http://***@h' is not", id="a-slash-in-it"),
        pytest.param("url = 'http://proxy-user:proxy-pass#@h'", "'http://***@h' is not", id="a-hash-in-it"),
        pytest.param(f"url = 'http://h/?token={TOKEN}'", "'http://h/?***' is not", id="a-token-in-the-query"),
        pytest.param(f"urls = ['http://h', '//{TYPED}@h']", "comfyui.urls[1]: '//***@h' is not", id="one-of-several"),
        pytest.param(f"urls = 'http://{TYPED}@h'", "must be a list, in [ ], not 'http://***@h'", id="text-for-a-list"),
        pytest.param(f"url = ['http://{TYPED}@h']", "comfyui.url: must be text in quotes", id="a-list-for-text"),
        pytest.param(f"address = 'http://{TYPED}@h'", "comfyui.address: unknown key", id="another-key"),
    ],
)
def test_wrong_address_is_told_without_its_password(tmp_path: Path, given: str, told: str) -> None:
    """However wrong an address is, in a plan or on the command line, its user and password are not repeated."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace('url = "http://127.0.0.1:9"', given), encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    assert told in str(caught.value)
    assert [] == [secret for secret in SECRETS if secret in str(caught.value)]


def test_password_is_not_listed_with_a_plan(tmp_path: Path) -> None:
    """A traceback with --showlocals lists a plan, its servers and a client without the password."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace("http://", f"http://{TYPED}@"), encoding="utf-8")
    plan = read_plan(path)
    with connected(plan.comfyui.servers[0]) as client:
        listed = repr([plan, plan.comfyui, plan.comfyui.servers, vars(client), dict(client.websocket_headers)])
    assert f"http://{TYPED}@127.0.0.1:9" == plan.comfyui.servers[0]
    assert [] == [secret for secret in SECRETS if secret in listed]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param('{"X-Token": " bearer-token"}', id="space-before"),
        pytest.param('{"X-Token": "bearer-token\\n"}', id="line-break"),
        pytest.param('{"X Token:": "bearer-token"}', id="name-with-a-space"),
        pytest.param('{"X-Token": ["bearer-token"]}', id="list"),
        pytest.param('["bearer-token"]', id="no-object"),
        pytest.param("bearer-token", id="no-json"),
        pytest.param('{"X-Token": ' + "[" * 100_000, id="nested-without-end"),
    ],
)
def test_wrong_headers_are_told_without_their_value(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """Headers that cannot be sent are refused with the way to write them, and without repeating them."""
    monkeypatch.setenv("COMFYUI_HEADERS", given)
    told = _refusal()
    assert 'COMFYUI_HEADERS is not a JSON object of texts; write it like {"Authorization": "Bearer ..."}' == told


def _refusal() -> str:
    try:
        with connected("http://127.0.0.1:9") as client:
            client.info()
    except Exception as error:  # noqa: BLE001 (whatever is told)
        return str(error)
    return ""


@pytest.fixture
def authority() -> trustme.CA:
    """Return a certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA) -> Iterator[tuple[str, list[str]]]:
    """Run a server with a certificate of a CA of its own; gives its address, and what it was asked."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    stats = {"system": {"comfyui_version": "0.3.64"}, "devices": [{"name": "cpu"}]}
    with ExitStack() as stack:
        wire = answering(http(json.dumps(stats).encode()), stack, tls=context)
        yield wire.url, wire.seen


def test_unknown_certificate_is_refused_with_what_to_do(secure: tuple[str, list[str]]) -> None:
    """A server whose certificate nobody vouches for is not talked to; the message says how to name a CA."""
    url, seen = secure
    with connected(url) as client, pytest.raises(BadAnswer) as caught:
        client.info()
    assert str(caught.value).startswith(f"{url} cannot be trusted (")
    assert "certificate" in str(caught.value)
    assert str(caught.value).endswith("name that CA's file and run this again: REQUESTS_CA_BUNDLE=ca.pem")
    assert [] == seen


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_private_ca_can_be_given(
    secure: tuple[str, list[str]], authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With its CA named, such a server is talked to, over HTTP and over the socket."""
    url, seen = secure
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv(name, str(file))
    with connected(url) as client:
        assert "0.3.64" == client.info().comfyui_version
        events = Events(client)
        assert events.client_id  # waits until the first attempt has ended
        events.close()
    assert ["GET /system_stats", "GET /ws?clien"] == [
        line[: len("GET /ws?clien")] if "ws" in line else line[:17] for line in seen[:2]
    ]


def test_socket_trusts_no_unknown_certificate(secure: tuple[str, list[str]]) -> None:
    """The socket is not opened where the certificate is unknown; its headers are never sent."""
    url, seen = secure
    with connected(url) as client:
        events = Events(client)
        assert events.client_id
        events.close()
    assert [] == seen
