"""The demonstration's door to pytest: `--demo` runs everything on the embedded stand-in, in a folder of its own."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from plugins.demo.process import StandIn, StandInError
from plugins.demo.training import training_run
from plugins.plan.command import GROUP
from plugins.plan.plan import Plan
from plugins.plan.stash import COMMAND

_STAND_IN: Final = pytest.StashKey[StandIn]()
_LEAST: Final = 1_000_000
"""Bytes that production may have in a demonstration, whatever the plan says."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --demo."""
    parser.getgroup(GROUP).addoption(
        "--demo",
        action="store_true",
        help="run on the stand-in, in REPORTS/demo/, and touch nothing outside it; pictures are SIMULATED",
    )


def pytest_acceptance_plan_overrides(config: pytest.Config, plan: Plan) -> Mapping[str, Mapping[str, Any]] | None:
    """Carry the plan out in the demo's workspace, on the stand-in."""
    command = config.stash[COMMAND]
    if not command.demo:
        return None
    if command.comfyui_urls or command.comfyui_dir:
        raise pytest.UsageError("--demo brings its own ComfyUI. Leave out --comfyui-url and --comfyui-dir, or --demo.")
    workspace = command.reports / "workspace"
    paths = {
        "project": str(workspace),
        "checkpoints": "output/loras/spyke",
        "comfyui": "ComfyUI",
        "loras": "models/loras",
        "training_images": "data/spyke",
    }
    if plan.paths.summary:
        summary, project = (Path(os.path.normpath(one)) for one in (plan.paths.summary, plan.paths.project))
        place = summary.relative_to(project) if summary.is_relative_to(project) else Path(summary.name)
        paths["summary"] = str(place)
    comfyui: dict[str, Any] = {"start": []}
    if plan.workflow:
        comfyui["workflow"] = str(plan.workflow)
    if command.runs:
        comfyui |= {"url": None, "urls": [_stand_in(config, plan, workspace).url]}
    overrides: dict[str, Mapping[str, Any]] = {"paths": paths, "comfyui": comfyui}
    if plan.production.max_size < _LEAST:  # the demo's LoRAs cannot be as small as some real ones
        overrides["production"] = {"max_size": _LEAST}
    if plan.copy_folder:
        overrides["publish"] = {"copy": plan.copy_folder.name or "copy"}
    return overrides


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that the run is simulated."""
    command = config.stash[COMMAND]
    if command.demo and command.stages:
        return f"SIMULATED: --demo draws its pictures; no LoRA is really tested. All files are in {command.reports}"
    return None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the stand-in."""
    if stand_in := config.stash.get(_STAND_IN, None):
        stand_in.stop()


def _stand_in(config: pytest.Config, plan: Plan, workspace: Path) -> StandIn:
    if _STAND_IN not in config.stash:
        try:
            config.stash[_STAND_IN] = StandIn.start(workspace, run=training_run(plan))
        except (StandInError, OSError) as error:
            raise pytest.UsageError(f"The demonstration could not be started: {error}") from None
    return config.stash[_STAND_IN]
