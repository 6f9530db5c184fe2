"""A server that cannot be reached is told with what stands in the way: TLS, a certificate, a proxy, or another port."""

import contextlib
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import BadAnswer, ComfyUIError, Unreachable
from plugins.comfyui.timing import Timing
from tests.faults.hostile_case import answering, http
from tests.plugins.comfyui.plain_web import Web

QUICK = Timing(connect=5.0, answer=5.0, pause=0.001)
STATS = json.dumps({"system": {"comfyui_version": "0.33.0"}, "devices": []}).encode()
NETRC = "default login ada password cret\n"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what this machine says of proxies and certificates."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """Return a certificate authority that this command trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    return authority


@pytest.fixture
def secure() -> Iterator[Callable[[trustme.LeafCert], str]]:
    """Run servers that speak TLS with a certificate; return their addresses."""
    with ExitStack() as stack:

        def start(certificate: trustme.LeafCert) -> str:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            return answering(http(STATS), stack, tls=context).url

        yield start


@pytest.fixture
def free_port() -> int:
    """Return a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def asked(url: str) -> ComfyUIError:
    """Return what comes of asking a server that cannot be asked."""
    with contextlib.closing(ComfyUI(url, timing=QUICK)) as client, pytest.raises(ComfyUIError) as caught:
        client.info()
    return caught.value


def test_plain_server_asked_by_https_is_no_matter_of_certificates(web: Web) -> None:
    """A server without TLS is told from one whose certificate is bad; the right address is named."""
    error = asked(f"https://127.0.0.1:{web.port}/base")
    assert isinstance(error, BadAnswer)
    assert str(error).startswith(f"https://127.0.0.1:{web.port}/base does not speak TLS (")
    assert str(error).endswith(f"If it is a plain server, write http://127.0.0.1:{web.port}/base")
    assert "REQUESTS_CA_BUNDLE" not in str(error)


def test_tls_server_asked_by_http_is_named_with_https(
    authority: trustme.CA, secure: Callable[[trustme.LeafCert], str]
) -> None:
    """A server that hangs up on plain HTTP, and answers a TLS greeting, is named with https."""
    url = secure(authority.issue_cert("127.0.0.1"))
    error = asked(url.replace("https", "http"))
    assert isinstance(error, Unreachable)
    assert str(error).endswith(f" What answers there speaks TLS: write {url}")


def test_port_that_wants_https_is_told(web: Web) -> None:
    """A front that answers plain HTTP by asking for HTTPS is understood."""
    web.answer("", b"<center>The plain HTTP request was sent to HTTPS port</center>", status=400)
    assert str(asked(web.url)).endswith(" It seems to want https:// at this port.")


def test_redirect_to_https_is_named(web: Web) -> None:
    """Where a redirect points is said, without what may be secret in it."""
    web.answer("", b"", status=301, Location="https://ada:cret@gpu.example/system_stats?key=cret")
    error = str(asked(web.url))
    assert " It points to another address (https://gpu.example), which is not followed; name that one" in error
    assert "cret" not in error


@pytest.mark.parametrize(
    ("name", "since", "until", "advice"),
    [
        ("127.0.0.1", 2020, 2021, "Renew its certificate, or correct this machine's clock."),
        ("127.0.0.1", 2090, 2091, "Renew its certificate, or correct this machine's clock."),
        ("gpu1", 2020, 2090, "Write the name that its certificate is for."),
    ],
    ids=["expired", "not-yet-valid", "of-another-name"],
)
def test_what_is_wrong_with_a_certificate_is_told(  # noqa: PLR0913, PLR0917 (four facts of a certificate)
    authority: trustme.CA,
    secure: Callable[[trustme.LeafCert], str],
    name: str,
    since: int,
    until: int,
    advice: str,
) -> None:
    """A certificate of a known CA that is not good here has advice of its own: another CA would not help."""
    certificate = authority.issue_cert(
        name, not_before=datetime(since, 1, 1, tzinfo=UTC), not_after=datetime(until, 1, 1, tzinfo=UTC)
    )
    url = secure(certificate)
    error = asked(url)
    assert str(error).startswith(f"{url} cannot be trusted (")
    assert str(error).endswith(f"). {advice}")


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_ca_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """A CA that is named and not there is one line with the variable, and no traceback."""
    monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    with pytest.raises(
        ComfyUIError, match=rf"^{name} names {tmp_path}/none\.pem, which is not there\. Correct it, or unset it\.$"
    ):
        ComfyUI("https://gpu1")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_dead_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, free_port: int, variable: str
) -> None:
    """Where a proxy of the environment stands in between, it is named with its variable, and the way around it."""
    monkeypatch.setenv(variable, f"http://ada:cret@127.0.0.1:{free_port}")
    error = asked("http://gpu1:8188")
    assert str(error).endswith(
        f" It was asked through the proxy http://127.0.0.1:{free_port} of {variable}; "
        "to ask it directly, set NO_PROXY=gpu1."
    )
    assert "cret" not in str(error)


@pytest.mark.parametrize("status", [403, 407, 503])
def test_answer_that_came_through_a_proxy_names_it(monkeypatch: pytest.MonkeyPatch, web: Web, status: int) -> None:
    """An answer that the proxy may have given itself is told with the proxy."""
    monkeypatch.setenv("HTTP_PROXY", web.url)
    web.answer("", b"not from here", status=status)
    assert f"through the proxy {web.url} of HTTP_PROXY" in str(asked("http://gpu1:8188"))


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:99999", "socks5://127.0.0.1:9", "nonsense"])
def test_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """A proxy's address that is wrong, or of a kind that is not installed, is an error that names its variable."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    assert "of HTTP_PROXY; to ask it directly, set NO_PROXY=gpu1." in str(asked("http://gpu1:8188"))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::1]", "localhost"])  # noqa: S104 (an address to ask)
def test_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch, free_port: int, host: str) -> None:
    """No proxy reaches this machine's own addresses, those among them that ComfyUI prints with --listen."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert "proxy" not in str(asked(f"http://{host}:{free_port}"))


def test_name_that_no_network_has_is_told_in_a_line() -> None:
    """A host name that cannot be one is an ordinary error, and no traceback of a library."""
    assert re.match(r"No ComfyUI answers at http://a{70}\.example \(", str(asked(f"http://{'a' * 70}.example")))


@pytest.mark.parametrize(
    ("url", "headers", "sent"),
    [
        ("http://gpu1:8188", {"authorization": "Bearer tok"}, "Bearer tok"),
        ("http://gpu1:8188", {"X-Key": "k"}, "Basic YWRhOmNyZXQ="),
        ("http://127.0.0.1:8188", {}, None),
    ],
    ids=["ours", "netrc's, where we have none", "none on this machine"],
)
def test_our_headers_win_over_netrc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, headers: dict[str, str], sent: str | None
) -> None:
    """COMFYUI_HEADERS is what authorises, over HTTP and WebSocket, whatever ~/.netrc says of that host."""
    (tmp_path / "netrc").write_text(NETRC, encoding="utf-8")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("COMFYUI_HEADERS", json.dumps(headers))
    with contextlib.closing(ComfyUI(url)) as client:
        given = {name.lower(): value for name, value in client.websocket_headers.items()}
    assert sent == given.get("authorization")


def test_retries_are_not_printed(free_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """What the HTTP library says of an attempt is in no output of a failed test: our error says what came of it."""
    asked(f"http://127.0.0.1:{free_port}")
    assert [] == caplog.messages
