"""Records what a real ComfyUI answers, in the form of tests/contract/recordings.

    python -m tests.contract.recorder --url http://127.0.0.1:8188 --dir ~/ComfyUI --out /tmp/recordings

Needs the base model of base_model.py (or another SD 1.5: --base). Puts LoRAs of its own into a folder below
models/loras, and takes them away again. Compare what it writes with the recordings of the version before:
what differs is what changed.
"""

# ruff: noqa: T201  (a program of its own)

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.contract.base_model import BASE
from tests.contract.subject import LONG, Server, Subject, make_loras
from tests.contract.trimming import trimmed
from tests.contract.wire import Frame, Wire, is_end

NODES: Final = (
    *("CheckpointLoaderSimple", "VAELoader", "LoraLoader", "LoraLoaderModelOnly", "CLIPSetLastLayer", "CLIPTextEncode"),
    *("EmptyLatentImage", "KSampler", "VAEDecode", "EmptyImage", "SaveImage", "PreviewImage"),
)
"""The node types that the suite can send."""


class Recorder:
    """Plays scenarios on one server, and writes each down."""

    def __init__(self, subject: Subject, out: Path) -> None:
        self._subject = subject
        self._out = out
        self._roots = (str(subject.folder), str(subject.folder.parent))

    def write(self, name: str, recorded: Any) -> None:
        """Write one recording."""
        text = json.dumps(trimmed(recorded, self._roots), indent=1, ensure_ascii=False)
        (self._out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"recorded {name}")

    def exchange(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        """Send one request, and give it with its answer."""
        options = {"json": sent["json"]} if "json" in sent else {"data": sent.get("body")}
        answer = self._subject.wire().ask(method, path, **options)
        body = "" if isinstance(answer.body, bytes) else answer.body
        response = {"status": answer.status, "content_type": answer.content_type, "body": body}
        return {"request": {"method": method, "path": path, **sent}, "response": response}

    def run(self, name: str, graph: Any, during: Callable[[Wire, str], list[Frame]] | None = None) -> None:
        """Record a prompt: its POST, the frames up to its end marker, and its history."""
        wire = self._subject.wire()
        frames = [wire.listen()]
        answer = wire.queue(graph)
        prompt_id = wire.posted[-1]
        history: dict[str, Any] = {}
        already = None
        if answer.status == 200:
            frames += during(wire, prompt_id) if during else []
            frames += wire.frames_until(lambda kind, data: kind == "execution_success" or is_end(kind, data, prompt_id))
            if frames[-1][0] == "execution_success":
                already = prompt_id in wire.get(f"/history/{prompt_id}").body
                frames += wire.frames_until(lambda kind, data: is_end(kind, data, prompt_id))
            history = {prompt_id: wire.history(prompt_id)}
        request = {"prompt": graph, "client_id": wire.client_id, "prompt_id": prompt_id}
        response = {"status": answer.status, "content_type": answer.content_type, "body": answer.body}
        self.write(
            name,
            {
                "prompt_id": prompt_id,
                "client_id": wire.client_id,
                "post": {
                    "request": {"method": "POST", "path": "/prompt", "json": request},
                    "response": response,
                },
                "frames": [{"type": kind, "data": data} for kind, data in frames],
                "history_already_there_at_execution_success": already,
                "history": history,
            },
        )


def record(subject: Subject, out: Path) -> None:
    """Play everything."""
    recorder = Recorder(subject, out)
    _record_posts(recorder)
    _record_refusals(recorder, subject)
    _record_runs(recorder, subject)
    _record_queue(recorder, subject)
    _record_gets(recorder, subject)


def _record_posts(recorder: Recorder) -> None:
    recorder.write("post_bad_json", {"exchange": recorder.exchange("POST", "/prompt", body="{not json")})
    recorder.write("post_empty", {"exchange": recorder.exchange("POST", "/prompt", json={})})
    memory = {"free_memory": True, "unload_models": False}
    recorder.write("post_free", {"exchange": recorder.exchange("POST", "/free", json=memory)})


def _record_refusals(recorder: Recorder, subject: Subject) -> None:
    graph = subject.graph(subject.lora())
    recorder.run("run_no_outputs", {node: entry for node, entry in graph.items() if node != "9"})
    recorder.run("run_unknown_lora", _changed(graph, "10", lora_name="nope.safetensors"))
    recorder.run("run_unknown_node", {**graph, "3": {**graph["3"], "class_type": "NoSuchSampler"}})
    recorder.run("run_bad_seed", _changed(graph, "3", seed=-1))


def _record_runs(recorder: Recorder, subject: Subject) -> None:
    subject.rest()
    graph = subject.graph(subject.lora())
    recorder.run("run_success", graph)
    recorder.run("run_identical_again", graph)
    partly = _changed(graph, "3", seed=2)
    recorder.run("run_partly_valid", {**partly, "12": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}}})
    corrupt = subject.lora("corrupt", "a")
    (subject.loras / "corrupt.safetensors").write_bytes(b"this is no safetensors file at all")
    recorder.run("run_corrupt_lora", subject.graph(corrupt))
    recorder.run("run_lora_without_matching_keys", subject.graph(subject.lora("nomatch")))
    recorder.run("run_prefix_escape", _changed(graph, "9", filename_prefix="../../escape"))

    def interrupt(wire: Wire, prompt_id: str) -> list[Frame]:
        heard = wire.frames_until(lambda kind, _: kind == "progress")
        wire.post("/interrupt", {"prompt_id": prompt_id})
        return heard

    recorder.run("run_interrupted", subject.graph(subject.lora(), steps=LONG), interrupt)


