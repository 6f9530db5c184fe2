"""HTTP to one server: headers and credentials, retries, and limits on answers.

Credentials and headers from the environment are secrets: they go to the server, and are never shown.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError, InvalidHeader, ReadTimeoutError
from urllib3.util import Retry as HttpRetry

from plugins.comfyui.connecting import ca_bundle, failure_of_connection, proxy_hint
from plugins.comfyui.deadline import Deadline
from plugins.comfyui.errors import BadAnswer, BrokenAnswer, ComfyUIError, Unreachable
from plugins.comfyui.timing import Timing
from plugins.plan.messages import Secret, without_credentials

_BUSY: Final = (429, 502, 503, 504)
"""What a proxy in front of a server says when the server is not there just now."""
_LARGEST_ANSWER: Final = 256 << 20
"""Bytes; a PNG of 8192x8192 pixels is smaller."""
_LONGEST_LOCATION: Final = 300
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server answered to one request."""

    status: int
    reason: str
    body: bytes
    retry_after: float = 0.0
    """Seconds to wait before asking again, where it says so."""
    location: str = ""
    """Where it points to instead, without what may be secret in it."""

    @property
    def snippet(self) -> str:
        """The beginning of its text, without markup."""
        text = self.body[:2000].decode("utf-8", "replace")
        return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)).strip()[:120] or self.reason or "no text"


class Transport:
    """Sends requests to the server at `url`, which may carry credentials; they are sent, and never shown."""

    def __init__(self, url: str, *, timing: Timing) -> None:
        self.url: Final = without_credentials(url)
        self._timing: Final = timing
        self._session = _Session()
        parts = urlsplit(url)
        if parts.username:
            self._session.auth = _BasicAuth(Secret(unquote(parts.username)), Secret(unquote(parts.password or "")))
        headers = headers_from_environment()
        self._session.headers["Cache-Control"] = "no-cache"  # names of pictures come again, lists grow
        self._session.headers.update(headers)
        if self._session.auth is None and "authorization" in {name.lower() for name in headers}:
            self._session.auth = _as_it_is  # requests would put ~/.netrc's password in its place
        # A proxy from the environment cannot reach this machine's own loopback address.
        self._session.trust_env = not self.is_local
        self._proxy: Final = "" if self.is_local else proxy_hint(self.url)
        self._session.verify = ca_bundle()
        again = _HttpRetry(
            total=3,
            backoff_factor=timing.pause,
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
            address = ip_address(host)
        except ValueError:
            return host == "localhost"
        return address.is_loopback or address.is_unspecified  # 0.0.0.0 is what ComfyUI prints with --listen

    @cached_property
    def _common(self) -> requests.PreparedRequest:
        """What all requests have in common; to put it together takes as long as all else of a request's own."""
        return self._session.prepare_request(requests.Request("GET", self.url))

    @cached_property
    def _settings(self) -> Mapping[str, Any]:
        """Proxies and certificates, by the session and the environment."""
        return self._session.merge_environment_settings(self._common.url, {}, stream=True, verify=None, cert=None)

    @property
    def authorising_headers(self) -> Mapping[str, str]:
        """The headers that authorise each request, and must be sent with the event socket too."""
        own = {"Authorization", *headers_from_environment()}
        return {name: value for name, value in self._common.headers.items() if name in own}

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        accept: Sequence[int] = (200,),
        wait: float | None = None,
        **details: Any,  # noqa: ANN401
    ) -> Answer:
        """Send a request and return its answer, which has `wait` seconds to begin; the timing's where it is None.

        Raises `Unreachable` where none comes, and `BadAnswer` where its status is not one to `accept`.
        """
        try:
            with self._session.send(
                self._prepared(method, path, **details),
                timeout=(self._timing.connect, self._timing.answer if wait is None else wait),
                allow_redirects=False,
                **self._settings,
            ) as response:
                answer = Answer(
                    status=response.status_code,
                    reason=response.reason or "",
                    body=self._body(response),
                    retry_after=_retry_after(response),
                    location=_location(response, own=self.url),
                )
        except BaseException as error:
            _forget_frames(error)
            if isinstance(error, requests.ReadTimeout):
                raise Unreachable(
                    f"{self.url} did not answer {method} {path} within {self._timing.answer:.0f} s.{self._proxy}"
                ) from error
            if isinstance(error, requests.RequestException | HTTPError):  # urllib3's own: a name that cannot be one
                raise failure_of_connection(self.url, error, proxy=self._proxy) from error
            raise
        hint = f"{_hint(answer)}{self._proxy}"
        message = f"{self.url} answered {method} {path} with {answer.status} ({answer.snippet}).{hint}"
        if answer.status in _BUSY and answer.status not in accept:
            raise Unreachable(message, retry_after=answer.retry_after)
        if answer.status not in accept:
            raise BrokenAnswer(message) if answer.status >= requests.codes.server_error else BadAnswer(message)
        return answer

    def _prepared(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,  # noqa: ANN401 (JSON)
    ) -> requests.PreparedRequest:
        """Return a request with what it has of its own; its cookies are those that a proxy set meanwhile."""
        request = requests.PreparedRequest()
        request.method, request.headers, request.hooks = method, self._common.headers.copy(), self._common.hooks
        request.prepare_url(self.url + path, params)
        request.prepare_body(None, None, json)
        request.prepare_cookies(self._session.cookies)
        return request

    def _body(self, response: requests.Response) -> bytes:
        """Read an answer to its end, but no further than any picture or list could reach."""
        parts, size, deadline = [], 0, Deadline(self._timing.body)
        for part in response.iter_content(1 << 16):
            parts.append(part)
            size += len(part)
            if deadline.expired:
                raise Unreachable(f"{self.url} did not send its answer within {self._timing.body:.0f} s.")
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


