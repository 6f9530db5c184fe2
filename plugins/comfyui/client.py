"""ComfyUI's HTTP routes, as typed calls."""

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import InvalidHeader, ReadTimeoutError
from urllib3.util import Retry

from plugins.comfyui.errors import BadAnswer, BrokenAnswer, ComfyUIError, Rejected, Unreachable
from plugins.comfyui.rejection import told_rejection
from plugins.plan.messages import Secret, visible, without_credentials

Graph = dict[str, dict[str, Any]]
"""A workflow in API format: `{node_id: {"class_type": ..., "inputs": ...}}`."""

_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 30.0
_BODY_SECONDS: Final = 120.0
_BUSY: Final = (429, 502, 503, 504)
"""What a proxy in front of a server says when the server is not there just now."""
_LARGEST_ANSWER: Final = 256 << 20
"""Bytes; a PNG of 8192x8192 pixels is smaller."""
_LONGEST_NAME: Final = 200
"""Letters of what a server calls itself."""
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, kw_only=True)
class ServerInfo:
    """What a server says of itself."""

    url: str
    comfyui_version: str
    device: str
    simulated: bool
    worker: str = ""
    """The worker of a cluster that it runs beside; the address is then as that worker sees it."""

    def __str__(self) -> str:
        beside = f" beside {self.worker}" if self.worker else ""
        if self.simulated:
            return f"a SIMULATED ComfyUI {self.comfyui_version} at {self.url}{beside}"
        return f"ComfyUI {self.comfyui_version} at {self.url}{beside} ({self.device})"


