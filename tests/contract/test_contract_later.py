"""What later versions of ComfyUI do differently; played on the stand-in alone, in its later dialect.

Wording and order of checks are those of ComfyUI's server.py and execution.py of 2026.
"""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stand_in.versions import LATER
from tests.contract.answers import DONE, JSON, plain
from tests.contract.servers import stand_in
from tests.contract.story import told
from tests.contract.subject import Server, Subject

ORDER = ("4", "5", "10", "11", "7", "6", "3", "8", "9")


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[Server]:
    """Serve a stand-in that speaks as later versions do."""
    with stand_in(tmp_path_factory.mktemp("later"), made, dialect=LATER) as server:
        yield server


@pytest.fixture
def subject(later: Server) -> Iterator[Subject]:
    """Return a scenario its own corner of it."""
    with later.corner() as subject:
        yield subject


def refusal(kind: str, text: str, details: str, **extra: Any) -> tuple[int, str, Any]:
    """Write the answer to a prompt that is refused as a whole."""
    error = {"type": kind, "message": text, "details": details, "extra_info": extra}
    return 400, JSON, {"error": error, "node_errors": {}}


NO_UUID = refusal(
    "invalid_prompt_id",
    "prompt_id must be a valid UUID",
    "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one",
)


@pytest.mark.parametrize(
    "prompt_id",
    [
        pytest.param("my-own", id="text"),
        pytest.param(7, id="number"),
        pytest.param("", id="empty"),
        pytest.param("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", id="upper case"),
        pytest.param("a0eebc999c0b4ef8bb6d6bb9bd380a11", id="without hyphens"),
        pytest.param("{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", id="in braces"),
        pytest.param("urn:uuid:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", id="as URN"),
    ],
)
def test_ids_must_be_canonical(subject: Subject, prompt_id: object) -> None:
    """Only a canonical lowercase UUID is taken as prompt_id; that is looked at before the workflow is."""
    wire = subject.wire()
    assert NO_UUID == plain(wire.queue(subject.plain(), prompt_id=prompt_id))
    assert NO_UUID == plain(wire.queue({}, prompt_id=prompt_id))
    assert "no_prompt" == wire.post("/prompt", {"prompt_id": prompt_id}).body["error"]["type"]


def test_id_may_be_left_out(subject: Subject) -> None:
    """Where no prompt_id is sent, or null, the server makes one."""
    wire = subject.wire()
    for body in ({}, {"prompt_id": None}):
        prompt_id = wire.post("/prompt", {"prompt": subject.plain(), **body}).body["prompt_id"]
        wire.posted.append(prompt_id)
        assert prompt_id == str(uuid.UUID(prompt_id))


def test_canonical_id_is_kept(subject: Subject) -> None:
    """A canonical id is the prompt's id."""
    prompt_id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert prompt_id == subject.wire().submit(subject.plain(), prompt_id=prompt_id)


@pytest.mark.parametrize(("title", "name"), [(None, "NoSuchSampler"), ("My sampler", "My sampler")])
def test_missing_node_type(subject: Subject, title: str | None, name: str) -> None:
    """An unknown node is told by its title, with id and class."""
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
    """A node without its class is told in the same way."""
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


def test_combo_lists(subject: Subject) -> None:
    """Pickers read `["COMBO", {"options": [...]}]`, and a choice that is not offered is told with that."""
    wire = subject.wire()
    name = subject.lora()
    combo = ["COMBO", {"options": [name]}]
    info = wire.get("/object_info/LoraLoader").body["LoraLoader"]
    assert combo == info["input"]["required"]["lora_name"]
    graph = subject.graph("nope.safetensors")
    (error,) = wire.queue(graph).body["node_errors"]["10"]["errors"]
    assert {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"lora_name: 'nope.safetensors' not in ['{name}']",
        "extra_info": {"input_name": "lora_name", "input_config": combo, "received_value": "nope.safetensors"},
    } == error


def test_choice_of_another_type(subject: Subject) -> None:
    """A choice that is no text is told as it is, without quotes."""
    graph = subject.graph(subject.lora(), scheduler=3)
    (error,) = subject.wire().queue(graph).body["node_errors"]["3"]["errors"]
    assert error["details"].startswith("scheduler: 3 not in [")


def test_extra_data_tells_when(subject: Subject) -> None:
    """The history tells when a prompt was posted, in milliseconds."""
    wire = subject.connect()
    extra = wire.run(subject.plain()).history["prompt"][3]
    assert {"client_id", "create_time"} == extra.keys()
    assert isinstance(extra["create_time"], int)


def test_queue_keeps_no_secrets(subject: Subject) -> None:
    """Keys for paid nodes are not told while a prompt waits or runs either."""
    wire = subject.connect()
    subject.busy(wire)
    wire.submit(subject.plain(), extra_data={"api_key_comfy_org": "secret"})
    told = wire.get("/queue")
    assert b"secret" not in told.content
    assert [5, 5] == [len(item) for item in told.body["queue_running"] + told.body["queue_pending"]]


def test_below_api(subject: Subject) -> None:
    """All that a client needs works below /api alone."""
    wire = subject.wire()
    wire.listen("/api/ws")
    body = {"prompt": subject.graph(subject.lora()), "client_id": wire.client_id, "prompt_id": str(uuid.uuid4())}
    wire.posted.append(body["prompt_id"])
    assert 200 == wire.post("/api/prompt", body).status
    run = wire.follow(body["prompt_id"])
    assert "success" == wire.get(f"/api/history/{run.prompt_id}").body[run.prompt_id]["status"]["status_str"]
    assert 200 == wire.get("/api/view", **run.images()[0]).status
    assert DONE == plain(wire.post("/api/queue", {"delete": [run.prompt_id]}))


def test_a_run_is_told_as_before(subject: Subject) -> None:
    """Apart from that, a prompt runs as it always did."""
    subject.forget()
    wire = subject.connect()
    run = wire.run(subject.graph(subject.lora()))
    assert list(ORDER) == [line[1] for line in told(run) if line[0] == "executing" and line[1]]
    assert ("success", True, "execution_success") == run.ended
