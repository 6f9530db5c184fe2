"""A refusal is told in words: which node, which input, what was sent, what is allowed."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.comfyui.rejection import describe_rejection
from tests.plugins.comfyui.recorded import recording

LORAS = "spyke_plasma_v1_step800.safetensors, spyke_plasma_v1_step600.safetensors"
TOLD = {
    "run_bad_seed": "\n  node 3 (KSampler), input seed: sent -1, allowed 0 to 18446744073709551615",
    "run_no_outputs": "\n  Prompt has no outputs",
    "run_unknown_node": "\n  Cannot execute because node NoSuchSampler does not exist. (Node ID '#3')",
    "run_partly_valid": "\n  node 21 (VAEDecode), input vae: nothing was sent, but it is required",
}


@pytest.mark.parametrize("name", TOLD)
def test_recorded_refusal_is_told(name: str) -> None:
    """What a real server refused, in whole or in part, is told in one line."""
    post = recording(name)["post"]
    assert TOLD[name] == describe_rejection(post["response"]["body"], post["request"]["json"]["prompt"])


def test_recorded_unknown_lora_names_what_is_listed() -> None:
    """A name that is not in a list is told with the list, nearest first."""
    post = recording("run_unknown_lora")["post"]
    told = describe_rejection(post["response"]["body"], post["request"]["json"]["prompt"])
    start = "\n  node 10 (LoraLoader), input lora_name: sent 'nope.safetensors', allowed "
    assert start == told[: len(start)]
    names = told[len(start) :].split(", ")
    listed = post["response"]["body"]["node_errors"]["10"]["errors"][0]["extra_info"]["input_config"][0]
    assert sorted(listed) == sorted(names)


def test_recorded_empty_post_is_told() -> None:
    """A refusal without nodes is told by its message and details."""
    answer = recording("post_empty")["exchange"]["response"]["body"]
    assert "\n  No prompt provided (No prompt provided)" == describe_rejection(answer, {})


def refused(config: Any, *, sent: str = "eulr") -> dict[str, Any]:
    """Write a refusal of the sampler's name."""
    extra = {"input_name": "sampler_name", "input_config": config, "received_value": sent}
    error = {"type": "value_not_in_list", "message": "Value not in list", "details": "", "extra_info": extra}
    return {"error": {}, "node_errors": {"7": {"class_type": "KSampler", "errors": [error]}}}


@pytest.mark.parametrize(
    ("config", "allowed"),
    [
        pytest.param([["ddim", "euler"], {}], ", allowed euler, ddim", id="list"),
        pytest.param(["COMBO", {"options": ["ddim", "euler"]}], ", allowed euler, ddim", id="combo"),
        pytest.param(
            [[f"n{i}" for i in range(12)], {}], ", allowed n0, n1, n2, n3, n4, n5, n6, n7 and 4 more", id="long"
        ),
        pytest.param([[], {}], ", allowed nothing: its list is empty", id="empty"),
        pytest.param(["COMBO", {}], ": Value not in list", id="combo_without_options"),
        pytest.param(["INT", {"min": 1, "max": 9}], ", allowed 1 to 9", id="range"),
        pytest.param(None, ": Value not in list", id="not_spelled_out"),
        pytest.param("STRING", ": Value not in list", id="odd"),
    ],
)
def test_what_is_allowed_is_told(config: Any, allowed: str) -> None:
    """Lists of both shapes, long and empty ones, and ranges are told; what is not spelled out is left to the server."""
    assert f"\n  node 7 (KSampler), input sampler_name: sent 'eulr'{allowed}" == describe_rejection(refused(config), {})


def test_each_mistake_has_its_line() -> None:
    """Two mistakes in one node, and one without an input, are three lines."""
    answer = refused(["INT", {"min": 1, "max": 9}])
    errors = answer["node_errors"]["7"]["errors"]
    errors.append({"type": "bad", "message": "Something", "details": "else"})
    answer["node_errors"]["8"] = {"errors": [{"type": "custom", "details": ""}]}
    graph = {"8": {"class_type": "VAEDecode", "inputs": {}}}
    assert [
        "",
        "  node 7 (KSampler), input sampler_name: sent 'eulr', allowed 1 to 9",
        "  node 7 (KSampler): Something (else)",
        "  node 8 (VAEDecode): custom",
    ] == describe_rejection(answer, graph).split("\n")


def test_what_was_sent_is_looked_up_in_the_graph() -> None:
    """Where the server does not repeat what was sent, our own graph tells it."""
    answer = refused(["INT", {"min": 1, "max": 9}])
    del answer["node_errors"]["7"]["errors"][0]["extra_info"]["received_value"]
    graph = {"7": {"class_type": "KSampler", "inputs": {"sampler_name": "mine"}}}
    assert "sent 'mine', allowed 1 to 9" in describe_rejection(answer, graph)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
EXTRA = JSON | st.fixed_dictionaries({}, optional={"input_name": JSON, "input_config": JSON, "received_value": JSON})
ERROR = JSON | st.fixed_dictionaries({}, optional={"type": JSON, "message": JSON, "details": JSON, "extra_info": EXTRA})
NODE = JSON | st.fixed_dictionaries({}, optional={"class_type": JSON, "errors": JSON | st.lists(ERROR, max_size=2)})
ANSWER = JSON | st.fixed_dictionaries(
    {}, optional={"error": JSON | ERROR, "node_errors": JSON | st.dictionaries(st.text(max_size=3), NODE, max_size=2)}
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANSWER)
def test_any_refusal_can_be_told(answer: Any) -> None:
    """Whatever a server answers is told in some words, and never breaks the telling."""
    assert "" != describe_rejection(answer, {"7": {"class_type": "KSampler", "inputs": {}}})
