"""What a prompt holds that ComfyUI's page or another program would replace, and the API sends as it stands."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from plugins.comfyui.choices import ServerChoices
from plugins.comfyui.workflow import Workflow
from plugins.plan.plan import Plan
from plugins.plan.training.names import WEIGHTS

_UNEXPANDED: Final = (
    (
        re.compile(r"(?<!\\)\{(?:[^{}|]|\\[{}])*\|(?:[^{}]|\\[{}])*(?<!\\)\}"),
        "is sent as it stands: ComfyUI's page chooses one of several, its API does not. Write a prompt for each",
    ),
    (
        re.compile(r"(?<!\w)__[\w*/.-]*[^\W_][\w*/.-]*?__(?!\w)"),
        "is sent as it stands: the API knows no wildcards. Write the words themselves",
    ),
    (
        re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>", re.IGNORECASE),
        "loads nothing in ComfyUI: nodes load LoRAs. Take it out, or name that LoRA as a [[lora]] of the plan",
    ),
    (
        re.compile(r"/\*.*?\*/|(?:^|(?<=\s))//[^\n]*", re.DOTALL),
        "is sent as it stands: ComfyUI's page takes comments out, its API does not. Take it out",
    ),
)
"""What looks like more than words, and what to do about it."""
_EMBEDDING: Final = re.compile(r"(?:^|(?<=[\s(]))embedding:([^\s,()<\[:]+)")
_ENDINGS: Final = re.compile(rf"(?:{'|'.join(map(re.escape, WEIGHTS))})$", re.IGNORECASE)
_ENCODERS: Final = ("CLIPTextEncode", "TextEncode")
_LONGEST: Final = 60


def doubts_of_prompts(plan: Plan, workflow: Workflow, choices: Sequence[ServerChoices]) -> tuple[str, ...]:
    """Return what stands in the plan's prompts and will not become what it seems to be, a sentence each.

    Nothing is said of a text that an own workflow gives to any node but a text encoder: that may expand it.
    """
    if not workflow.encodes_texts_as_they_are(_ENCODERS):
        return ()
    texts = {f"prompt {one.id}": one.text for one in plan.prompts}
    if plan.sampling.negative:
        texts["the negative prompt"] = plan.sampling.negative
    return tuple(
        f"{where}: {doubt}"
        for where, text in texts.items()
        for doubt in (*_unexpanded(text), *(doubt for one in choices for doubt in _unknown(text, one)))
    )


def _unexpanded(text: str) -> Iterator[str]:
    for pattern, advice in _UNEXPANDED:
        for found in dict.fromkeys(found[0] for found in pattern.finditer(text)):
            shown = found if len(found) <= _LONGEST else f"{found[:_LONGEST]}..."
            yield f"{shown!r} {advice}"


def _unknown(text: str, server: ServerChoices) -> Iterator[str]:
    if server.embeddings is None:
        return
    known = {_plain(name): name for name in server.embeddings}
    for name in dict.fromkeys(_EMBEDDING.findall(text)):
        if not name.endswith("\\") and _plain(name) not in known:
            near = get_close_matches(_plain(name), known, n=1)
            nearest = f" Nearest is embedding:{known[near[0]]}." if near else ""
            yield f"'embedding:{name}' is no embedding of {server.url}, which leaves it out without a word.{nearest}"


def _plain(name: str) -> str:
    return _ENDINGS.sub("", name.replace("\\", "/")).casefold()
