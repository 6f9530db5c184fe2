"""A plan as text that a test can change, and what reading it says."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from plugins.plan.plan import Plan
from plugins.plan.reading import PlanError, read_plan

TEXT = inspect.cleandoc("""
    name = "spyke"
    title = "Spyke LoRA, small"

    [paths]
    project = "code"
    checkpoints = "output"
    comfyui = "ComfyUI"

    [comfyui]
    url = "http://127.0.0.1:8188"

    [sampling]
    base_model = "AnythingXL_inkBase"
    sampler = "euler_ancestral"
    scheduler = "normal"
    steps = 20
    cfg = 7.0
    width = 512
    height = 512
    seeds = [42]

    [[checkpoint]]
    step = 600
    file = "spyke-600.safetensors"

    [[checkpoint]]
    step = 920
    label = "final"
    file = "spyke.safetensors"

    [[prompt]]
    id = "forest"
    text = "spyke, standing in a forest"

    [[prompt]]
    id = "novel_pose"
    text = "spyke, crouching"

    [[criterion]]
    id = "hair"
    text = "Ginger hair"

    [production]
    file = "spyke.safetensors"
    """)
"""The least that two checkpoints on two prompts need."""


class Draft:
    """A plan in `folder`, changed line by line."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "plan.toml"
        self.text = TEXT

    def change(self, old: str, new: str) -> "Draft":
        """Replace a piece of the text that must be there, where it is first."""
        assert old in self.text
        self.text = self.text.replace(old, new, 1)
        return self

    def read(self, overrides: dict[str, dict[str, Any]] | None = None) -> Plan:
        """Read it."""
        self.path.write_text(self.text, encoding="utf-8")
        return read_plan(self.path, overrides)

    def mistakes(self, overrides: dict[str, dict[str, Any]] | None = None) -> list[str]:
        """Read it, and give each mistake that is told."""
        with pytest.raises(PlanError) as caught:
            self.read(overrides)
        head, *lines = str(caught.value).split("\n")
        assert re.fullmatch(rf"The plan {re.escape(str(self.path))} has (1 mistake|{len(lines)} mistakes):", head)
        return [line.removeprefix("  ") for line in lines]
