"""The command that a person typed, as one value: which stages, which plan, which folders, and what to type next."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from plugins.plan.messages import without_credentials
from plugins.plan.plan import Plan
from plugins.plan.program import typable

GROUP: Final = "checkpoint acceptance"
"""The group of this suite's options in `pytest --help`."""
DEFAULT_PLAN: Final = "plans/spyke.toml"

_SUGGESTED: Final = re.compile(r"pytest (-m (?:generate|deploy|verify|publish)(?: --[a-z-]+(?:=\w+)?)*)")
"""A command in a message, without the plan and the folders of this run."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One `pytest` command line. Every `plugin.py` finds it in the stash, see `plugins.plan.stash`."""

    suite: Path
    """The folder of this suite."""
    typed_in: Path
    """The folder that the command was typed in."""
    stages: frozenset[str]
    """The stages that it asks for; empty means the suite's own tests."""
    only_lists: bool
    """Whether it lists tests or fixtures, and carries nothing out."""
    plan_typed: str
    reports_typed: str | None
    comfyui_dir: str | None
    comfyui_urls: tuple[str, ...]
    demo: bool
    program: str = "pytest"
    """What starts pytest, as it was typed."""
    read: Callable[[Path], Plan] = field(repr=False)
    """Read the plan, with what the command line changes in it."""

    @property
    def runs(self) -> frozenset[str]:
        """The stages that it carries out."""
        return frozenset() if self.only_lists else self.stages

    def path(self, text: str) -> Path:
        """Return the path that a person typed; a shell leaves `~` as it is after `--option=`."""
        return self.typed_in / Path(text).expanduser()

    @property
    def plan_file(self) -> Path:
        """The plan's file: as typed, or seen from the suite's folder."""
        typed, ours = self.path(self.plan_typed), self.suite / self.plan_typed
        return ours if ours.exists() and not typed.exists() else typed

    @cached_property
    def plan(self) -> Plan:
        """The plan, read once."""
        return self.read(self.plan_file)

    @property
    def reports(self) -> Path:
        """The folder where this run leaves its files; a demonstration's are kept apart from those of real runs."""
        return self._reports / "demo" if self.demo else self._reports

    @property
    def _reports(self) -> Path:
        return self.path(self.reports_typed) if self.reports_typed else self.suite / "reports"

    def next(self, what: str) -> str:
        """Return a command that runs on the same plan and folders as this one. A server's password is left out."""
        given = [
            ("--plan", self.plan_typed if self.plan_typed != DEFAULT_PLAN else None),
            ("--reports", self._reports if self._reports != self.suite / "reports" else None),
            ("--comfyui-dir", self.comfyui_dir),
            *(("--comfyui-url", without_credentials(url)) for url in self.comfyui_urls),
        ]
        words = [typable(f"{name}={value}") for name, value in given if value]
        return " ".join([self.program, what, *words, *(["--demo"] if self.demo else [])])

    def completed(self, message: str) -> str:
        """Return a message in which each suggested command can be typed as it stands: see `next`."""
        return _SUGGESTED.sub(lambda found: self.next(found[1]), message)

    def shown(self, path: Path) -> str:
        """Return a path as the person would type it from where they are."""
        return str(path.relative_to(self.typed_in) if path.is_relative_to(self.typed_in) else path)
