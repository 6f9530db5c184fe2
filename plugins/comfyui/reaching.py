"""The servers of one command are reached, and one is started where none answers and the plan says how."""

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import requests
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from plugins.comfyui.answers import SystemStats
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import BadAnswer, Unreachable
from plugins.comfyui.server import Server
from plugins.plan.command import Command
from plugins.plan.plan import Plan

if TYPE_CHECKING:
    from plugins.comfyui.starting import Started

_COMFYUI_PORT: Final = 8188
_USUAL_PORTS: Final = (_COMFYUI_PORT, 8000)
"""8000 is ComfyUI Desktop's."""
_LARGEST_STATS: Final = 1 << 16
"""Bytes."""


class Servers:
    """The servers of a command. `say` shows a line to the person."""

    def __init__(self, command: Command, say: Callable[[str], None]) -> None:
        self._command = command
        self._say = say
        self._reached: list[Server] = []
        self._started: Started | None = None

    def reached(self) -> tuple[Server, ...]:
        """Return the servers, each of which answered.

        Raises `ComfyUIError` naming the server that does not answer and what to type.
        """
        for url in self._command.plan.comfyui.servers[len(self._reached) :]:
            self._reached.append(self._reach(self._command.plan, url))
        return tuple(self._reached)

    def close(self) -> None:
        """Let go of the servers, and stop the one that was started here."""
        for server in self._reached:
            server.close()
        if self._started:
            self._started.stop()

    def _reach(self, plan: Plan, url: str) -> Server:
        client = ComfyUI(url)
        try:
            try:
                info = client.info()
            except Unreachable as error:
                if client.is_local and plan.comfyui.start and plan.comfyui.url and plan.paths.comfyui.is_dir():
                    self._start(plan, client.url)
                    info = client.info()
                else:
                    raise Unreachable(_no_answer(plan, client, error)) from error
        except BaseException:
            client.close()
            raise
        if info.simulated and not self._command.demo:
            client.close()
            raise BadAnswer(
                f"{client.url} is a stand-in: its pictures are SIMULATED, and say nothing about your LoRA. "
                "Start a real ComfyUI there; or, for a demonstration, leave out --comfyui-url and add --demo, "
                "which brings its own."
            )
        return Server(client, info, timeout=plan.comfyui.timeout)

    def _start(self, plan: Plan, url: str) -> None:
        from plugins.comfyui.starting import Started  # noqa: PLC0415 (most runs start no server, and need no mirakuru)

        log = self._command.reports / "comfyui.log"
        self._say(f"No ComfyUI answers at {url}; starting it in {plan.paths.comfyui} (log: {log})")
        command, port = plan.comfyui.start, urlsplit(url).port
        if port and port != _COMFYUI_PORT and "--port" not in command:
            command = (*command, "--port", str(port))  # else it would come up where nobody looks
        self._started = Started(command, folder=plan.paths.comfyui, url=url, log=log, timeout=plan.comfyui.timeout)


def _no_answer(plan: Plan, client: ComfyUI, error: Unreachable) -> str:
    """Return what to do when nothing answers."""
    folder, start = plan.paths.comfyui, " ".join(plan.comfyui.start or ("python", "main.py"))
    lines = [f"Start one ({start} in {folder}), name another with --comfyui-url, or try --demo."]
    if not folder.is_dir():
        lines = [
            "Start one, name another with --comfyui-url, or try --demo.",
            f"{folder} is not there: correct `comfyui` under [paths], or name the ComfyUI folder with --comfyui-dir.",
        ]
    elsewhere = _beside(client) if client.is_local else ""
    lines.append(elsewhere or "ComfyUI Desktop listens on port 8000, others on 8188.")
    return "\n       ".join([str(error), *lines])


def _beside(client: ComfyUI, *, ports: Sequence[int] = _USUAL_PORTS) -> str:
    """Return the address of a ComfyUI on this machine that listens where one usually does. It is sent no secret."""
    parts = urlsplit(client.url)
    for port in ports:
        url = parts._replace(netloc=f"{parts.netloc.removesuffix(f':{parts.port}')}:{port}", path="").geturl()
        with contextlib.suppress(requests.RequestException, HTTPError, ValidationError), requests.Session() as session:
            session.trust_env = False  # no proxy, and no password of ~/.netrc
            with session.get(f"{url}/system_stats", timeout=1.0, allow_redirects=False, stream=True) as answer:
                stats = SystemStats.model_validate_json(answer.raw.read(_LARGEST_STATS))
            if not stats.simulated:
                return f"One answers at {url}: --comfyui-url={url}"
    return ""
