"""May this workflow run? Checked as ComfyUI checks it, and refused in its words.

The error types and messages are part of the protocol: recorded in run_bad_seed.json, run_unknown_lora.json,
run_unknown_node.json, run_no_outputs.json and run_partly_valid.json.
"""

import traceback
from dataclasses import dataclass
from typing import Any, Final

from stand_in.catalogue import Catalogue
from stand_in.graph import Workflow
from stand_in.versions import Version

Reason = dict[str, Any]
_LINK_LENGTH: Final = 2
_LONG_LIST: Final = 20
"""Choices longer than this are not spelled out in an error."""
_ANY: Final = frozenset({"*", "COMFY_MATCHTYPE_V3"})
"""Types that go with every other one."""
_CONVERSIONS: Final = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What validation found: the outputs that may run, and what is wrong with the others.

    `error` is set when nothing may run; `node_errors` alone means that some outputs were dropped
    (docs/comfyui.md, "Partly valid prompts").
    """

    outputs: tuple[str, ...] = ()
    error: Reason | None = None
    node_errors: dict[str, Any]


def validate(workflow: Workflow, catalogue: Catalogue, dialect: Version, targets: list[str] | None) -> Verdict:
    """Check a workflow. Converts plain values to their input's type, in place, as ComfyUI does.

    `targets` limits the outputs to these node ids. Raises whatever a workflow that is no dictionary of
    dictionaries makes Python raise; the server answers that with 500.
    """
    outputs = []
    for node_id in workflow:
        if "class_type" not in workflow[node_id]:
            return _classless_node(node_id, workflow[node_id], dialect)
        class_type = workflow[node_id]["class_type"]
        if class_type not in catalogue:
            return _unknown_node(node_id, workflow[node_id], dialect)
        if catalogue[class_type].is_output and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return _refused("prompt_no_outputs", "Prompt has no outputs", "")
    return _Validation(workflow, catalogue, dialect).of(outputs)


class _Validation:
    """One workflow's validation; remembers the verdict on each node, so that it is checked once."""

    def __init__(self, workflow: Workflow, catalogue: Catalogue, dialect: Version) -> None:
        self._workflow = workflow
        self._dialect = dialect
        self._catalogue = catalogue
        self._checked: dict[str, tuple[bool, list[Reason]]] = {}
        self._visiting: list[str] = []
        """The nodes that are being checked now, each feeding the one before."""

    def of(self, outputs: list[str]) -> Verdict:
        good: list[str] = []
        details: list[str] = []
        node_errors: dict[str, Any] = {}
        for output in outputs:
            try:
                valid, reasons = self._check(output)
            except Exception as error:  # noqa: BLE001 (whatever a broken node raises is its error)
                valid = False
                reasons = [
                    {
                        "type": "exception_during_validation",
                        "message": "Exception when validating node",
                        "details": str(error),
                        "extra_info": _exception(error),
                    }
                ]
                self._checked[output] = (False, reasons)
            if valid:
                good.append(output)
                continue
            details += [f"{reason['message']}: {reason['details']}" for reason in reasons]
            for node_id, (passed, found) in self._checked.items():
                # A node that is wrong only because of what feeds it has no reasons of its own.
                if not passed and found:
                    entry = node_errors.setdefault(
                        node_id,
                        {
                            "errors": found,
                            "dependent_outputs": [],
                            "class_type": self._workflow[node_id]["class_type"],
                        },
                    )
                    entry["dependent_outputs"].append(output)
        if good:
            return Verdict(outputs=tuple(good), node_errors=node_errors)
        refused = _refused("prompt_outputs_failed_validation", "Prompt outputs failed validation", "\n".join(details))
        return Verdict(error=refused.error, node_errors=node_errors)

    def _check(self, node_id: str) -> tuple[bool, list[Reason]]:
        """Check a node and all that feeds it: (valid, its own reasons)."""
        if node_id in self._checked:
            return self._checked[node_id]
        if node_id in self._visiting and self._dialect.names_cycles:
            return self._cycle(node_id)
        inputs = self._workflow[node_id]["inputs"]
        valid = True
        reasons: list[Reason] = []
        required, optional = self._catalogue.accepted(self._workflow[node_id]["class_type"], inputs)
        for name, entry in (required | optional).items():
            config = self._catalogue.config(entry)
            if name not in inputs:
                if name in required:
                    inner = name.rpartition(".")[2]
                    reasons.append(
                        _reason("required_input_missing", "Required input is missing", inner, input_name=name)
                    )
            elif isinstance(inputs[name], list):
                reason, feeds = self._check_link(node_id, name, inputs[name], config)
                valid = valid and feeds
                if reason:
                    reasons.append(reason)
            else:
                lists_uploads = isinstance(entry[0], dict) and entry[0]["files"] == "input"
                check = self._check_upload if lists_uploads else self._check_value
                reason = check(inputs, name, config)
                if reason:
                    reasons.append(reason)
        # A circle that it is part of may have been found meanwhile.
        passed, known = self._checked.get(node_id, (True, [])) if self._dialect.names_cycles else (True, [])
        found = known + [reason for reason in reasons if reason not in known]
        self._checked[node_id] = (passed and valid and not reasons, found)
        return self._checked[node_id]

    def _cycle(self, node_id: str) -> tuple[bool, list[Reason]]:
        """Refuse the nodes of a circle that ends where it began."""
        path = [*self._visiting[self._visiting.index(node_id) :], node_id]
        nodes = list(dict.fromkeys(path))
        details = " -> ".join(f"{node} ({self._workflow[node]['class_type']})" for node in path)
        for node in nodes:
            about = {"node_id": node, "cycle_nodes": nodes}
            reason = _reason("dependency_cycle", "Dependency cycle detected", details, **about)
            self._checked[node] = (False, [reason])
        return self._checked[node_id]

    def _check_link(self, node_id: str, name: str, link: list[Any], config: list[Any]) -> tuple[Reason | None, bool]:
        """Check one link: (what is wrong with it, whether what feeds it is right)."""
        if len(link) != _LINK_LENGTH:
            return _reason(
                "bad_linked_input",
                "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                name,
                input_name=name,
                input_config=config,
                received_value=link,
            ), True
        source, slot = link
        received = self._catalogue[self._workflow[source]["class_type"]].outputs[slot]
        if not _fits(received, config[0]):
            return _reason(
                "return_type_mismatch",
                "Return type mismatch between linked nodes",
                f"{name}, received_type({received}) mismatch input_type({config[0]})",
                input_name=name,
                input_config=config,
                received_type=received,
                linked_node=link,
            ), True
        try:
            self._visiting.append(node_id)
            try:
                return None, self._check(source)[0]
            finally:
                self._visiting.pop()
        except Exception as error:  # noqa: BLE001 (whatever a broken node raises is its error)
            reason = _reason(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                str(error),
                input_name=name,
                input_config=config,
                exception_message=str(error),
                linked_node=link,
            )
            reason["extra_info"].update(_exception(error))
            self._checked[source] = (False, [reason])
            return None, False

    @staticmethod
    def _check_upload(inputs: dict[str, Any], name: str, config: list[Any]) -> Reason | None:
        """Check that a picture of the input folder is there."""
        if inputs[name] in config[0]:
            return None
        details = f"{name} - Invalid image file: {inputs[name]}"
        return _reason("custom_validation_failed", "Custom validation failed for node", details, input_name=name)

    def _check_value(self, inputs: dict[str, Any], name: str, config: list[Any]) -> Reason | None:
        return _check_value(inputs, name, config, self._dialect)