class _BasicAuth(HTTPBasicAuth):
    """Requests' own, whose header is not shown where values are listed."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        super().__call__(request)  # type: ignore[no-untyped-call]
        request.headers["Authorization"] = Secret(request.headers["Authorization"])
        return request


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authorise a request by the headers that it has."""
    return request


class _Session(requests.Session):
    """Sees no redirect: requests would read its body to the end, however long, even where it does not follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return none, whatever the answer says."""


class _HttpRetry(HttpRetry):
    """Asks again where an answer broke off, but not where none came in time: that wait was long enough."""

    def increment(self, *given: Any, **details: Any) -> Self:  # noqa: ANN401 (urllib3's)
        if isinstance(error := details.get("error"), ReadTimeoutError):
            raise error
        return super().increment(*given, **details)


def _hint(answer: Answer) -> str:
    """Return what to do about a status that a proxy gives, and ComfyUI does not."""
    if answer.status in {401, 403, 407}:
        return " If a proxy in front of it asks for credentials, give its headers in COMFYUI_HEADERS."
    if answer.status == requests.codes.bad_request and b"HTTPS" in answer.body.upper():
        return " It seems to want https:// at this port."
    if 300 <= answer.status < 400:  # noqa: PLR2004 (redirects)
        where = f" ({answer.location})" if answer.location else ""
        return f" It points to another address{where}, which is not followed; name that one with --comfyui-url."
    return ""


def _retry_after(response: requests.Response) -> float:
    """Return the pause in seconds that an answer asks for, as a number or a date; 0 where it asks for none."""
    try:
        asked = response.headers.get("Retry-After")
        return float(HttpRetry().parse_retry_after(asked)) if asked else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _location(response: requests.Response, *, own: str) -> str:
    """Return the other server that a redirect points to, as a person may type it; a path of its own says nothing."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(response.headers.get("Location", "")[:_LONGEST_LOCATION])
        where = without_credentials(f"{parts.scheme}://{parts.netloc}") if parts.scheme and parts.netloc else ""
        return "" if own.startswith(where) else where
    return ""


def _forget_frames(error: BaseException) -> None:
    """Remove the HTTP library's frames from a traceback: their arguments hold the headers, which are secrets.

    pytest would print them, with `--showlocals`, and with `--full-trace` at Ctrl-C.
    """
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
