"""README.md of the copy, in the form that model hubs read: front matter, then what a person wants to know."""

import json

from plugins.deploy.markdown import code, plain
from plugins.publish.facts import Facts

PICTURES = "images"
"""The folder of the card's pictures."""


def card(facts: Facts) -> str:
    """Return the card as Markdown."""
    plan, deployment = facts.plan, facts.deployment
    candidates = list(facts.pictures)
    pictures = [
        f"## {plain(plan.prompts[0].purpose or plan.prompts[0].id)}, by checkpoint",
        "",
        f"| {' | '.join(f'**{one}**' if one == deployment.selected else one for one in candidates)} |",
        "|---" * len(candidates) + "|",
        f"| {' | '.join(f'![{one}]({PICTURES}/{one}.png)' for one in candidates)} |",
    ]
    prompts = [f"- {plain(one.purpose or one.id)}: `{code(one.text)}`" for one in plan.prompts]
    parts = [
        _front_matter(facts),
        f"# {plain(facts.title)}",
        f"{plain(facts.story())}.",
        f"Trigger words: `{code(facts.trigger)}`" if facts.trigger else "",
        "\n".join(pictures),
        _why(facts),
        "\n".join(["## Prompts", "", *prompts]),
        "\n".join(["## Settings", "", f"- Seeds: {', '.join(map(str, plan.sampling.seeds))}", *_settings(facts)]),
        f"## File\n\n- SHA-256 of production: `{deployment.sha256}`\n- Tensors: production's, bit for bit",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(facts: Facts) -> str:
    wanted = facts.wanted
    lines = ["---", "tags:", "  - text-to-image", "  - lora"]
    if wanted.license.strip():
        lines.append(f"license: {json.dumps(wanted.license.strip(), ensure_ascii=False)}")
    if facts.trigger:
        lines.append(f"instance_prompt: {json.dumps(facts.trigger, ensure_ascii=False)}")
    return "\n".join([*lines, "---"])


def _why(facts: Facts) -> str:
    """Return why this checkpoint: the rule, the person's reason, and each mark with its interval."""
    lines = ["## Why this checkpoint", ""]
    if facts.plan.selection_rule:
        lines += [f"Selection rule: {plain(facts.plan.selection_rule)}", ""]
    lines += [line for one in facts.ballots if one.reason.strip() for line in (f"Reason: {plain(one.reason)}", "")]
    if facts.deployment.observed.strip():
        lines += [f"Observed: {plain(facts.deployment.observed)}", ""]
    marks = [f"- {plain(one)}" for one in facts.marks()]
    if marks:
        lines += [*marks, "", "Each entry says how many of n pictures got a yes, with the 95 % interval (Wilson's)."]
    else:
        lines.append("No marks were recorded.")
    return "\n".join(lines)


def _settings(facts: Facts) -> list[str]:
    settings = [*facts.plan.facts, *filter(None, [facts.wanted.base_model.strip()])]
    return [f"- {plain(one)}" for one in settings]
