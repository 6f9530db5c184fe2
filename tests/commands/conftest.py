"""Whole commands, run as a person runs them, on the small plan."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from looking import Result, cell_of, snapshot

from plugins.demo.faults import NodeFailure
from plugins.demo.serving import Serving, serve
from plugins.plan.reading import read_plan
from tests.small_plan import PLAN, Posing, Suite, made_plan, plan, plan_file, run_suite, stand_in, write_plan

__all__ = ["made_plan", "plan", "plan_file", "run_suite", "stand_in"]

TITLE = "Spyke <img src=x onerror=alert(1)> LoRA"
TEXT = "spyke_plasma_v1, standing in a </script><script>alert(2)</script> forest"


class FailingCell(Posing):
    """A stand-in that runs out of memory on one cell, and says so with markup and terminal codes."""

    def __init__(self) -> None:
        self.serving: Serving
        self.failing = "final-novel_pose"

    def before_node(self, prompt_id: str, node_id: str, class_type: str) -> None:
        """Fail while that cell is sampled."""
        del node_id
        if class_type == "KSampler" and self.failing and self.failing == cell_of(self.serving, prompt_id):
            raise NodeFailure("torch.OutOfMemoryError", "Allocation <script>alert(3)</script> \x1b[2J failed")


@dataclass
class Story:
    """One plan's whole way: each command's result, and what was on the disk after it."""

    suite: Suite
    results: dict[str, Result] = field(default_factory=dict)
    disks: dict[str, dict[str, bytes]] = field(default_factory=dict)
    rendered: dict[str, list[str]] = field(default_factory=dict)
    """The cells that the server had rendered by then, in their order."""
    deployed: Path = Path()
    """The whole folder as it was when step 600 was deployed and verified, to be copied."""


@pytest.fixture(scope="session")
def story(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Go the whole way once: see, fail on one cell, mend it, resume, render some again, deploy, verify, deploy anew."""
    folder = tmp_path_factory.mktemp("story") / "whole"
    shutil.copytree(made_plan, folder)
    text = PLAN.replace("Spyke LoRA, small", TITLE).replace("spyke_plasma_v1, standing in a forest", TEXT)
    suite = Suite(plan_file=write_plan(folder, text))
    faults = FailingCell()
    story = Story(suite=suite)
    with serve(read_plan(suite.plan_file).paths.comfyui, faults=faults) as serving:
        faults.serving = serving
        url, cache = f"--comfyui-url={serving.url}", ("-o", f"cache_dir={folder.parent / 'cache'}")

        def go(name: str, *arguments: str) -> None:
            story.results[name] = suite.run("-v", *arguments)
            story.disks[name] = snapshot(folder, without=("data",))
            entries = serving.server.queue.history()
            story.rendered[name] = [cell for prompt_id in entries if (cell := cell_of(serving, prompt_id))]

        story.disks["nothing"] = snapshot(folder, without=("data",))
        go("collect", "-m", "generate", "--collect-only")
        go("failing", "-m", "generate", url, *cache)
        faults.failing = ""
        go("last_failed", "-m", "generate", "--lf", url, *cache)
        go("resumed", "-m", "generate", url)
        go("regenerated", "-m", "generate", "-k", "step600", "--regenerate", url)
        go("deployed", "-m", "deploy", "--selected-step=600", url)
        go("verified", "-m", "verify", url)
        story.deployed = folder.parent / "deployed"
        shutil.copytree(folder, story.deployed)
        go("deployed_anew", "-m", "deploy", "--selected-step=final", "--observed", "Left *knee* pauldron <b>fine</b>", url)
    yield story
