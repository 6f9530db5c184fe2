"""`pytest --new-plan=FOLDER`: find the run, gather what is known, write the plan, and say what was found."""

import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from plugins.plan.command import DEFAULT_PLAN, Command
from plugins.plan.messages import counted
from plugins.plan.new_plan.facts import Facts, facts_of
from plugins.plan.new_plan.runs import NewPlanError, Run, find_run
from plugins.plan.new_plan.writing import active_of, needs_workflow, plan_name, plan_text
from plugins.plan.plan import Plan
from plugins.plan.program import typable
from plugins.plan.reading import PlanError, read_plan

_LORAS: Final = ("models", "loras")
_MOST_OTHERS: Final = 5


@dataclass(frozen=True, kw_only=True)
class NewPlan:
    """A plan that was written, and what it was made from."""

    path: Path
    plan: Plan
    run: Run
    facts: Facts
    command: str

    @property
    def report(self) -> str:
        """What was found, what to check, and what to type next."""
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        entries, facts = self.run.entries, self.facts
        ids = ", ".join(one.id for one in self.plan.checkpoints)
        made_by = f" of {facts.trainer}" if facts.trainer else ""
        lines = [f"Found {counted(len(entries), 'checkpoint')}{made_by} in {self.run.folder}: {ids}."]
        if len(active_of(entries)) < len(entries):
            lines = [
                f"Found {len(entries)} checkpoints{made_by} in {self.run.folder}.",
                f"{len(active_of(entries))} of the {len(entries)} are rendered: {ids}; the others are commented out.",
            ]
        lines += [
            f"{one.same_as} holds the same tensors as {one.found.file}, which is listed as final."
            for one in entries
            if one.same_as
        ]
        lines += [f"Left out {other.removesuffix('.')}." for other in self.run.others[:_MOST_OTHERS]]
        if facts.read:
            lines.append(f"Read {', '.join(facts.read)}.")
        checks = self.path.read_text(encoding="utf-8").count("# CHECK")
        lines.append(f"Wrote {self.path}. {checks} of its lines are marked CHECK: read them first.")
        if facts.family and needs_workflow(facts):
            lines.append(
                f"{facts.family} needs a workflow of your own on a real ComfyUI (docs/workflows.md): name it as "
                "`workflow` in the plan. The stand-in renders without one."
            )
        lines += [
            "Rehearse it on the stand-in, then render it:",
            f"  {self.command} --demo",
            f"  {self.command}",
        ]
        return lines


def new_plan(command: Command, folder: str) -> NewPlan:
    """Write a plan from the training folder that was typed, to `--plan` or below `plans`. Raises `NewPlanError`."""
    return write_plan(
        command.path(folder),
        None if command.plan_typed == DEFAULT_PLAN else command.path(command.plan_typed),
        plans=command.suite / "plans",
        comfyui=command.path(command.comfyui_dir) if command.comfyui_dir else None,
        url=command.comfyui_urls[0] if command.comfyui_urls else "",
        reports=command.reports_typed,
    )


def write_plan(  # noqa: PLR0913 (what a person typed, each by its name)
    folder: Path,
    target: Path | None,
    *,
    plans: Path,
    comfyui: Path | None = None,
    url: str = "",
    reports: str | None = None,
) -> NewPlan:
    """Write a plan from a training folder to `target`, or into the `plans` folder under the LoRA's name.

    `comfyui`, `url` and `reports` are the ComfyUI folder, server and reports folder where these were typed; a plan of
    its own gets a reports folder of its own. Raises `NewPlanError`, also where a file is already there.
    """
    run = find_run(Path(os.path.abspath(folder)))  # noqa: PTH100 (a link stays what a person typed)
    facts = facts_of(run)
    path = target or plans / f"{plan_name(facts)}.toml"
    if path.exists() or path.is_symlink():
        raise NewPlanError(f"{path} exists already, and is not overwritten. Name another: --plan={_free(path)}")
    options = typable(f"--plan={path}", f"--reports={reports or f'reports/{path.stem}'}")
    command = f"pytest -m generate {options}"
    text = plan_text(run, facts, command=command, comfyui=_comfyui(run.folder, comfyui), url=url)
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        name = text[error.start - 20 : error.end + 20].encode(errors="replace").decode()
        raise NewPlanError(f"The name {name!r} is not in UTF-8, so a plan cannot hold it. Rename it.") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new(path, content)
    except OSError as error:
        raise NewPlanError(f"{path} cannot be written: {error.strerror or error}. Name another: --plan=FILE") from error
    try:
        plan = read_plan(path)
    except PlanError as error:
        path.unlink()
        raise NewPlanError(f"No plan was written, because it would not be valid.\n{error}") from error
    return NewPlan(path=path, plan=plan, run=run, facts=facts, command=command)


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that was not there; where that fails, nothing is left. Raises `OSError`."""
    file = path.open("xb")
    try:
        with file:
            file.write(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _comfyui(folder: Path, typed: Path | None) -> str:
    """Return the ComfyUI folder if it is known: as typed, or because the training folder is inside it."""
    if typed:
        return typed.as_posix()
    parts = folder.parts
    for at in range(1, len(parts) - 1):
        if parts[at : at + 2] == _LORAS and at + 2 < len(parts):
            return Path(*parts[:at]).as_posix()
    return ""


def _free(path: Path) -> Path:
    """Return a similar file name that does not exist yet."""
    names = (path.with_name(f"{path.stem}-{number}{path.suffix or '.toml'}") for number in count(2))
    return next(name for name in names if not name.exists())
