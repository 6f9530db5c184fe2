"""What became of a prompt is read rightly from the messages, in whatever state they arrive."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.comfyui.answers import HistoryEntry, ImageRef, read_message
from plugins.comfyui.client import ComfyUI
from plugins.comfyui.events import Events
from plugins.comfyui.run import Phase, Run, fold, from_history
from plugins.comfyui.watch import Location, status_of
from tests.plugins.comfyui.recorded import RUNS, recording, texts

ENDS = {
    "run_success": Phase.SUCCEEDED,
    "run_identical_again": Phase.SUCCEEDED,
    "run_partly_valid": Phase.SUCCEEDED,
    "run_lora_without_matching_keys": Phase.SUCCEEDED,
    "run_corrupt_lora": Phase.FAILED,
    "run_prefix_escape": Phase.FAILED,
    "run_interrupted": Phase.INTERRUPTED,
}
"""How each recorded run ended; the others were refused before they ran."""
ERRORS = {
    "run_corrupt_lora": "node 10 (LoraLoader) raised safetensors._safetensors_rust.SafetensorError: "
    "Error while deserializing header: header too large",
    "run_prefix_escape": "node 9 (SaveImage) raised Exception: **** ERROR: Saving image outside the output folder",
}
PROMPT = "11111111-1111-4111-8111-111111111111"


def told(kind: str, **data: Any) -> dict[str, Any]:
    """Write a message of the prompt."""
    return {"type": kind, "data": {"prompt_id": PROMPT, **data}}


def folded(run: Run, frame: Mapping[str, Any]) -> Run:
    """Parse a frame and fold it in; what is no message of a prompt changes nothing."""
    message = read_message(frame.get("type"), frame.get("data"))
    return fold(run, message) if message else run


def after(*frames: Mapping[str, Any]) -> Run:
    """Fold frames of the prompt."""
    run = Run(prompt_id=PROMPT)
    for frame in frames:
        run = folded(run, frame)
    return run


def ended(entry: object) -> Run:
    """Read the run from an entry of the history."""
    return from_history(PROMPT, HistoryEntry.model_validate(entry))


def replayed(name: str) -> list[Run]:
    """Fold a recording, and give the run after every frame."""
    runs = [Run(prompt_id=recording(name)["prompt_id"])]
    for frame in texts(name):
        runs.append(folded(runs[-1], frame))
    return runs


def test_every_recorded_run_is_replayed() -> None:
    """A recording that is added here is folded too, or is known to have been refused."""
    refused = {"run_bad_seed", "run_no_outputs", "run_unknown_lora", "run_unknown_node"}
    assert {*ENDS, *refused} == set(RUNS)


@pytest.mark.parametrize("name", ENDS)
def test_recorded_run_ends_as_it_did(name: str) -> None:
    """The frames of a recorded run lead to its phase, its error and its end marker."""
    run = replayed(name)[-1]
    assert ENDS[name] == run.phase
    assert ERRORS.get(name, "") == run.error[: len(ERRORS.get(name, ""))]
    assert bool(run.error) == (name in ERRORS)
    assert run.closed


@pytest.mark.parametrize("name", ENDS)
def test_history_and_socket_agree(name: str) -> None:
    """The history of a recorded run tells the same end, at the same times, as its frames did."""
    recorded = recording(name)
    heard = replayed(name)[-1]
    entry = HistoryEntry.model_validate(recorded["history"][recorded["prompt_id"]])
    read = from_history(recorded["prompt_id"], entry)
    assert (heard.phase, heard.error, heard.started, heard.ended, True) == (
        read.phase,
        read.error,
        read.started,
        read.ended,
        read.closed,
    )


def test_recorded_success_tells_times_and_progress() -> None:
    """A recorded success passes from waiting over sampling 1/2, 2/2 to its end, with the server's times."""
    runs = replayed("run_success")
    assert [(1, 2), (2, 2)] == list(dict.fromkeys((run.value, run.maximum) for run in runs if run.maximum))
    assert ["3"] == list(dict.fromkeys(run.node for run in runs if run.maximum))
    assert [Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED] == list(dict.fromkeys(run.phase for run in runs))
    assert datetime.fromtimestamp(1795379466.953, UTC) == runs[-1].started
    assert datetime.fromtimestamp(1795379468.210, UTC) == runs[-1].ended
    closed = [run.closed for run in runs]
    assert [False, True] == sorted(set(closed))
    assert closed.index(True) == len(runs) - 1


def test_recorded_nodes_come_in_their_order() -> None:
    """A recorded success names each node as it runs."""
    nodes = list(dict.fromkeys(run.node for run in replayed("run_success") if run.node))
    assert ["10", "11", "7", "6", "3", "8", "9"] == nodes


