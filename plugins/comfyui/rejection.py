"""ComfyUI's refusal of a workflow, told in words: which node, which input, what was sent, what is allowed."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

_SHOWN: Final = 8


def told_rejection(answer: Any, graph: Mapping[str, Mapping[str, Any]]) -> str:  # noqa: ANN401 (JSON)
    """Put the body of a refused POST /prompt into words, one line for each mistake."""
    if not isinstance(answer, dict):
        return str(answer)[:200] or "it does not say why"
    try:
        lines = list(_node_lines(answer.get("node_errors"), graph))
    except (AttributeError, TypeError):  # a shape that ComfyUI does not send
        return str(answer)[:200]
    error = answer.get("error")
    if not lines and isinstance(error, dict):
        details = error.get("details")
        lines = [f"{error.get('message', error.get('type'))}" + (f" ({details})" if details else "")]
    elif not lines and error:
        lines = [str(error)]
    return "".join(f"\n  {line}" for line in lines) or str(answer)[:200]


def _node_lines(node_errors: Any, graph: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:  # noqa: ANN401 (JSON)
    for node_id, found in node_errors.items() if isinstance(node_errors, dict) else ():
        node = f"node {node_id} ({found.get('class_type', graph.get(node_id, {}).get('class_type', '?'))})"
        for error in found.get("errors", ()):
            yield f"{node}{_told(error, graph.get(node_id, {}).get('inputs', {}))}"


def _told(error: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
    extra = error.get("extra_info") or {}
    name = extra.get("input_name")
    kind = error.get("type")
    if name is None:
        details = error.get("details")
        return f": {error.get('message', kind)}" + (f" ({details})" if details else "")
    sent = extra.get("received_value", inputs.get(name))
    told = f", input {name}: "
    if kind == "required_input_missing":
        return told + "nothing was sent, but it is required"
    told += f"sent {sent!r}"
    config = extra.get("input_config") or ()
    allowed = _allowed(config, sent)
    return told + (f", allowed {allowed}" if allowed else f": {error.get('message')}")


def _allowed(config: Any, sent: Any) -> str:  # noqa: ANN401 (JSON)
    """Describe an input's list, nearest names first, or its range; empty where the server does not say."""
    if not isinstance(config, list | tuple) or not config:
        return ""
    limits = config[1] if len(config) > 1 and isinstance(config[1], dict) else {}
    listed = limits.get("options") if config[0] == "COMBO" else config[0]
    if isinstance(listed, list):
        names = [str(name) for name in listed]
        near = get_close_matches(str(sent), names, n=_SHOWN, cutoff=0.3)
        shown = (near + [name for name in names if name not in near])[:_SHOWN]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        return (", ".join(shown) + more) if shown else "nothing: its list is empty"
    if "min" in limits and "max" in limits:
        return f"{limits['min']} to {limits['max']}"
    return ""
