"""What a prompt holds that the API sends as it stands is said before the first picture, and nothing else is."""

from collections.abc import Callable

import pytest

from plugins.comfyui.choices import ServerChoices, choices_of
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.prompt_words import doubts_of_prompts
from plugins.comfyui.workflow import Workflow
from plugins.plan.plan import Plan
from stand_in.serving import Serving

KNOWN = ("EasyNegative", "styles/ink", "bad-hands-5")
DOUBTFUL = {
    "kira in a {red|blue} cloak": ("'{red|blue}' is sent as it stands: ComfyUI's page chooses one of several",),
    "{a|{b|c}} hat": ("'{b|c}' is sent as it stands",),
    "<lora:other:0.8> kira <LORA:b>": ("'<lora:other:0.8>' loads nothing in ComfyUI", "'<LORA:b>' loads nothing"),
    "<hypernet:old:1>": ("'<hypernet:old:1>' loads nothing in ComfyUI: nodes load LoRAs.",),
    "at __place__, in __styles/light*__": ("'__place__' is sent as it", "'__styles/light*__' is sent as it stands"),
    "kira /* later: hat */ standing": ("'/* later: hat */' is sent as it stands: ComfyUI's page takes comments out",),
    "kira\n// a note\nstanding": ("'// a note' is sent as it stands",),
    "kira, embedding:NoSuchThing": ("'embedding:NoSuchThing' is no embedding of http://gpu1:8188",),
    "(embedding:EasyNegatve:1.2)": ("which leaves it out without a word. Nearest is embedding:EasyNegative.",),
    "embedding:ink": ("'embedding:ink' is no embedding",),
}
"""Prompts, with the beginning or a part of each thing that is said of them."""
PLAIN = (
    "(kira:1.2), ((standing)), [tired], (a (red) hat:0.8), step \\(2\\)",
    r"\{red|blue\}, a {red} hat, a | b",
    "embedding:EasyNegative, (embedding:easynegative.pt:1.1) embedding:styles\\ink embedding:bad-hands-5, x",
    "her __ name, snake_case, __init, 1 < 2, <3, https://example.org/a, 50/50",
    "kira <smile>, re: a letter, embedding of a thought",
)


def choices(embeddings: tuple[str, ...] | None = KNOWN) -> ServerChoices:
    """Return what a server offers."""
    return ServerChoices(url="http://gpu1:8188", base_models=(), samplers=(), schedulers=(), embeddings=embeddings)


def said(plan: Plan, text: str, *servers: ServerChoices, workflow: Workflow | None = None) -> tuple[str, ...]:
    """Return what is said of a plan whose first prompt is this text."""
    first, *others = plan.prompts
    prompts = (first.model_copy(update={"text": text}), *others)
    changed = plan.model_copy(update={"prompts": prompts})
    return doubts_of_prompts(changed, workflow or Workflow.built_in(), servers or (choices(),))


@pytest.mark.parametrize("text", DOUBTFUL)
def test_what_the_api_does_not_expand_is_said(plan: Plan, text: str) -> None:
    """Each is named as it stands in the prompt, with the prompt's id and what to do about it."""
    found, expected = said(plan, text), DOUBTFUL[text]
    assert len(expected) == len(found)
    assert all(doubt.startswith("prompt forest: ") for doubt in found)
    assert [] == [words for words, doubt in zip(expected, found, strict=True) if words not in doubt]


@pytest.mark.parametrize("text", PLAIN)
def test_what_comfyui_understands_is_no_doubt(plan: Plan, text: str) -> None:
    """Weights, escapes, embeddings that are there and ordinary punctuation are nothing to speak of."""
    assert () == said(plan, text)


def test_negative_prompt_is_looked_at(plan: Plan) -> None:
    """The negative prompt is where embeddings usually stand."""
    sampling = plan.sampling.model_copy(update={"negative": "embedding:nosuch, blurry"})
    (doubt,) = said(plan.model_copy(update={"sampling": sampling}), "kira")
    assert doubt.startswith("the negative prompt: 'embedding:nosuch' is no embedding of")


def test_server_that_does_not_list_embeddings_is_believed(plan: Plan) -> None:
    """Where the server does not say which embeddings it has, nothing is said of any."""
    assert () == said(plan, "embedding:nosuch", choices(None))


def test_each_server_is_asked(plan: Plan, stand_in: Callable[..., Serving]) -> None:
    """What one server lacks is said of that one; the names are those that it lists."""
    (plan.paths.comfyui / "models/embeddings").mkdir(parents=True, exist_ok=True)
    (plan.paths.comfyui / "models/embeddings/nosuch.pt").touch()
    client = ComfyUI(stand_in().url)
    here = choices_of(client)
    client.close()
    assert ("nosuch",) == here.embeddings
    (doubt,) = said(plan, "embedding:nosuch", here, choices())
    assert "no embedding of http://gpu1:8188" in doubt


def test_node_that_may_expand_a_text_is_left_to_do_so(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an own workflow gives the prompt to another node than a text encoder, nothing is said of it."""
    workflow = Workflow.built_in()
    for place in workflow.parts.prompt:
        monkeypatch.setitem(workflow.parts.graph[place.node], "class_type", "ImpactWildcardEncode")
    assert () == said(plan, "{a|b} __place__ <lora:x:1>", workflow=workflow)
