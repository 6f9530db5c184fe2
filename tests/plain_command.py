"""A bare command, as a person types it in the suite's own folder."""

from pathlib import Path

from plugins.plan.command import DEFAULT_PLAN, Command
from plugins.plan.reading import read_plan


def plain_command(folder: Path, stage: str = "generate") -> Command:
    """Return the command of a stage, with nothing typed besides."""
    return Command(
        suite=folder,
        typed_in=folder,
        stages=frozenset({stage}),
        only_lists=False,
        plan_typed=DEFAULT_PLAN,
        reports_typed=None,
        comfyui_dir=None,
        comfyui_urls=(),
        demo=False,
        read=read_plan,
    )
