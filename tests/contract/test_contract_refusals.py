"""What may not run, and in which words that is told."""

from typing import Any

import pytest

from tests.contract.answers import INTERNAL, JSON, Plain, plain
from tests.contract.subject import Subject
from tests.contract.wire import Wire


def refusal(kind: str, text: str, details: str, **extra: Any) -> Plain:
    """Write the answer to a prompt that is refused as a whole."""
    error = {"type": kind, "message": text, "details": details, "extra_info": extra}
    return 400, JSON, {"error": error, "node_errors": {}}


def config(wire: Wire, node: str, name: str) -> list[Any]:
    """Return an input's type and options as an error tells them: without the user interface's words."""
    entry = wire.get(f"/object_info/{node}").body[node]["input"]["required"][name]
    return [entry[0], entry[1] if len(entry) > 1 else {}]


def blamed(subject: Subject, wire: Wire, node: str, name: str, value: Any) -> dict[str, Any]:
    """Send the recorded workflow with one input changed; give the one error of the node that is blamed."""
    graph = subject.graph(subject.lora())
    graph[node]["inputs"][name] = value
    answer = wire.queue(graph)
    assert (400, JSON) == (answer.status, answer.content_type)
    assert {"error", "node_errors"} == answer.body.keys()
    top = answer.body["error"]
    assert ("prompt_outputs_failed_validation", "Prompt outputs failed validation", {}) == (
        *(top["type"], top["message"]),
        top["extra_info"],
    )
    ((found, told),) = answer.body["node_errors"].items()
    assert {"dependent_outputs": ["9"], "class_type": graph[found]["class_type"]} == {
        key: value for key, value in told.items() if key != "errors"
    }
    (error,) = told["errors"]
    # Only an output's own mistakes are spelled out at the top.
    assert (f"{error['message']}: {error['details']}" if found == "9" else "") == top["details"]
    return {"node": found, **error}


def test_bad_json(subject: Subject) -> None:
    """A body that is no JSON is an internal error, told in text."""
    answer = subject.wire().ask("POST", "/prompt", data="{not json", headers={"Content-Type": "application/json"})
    assert INTERNAL == plain(answer)


def test_empty_body(subject: Subject) -> None:
    """An empty object holds no prompt; an empty body is no JSON."""
    wire = subject.wire()
    assert refusal("no_prompt", "No prompt provided", "No prompt provided") == plain(wire.post("/prompt", {}))
    assert INTERNAL == plain(wire.ask("POST", "/prompt"))


@pytest.mark.parametrize("prompt", [None, [1], {"1": 5}, "text"], ids=["null", "list", "number as node", "text"])
def test_no_workflow(subject: Subject, prompt: object) -> None:
    """What cannot even be looked through is an internal error, and the server goes on."""
    wire = subject.wire()
    assert INTERNAL == plain(wire.post("/prompt", {"prompt": prompt}))
    assert 200 == wire.get("/prompt").status


def test_number_that_is_none(subject: Subject) -> None:
    """A place in the queue that is no number is an internal error."""
    assert INTERNAL == plain(subject.wire().queue(subject.plain(), number="first"))


def test_no_outputs(subject: Subject) -> None:
    """A workflow without an output node is refused, an empty one too."""
    wire = subject.wire()
    graph = subject.graph()
    del graph["9"]
    for workflow in (graph, {}):
        assert refusal("prompt_no_outputs", "Prompt has no outputs", "") == plain(wire.queue(workflow))


@pytest.mark.parametrize(("title", "name"), [(None, "NoSuchSampler"), ("My sampler", "My sampler")])
def test_unknown_node(subject: Subject, title: str | None, name: str) -> None:
    """A node type that the server does not have is named by the node's title, with its id and class."""
    graph = subject.graph()
    graph["3"]["class_type"] = "NoSuchSampler"
    if title:
        graph["3"]["_meta"] = {"title": title}
    assert refusal(
        "missing_node_type",
        f"Node '{name}' not found. The custom node may not be installed.",
        "Node ID '#3'",
        node_id="3",
        class_type="NoSuchSampler",
        node_title=name,
    ) == plain(subject.wire().queue(graph))


@pytest.mark.parametrize(("title", "name"), [(None, "ID #3"), ("My sampler", "My sampler")])
def test_node_without_class(subject: Subject, title: str | None, name: str) -> None:
    """A node without its class is named in the same way."""
    graph = subject.graph()
    del graph["3"]["class_type"]
    if title:
        graph["3"]["_meta"] = {"title": title}
    assert refusal(
        "missing_node_type",
        f"Node '{name}' has no class_type. The workflow may be corrupted or a custom node is missing.",
        "Node ID '#3'",
        node_id="3",
        class_type=None,
        node_title=title,
    ) == plain(subject.wire().queue(graph))


def test_the_interfaces_own_save(subject: Subject) -> None:
    """A workflow in the user interface's own form is an internal error: its first key holds no node."""
    saved = {"id": "x", "last_node_id": 9, "nodes": [], "links": []}
    assert INTERNAL == plain(subject.wire().queue(saved))


