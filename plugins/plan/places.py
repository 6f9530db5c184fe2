"""Where a plan's files lie, and the servers that render: `[paths]` and `[comfyui]`."""

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from plugins.plan.fields import (
    Lax,
    PlanPath,
    ServerUrl,
    Table,
    Text,
    expanded,
)


class Paths(Table):
    """Where the LoRA's files are.

    All are absolute once read: `~` is expanded and relative ones are joined.
    """

    project: PlanPath
    """Where relative paths start; `.` is the folder of the plan file."""
    checkpoints: PlanPath
    """The folder where the trainer left the checkpoints; never written to."""
    comfyui: PlanPath
    """The ComfyUI folder; `--comfyui-dir` replaces it."""
    loras: PlanPath = Path("models/loras")
    """Where the evaluation copies and the production file go; starts at `comfyui`."""
    training_images: PlanPath | None = None
    """A folder of training images: shown beside the pictures, and compared with them."""
    summary: PlanPath | None = None
    """A second place for `SUMMARY.md`, replaced by every deployment."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 (raw TOML)
        """Expand `~`; start relative paths at `project`, `loras` at `comfyui`, `project` at the plan's folder."""
        if not isinstance(given, dict):
            return given
        folder = Path((info.context or {}).get("folder", "."))

        def at(start: Path, key: str) -> Path:
            path = expanded(given.get(key))
            return start / path if path else start

        project = at(folder, "project")
        comfyui = at(project, "comfyui")
        starts = {"project": folder, "comfyui": project, "loras": comfyui}
        given = {"loras": "models/loras", **given}
        return {key: at(starts.get(key, project), key) if expanded(value) else value for key, value in given.items()}

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if os.path.realpath(self.checkpoints) == os.path.realpath(self.loras):
            raise ValueError(
                "`checkpoints` and `loras` are the same folder; keep the training output apart from ComfyUI's, "
                "since evaluation copies are removed from `loras`"
            )
        return self


class Nodes(Table):
    """Nodes and inputs of your own workflow, by id or title: those that are not found, or not the ones you mean."""

    picture: Text | None = None
    """The node that saves, shows or outputs the picture to be judged."""
    prompt: Annotated[tuple[Text, ...], Lax] = ()
    """The inputs that take the prompt: `11.value`."""
    negative: Annotated[tuple[Text, ...], Lax] = ()
    """The inputs that take the negative prompt: `12.text`."""
    seed: Annotated[tuple[Text, ...], Lax] = ()
    """The inputs that take the seed: `5.seed`."""
    lora: Text | None = None
    """The input that names the tested LoRA (`10.lora_1`), or the loader of the model that it goes onto (`4`)."""


class ComfyUI(Table):
    """The servers that render, and how to start one when none answers."""

    url: ServerUrl | None = None
    """The server's address. Give this or `urls`; `--comfyui-url` replaces both."""
    urls: Annotated[tuple[ServerUrl, ...], Lax] = ()
    """Several servers that read the same loras folder and share the pictures."""
    start: Annotated[tuple[Text, ...], Lax] = ()
    """The command, word by word, that starts ComfyUI in `paths.comfyui` when nothing answers."""
    workflow: PlanPath | None = None
    """Your own workflow: an API export, or a PNG that ComfyUI saved."""
    nodes: Nodes = Nodes()
    """What is not found in the workflow, or found wrongly."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    """Seconds without a sign of life from a server before its picture is given up."""

    @model_validator(mode="after")
    def _one_way_to_name_them(self) -> Self:
        if bool(self.url) == bool(self.urls):
            raise ValueError('give either url = "http://127.0.0.1:8188" or urls = [...]')
        return self

    @model_validator(mode="after")
    def _nodes_are_of_a_workflow(self) -> Self:
        if self.workflow is None and self.nodes != Nodes():
            raise ValueError(
                "[comfyui.nodes] names nodes of a workflow of your own; name its file with `workflow`, or take it out"
            )
        return self

    @property
    def servers(self) -> tuple[str, ...]:
        """Every server's address, in the plan's order; one that is named twice is one server."""
        return (self.url,) if self.url else tuple(dict.fromkeys(self.urls))