def test_other_prompts_change_nothing() -> None:
    """Messages of somebody else's prompt, of no prompt, and of unknown kinds leave a run as it is."""
    run = Run(prompt_id=PROMPT)
    for frame in [*texts("run_success"), {"type": "status", "data": {}}, {}, {"type": "x", "data": None}]:
        assert run == folded(run, frame)
    assert run == folded(run, told("something_new", node="3"))


@pytest.mark.parametrize("late", ["execution_success", "execution_error", "execution_interrupted", "execution_start"])
def test_an_end_stays_an_end(late: str) -> None:
    """Whatever comes after a failure, it stays one."""
    run = after(told("execution_error", node_id="3", node_type="KSampler", exception_type="E", exception_message="m"))
    assert run == folded(run, told(late, timestamp=1))


def test_end_marker_alone_is_no_success() -> None:
    """The end marker says that the history is there, and nothing of how the run ended."""
    run = after(told("execution_start"), told("executing", node=None))
    assert (True, Phase.RUNNING) == (run.closed, run.phase)


def test_a_new_node_starts_its_progress_anew() -> None:
    """Progress of the sampler is not shown for the node after it."""
    run = after(told("progress", node="3", value=20, max=20), told("executing", node="8"))
    assert ("8", 0, 0) == (run.node, run.value, run.maximum)


def test_progress_may_be_absurd() -> None:
    """A number beyond all floats is still a number."""
    assert 10**400 == after(told("progress", node="3", value=10**400, max=2.5)).value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "7", [7], {}], ids=str)
def test_progress_that_is_no_number_is_ignored(value: object) -> None:
    """Progress that is no number changes nothing, and stops nobody from listening."""
    run = Run(prompt_id=PROMPT)
    assert run == folded(run, told("progress", node="3", value=value, max=20))
    assert run == folded(run, told("progress", node="3", value=1, max=value))


@pytest.mark.parametrize(
    "stamp",
    [10**30, -(10**30), float("nan"), float("inf"), "now", None, 10**400],
    ids=["far", "long-ago", "nan", "inf", "text", "none", "huge"],
)
def test_impossible_times_are_left_out(stamp: object) -> None:
    """A time that cannot be one is none, and the end still counts."""
    run = after(told("execution_success", timestamp=stamp))
    assert (Phase.SUCCEEDED, None) == (run.phase, run.ended)


def test_error_is_told_in_one_short_line() -> None:
    """A long message with line breaks becomes one line of at most 500 characters."""
    run = after(told("execution_error", node_id=3, node_type="K", exception_type="E", exception_message="a\n\n" * 400))
    assert "node 3 (K) raised E: a a a" == run.error[:26]
    assert "\n" not in run.error
    assert len("node 3 (K) raised E: ") + 500 == len(run.error)


@pytest.mark.parametrize(
    "status",
    [
        {"status_str": "error", "completed": False, "messages": []},
        {"status_str": "success", "completed": False, "messages": []},
        {"status_str": "error", "completed": True, "messages": []},
        {"status_str": "success", "completed": "yes"},
        {"messages": [["execution_success", {"prompt_id": PROMPT}]]},
        {"messages": 5},
        {"messages": [5, None, ["execution_success"], [1, 2]]},
        {},
        None,
        "success",
    ],
    ids=str,
)
def test_history_without_full_success_is_a_failure(status: object) -> None:
    """Only `success` and `completed` together are a success."""
    run = ended({"status": status})
    assert Phase.FAILED == run.phase
    assert "the server's history says so, without a reason" == run.error


def test_images_of_the_saving_node_alone() -> None:
    """The pictures are those of the named node, as /view wants them."""
    recorded = recording("run_success")
    outputs = HistoryEntry.model_validate(recorded["history"][recorded["prompt_id"]]).outputs
    assert {"9": (ImageRef(filename="probe_00307_.png", subfolder="", type="output"),)} == outputs


@pytest.mark.parametrize("outputs", [None, [], 5, {"9": None}, {"9": []}, {"9": {"images": 5}}, {"9": {"images": [5]}}])
def test_odd_outputs_hold_no_pictures(outputs: object) -> None:
    """Outputs in another shape than ComfyUI's hold no pictures, and break nothing."""
    assert () == HistoryEntry.model_validate({"outputs": outputs}).outputs.get("9", ())


PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = (
    "execution_start",
    "execution_cached",
    "executing",
    "progress",
    "progress_state",
    "executed",
    "execution_success",
    "execution_error",
    "execution_interrupted",
    "status",
)
WILD = st.fixed_dictionaries(
    {
        "type": st.sampled_from(KINDS) | JSON,
        "data": JSON
        | st.fixed_dictionaries(
            {"prompt_id": st.just(PROMPT)},
            optional=dict.fromkeys(("node", "value", "max", "timestamp", "exception_message"), JSON),
        ),
    }
)


OURS = [
    json.loads(json.dumps(frame).replace(recording(name)["prompt_id"], PROMPT))
    for name in ENDS
    for frame in texts(name)
    if frame["type"] != "progress_state"
]
"""The recorded frames of every run, as if all were our one prompt's."""