def test_unknown_lora(subject: Subject) -> None:
    """A LoRA that is not listed is told with the list, unless that has more than 20 names."""
    wire = subject.wire()
    subject.lora()
    listed = wire.get("/models/loras").body
    assert {
        "node": "10",
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"lora_name: 'nope.safetensors' not in {listed}",
        "extra_info": {
            "input_name": "lora_name",
            "input_config": config(wire, "LoraLoader", "lora_name"),
            "received_value": "nope.safetensors",
        },
    } == blamed(subject, wire, "10", "lora_name", "nope.safetensors")
    for number in range(21):
        subject.lora(f"l{number}", "a")
    count = len(wire.get("/models/loras").body)
    error = blamed(subject, wire, "10", "lora_name", "nope.safetensors")
    assert f"lora_name: 'nope.safetensors' not in (list of length {count})" == error["details"]
    assert error["extra_info"]["input_config"] is None


SMALL, BIG = "value_smaller_than_min", "value_bigger_than_max"


@pytest.mark.parametrize(
    ("place", "value", "kind", "message"),
    [
        pytest.param(("3", "seed"), -1, SMALL, "Value -1 smaller than min of 0", id="seed below"),
        pytest.param(("3", "seed"), 2**64, BIG, f"Value {2**64} bigger than max of {2**64 - 1}", id="seed above"),
        pytest.param(("3", "steps"), 0, SMALL, "Value 0 smaller than min of 1", id="steps below"),
        pytest.param(("3", "steps"), 10001, BIG, "Value 10001 bigger than max of 10000", id="steps above"),
        pytest.param(("3", "cfg"), 100.5, BIG, "Value 100.5 bigger than max of 100.0", id="cfg above"),
        pytest.param(("3", "denoise"), 1.1, BIG, "Value 1.1 bigger than max of 1.0", id="denoise above"),
        pytest.param(("5", "width"), 8, SMALL, "Value 8 smaller than min of 16", id="width below"),
        pytest.param(("5", "height"), 16392, BIG, "Value 16392 bigger than max of 16384", id="height above"),
        pytest.param(("5", "batch_size"), 4097, BIG, "Value 4097 bigger than max of 4096", id="batch above"),
        pytest.param(("10", "strength_model"), -101, SMALL, "Value -101.0 smaller than min of -100.0", id="strength"),
        pytest.param(("11", "stop_at_clip_layer"), 0, BIG, "Value 0 bigger than max of -1", id="clip skip above"),
        pytest.param(
            ("11", "stop_at_clip_layer"), -25, SMALL, "Value -25 smaller than min of -24", id="clip skip below"
        ),
    ],
)
def test_out_of_range(subject: Subject, place: tuple[str, str], value: Any, kind: str, message: str) -> None:
    """A number out of its range is told with the limit, after it was converted to the input's type."""
    node, name = place
    wire = subject.wire()
    class_type = subject.graph("x")[node]["class_type"]
    received = float(value) if "." in message.split()[1] else value
    about = {"input_name": name, "input_config": _bare(config(wire, class_type, name)), "received_value": received}
    error = blamed(subject, wire, node, name, value)
    error["extra_info"]["input_config"] = _bare(error["extra_info"]["input_config"])
    assert {"node": node, "type": kind, "message": message, "details": name, "extra_info": about} == error


def _bare(told: list[Any]) -> list[Any]:
    kind, options = told
    return [kind, {key: value for key, value in options.items() if key not in {"tooltip", "advanced"}}]


@pytest.mark.parametrize(
    ("node", "name", "value", "details"),
    [
        pytest.param("3", "seed", "abc", "invalid literal for int() with base 10: 'abc'", id="text as number"),
        pytest.param("3", "cfg", None, "float() argument must be a string or a real number, not 'NoneType'", id="null"),
        pytest.param(
            "3", "cfg", {"a": 1}, "float() argument must be a string or a real number, not 'dict'", id="object"
        ),
    ],
)
def test_wrong_type(subject: Subject, node: str, name: str, value: Any, details: str) -> None:
    """A value that cannot be converted is told with Python's own words."""
    wire = subject.wire()
    kind = config(wire, "KSampler", name)[0]
    error = blamed(subject, wire, node, name, value)
    del error["extra_info"]["input_config"]
    assert {
        "node": node,
        "type": "invalid_input_type",
        "message": f"Failed to convert an input value to a {kind} value",
        "details": f"{name}, {value}, {details}",
        "extra_info": {"input_name": name, "received_value": value, "exception_message": details},
    } == error


