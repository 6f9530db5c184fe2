"""ComfyUI's refusal of a workflow, in words: which node, which input, what was sent, what is allowed."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final

from pydantic import AliasPath, BeforeValidator, Field, ValidationError

from plugins.comfyui.answers import Sent, options_of

_SHOWN: Final = 8
_LONGEST: Final = 200
"""Letters of an answer in another shape than ComfyUI's, which is quoted as it is."""


class Mistake(Sent):
    """One thing that is wrong with a node, or with the workflow as a whole."""

    type: Any = None
    message: Any = None
    details: Any = None
    input_name: Any = Field(default=None, validation_alias=AliasPath("extra_info", "input_name"))
    """The input that it is about, if it is about one."""
    input_config: Any = Field(default=None, validation_alias=AliasPath("extra_info", "input_config"))
    received_value: Any = Field(default=None, validation_alias=AliasPath("extra_info", "received_value"))

    def __str__(self) -> str:
        message = self.message if "message" in self.model_fields_set else self.type
        return f"{message}" + (f" ({self.details})" if self.details else "")


class NodeMistakes(Sent):
    """What is wrong with one node."""

    class_type: Any = None
    errors: tuple[Mistake, ...] = ()


class Refusal(Sent):
    """The body of a refused POST /prompt. `node_errors` is a list, and empty, where no node is at fault."""

    error: Mistake | Any = None
    node_errors: Annotated[
        dict[str, NodeMistakes], BeforeValidator(lambda value: value if isinstance(value, dict) else {})
    ] = Field(default={})


def describe_rejection(answer: Any, graph: Mapping[str, Mapping[str, Any]]) -> str:  # noqa: ANN401 (JSON)
    """Put the body of a refused POST /prompt into words, one line for each mistake."""
    try:
        return _describe(answer, graph)
    except RecursionError:
        return "in words that are nested too deep to show"


def _describe(answer: Any, graph: Mapping[str, Mapping[str, Any]]) -> str:  # noqa: ANN401 (JSON)
    if not isinstance(answer, dict):
        return str(answer)[:_LONGEST] or "it does not say why"
    try:
        refusal = Refusal.model_validate(answer)
        lines = list(_node_lines(refusal, graph))
        if not lines and refusal.error:
            lines = [str(refusal.error)]
    except ValidationError:  # a shape that ComfyUI does not send
        lines = []
    return "".join(f"\n  {line}" for line in lines) or str(answer)[:_LONGEST]


def _node_lines(refusal: Refusal, graph: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for node_id, found in refusal.node_errors.items():
        sent = graph.get(node_id, {})
        kind = found.class_type if "class_type" in found.model_fields_set else sent.get("class_type", "?")
        for mistake in found.errors:
            yield f"node {node_id} ({kind}){_line(mistake, sent.get('inputs', {}))}"


def _line(mistake: Mistake, inputs: Mapping[str, Any]) -> str:
    name = mistake.input_name
    if name is None:
        return f": {mistake}"
    if mistake.type == "required_input_missing":
        return f", input {name}: nothing was sent, but it is required"
    sent = mistake.received_value if "received_value" in mistake.model_fields_set else inputs.get(str(name))
    allowed = _allowed(mistake.input_config, sent)
    return f", input {name}: sent {sent!r}" + (f", allowed {allowed}" if allowed else f": {mistake.message}")


def _allowed(config: Any, sent: Any) -> str:  # noqa: ANN401 (JSON)
    """Describe an input's list, nearest names first, or its range; empty where the server does not say."""
    names = options_of(config)
    if names is not None:
        near = get_close_matches(str(sent), names, n=_SHOWN, cutoff=0.3)
        shown = (near + [name for name in names if name not in near])[:_SHOWN]
        more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        return (", ".join(shown) + more) if shown else "nothing: its list is empty"
    limits = config[1] if isinstance(config, list | tuple) and len(config) > 1 else None
    if isinstance(limits, dict) and "min" in limits and "max" in limits:
        return f"{limits['min']} to {limits['max']}"
    return ""