@dataclass(frozen=True, kw_only=True)
class ImageRef:
    """Where the server keeps a picture that it made."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Ids of the prompts that the server is running, and of those that wait, in their order."""

    running: tuple[str, ...]
    pending: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server answered to one request."""

    status: int
    reason: str
    body: bytes
    retry_after: float = 0.0
    """Seconds to wait before asking again, where it says so."""

    @property
    def snippet(self) -> str:
        """The beginning of its text, without markup."""
        text = self.body[:2000].decode("utf-8", "replace")
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)).strip()[:120] or self.reason or "no text"


class ComfyUI:
    """One ComfyUI server. `url` may carry credentials; they are sent, and never shown."""

    def __init__(self, url: str) -> None:
        self.url: Final = without_credentials(url)
        parts = urlsplit(url)
        self._session = _Session()
        if parts.username:
            self._session.auth = _BasicAuth(Secret(unquote(parts.username)), Secret(unquote(parts.password or "")))
        self._session.headers.update(headers_from_environment())
        # A proxy from the environment cannot reach this machine's own loopback address.
        self._session.trust_env = not self.is_local
        self._session.verify = ca_bundle()
        again = _Again(
            total=3,
            backoff_factor=0.2,
            respect_retry_after_header=False,  # a proxy may name any time; ours is short
            status_forcelist=_BUSY,
            allowed_methods={"GET"},
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=again, pool_maxsize=8))

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine, by its address."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def websocket_url(self) -> str:
        """The address of the server's event socket, without the client id."""
        return re.sub(r"^http", "ws", self.url) + "/ws"

    @property
    def websocket_headers(self) -> Mapping[str, str]:
        """The headers that authorise the event socket, as HTTP requests are."""
        request = self._session.prepare_request(requests.Request("GET", self.url))
        own = {"Authorization", *headers_from_environment()}
        return {name: value for name, value in request.headers.items() if name in own}

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def info(self) -> ServerInfo:
        """Ask the server what it is. This is also how to see whether one answers at all."""
        stats = self._json("GET", "/system_stats")
        try:
            system, devices = stats["system"], stats["devices"]
            return ServerInfo(
                url=self.url,
                comfyui_version=visible(str(system["comfyui_version"])[:_LONGEST_NAME]),
                device=visible(str(devices[0]["name"])[:_LONGEST_NAME]) if devices else "unknown device",
                simulated=bool(system.get("simulated", False)),
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise BadAnswer(
                f"Something answers at {self.url}, but not as ComfyUI does. Is that the right address and port?"
            ) from error

    def options(self, node: str, field: str) -> tuple[str, ...]:
        """List what a node's drop-down offers, exactly as the server spells it."""
        answer = self._json("GET", f"/object_info/{node}")
        try:
            spec = answer[node]["input"]["required"][field]
            listed = spec[1]["options"] if spec[0] == "COMBO" else spec[0]
            return tuple(str(name) for name in listed)
        except (KeyError, TypeError, IndexError, RecursionError) as error:
            raise BadAnswer(f"{self.url} has no node {node} with an input {field}; is it a ComfyUI?") from error

    def loras(self) -> tuple[str, ...]:
        """List the LoRAs that the picker offers, as the server spells them: with backslashes on Windows."""
        return self.options("LoraLoader", "lora_name")

    def lora_metadata(self, name: str) -> Mapping[str, str] | None:
        """Return the trainer's notes in a LoRA file as the server reads them; empty where it finds none.

        None where it has no such route: then the 404 is not ComfyUI's own, which has no text.
        """
        answer = self._request("GET", "/view_metadata/loras", params={"filename": name}, accept=(200, 404))
        if answer.status == requests.codes.not_found and not answer.body:
            return {}
        told = self._decoded(answer) if answer.status == requests.codes.ok else None
        return told if isinstance(told, dict) else None

    def post(self, graph: Graph, *, client_id: str, prompt_id: str) -> None:
        """Put a workflow in the queue under our own id.

        Raises `Rejected` where the server refuses it or would drop some of it (COMFYUI.md, fact 3), and
        `Unreachable` where the answer did not come: then it may be queued or not.
        """
        body = {"prompt": graph, "client_id": client_id, "prompt_id": prompt_id}
        answer = self._request("POST", "/prompt", json=body, accept=(200, 400))
        told = self._decoded(answer)
        if answer.status != requests.codes.ok or (isinstance(told, dict) and told.get("node_errors")):
            try:
                words = told_rejection(told, graph)
            except RecursionError:
                words = "in words that are nested too deep to be told"
            raise Rejected(f"{self.url} refused the workflow: {words}")
        taken = told.get("prompt_id") if isinstance(told, dict) else None
        if taken != prompt_id:
            if isinstance(taken, str):  # it is ours all the same, and nobody will wait for it
                with contextlib.suppress(ComfyUIError):
                    self.delete((taken,))
                    self.interrupt(taken)
            raise BadAnswer(
                f"{self.url} took the workflow under another id than the one it was sent with, so that its end could "
                "not be told from another's. Update ComfyUI, or the proxy in front of it, and run this again."
            )

    def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """Return what the server remembers of a finished prompt; None while it is unknown or unfinished."""
        answer = self._json("GET", f"/history/{prompt_id}")
        entry = answer.get(prompt_id) if isinstance(answer, dict) else None
        return entry if isinstance(entry, dict) else None

    def queue(self) -> Queue:
        """Look at the queue. Pending prompts come in heap order and are sorted here."""
        answer = self._json("GET", "/queue")
        try:
            running = tuple(str(item[1]) for item in answer["queue_running"])
            pending = tuple(str(item[1]) for item in sorted(answer["queue_pending"], key=lambda item: item[0]))
        except (KeyError, TypeError, IndexError) as error:
            raise BadAnswer(f"{self.url} answered /queue in a way that ComfyUI does not.") from error
        return Queue(running=running, pending=pending)

    def delete(self, prompt_ids: Sequence[str]) -> None:
        """Take waiting prompts out of the queue; what is running stays."""
        self._request("POST", "/queue", json={"delete": list(prompt_ids)})

    def interrupt(self, prompt_id: str) -> None:
        """Stop this prompt if it is the one running, and no other's."""
        self._request("POST", "/interrupt", json={"prompt_id": prompt_id})

    def free(self) -> None:
        """Ask the server to forget what it cached; it does so after the prompt it is busy with or takes next."""
        self._request("POST", "/free", json={"free_memory": True, "unload_models": False})

    def view(self, image: ImageRef) -> bytes:
        """Fetch a picture's bytes, as the server wrote them. Raises `BadAnswer` for what no node saves."""
        named = PurePosixPath(image.filename.replace("\\", "/"))
        within = PurePosixPath(image.subfolder.replace("\\", "/"))
        if (
            image.type != "output"
            or len(named.parts) != 1
            or within.is_absolute()
            or ".." in {*within.parts, named.name}
        ):
            raise BadAnswer(
                f"{self.url} says that it saved the picture as {str(named)!r} in {str(within)!r} of its {image.type!r} "
                "folder, where ComfyUI saves none. Is something else answering there?"
            )
        place = {"filename": image.filename, "subfolder": image.subfolder, "type": image.type}
        return self._request("GET", "/view", params=place).body

    def _json(self, method: str, path: str) -> Any:  # noqa: ANN401 (JSON)
        return self._decoded(self._request(method, path))

    def _decoded(self, answer: Answer) -> Any:  # noqa: ANN401 (JSON)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise BrokenAnswer(
                f"{self.url} answered {answer.status} with something that is not JSON ({answer.snippet}). "
                "Is that the right address and port?"
            ) from error

    def _request(
        self,
        method: str,
        path: str,
        *,
        accept: Sequence[int] = (200,),
        **details: Any,  # noqa: ANN401
    ) -> Answer:
        try:
            with self._session.request(
                method,
                self.url + path,
                timeout=(_CONNECT_SECONDS, _ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
                **details,
            ) as response:
                answer = Answer(
                    status=response.status_code,
                    reason=response.reason or "",
                    body=self._body(response),
                    retry_after=_retry_after(response),
                )
        except BaseException as error:
            _forget_frames(error)
            if isinstance(error, requests.ReadTimeout):
                raise Unreachable(
                    f"{self.url} did not answer {method} {path} within {_ANSWER_SECONDS:.0f} s."
                ) from error
            if isinstance(error, requests.exceptions.SSLError):
                raise BadAnswer(
                    f"{self.url} cannot be trusted ({_cause(error)}). If its certificate is from a CA of your own, "
                    "name that CA's file and run this again: REQUESTS_CA_BUNDLE=ca.pem"
                ) from error
            if isinstance(error, requests.RequestException):
                raise Unreachable(f"No ComfyUI answers at {self.url} ({_cause(error)}).") from error
            raise
        told = f"{self.url} answered {method} {path} with {answer.status} ({answer.snippet}).{_hint(answer.status)}"
        if answer.status in _BUSY and answer.status not in accept:
            raise Unreachable(told, retry_after=answer.retry_after)
        if answer.status not in accept:
            raise BrokenAnswer(told) if answer.status >= requests.codes.server_error else BadAnswer(told)
        return answer

    def _body(self, response: requests.Response) -> bytes:
        """Read an answer to its end, but no further than any picture or list could reach."""
        parts, size, until = [], 0, time.monotonic() + _BODY_SECONDS
        for part in response.iter_content(1 << 16):
            parts.append(part)
            size += len(part)
            if time.monotonic() > until:
                raise Unreachable(f"{self.url} did not send its answer within {_BODY_SECONDS:.0f} s.")
            if size > _LARGEST_ANSWER:
                raise BadAnswer(f"{self.url} sent more than {_LARGEST_ANSWER >> 20} MB in one answer. Is it a ComfyUI?")
        return b"".join(parts)


def headers_from_environment() -> dict[str, str]:
    """Read the headers that a proxy in front of ComfyUI wants, from COMFYUI_HEADERS, a JSON object.

    They are secrets: they go to the server, and nowhere else. Raises `ComfyUIError` where it is no such object.
    """
    given = os.environ.get("COMFYUI_HEADERS", "").strip()
    try:
        headers = json.loads(given) if given else {}
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict) or not all(_is_header(name, value) for name, value in headers.items()):
        raise ComfyUIError(
            'COMFYUI_HEADERS is not a JSON object of texts; write it like {"Authorization": "Bearer ..."}'
        )
    return {name: Secret(value) for name, value in headers.items()}