@pytest.mark.parametrize(
    ("node", "name", "value"),
    [
        pytest.param("3", "sampler_name", "zip", id="sampler"),
        pytest.param("3", "scheduler", 3, id="number as scheduler"),
        pytest.param("10", "lora_name", "a", id="LoRA without its ending"),
        pytest.param("4", "ckpt_name", "tiny", id="base model"),
    ],
)
def test_not_in_list(subject: Subject, node: str, name: str, value: Any) -> None:
    """A choice that is not offered is told, with the list where that is short."""
    wire = subject.wire()
    subject.lora()
    class_type = subject.graph("x")[node]["class_type"]
    choices = config(wire, class_type, name)[0]
    short = len(choices) <= 20
    error = blamed(subject, wire, node, name, value)
    if short:
        assert choices == error["extra_info"].pop("input_config")[0]
    assert {
        "node": node,
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"{name}: {value!r} not in {choices if short else f'(list of length {len(choices)})'}",
        "extra_info": {"input_name": name, "received_value": value} | ({} if short else {"input_config": None}),
    } == error


def test_link_of_another_type(subject: Subject) -> None:
    """A link from an output of another type is told with both types."""
    error = blamed(subject, subject.wire(), "3", "model", ["4", 1])
    del error["extra_info"]["input_config"]
    assert {
        "node": "3",
        "type": "return_type_mismatch",
        "message": "Return type mismatch between linked nodes",
        "details": "model, received_type(CLIP) mismatch input_type(MODEL)",
        "extra_info": {"input_name": "model", "received_type": "CLIP", "linked_node": ["4", 1]},
    } == error


def test_link_of_another_length(subject: Subject) -> None:
    """A list that is no pair is no link."""
    error = blamed(subject, subject.wire(), "3", "model", ["4", 0, 0])
    del error["extra_info"]["input_config"]
    assert {
        "node": "3",
        "type": "bad_linked_input",
        "message": "Bad linked input, must be a length-2 list of [node_id, slot_index]",
        "details": "model",
        "extra_info": {"input_name": "model", "received_value": ["4", 0, 0]},
    } == error


@pytest.mark.parametrize(
    ("link", "kind", "details"),
    [
        pytest.param(["99", 0], "KeyError", "'99'", id="no such node"),
        pytest.param(["4", 7], "IndexError", "tuple index out of range", id="no such slot"),
    ],
)
def test_link_to_nowhere(subject: Subject, link: list[Any], kind: str, details: str) -> None:
    """A link to a node or slot that is not there blames the node with the link, as an inner exception."""
    error = blamed(subject, subject.wire(), "3", "model", link)
    extra = error["extra_info"]
    assert all(isinstance(text, str) for text in extra.pop("traceback"))
    del extra["input_config"]
    assert {
        "node": "3",
        "type": "exception_during_inner_validation",
        "message": "Exception when validating inner node",
        "details": details,
        "extra_info": {
            "input_name": "samples",
            "exception_message": details,
            "exception_type": kind,
            "linked_node": ["3", 0],
        },
    } == error


def test_output_linked_to_nowhere(subject: Subject) -> None:
    """A link to nowhere in an output node itself is told at the top too."""
    error = blamed(subject, subject.wire(), "9", "images", ["77", 0])
    assert all(isinstance(text, str) for text in error["extra_info"].pop("traceback"))
    assert {
        "node": "9",
        "type": "exception_during_validation",
        "message": "Exception when validating node",
        "details": "'77'",
        "extra_info": {"exception_type": "KeyError"},
    } == error


def test_missing_input(subject: Subject) -> None:
    """A required input that is missing is named."""
    wire = subject.wire()
    graph = subject.graph()
    del graph["3"]["inputs"]["model"]
    (error,) = wire.queue(graph).body["node_errors"]["3"]["errors"]
    assert {
        "type": "required_input_missing",
        "message": "Required input is missing",
        "details": "model",
        "extra_info": {"input_name": "model"},
    } == error


def test_two_mistakes(subject: Subject) -> None:
    """Mistakes in several nodes, and several in one node, are all told."""
    graph = subject.graph(steps=0, cfg=-1)
    graph["5"]["inputs"]["width"] = 1
    told = subject.wire().queue(graph).body["node_errors"]
    found = {node: sorted(error["details"] for error in entry["errors"]) for node, entry in told.items()}
    assert {"3": ["cfg", "steps"], "5": ["width"]} == found


def test_values_are_converted(subject: Subject) -> None:
    """Numbers given as text, whole numbers for fractions, and wrapped values are taken, and told back converted."""
    wire = subject.connect()
    graph = subject.plain()
    graph["1"]["inputs"] |= {"width": "16", "height": 16.9, "color": {"__value__": 255}}
    graph["2"]["inputs"]["filename_prefix"] = {"__value__": subject.prefix("x")}
    inputs = wire.run(graph).history["prompt"][2]
    assert {"width": 16, "height": 16, "batch_size": 1, "color": 255} == inputs["1"]["inputs"]
    assert subject.prefix("x") == inputs["2"]["inputs"]["filename_prefix"]


def test_refused_prompts_use_up_numbers(subject: Subject) -> None:
    """A prompt that is refused takes a number all the same, and leaves nothing in queue or history."""
    wire = subject.connect()
    first = wire.queue(subject.plain(1)).body["number"]
    refused = wire.queue({})
    wire.post("/prompt", {})
    assert first + 3 == wire.queue(subject.plain(2)).body["number"]
    assert "error" in refused.body
    assert {} == wire.get(f"/history/{wire.posted[1]}").body
