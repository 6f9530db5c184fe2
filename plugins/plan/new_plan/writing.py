"""The text of a plan, from a run and what is known about it, for a person to complete."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from plugins.plan.fields import portable_name
from plugins.plan.new_plan.facts import Fact, Facts
from plugins.plan.new_plan.runs import Entry, Run

MOST_ACTIVE: Final = 12
"""Checkpoints that are rendered at first; a person looks at a column for each."""
_MOST_PROMPTS: Final = 3
_NOWHERE: Final = "write-the-base-model-here.safetensors"
_USUAL_URL: Final = "http://127.0.0.1:8188"
_COLUMN: Final = 44
_UNUSABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ROOM: Final = 0.2
"""Production may be this much smaller or larger than the checkpoints are."""
_SPLIT: Final = (
    "Flux.1",
    "Flux.2",
    "Chroma",
    "HunyuanVideo",
    "Qwen-Image",
    "Z-Image",
    "Lumina 2",
    "Wan",
    "LTX-Video",
    "HiDream",
)
"""Families whose models are mostly loaded from several files, which the built-in workflow does not."""


def needs_workflow(facts: Facts) -> bool:
    """Say whether the built-in workflow is not known to load this family."""
    return facts.family in _SPLIT or not facts.family


def plan_name(facts: Facts) -> str:
    """Return a name that can begin the names of files."""
    return portable_name(facts.name)


def active_of(entries: Sequence[Entry]) -> frozenset[int]:
    """Choose the checkpoints that are rendered at first: all, or a dozen at equal distances with the first and last."""
    if len(entries) <= MOST_ACTIVE:
        return frozenset(range(len(entries)))
    return frozenset(round(at * (len(entries) - 1) / (MOST_ACTIVE - 1)) for at in range(MOST_ACTIVE))


def plan_text(run: Run, facts: Facts, *, command: str, comfyui: str = "", url: str = "") -> str:
    """Return the plan as TOML; comments give the source of a value, or mark it to be checked."""
    return "\n".join(_lines(run, facts, command, comfyui, url or _USUAL_URL)) + "\n"


def _lines(run: Run, facts: Facts, command: str, comfyui: str, url: str) -> Iterator[str]:
    name, trigger = plan_name(facts), _shown(facts.trigger.value) or plan_name(facts)
    made_by = f", made by {facts.trainer}" if facts.trainer else ""
    yield f"# The checkpoints in {_shown(run.folder)}{made_by}."
    yield f"# Try it out: {command} --demo"
    yield "# Lines marked CHECK are guesses or usual values: check each of them."
    yield ""
    yield _line("name", name, "the evaluation copies are named after it")
    yield _line("title", f"{_shown(facts.name) or name} LoRA")
    yield 'selection_rule = "If several checkpoints pass, prefer the earlier one."'
    yield from ("", "[paths]")
    yield _line("project", run.folder.as_posix(), "relative paths start here")
    yield _line("checkpoints", ".")
    if comfyui:
        yield _line("comfyui", comfyui)
    else:
        yield _line("comfyui", "~/ComfyUI", "CHECK: the ComfyUI folder, whose models/loras is written to")
    images = facts.training_images
    if images.source:
        yield _line("training_images", _shown(images.value), images.source)
    else:
        given = json.dumps(_shown(images.value) or "path/to/the/images", ensure_ascii=False)
        yield f"# training_images = {given}   # CHECK: shown beside the pictures, and compared with them"
    yield from ("", "[comfyui]", _line("url", url))
    if needs_workflow(facts):
        family = facts.family or "another family than Stable Diffusion"
        yield f'# workflow = "my.json"   # CHECK: for {family}, your own, saved by Workflow > Export (API)'
    yield from ("", "[sampling]")
    yield from _sampling(facts)
    yield from _checkpoints(run)
    yield from _prompts(facts, trigger)
    yield from ("", "[[criterion]]", 'id = "likeness"', _line("text", f"It is {trigger}"), "required = true")
    yield "# One [[criterion]] for each thing to look for: an id, a text, and whether it is required."
    yield from ("", "[production]", _line("file", f"{name}.safetensors", "the LoRA that stays"))
    sizes = [one.found.path.stat().st_size for one in run.entries]
    least, most = min(sizes), max(sizes)
    yield _line("min_size", _size(least * (1 - _ROOM)), f"the checkpoints have {_size(least)}")
    yield _line("max_size", _size(most * (1 + _ROOM)), f"to {_size(most)}" if most != least else "")


def _sampling(facts: Facts) -> Iterator[str]:
    base = _shown(facts.base_model.value)
    source = facts.base_model.source or "CHECK: as ComfyUI lists it"
    family = f"; for {facts.family}" if facts.family else ""
    yield _line("base_model", base or _NOWHERE, f"{source}{family}")
    for key in ("sampler", "scheduler", "steps", "cfg", "width", "height", "clip_skip"):
        fact: Fact = getattr(facts, key)
        yield _line(key, fact.value, _source(fact))
    yield f"seeds = [{facts.seed.value}]"
    yield _line("negative", _shown(facts.negative.value), facts.negative.source if facts.negative.value else "")


def _checkpoints(run: Run) -> Iterator[str]:
    active = active_of(run.entries)
    if len(active) < len(run.entries):
        yield from (
            "",
            f"# {len(active)} of {len(run.entries)} checkpoints are rendered; remove the # before others to add them.",
        )
    for index, entry in enumerate(run.entries):
        lines = ["[[checkpoint]]", _line("file", entry.found.file)]
        lines += [] if entry.step is None else [f"step = {entry.step}"]
        lines += [] if entry.epoch is None else [f"epoch = {entry.epoch}"]
        if entry.is_final:
            lines.append(_line("label", "final", f"the same as {_shown(entry.same_as)}" if entry.same_as else ""))
        elif entry.step is None and entry.epoch is None:
            lines.append(_line("label", portable_name(entry.found.name.stem or f"checkpoint_{index + 1}")))
        yield ""
        yield from lines if index in active else (f"# {line}" for line in lines)


def _prompts(facts: Facts, trigger: str) -> Iterator[str]:
    kinds = (
        (
            "trigger_and_scene",
            "Trigger word and a scene",
            f"{trigger}, standing in a forest, dramatic lighting, full body",
        ),
        (
            "new_pose",
            "A pose that is not in the training set",
            f"{trigger}, crouching, looking up at the sky, in a city",
        ),
        ("details", "Details, on their own side", f"{trigger}, front view, detailed character study, arms at sides"),
    )
    known = "" if facts.trigger.source else "   # CHECK: the trigger word, as it was trained"
    for id_, purpose, text in kinds:
        yield from ("", "[[prompt]]", _line("id", id_), _line("purpose", purpose), f"{_line('text', text)}{known}")
    for number, text in enumerate(filter(None, map(_shown, facts.prompts)), 1):
        lines = ("[[prompt]]", _line("id", f"sample_{number}", facts.prompts_from), _line("text", text))
        yield ""
        yield from lines if number <= _MOST_PROMPTS else (f"# {line}" for line in lines)


def _source(fact: Fact) -> str:
    if not fact.source:
        return "CHECK"
    return f"CHECK: {fact.source}" if fact.source.startswith("usual for") else fact.source


def _line(key: str, value: object, comment: str = "") -> str:
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else str(value)
    line = f"{key} = {text}"
    return f"{line:<{_COLUMN}}  # {_shown(comment)}" if comment else line


def _shown(value: object) -> str:
    """Return a text without what a plan, or a terminal, could not take."""
    return _UNUSABLE.sub(" ", str(value)).strip()


def _size(size: float) -> str:
    """Write a size as a plan does."""
    for unit, one in (("MB", 1e6), ("kB", 1e3)):
        if size >= one:
            return f"{size / one:.0f} {unit}" if size >= 10 * one else f"{size / one:.1f} {unit}"
    return f"{size:.0f} B"