def _record_queue(recorder: Recorder, subject: Subject) -> None:
    wire = subject.connect()
    running = subject.busy(wire)
    first, _ = (wire.submit(subject.plain(color)) for color in (1, 2))
    exchanges = [
        recorder.exchange("GET", "/queue"),
        recorder.exchange("POST", "/queue", json={"delete": [first]}),
        recorder.exchange("GET", f"/history/{first}"),
        recorder.exchange("GET", "/prompt"),
    ]
    subject.stop(wire, running)
    wire.frames_until_idle()
    recorder.write("queue_running_and_pending", {"exchanges": exchanges})


def _record_gets(recorder: Recorder, subject: Subject) -> None:
    lora = subject.lora()
    paths = (
        *("/system_stats", "/prompt", "/queue", "/models/loras", "/models/nope"),
        *("/object_info/LoraLoader", "/object_info/CheckpointLoaderSimple", "/object_info/NoSuchNode"),
        *("/history/no-such-id", "/view?filename=nope.png&type=output", "/view?filename=../x.png"),
        *(f"/view_metadata/loras?filename={lora}", "/features"),
    )
    recorder.write("get_routes", {"exchanges": [recorder.exchange("GET", path) for path in paths]})
    nodes = [recorder.exchange("GET", f"/object_info/{node}") for node in NODES]
    recorder.write("object_info", {"exchanges": nodes})


def _changed(graph: dict[str, Any], node: str, **inputs: Any) -> dict[str, Any]:
    return {**graph, node: {**graph[node], "inputs": {**graph[node]["inputs"], **inputs}}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Record into the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="recorder", description=__doc__.partition("\n")[0])
    parser.add_argument("--url", required=True, help="the ComfyUI to play on; nothing else may run there")
    parser.add_argument("--dir", type=Path, required=True, help="its folder, on this machine")
    parser.add_argument("--base", default=BASE, help=f"its base model (default: {BASE})")
    parser.add_argument("--out", type=Path, required=True, help="where the recordings go")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        server = Server(
            name="recorded",
            url=options.url,
            folder=options.dir.expanduser().absolute(),
            base=options.base,
            made=make_loras(Path(made)),
            patience=120.0,
        )
        with server.corner() as subject:
            record(subject, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
