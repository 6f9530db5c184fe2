"""Escaping the words of a plan or a person for Markdown."""

import re

from plugins.plan.messages import visible


def plain(text: str) -> str:
    """Return text escaped, so that nothing in it is Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(visible(text).split()))


def code(text: str) -> str:
    """Return text fit to stand between backticks."""
    return " ".join(visible(text).split()).replace("`", "'")