def _check_value(inputs: dict[str, Any], name: str, config: list[Any], dialect: Version) -> Reason | None:
    """Convert a plain value to its input's type, in place, and check its range or choice."""
    kind, options = config
    value = inputs[name]
    try:
        if isinstance(value, dict) and "__value__" in value:
            value = inputs[name] = value["__value__"]
        if isinstance(kind, str) and kind in _CONVERSIONS:
            value = inputs[name] = _CONVERSIONS[kind](value)
    except Exception as error:  # noqa: BLE001 (an answer to the client, as in ComfyUI)
        return _reason(
            "invalid_input_type",
            f"Failed to convert an input value to a {kind} value",
            f"{name}, {value}, {error}",
            input_name=name,
            input_config=config,
            received_value=value,
            exception_message=str(error),
        )
    about = {"input_name": name, "input_config": config, "received_value": value}
    if "min" in options and value < options["min"]:
        message = f"Value {value} smaller than min of {options['min']}"
        return _reason("value_smaller_than_min", message, name, **about)
    if "max" in options and value > options["max"]:
        message = f"Value {value} bigger than max of {options['max']}"
        return _reason("value_bigger_than_max", message, name, **about)
    choices = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    if isinstance(choices, list) and value not in choices:
        offered, sent = str(choices), repr(value) if dialect.plain_choices else f"'{value}'"
        if len(choices) > _LONG_LIST:
            offered = f"(list of length {len(choices)})"
            about["input_config"] = None
        return _reason("value_not_in_list", "Value not in list", f"{name}: {sent} not in {offered}", **about)
    return None


def _fits(received: object, wanted: object) -> bool:
    """Return whether an output may feed an input: one of the types that they name is common to both, or is any."""
    if received == wanted:
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return isinstance(received, list) and wanted == "COMBO"
    offered, taken = ({name.strip() for name in kinds.split(",")} for kinds in (received, wanted))
    return bool(offered & taken or (offered | taken) & _ANY)


def _reason(kind: str, message: str, details: str, **extra: Any) -> Reason:  # noqa: ANN401 (JSON)
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _refused(kind: str, message: str, details: str) -> Verdict:
    return Verdict(error=_reason(kind, message, details), node_errors={})


def _classless_node(node_id: str, node: dict[str, Any], dialect: Version) -> Verdict:
    if not dialect.missing_node_type:
        message = "Cannot execute because a node is missing the class_type property."
        return _refused("invalid_prompt", message, f"Node ID '#{node_id}'")
    title = node.get("_meta", {}).get("title")
    message = f"Node '{title or f'ID #{node_id}'}' has no class_type. "
    message += "The workflow may be corrupted or a custom node is missing."
    return _missing(message, node_id=node_id, class_type=None, node_title=title)


def _unknown_node(node_id: str, node: dict[str, Any], dialect: Version) -> Verdict:
    class_type = node["class_type"]
    if not dialect.missing_node_type:
        message = f"Cannot execute because node {class_type} does not exist."
        return _refused("invalid_prompt", message, f"Node ID '#{node_id}'")
    title = node.get("_meta", {}).get("title", class_type)
    message = f"Node '{title}' not found. The custom node may not be installed."
    return _missing(message, node_id=node_id, class_type=class_type, node_title=title)


def _missing(message: str, *, node_id: str, **extra: Any) -> Verdict:  # noqa: ANN401 (JSON)
    error = _reason("missing_node_type", message, f"Node ID '#{node_id}'", node_id=node_id, **extra)
    return Verdict(error=error, node_errors={})


def type_name(error: BaseException) -> str:
    """Name an exception's type as ComfyUI does: with its module, unless that is `builtins`."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _exception(error: Exception) -> dict[str, Any]:
    return {"exception_type": type_name(error), "traceback": traceback.format_tb(error.__traceback__)}
