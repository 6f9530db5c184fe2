"""Whole commands, run as a person runs them, on the small plan."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.plan.reading import read_plan
from stand_in.serving import serve
from tests.commands.looking import cell_of, snapshot
from tests.commands.whole_way import TEXT, TITLE, FailingCell, Story, made_of_pictures
from tests.small_plan import PLAN, Suite, made_plan, plan, plan_file, run_suite, stand_in, write_plan

__all__ = ["made_plan", "plan", "plan_file", "run_suite", "stand_in"]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Let Ctrl-C reach the commands, also where these tests run in the background and are to ignore it themselves."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def story(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Go the whole way once: fail on one cell, mend it, resume, render some again, deploy, verify."""
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
            story.times[name] = {path: path.stat().st_mtime_ns for path in made_of_pictures(suite.reports)}
            entries = serving.server.queue.history()
            story.rendered[name] = [cell for prompt_id in entries if (cell := cell_of(serving, prompt_id))]

        story.disks["nothing"] = snapshot(folder, without=("data",))
        go("failing", "-m", "generate", url, *cache)
        faults.failing = ""
        go("last_failed", "-m", "generate", "--lf", url, *cache)
        go("resumed", "-m", "generate", url)
        go("regenerated", "-m", "generate", "-k", "step600", "--regenerate", url)
        go("deployed", "-m", "deploy", "--selected-step=600", url)
        go("verified", "-m", "verify", url)
        story.deployed = folder.parent / "deployed"
        shutil.copytree(folder, story.deployed)
    return story
