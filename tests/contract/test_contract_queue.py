"""The queue, the history, and how prompts are stopped."""

import uuid

import pytest

from tests.contract.answers import DONE, INTERNAL, JSON, extra_of, plain
from tests.contract.story import expected, told
from tests.contract.subject import LONG, Subject
from tests.contract.wire import status


def test_queue_as_it_fills(subject: Subject) -> None:
    """What runs and what waits is told with number, id, workflow, extra data and outputs; `/prompt` counts them."""
    wire = subject.connect()
    seed = uuid.uuid4().int % 2**32
    running = subject.busy(wire, seed)
    first, second = (wire.submit(subject.plain(color)) for color in (1, 2))
    told = wire.get("/queue").body
    assert {"queue_running", "queue_pending"} == told.keys()
    (busy,) = told["queue_running"]
    number = busy[0]
    extra = {"client_id": wire.client_id}
    waiting = sorted(told["queue_pending"], key=lambda item: item[0])
    assert [
        [number, running, subject.graph(stem="busy", steps=LONG, seed=seed), extra, ["9"]],
        [number + 1, first, subject.plain(1), extra, ["2"]],
        [number + 2, second, subject.plain(2), extra, ["2"]],
    ] == [[*item[:3], extra_of(item), item[4]] for item in (busy, *waiting)]
    assert {"exec_info": {"queue_remaining": 3}} == wire.get("/prompt").body
    assert {} == wire.get(f"/history/{running}").body == wire.get(f"/history/{first}").body


def test_number_and_front(subject: Subject) -> None:
    """Prompts run by number; `front` counts backwards; a number of one's own may be a fraction."""
    wire = subject.connect()
    subject.busy(wire)
    first, second = (wire.queue(subject.plain(color)) for color in (1, 2))
    front = wire.queue(subject.plain(3), front=True)
    between = wire.queue(subject.plain(4), number=first.body["number"] + 0.5)
    last = wire.queue(subject.plain(5), front=False)
    number = first.body["number"]
    assert [number, number + 1, -(number + 2), number + 0.5, number + 3] == [
        answer.body["number"] for answer in (first, second, front, between, last)
    ]
    order = [answer.body["prompt_id"] for answer in (front, first, between, second, last)]
    assert order == wire.waiting()
    subject.stop(wire, wire.posted[0])
    finished = [wire.follow(prompt_id).history["prompt"][1] for prompt_id in order]
    assert order == finished


def test_delete(subject: Subject) -> None:
    """Deleting takes waiting prompts away, and never the one that runs; what is deleted has no history."""
    wire = subject.connect()
    running = subject.busy(wire)
    first, second, third = (wire.submit(subject.plain(color)) for color in (1, 2, 3))
    assert [2, 3, 4] == wire.statuses(3)
    answer = wire.post("/queue", {"delete": [second, running, "unknown"]})
    assert DONE == plain(answer)
    assert [3] == wire.statuses(1)
    assert ([running], [first, third]) == (wire.running(), wire.waiting())
    wire.post("/queue", {"delete": [first]})
    assert [2] == wire.statuses(1)
    assert {} == wire.get(f"/history/{second}").body


def test_delete_of_the_only_one(subject: Subject) -> None:
    """When the only waiting prompt is deleted, the queue's length is told twice."""
    wire = subject.connect()
    subject.busy(wire)
    only = wire.submit(subject.plain(1))
    assert [2] == wire.statuses(1)
    wire.post("/queue", {"delete": [only]})
    assert [1, 1] == wire.statuses(2)
    assert [] == wire.waiting()


def test_clear(subject: Subject) -> None:
    """Clearing the queue drops all that waits, and leaves what runs alone."""
    wire = subject.connect()
    running = subject.busy(wire)
    for color in (1, 2):
        wire.submit(subject.plain(color))
    if not set(wire.waiting()) <= set(wire.posted):
        pytest.skip("somebody else's prompts wait too")
    assert DONE == plain(wire.post("/queue", {"clear": True}))
    assert [2, 3, 1] == wire.statuses(3)
    assert ([running], []) == (wire.running(), wire.waiting())
    wire.post("/queue", {"clear": False})
    assert [running] == wire.running()


