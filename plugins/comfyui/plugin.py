"""ComfyUI's door to pytest: which servers, and starting one when none answers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from plugins.comfyui.client import ComfyUI
from plugins.comfyui.errors import BadAnswer, Unreachable
from plugins.comfyui.server import Server
from plugins.plan.messages import Address
from plugins.plan.plan import Plan
from plugins.plan.plugin import GROUP, reports, the_plan, typed_path

if TYPE_CHECKING:
    from plugins.comfyui.starting import Started

_COMFYUI_PORT: Final = 8188
_REACHED: Final = pytest.StashKey[list[Server]]()
_STARTED: "Final[pytest.StashKey[Started]]" = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --comfyui-url and --comfyui-dir."""
    group = parser.getgroup(GROUP)
    group.addoption(
        "--comfyui-url",
        metavar="URL",
        action="append",
        type=Address,
        help="a ComfyUI server; repeat for several (default: the plan's)",
    )
    group.addoption(
        "--comfyui-dir", metavar="DIR", help="the ComfyUI folder, whose models/loras is used (default: the plan's)"
    )


def pytest_acceptance_plan_overrides(config: pytest.Config) -> Mapping[str, Mapping[str, Any]]:
    """Let the command line win over the plan. A server that was named is expected to run; it is not started."""
    overrides: dict[str, dict[str, Any]] = {}
    if urls := config.getoption("comfyui_url"):
        overrides["comfyui"] = {"url": None, "urls": urls, "start": []}
    if folder := config.getoption("comfyui_dir"):
        overrides["paths"] = {"comfyui": str(typed_path(config, folder))}
    return overrides


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of the servers, and stop the one that we started."""
    for server in config.stash.get(_REACHED, ()):
        server.close()
    if started := config.stash.get(_STARTED, None):
        started.stop()


def the_servers(config: pytest.Config) -> tuple[Server, ...]:
    """Return the servers of this command, each of which answered; start one where that is the plan's way.

    Raises `ComfyUIError` naming the server that does not answer and what to type.
    """
    plan, reached = the_plan(config), config.stash.setdefault(_REACHED, [])
    for url in plan.comfyui.servers[len(reached) :]:
        reached.append(_reach(config, plan, url))
    return tuple(reached)


def _reach(config: pytest.Config, plan: Plan, url: str) -> Server:
    client = ComfyUI(url)
    try:
        try:
            info = client.info()
        except Unreachable as error:
            if client.is_local and plan.comfyui.start and plan.comfyui.url and plan.paths.comfyui.is_dir():
                _start(config, plan, client.url)
                info = client.info()
            else:
                raise Unreachable(_no_answer(plan, client)) from error
    except BaseException:
        client.close()
        raise
    if info.simulated and not config.getoption("demo"):
        client.close()
        raise BadAnswer(
            f"{client.url} is a stand-in: its pictures are SIMULATED, and would not tell anything of your LoRA. "
            "Start a real ComfyUI there; or, for a demonstration, leave out --comfyui-url and add --demo, "
            "which brings its own."
        )
    return Server(client, info, timeout=plan.comfyui.timeout)


def _start(config: pytest.Config, plan: Plan, url: str) -> None:
    from plugins.comfyui.starting import Started  # noqa: PLC0415 (most runs start no server)

    log = reports(config) / "comfyui.log"
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(f"No ComfyUI answers at {url}; starting it in {plan.paths.comfyui} (log: {log})")
    command, port = plan.comfyui.start, urlsplit(url).port
    if port and port != _COMFYUI_PORT and "--port" not in command:
        command = (*command, "--port", str(port))  # else it would come up where nobody looks
    config.stash[_STARTED] = Started(command, folder=plan.paths.comfyui, url=url, log=log, timeout=plan.comfyui.timeout)


def _no_answer(plan: Plan, client: ComfyUI) -> str:
    """Say what to do when nothing answers."""
    folder, start = plan.paths.comfyui, " ".join(plan.comfyui.start or ("python", "main.py"))
    absent = "" if folder.is_dir() else f", and {folder} is not there to start"
    return (
        f"No ComfyUI answers at {client.url}{absent}.\n"
        f"       Start one (cd {folder} && {start}), name another with --comfyui-url, or try --demo."
    )