def _is_header(name: str, value: object) -> bool:
    printable = isinstance(value, str) and value.isprintable() and value.isascii()
    return printable and value == str(value).strip() and _HEADER_NAME.fullmatch(name) is not None


def ca_bundle() -> str | bool:
    """Return the certificates to trust: a private CA from REQUESTS_CA_BUNDLE or SSL_CERT_FILE, or the usual ones."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True


class _BasicAuth(HTTPBasicAuth):
    """Requests' own, whose header is not shown where values are listed."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        super().__call__(request)  # type: ignore[no-untyped-call]
        request.headers["Authorization"] = Secret(request.headers["Authorization"])
        return request


class _Session(requests.Session):
    """Sees no redirect: requests would read its body to the end, however long, even where it does not follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return none, whatever the answer says."""


class _Again(Retry):
    """Asks again where an answer broke off, but not where none came in time: that wait was long enough."""

    def increment(self, *place: Any, **details: Any) -> Self:  # noqa: ANN401 (urllib3's)
        if isinstance(error := details.get("error"), ReadTimeoutError):
            raise error
        return super().increment(*place, **details)


def _hint(status: int) -> str:
    """Say what to do about a status that a proxy gives, and ComfyUI does not."""
    if status in {401, 403, 407}:
        return " If a proxy in front of it asks for credentials, give its headers in COMFYUI_HEADERS."
    if 300 <= status < 400:  # noqa: PLR2004 (redirects)
        return " It points to another address, which is not followed; name that one with --comfyui-url."
    return ""


def _retry_after(response: requests.Response) -> float:
    """Return the pause in seconds that an answer asks for, as a number or a date; 0 where it asks for none."""
    try:
        return float(Retry().parse_retry_after(response.headers.get("Retry-After", "0")))
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _forget_frames(error: BaseException) -> None:
    """Take the HTTP library's frames out of a traceback: their arguments hold the headers, which are secrets.

    pytest would print them, with `--showlocals`, and with `--full-trace` at Ctrl-C.
    """
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__


def _cause(error: BaseException) -> str:
    """Return the innermost reason: urllib3 wraps a refused connection in layers that show addresses in memory."""
    reason = str(error)
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
        reason = str(error) or type(error).__name__
    return reason
