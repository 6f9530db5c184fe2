"""Queue, history and interrupt."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_client import Client, graph

from plugins.demo.serving import serve


@pytest.fixture
def slow(comfyui: Path) -> Iterator[Client]:
    """Connect a client to a stand-in that needs far longer for a picture than a test may take."""
    with serve(comfyui, seconds_per_image=30.0) as serving, Client(serving.url) as client:
        yield client


def pending(client: Client) -> list[str]:
    """Give the ids that wait, in the order in which they will run."""
    return [item[1] for item in sorted(client.get("/queue").json()["queue_pending"])]


def busy(client: Client) -> str:
    """Queue a prompt and wait until it runs."""
    prompt_id = client.submit(graph(steps=300))
    client.frames_until(lambda frame: frame[0] == "execution_start")
    return prompt_id


def test_number_and_front_decide_the_order(slow: Client) -> None:
    """Prompts run by number; `front` goes before all, and the reply tells the number."""
    busy(slow)
    first, second = slow.submit(graph(seed=2)), slow.submit(graph(seed=3))
    body = {"prompt": graph(seed=4), "front": True, "prompt_id": "in-front"}
    assert -3 == slow.post("/prompt", body).json()["number"]
    body = {"prompt": graph(seed=5), "number": 1.5, "prompt_id": "between"}
    assert 1.5 == slow.post("/prompt", body).json()["number"]
    assert ["in-front", first, "between", second] == pending(slow)


def test_delete_and_clear(slow: Client) -> None:
    """Deleting takes waiting prompts away, and never the one that runs."""
    running = busy(slow)
    first, second = slow.submit(graph(seed=2)), slow.submit(graph(seed=3))
    slow.post("/queue", {"delete": [first, running, "unknown"]})
    assert [second] == pending(slow)
    slow.frames_until(lambda frame: frame == ("status", {"status": {"exec_info": {"queue_remaining": 3}}}))
    slow.frames_until(lambda frame: frame == ("status", {"status": {"exec_info": {"queue_remaining": 2}}}))
    slow.post("/queue", {"clear": True})
    assert [] == pending(slow)
    assert [running] == [item[1] for item in slow.get("/queue").json()["queue_running"]]
    assert {} == slow.get(f"/history/{first}").json()


def test_interrupt_by_id_spares_the_others(slow: Client) -> None:
    """An interrupt that names another prompt does nothing; one that names the running one ends it."""
    running = busy(slow)
    waiting = slow.submit(graph(seed=2, steps=300))
    slow.post("/interrupt", {"prompt_id": waiting})
    slow.frames_until(lambda frame: frame[0] == "progress")
    assert [waiting] == pending(slow)
    slow.post("/interrupt", {"prompt_id": running})
    assert "error" == slow.follow(running).history["status"]["status_str"]
    slow.frames_until(lambda frame: frame[0] == "execution_start")
    assert [waiting] == [item[1] for item in slow.get("/queue").json()["queue_running"]]


def test_interrupt_without_a_body_ends_whatever_runs(slow: Client) -> None:
    """An interrupt without an id ends the running prompt."""
    running = busy(slow)
    assert 200 == slow.post("/interrupt").status_code
    run = slow.follow(running)
    assert "execution_interrupted" == run.history["status"]["messages"][-1][0]
    assert not run.history["status"]["completed"]


def test_interrupt_of_an_idle_server_is_forgotten(client: Client) -> None:
    """An interrupt while nothing runs harms no later prompt."""
    client.post("/interrupt")
    assert "success" == client.run(graph()).history["status"]["status_str"]


def test_history_limits(client: Client) -> None:
    """`max_items` gives the newest, `offset` a window; both in order of finishing."""
    ids = [client.run(graph(seed=seed)).prompt_id for seed in range(4)]
    assert ids == list(client.get("/history").json())
    assert ids[2:] == list(client.get("/history?max_items=2").json())
    assert ids[1:3] == list(client.get("/history?max_items=2&offset=1").json())
    assert ids == list(client.get("/history?max_items=9").json())
    assert 500 == client.get("/history?max_items=many").status_code


def test_history_delete_and_clear(client: Client) -> None:
    """Finished prompts can be dropped one by one, or all at once."""
    first, second = (client.run(graph(seed=seed)).prompt_id for seed in (1, 2))
    client.post("/history", {"delete": [first, "unknown"]})
    assert [second] == list(client.get("/history").json())
    client.post("/history", {"clear": True})
    assert {} == client.get("/history").json()


def test_history_keeps_no_secrets(client: Client) -> None:
    """Keys for paid nodes are not in the history; other extra data is."""
    extra = {"api_key_comfy_org": "key", "auth_token_comfy_org": "token", "extra_pnginfo": {"workflow": {"a": 1}}}
    run = client.run(graph(), extra_data=extra)
    assert {"client_id": client.client_id, "extra_pnginfo": {"workflow": {"a": 1}}} == run.history["prompt"][3]


def test_repeated_prompt_id_overwrites_its_history(client: Client) -> None:
    """A second prompt under the same id runs, and takes the first one's place in the history."""
    prompt_id = str(uuid.uuid4())
    client.run(graph(seed=1), prompt_id=prompt_id)
    again = client.run(graph(seed=2), prompt_id=prompt_id)
    assert 2 == again.history["prompt"][2]["3"]["inputs"]["seed"]
    assert [prompt_id] == list(client.get("/history").json())


def test_prompt_without_an_id_gets_one(client: Client) -> None:
    """A prompt that names no id gets a UUID."""
    reply = client.post("/prompt", {"prompt": graph(), "client_id": client.client_id}).json()
    assert reply["prompt_id"] == str(uuid.UUID(reply["prompt_id"]))
    client.frames_of(reply["prompt_id"])


def test_refused_prompts_use_up_numbers(client: Client) -> None:
    """A prompt that is refused takes a number all the same."""
    client.post("/prompt", {})
    client.post("/prompt", {"prompt": {}})
    assert 2 == client.post("/prompt", {"prompt": graph()}).json()["number"]


def test_picture_holds_the_workflow(client: Client) -> None:
    """The PNG has the prompt, the workflow from extra_pnginfo, and says that it is simulated."""
    run = client.run(graph(), extra_data={"extra_pnginfo": {"workflow": {"nodes": []}}})
    assert run.picture is not None
    assert graph() == json.loads(run.picture.info["prompt"])
    assert {"nodes": []} == json.loads(run.picture.info["workflow"])
    assert "stand-in" in run.picture.info["simulated"]