def test_deleting_from_no_list(subject: Subject) -> None:
    """A body that is no object of lists is an internal error; an empty one does nothing."""
    wire = subject.wire()
    assert DONE == plain(wire.post("/queue", {}))
    assert INTERNAL == plain(wire.post("/queue", {"delete": 5}))
    assert INTERNAL == plain(wire.ask("POST", "/queue", data="{"))


def test_interrupt_spares_others(subject: Subject) -> None:
    """An interrupt that names a prompt which waits, or is unknown, does nothing."""
    wire = subject.connect()
    running = subject.busy(wire)
    waiting = wire.submit(subject.plain(1))
    for prompt_id in (waiting, str(uuid.uuid4())):
        assert DONE == plain(wire.post("/interrupt", {"prompt_id": prompt_id}))
    wire.skip()
    for _ in range(2):
        wire.frames_until(lambda kind, _: kind == "progress")
    assert ([running], [waiting]) == (wire.running(), wire.waiting())
    subject.stop(wire, running)
    assert ("success", True, "execution_success") == wire.follow(waiting).ended


@pytest.mark.parametrize("body", [{}, None], ids=["empty object", "no body"])
def test_interrupt_of_whatever_runs(subject: Subject, body: dict[str, str] | None) -> None:
    """An interrupt without an id ends whatever runs."""
    wire = subject.connect()
    running = subject.busy(wire)
    assert [running] == wire.running()  # ours: nobody else's prompt is stopped
    assert DONE == plain(wire.ask("POST", "/interrupt", json=body))
    assert ("error", False, "execution_interrupted") == wire.follow(running).ended


def test_interrupt_of_an_idle_server(subject: Subject) -> None:
    """An interrupt while nothing runs harms no later prompt."""
    wire = subject.connect()
    assert [] == wire.running()
    wire.post("/interrupt", {})
    assert ("success", True, "execution_success") == wire.run(subject.plain(1)).ended


def test_history_of_unknown(subject: Subject) -> None:
    """An unknown id has an empty history."""
    assert {} == subject.wire().get(f"/history/{uuid.uuid4()}").body


def test_history_limits(subject: Subject) -> None:
    """`max_items` gives the newest, `offset` a window; both in order of finishing."""
    wire = subject.connect()
    ours = [wire.run(subject.plain(color)).prompt_id for color in range(4)]
    everything = list(wire.get("/history").body)
    before = len(everything) - 4
    assert ours == everything[before:]
    assert ours[2:] == list(wire.get("/history", max_items="2").body)
    assert ours[1:3] == list(wire.get("/history", max_items="2", offset=str(before + 1)).body)
    assert ours[1:] == list(wire.get("/history", offset=str(before + 1)).body)
    assert everything == list(wire.get("/history", max_items="1000000").body)
    assert everything[:1] == list(wire.get("/history", max_items="0", offset="0").body)
    assert [] == list(wire.get("/history", max_items="2", offset="1000000").body)
    for query in ({"max_items": "many"}, {"offset": "much"}):
        assert INTERNAL == plain(wire.get("/history", **query))


def test_history_delete(subject: Subject) -> None:
    """Finished prompts can be dropped from the history one by one; unknown ids do not matter."""
    wire = subject.connect()
    first, second = (wire.run(subject.plain(color)).prompt_id for color in (1, 2))
    assert DONE == plain(wire.post("/history", {"delete": [first, "unknown"]}))
    assert {} == wire.get(f"/history/{first}").body
    assert second in wire.get("/history").body


def test_history_clear(subject: Subject) -> None:
    """The history can be dropped as a whole."""
    wire = subject.connect()
    wire.run(subject.plain(1))
    if wire.get("/history").body.keys() - set(wire.posted):
        pytest.skip("somebody else's prompts are in the history too")
    assert DONE == plain(wire.post("/history", {"clear": True}))
    assert {} == wire.get("/history").body