@PATIENT
@given(st.lists(st.sampled_from(OURS) | WILD, max_size=12))
def test_no_order_of_messages_invents_a_success(messages: list[dict[str, Any]]) -> None:
    """Lost, doubled, shuffled and senseless messages never crash, and never succeed without a success message."""
    run = after(*messages)
    own = [
        str(message["type"])
        for message in messages
        if isinstance(message["data"], dict) and message["data"].get("prompt_id") == PROMPT
    ]
    assert run.phase is not Phase.SUCCEEDED or "execution_success" in own
    ends = {"execution_success": Phase.SUCCEEDED, "execution_error": Phase.FAILED}
    first = next((kind for kind in own if kind in {*ends, "execution_interrupted"}), None)
    assert run.phase.ended == (first is not None)
    if first is not None:
        assert ends.get(first, Phase.INTERRUPTED) == run.phase


@PATIENT
@given(JSON, JSON)
def test_no_history_invents_a_success(status: object, outputs: object) -> None:
    """A history of any shape never crashes, and succeeds only where it says so in full."""
    run = ended({"status": status, "outputs": outputs})
    full = isinstance(status, dict) and status.get("status_str") == "success" and status.get("completed") is True
    assert (run.phase is Phase.SUCCEEDED) == full


FOREIGN = [
    frame | {"data": frame["data"] | {"prompt_id": "22222222-2222-4222-8222-222222222222"}}
    for frame in OURS
    if isinstance(frame.get("data"), dict) and "prompt_id" in frame["data"]
]
"""The same frames, as if they were somebody else's."""


@PATIENT
@given(st.sampled_from(sorted(ENDS)), st.data())
def test_loss_doubling_and_order_do_not_change_an_end(name: str, data: st.DataObject) -> None:
    """What is left of one recorded run, in any order and however often, ends as that run did, or does not end."""
    frames = [
        json.loads(json.dumps(frame).replace(recording(name)["prompt_id"], PROMPT))
        for frame in texts(name)
        if frame["type"] != "progress_state"
    ]
    heard = data.draw(st.lists(st.sampled_from(frames), max_size=2 * len(frames)))
    run = after(*heard)
    assert run.phase in {Phase.QUEUED, Phase.RUNNING, ENDS[name]}
    assert run.phase.ended == any(frame["type"].removeprefix("execution_") in END_WORDS for frame in heard)


END_WORDS = {"success", "error", "interrupted"}


@PATIENT
@given(st.lists(st.sampled_from(OURS) | WILD, max_size=8), st.data())
def test_messages_of_others_change_nothing_anywhere(messages: list[dict[str, Any]], data: st.DataObject) -> None:
    """Somebody else's messages, wherever they come in between, leave a run as it would be without them."""
    mixed = list(messages)
    for foreign in data.draw(st.lists(st.sampled_from(FOREIGN), max_size=8)):
        mixed.insert(data.draw(st.integers(0, len(mixed))), foreign)
    assert after(*messages) == after(*mixed)


@PATIENT
@given(st.lists(st.text(max_size=20) | st.binary(max_size=20) | WILD.map(json.dumps), max_size=8))
def test_no_frame_stops_the_listening(frames: list[str | bytes]) -> None:
    """Whatever comes out of the socket is passed on or passed over."""
    events = Events.__new__(Events)
    heard: list[Run] = [Run(prompt_id=PROMPT)]
    events._listeners = {PROMPT: lambda message: heard.append(fold(heard[-1], message))}
    for frame in frames:
        events._pass_on(frame)
    assert len(heard) <= len(frames) + 1


class Answering(ComfyUI):
    """A client whose every answer is made up."""

    def __init__(self, answers: list[object]) -> None:
        self.url = "http://127.0.0.1:9"  # type: ignore[misc]
        self._answers = answers

    def _json(self, method: str, path: str) -> Any:
        """Return the next answer; the last one again and again."""
        del method, path
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


QUEUES = st.fixed_dictionaries({"queue_running": JSON, "queue_pending": JSON})
ENTRIES = JSON | st.dictionaries(st.just(PROMPT), JSON)


@PATIENT
@given(ENTRIES, QUEUES | JSON, ENTRIES)
def test_no_answer_is_taken_for_an_end(first: object, queue: object, last: object) -> None:
    """Answers of any shape say where a prompt is, or that nothing is known: an end has an entry of its own."""
    status = status_of(Answering([first, queue, last]), PROMPT, ours=frozenset())
    entries = [answer.get(PROMPT) for answer in (first, last) if isinstance(answer, dict)]
    assert (status.location is Location.ENDED) == (status.entry is not None)
    read = [HistoryEntry.model_validate(entry) for entry in entries if isinstance(entry, dict)]
    assert status.entry is None or status.entry in read
