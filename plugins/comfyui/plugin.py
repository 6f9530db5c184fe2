"""ComfyUI's door to pytest: which servers, and starting one when none answers."""

import logging
from collections.abc import Mapping
from typing import Any, Final

import pytest

from plugins.comfyui.choices import said_of
from plugins.comfyui.reaching import Servers
from plugins.comfyui.server import Server
from plugins.plan.command import GROUP
from plugins.plan.messages import Address
from plugins.plan.plan import Plan
from plugins.plan.stash import COMMAND

_SERVERS: Final = pytest.StashKey[Servers]()


class Hooks:
    """The hook through which other rooms reach the servers."""

    @pytest.hookspec(firstresult=True)
    def pytest_acceptance_servers(self, config: pytest.Config) -> tuple[Server, ...]:
        """Return the servers of this command, each of which answered. Raises `ComfyUIError`."""
        raise NotImplementedError


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other rooms reach the servers."""
    pluginmanager.add_hookspecs(Hooks)


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
        "--comfyui-dir",
        metavar="DIR",
        help="the ComfyUI folder; LoRA files go into its models/loras (default: the plan's)",
    )


def pytest_configure() -> None:
    """Keep the HTTP library's words of each attempt out of a failed test's output: our error says what came of them."""
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


def pytest_acceptance_plan_overrides(config: pytest.Config) -> Mapping[str, Mapping[str, Any]]:
    """Let the command line win over the plan. A server that was named is expected to run; it is not started."""
    command, overrides = config.stash[COMMAND], dict[str, dict[str, Any]]()
    if command.comfyui_urls:
        overrides["comfyui"] = {"url": None, "urls": list(command.comfyui_urls), "start": []}
    if command.comfyui_dir:
        overrides["paths"] = {"comfyui": str(command.path(command.comfyui_dir))}
    return overrides


def pytest_acceptance_plan_written(plan: Plan) -> str:
    """Hold a new plan against the server that answers, where one does."""
    return said_of(plan)


def pytest_acceptance_servers(config: pytest.Config) -> tuple[Server, ...]:
    """Reach the servers, once."""
    if _SERVERS not in config.stash:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        say = reporter.write_line if reporter else lambda _: None
        config.stash[_SERVERS] = Servers(config.stash[COMMAND], say)
    return config.stash[_SERVERS].reached()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of the servers."""
    if servers := config.stash.get(_SERVERS, None):
        servers.close()
