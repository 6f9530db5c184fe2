"""Why no connection came about, in words: a certificate, http for https or the other way, a proxy, or nobody there."""

import os
import socket
import ssl
from http.client import BadStatusLine
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy

from plugins.comfyui.errors import BadAnswer, ComfyUIError, Unreachable
from plugins.plan.messages import without_credentials

_CA: Final = "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"
_PORTS: Final = {"http": 80, "https": 443}
_PROBE_SECONDS: Final = 2.0


def ca_bundle() -> str | bool:
    """Return the certificates to trust: a private CA from REQUESTS_CA_BUNDLE or SSL_CERT_FILE, or the usual ones.

    Raises `ComfyUIError` where that file is not there.
    """
    for name in _CA:
        if path := os.environ.get(name):
            if not Path(path).exists():
                raise ComfyUIError(f"{name} names {path}, which is not there. Correct it, or unset it.")
            return path
    return True


def proxy_hint(url: str) -> str:
    """Say through which proxy a server is asked, in a sentence after a space; nothing where there is none."""
    proxy = select_proxy(url, get_environ_proxies(url))
    if not proxy:
        return ""
    parts = urlsplit(url)
    names = (f"{scheme}_proxy" for scheme in (parts.scheme, "all"))
    named = next((name for low in names for name in (low, low.upper()) if os.environ.get(name)), None)
    try:
        shown = f"{without_credentials(proxy if '//' in proxy else f'//{proxy}').removeprefix('//')} of "
    except ValueError:  # no address: what stands there may be a secret
        shown = "of "
    return (
        f" It was asked through the proxy {shown}{named or 'the system settings'}; to ask it directly, set "
        f"NO_PROXY={parts.hostname}."
    )


def failure_of_connection(url: str, error: Exception, *, proxy: str) -> ComfyUIError:
    """Return the error that a request without an answer comes to. `proxy` is what `proxy_hint` said of the address."""
    reason = _innermost(error)
    cause, parts = str(reason) or type(reason).__name__, urlsplit(url)
    if isinstance(error, requests.exceptions.SSLError):
        return BadAnswer(_failure_of_tls(url, parts, cause) + proxy)
    problem = f"No ComfyUI answers at {url} ({cause})."
    hung_up = isinstance(reason, ConnectionResetError | BadStatusLine)
    if hung_up and not proxy and parts.scheme == "http" and _speaks_tls(parts):
        problem += f" What answers there speaks TLS: write https://{parts.netloc}{parts.path}"
    return Unreachable(problem + proxy)


def _failure_of_tls(url: str, parts: SplitResult, cause: str) -> str:
    if "WRONG_VERSION_NUMBER" in cause or "record layer failure" in cause:
        return f"{url} does not speak TLS ({cause}). If it is a plain server, write http://{parts.netloc}{parts.path}"
    if "certificate has expired" in cause or "not yet valid" in cause:
        return f"{url} cannot be trusted ({cause}). Renew its certificate, or correct this machine's clock."
    if "mismatch" in cause:
        return f"{url} cannot be trusted ({cause}). Write the name that its certificate is for."
    return (
        f"{url} cannot be trusted ({cause}). If its certificate is from a CA of your own, name that CA's file and run "
        "this again: REQUESTS_CA_BUNDLE=ca.pem"
    )


def _speaks_tls(parts: SplitResult) -> bool:
    """Say whether what listens at an http address answers to a TLS greeting; nothing is sent over it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        with (
            socket.create_connection(address, timeout=_PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname),
        ):
            return True
    except (OSError, ValueError):
        return False


def _innermost(error: BaseException) -> BaseException:
    """Return the innermost reason: urllib3 wraps a refused connection in layers that show addresses in memory."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    given = [one for one in error.args if isinstance(one, Exception)]  # so urllib3 tells that a connection broke off
    return given[0] if given else error
