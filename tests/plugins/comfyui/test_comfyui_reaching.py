"""Where no ComfyUI answers, the message says why, and where one answers."""

import contextlib
import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import Unreachable
from plugins.comfyui.reaching import _beside, _no_answer
from plugins.plan.plan import Plan
from stand_in.faults import Faults
from stand_in.serving import Serving
from tests.plugins.comfyui.plain_web import Web


def found(url: str, port: int) -> str:
    """Return what is said of a port, for a server that does not answer at an address with a password."""
    with contextlib.closing(ComfyUI(url)) as client:
        return _beside(client, ports=(port,))


def test_comfyui_at_a_usual_port_is_named(stand_in: Callable[..., Serving]) -> None:
    """A ComfyUI that answers on this machine at another usual port is named as it is typed."""
    url = stand_in().url
    assert f"One answers at {url}: --comfyui-url={url}" == found("http://ada:cret@127.0.0.1:9", urlsplit(url).port or 0)


def test_stand_in_and_other_services_are_not_named(stand_in: Callable[..., Serving], web: Web) -> None:
    """What draws simulated pictures, or is no ComfyUI, is not proposed."""
    web.answer("", {"hello": "world"})
    ports = [urlsplit(stand_in(faults=Faults()).url).port or 0, web.port, 9]
    assert ["", "", ""] == [found("http://127.0.0.1:9", port) for port in ports]


def test_another_service_is_sent_no_secret(monkeypatch: pytest.MonkeyPatch, web: Web) -> None:
    """What listens at a usual port sees neither the address's password nor the headers for a proxy."""
    monkeypatch.setenv("COMFYUI_HEADERS", json.dumps({"X-Key": "hunter2"}))
    web.answer("", b"no")
    assert "" == found("http://ada:cret@127.0.0.1:9", web.port)
    ((_, path, headers, _),) = web.seen
    assert ("/system_stats", set()) == (path, {"Authorization", "X-Key"} & set(headers))


def test_message_keeps_the_reason_and_names_the_usual_ports(plan: Plan) -> None:
    """Why the server was not reached stands first, as a front's 503 while it starts; the usual ports stand last."""
    plan.paths.comfyui.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(ComfyUI("http://gpu1:8188")) as client:
        told = _no_answer(plan, client, Unreachable("http://gpu1:8188 answered GET /system_stats with 503 (starting)."))
    assert told == (
        "http://gpu1:8188 answered GET /system_stats with 503 (starting).\n"
        f"       Start one (python main.py in {plan.paths.comfyui}), "
        "name another with --comfyui-url, or try --demo.\n"
        "       ComfyUI Desktop listens on port 8000, others on 8188."
    )


def test_message_sends_nobody_into_a_folder_that_is_not_there(plan: Plan) -> None:
    """Where the ComfyUI folder is missing, too, the message says which key and which option correct it."""
    paths = plan.paths.model_copy(update={"comfyui": plan.paths.comfyui / "none"})
    with contextlib.closing(ComfyUI("http://gpu1:8188")) as client:
        told = _no_answer(plan.model_copy(update={"paths": paths}), client, Unreachable("Nothing answers."))
    first = "       Start one, name another with --comfyui-url, or try --demo."
    second = (
        f"       {paths.comfyui} is not there: "
        "correct `comfyui` under [paths], or name the ComfyUI folder with --comfyui-dir."
    )
    assert [first, second] == told.splitlines()[1:3]
