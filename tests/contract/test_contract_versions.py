"""What other versions of ComfyUI do otherwise; played on the stand-in alone, as it speaks for 0.3.64 or a later one."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stand_in.versions import EARLIER, LATER
from tests.contract.answers import JSON, plain
from tests.contract.servers import stand_in
from tests.contract.story import told
from tests.contract.subject import Server, Subject
from tests.contract.trimming import trimmed

ORDER = ("4", "5", "10", "11", "7", "6", "3", "8", "9")
RECORDINGS = Path(__file__).parent / "recordings" / "0.3.64"
INFOS = {
    exchange["request"]["path"].rpartition("/")[2]: exchange["response"]["body"]
    for exchange in json.loads((RECORDINGS / "object_info.json").read_text(encoding="utf-8"))["exchanges"]
}
FILES = {"ckpt_name": "checkpoints", "lora_name": "loras", "vae_name": "vae"}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[Server]:
    """Serve a stand-in that speaks as 0.3.64 does."""
    with stand_in(tmp_path_factory.mktemp("earlier"), made, dialect=EARLIER) as server:
        yield server


@pytest.fixture
def subject(earlier: Server) -> Iterator[Subject]:
    """Return a scenario its own corner of it."""
    with earlier.corner() as subject:
        yield subject


@pytest.fixture
def later(tmp_path: Path, made: Path) -> Iterator[Subject]:
    """Return a corner of a stand-in whose pickers are all of the new kind."""
    with stand_in(tmp_path, made, dialect=LATER) as server, server.corner() as subject:
        yield subject


def refusal(text: str, details: str) -> tuple[int, str, Any]:
    """Write the answer to a prompt whose nodes are not known."""
    error = {"type": "invalid_prompt", "message": text, "details": details, "extra_info": {}}
    return 400, JSON, {"error": error, "node_errors": {}}


@pytest.mark.parametrize("prompt_id", ["my-own", 7, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"], ids=str)
def test_any_id_will_do(subject: Subject, prompt_id: object) -> None:
    """An id may be anything, and is told back as text."""
    answer = subject.wire().queue(subject.plain(), prompt_id=prompt_id)
    assert (200, str(prompt_id)) == (answer.status, answer.body["prompt_id"])


def test_unknown_node(subject: Subject) -> None:
    """A node type that the server does not have is named, with the node's id."""
    graph = subject.graph()
    graph["3"]["class_type"] = "NoSuchSampler"
    answer = subject.wire().queue(graph)
    assert refusal("Cannot execute because node NoSuchSampler does not exist.", "Node ID '#3'") == plain(answer)


def test_node_without_class(subject: Subject) -> None:
    """A node without its class is named; so is the first key of the user interface's own save."""
    wire = subject.wire()
    graph = subject.graph()
    del graph["3"]["class_type"]
    words = "Cannot execute because a node is missing the class_type property."
    assert refusal(words, "Node ID '#3'") == plain(wire.queue(graph))
    saved = {"id": "x", "last_node_id": 9, "nodes": [], "links": []}
    assert refusal(words, "Node ID '#id'") == plain(wire.queue(saved))


def test_choice_of_another_type(subject: Subject) -> None:
    """A choice that is no text is quoted like one."""
    graph = subject.graph(subject.lora(), scheduler=3)
    (error,) = subject.wire().queue(graph).body["node_errors"]["3"]["errors"]
    assert error["details"].startswith("scheduler: '3' not in [")


def test_extra_data_is_kept_as_it_came(subject: Subject) -> None:
    """Nothing is added to extra data, and keys for paid nodes are told while a prompt waits."""
    wire = subject.connect()
    assert {"client_id": wire.client_id} == wire.run(subject.plain()).history["prompt"][3]
    subject.busy(wire)
    wire.submit(subject.plain(1), extra_data={"api_key_comfy_org": "secret"})
    assert b"secret" in wire.get("/queue").content


@pytest.mark.parametrize("node", INFOS)
def test_object_info(subject: Subject, node: str) -> None:
    """A node type is described as recorded: inputs, ranges, defaults, choices, outputs; files as /models lists them."""
    wire = subject.wire()
    told, recorded = trimmed(wire.get(f"/object_info/{node}").body), copy.deepcopy(INFOS[node])
    for name, entry in recorded[node]["input"]["required"].items():
        if name in FILES:
            # Read from the recording, where it is no file: VAELoader can do without one.
            entry[0] = wire.get(f"/models/{FILES[name]}").body + [kind for kind in entry[0] if "." not in kind]
    assert recorded == told


def test_links_in_a_circle(subject: Subject) -> None:
    """Nodes that feed each other are refused without a word about them."""
    graph = subject.plain()
    graph["1"] = {"class_type": "ImageInvert", "inputs": {"image": ["3", 0]}}
    graph["3"] = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}}
    status, _, body = plain(subject.wire().queue(graph))
    assert (400, "prompt_outputs_failed_validation", {}) == (status, body["error"]["type"], body["node_errors"])


def test_every_step_is_reported(subject: Subject) -> None:
    """Progress is reported at every step, however quick."""
    run = subject.connect().run(subject.graph(stem="steps", size=16, steps=12))
    assert list(range(1, 13)) == [data["value"] for kind, data in run.frames if kind == "progress"]


def test_what_was_not_there_yet(subject: Subject) -> None:
    """Newer node classes, features and parts of the machine's description are not there."""
    wire = subject.wire()
    assert {} == wire.get("/object_info/LoraLoaderBypass").body
    assert {"supports_preview_metadata", "max_upload_size"} == wire.get("/features").body.keys()
    assert "comfy_package_versions" not in wire.get("/system_stats").body["system"]


def test_log_has_no_levels(subject: Subject) -> None:
    """Lines of the log are bare."""
    wire = subject.connect()
    wire.run(subject.graph(subject.lora("nomatch"), stem="log"))
    lines = [entry["m"] for entry in wire.get("/internal/logs/raw").body["entries"]]
    assert any(line.startswith("lora key not loaded: nomatch_") for line in lines)


def test_a_run_is_told_as_today(subject: Subject) -> None:
    """Apart from that, a prompt runs as it does today."""
    subject.forget()
    wire = subject.connect()
    run = wire.run(subject.graph(subject.lora()))
    assert list(ORDER) == [line[1] for line in told(run) if line[0] == "executing" and line[1]]
    assert ("success", True, "execution_success") == run.ended


def test_combo_lists(later: Subject) -> None:
    """Pickers read `["COMBO", {"options": [...]}]`, and a choice that is not offered is told with that."""
    wire = later.wire()
    name = later.lora()
    combo = ["COMBO", {"options": [name]}]
    info = wire.get("/object_info/LoraLoader").body["LoraLoader"]
    assert combo == info["input"]["required"]["lora_name"]
    graph = later.graph("nope.safetensors")
    (error,) = wire.queue(graph).body["node_errors"]["10"]["errors"]
    assert {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": f"lora_name: 'nope.safetensors' not in ['{name}']",
        "extra_info": {"input_name": "lora_name", "input_config": combo, "received_value": "nope.safetensors"},
    } == error
