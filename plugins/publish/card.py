"""README.md of the copy, in the form that model hubs read: front matter, then what a person wants to know."""

import json

from plugins.deploy.markdown import code, plain
from plugins.publish.profile import Profile

PICTURES = "images"
"""The folder of the card's pictures."""


def card(profile: Profile) -> str:
    """Return the card as Markdown."""
    plan, deployment = profile.plan, profile.deployment
    candidates = list(profile.pictures)
    pictures = [
        f"## {plain(plan.prompts[0].purpose or plan.prompts[0].id)}, by checkpoint",
        "",
        f"| {' | '.join(f'**{one}**' if one == deployment.selected else one for one in candidates)} |",
        "|---" * len(candidates) + "|",
        f"| {' | '.join(f'![{one}]({PICTURES}/{one}.png)' for one in candidates)} |",
    ]
    prompts = [f"- {plain(one.purpose or one.id)}: `{code(one.text)}`" for one in plan.prompts]
    parts = [
        _front_matter(profile),
        f"# {plain(profile.title)}",
        f"{plain(profile.story())}.",
        f"Trigger words: `{code(profile.trigger)}`" if profile.trigger else "",
        "\n".join(pictures),
        _why(profile),
        "\n".join(["## Prompts", "", *prompts]),
        "\n".join(["## Settings", "", f"- Seeds: {', '.join(map(str, plan.sampling.seeds))}", *_settings(profile)]),
        f"## File\n\n- SHA-256 of production: `{deployment.sha256}`\n- Tensors: production's, bit for bit",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(profile: Profile) -> str:
    wanted = profile.wanted
    lines = ["---", "tags:", "  - text-to-image", "  - lora"]
    if wanted.license.strip():
        lines.append(f"license: {json.dumps(wanted.license.strip(), ensure_ascii=False)}")
    if profile.trigger:
        lines.append(f"instance_prompt: {json.dumps(profile.trigger, ensure_ascii=False)}")
    return "\n".join([*lines, "---"])


def _why(profile: Profile) -> str:
    """Return why this checkpoint: the rule, the person's reason, and each mark with its interval."""
    lines = ["## Why this checkpoint", ""]
    if profile.plan.selection_rule:
        lines += [f"Selection rule: {plain(profile.plan.selection_rule)}", ""]
    lines += [line for one in profile.ballots if one.reason.strip() for line in (f"Reason: {plain(one.reason)}", "")]
    if profile.deployment.observed.strip():
        lines += [f"Observed: {plain(profile.deployment.observed)}", ""]
    marks = [f"- {plain(one)}" for one in profile.marks()]
    if marks:
        lines += [*marks, "", "Each entry says how many of n pictures got a yes, with the 95 % interval (Wilson's)."]
    else:
        lines.append("No marks were recorded.")
    return "\n".join(lines)


def _settings(profile: Profile) -> list[str]:
    settings = [*profile.plan.settings, *filter(None, [profile.wanted.base_model.strip()])]
    return [f"- {plain(one)}" for one in settings]