def test_same_id_again(subject: Subject) -> None:
    """A second prompt under the same id runs, and takes the first one's place in the history."""
    wire = subject.connect()
    prompt_id = str(uuid.uuid4())
    first = wire.run(subject.plain(1), prompt_id=prompt_id)
    again = wire.run(subject.plain(2), prompt_id=prompt_id)
    assert expected(ran=("1", "2"), shown={"2": {"images": [subject.image("plain", 2)]}}) == told(again)
    assert (1, 2) == tuple(run.history["prompt"][2]["1"]["inputs"]["color"] for run in (first, again))
    assert 1 == list(wire.get("/history").body).count(prompt_id)


def test_same_id_while_it_waits(subject: Subject) -> None:
    """Two prompts under one id wait side by side; deleting the id takes one of them away."""
    wire = subject.connect()
    subject.busy(wire)
    prompt_id = str(uuid.uuid4())
    for color in (1, 2):
        wire.submit(subject.plain(color), prompt_id=prompt_id)
    assert [prompt_id] * 2 == wire.waiting()
    wire.post("/queue", {"delete": [prompt_id]})
    assert [prompt_id] == wire.waiting()


def test_same_id_and_number(subject: Subject) -> None:
    """Two prompts that share id and number cannot be told apart: an internal error, and both wait all the same."""
    wire = subject.connect()
    subject.busy(wire)
    prompt_id = str(uuid.uuid4())
    wire.submit(subject.plain(1), prompt_id=prompt_id, number=5)
    assert INTERNAL == plain(wire.queue(subject.plain(2), prompt_id=prompt_id, number=5))
    assert [prompt_id] * 2 == wire.waiting()


NO_UUID = {
    "error": {
        "type": "invalid_prompt_id",
        "message": "prompt_id must be a valid UUID",
        "details": (
            "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
            "omit it to let the server generate one"
        ),
        "extra_info": {},
    },
    "node_errors": {},
}


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
    assert (400, JSON, NO_UUID) == plain(wire.queue(subject.plain(), prompt_id=prompt_id))
    assert (400, JSON, NO_UUID) == plain(wire.queue({}, prompt_id=prompt_id))
    assert "no_prompt" == wire.post("/prompt", {"prompt_id": prompt_id}).body["error"]["type"]


def test_canonical_id_is_kept(subject: Subject) -> None:
    """A canonical id is the prompt's id."""
    prompt_id = str(uuid.uuid4())
    assert prompt_id == subject.wire().submit(subject.plain(), prompt_id=prompt_id)


def test_prompt_without_id(subject: Subject) -> None:
    """A prompt that names no id, or null, gets a canonical UUID."""
    wire = subject.wire()
    for named in ({}, {"prompt_id": None}):
        body = {"prompt": subject.plain(), "client_id": wire.client_id, **named}
        prompt_id = wire.post("/prompt", body).body["prompt_id"]
        wire.posted.append(prompt_id)
        assert prompt_id == str(uuid.UUID(prompt_id))


def test_queue_keeps_no_secrets(subject: Subject) -> None:
    """Keys for paid nodes are not told while a prompt waits or runs either."""
    wire = subject.connect()
    subject.busy(wire)
    wire.submit(subject.plain(), extra_data={"api_key_comfy_org": "secret"})
    told = wire.get("/queue")
    assert b"secret" not in told.content
    ours = [item for item in told.body["queue_running"] + told.body["queue_pending"] if item[1] in wire.posted]
    assert {5} == {len(item) for item in ours}


def test_statuses_of_two_in_a_row(subject: Subject) -> None:
    """Every change of the queue is told: a prompt comes, is taken, is over."""
    wire = subject.connect()
    other = subject.connect()
    wire.run(subject.plain(1))
    wire.run(subject.plain(2))
    assert [("status", status(length)) for length in (1, 1, 0) * 2] == [other.frame() for _ in range(6)]
