"""LoRA files: what the pickers list, and what is remembered of a file that was replaced."""

import os
import shutil
import time
from typing import Any

from tests.contract.answers import DONE, plain
from tests.contract.subject import Subject
from tests.contract.wire import Wire


def picker(subject: Subject, wire: Wire) -> list[str]:
    """Return what LoraLoader's picker lists of the corner; /models/loras lists the same."""
    info = wire.get("/object_info/LoraLoader").body["LoraLoader"]
    names: list[str] = info["input"]["required"]["lora_name"][0]
    assert sorted(names) == names == wire.get("/models/loras").body
    return [name.removeprefix(subject.corner + os.sep) for name in names if name.startswith(subject.corner)]


def test_picker_follows_the_folder(subject: Subject) -> None:
    """A LoRA added, renamed or removed is listed at once, sorted; half files and other endings never are."""
    wire = subject.wire()
    assert [] == picker(subject, wire)
    for name in ("c", "a"):
        subject.lora(name, "a")
    for name in (".half.safetensors.tmp", "notes.txt"):
        (subject.loras / name).write_bytes(b"")
    assert ["a.safetensors", "c.safetensors"] == picker(subject, wire)
    (subject.loras / "c.safetensors").rename(subject.loras / "b.safetensors")
    assert ["a.safetensors", "b.safetensors"] == picker(subject, wire)
    (subject.loras / "a.safetensors").unlink()
    assert ["b.safetensors"] == picker(subject, wire)


def test_picker_lists_every_kind_of_weights(subject: Subject) -> None:
    """Files are listed by their endings, whatever their case, hidden ones too; their content is not looked at."""
    wire = subject.wire()
    subject.lora()
    kinds = ["b.ckpt", "c.pt", "d.SAFETENSORS", ".hidden.safetensors", "e.sft", "f.bin", "g.pth"]
    for name in kinds:
        (subject.loras / name).write_bytes(b"")
    assert sorted([*kinds, "a.safetensors"]) == picker(subject, wire)


def test_subfolders(subject: Subject) -> None:
    """A LoRA in a subfolder is listed with its folder and can be used under that name; changes there are seen."""
    wire = subject.connect()
    (subject.loras / "sub").mkdir(parents=True)
    subject.lora()
    inner = subject.loras / "sub" / "d.safetensors"
    shutil.copyfile(subject.loras / "a.safetensors", inner)
    assert ["a.safetensors", f"sub{os.sep}d.safetensors"] == picker(subject, wire)
    name = f"{subject.corner}{os.sep}sub{os.sep}d.safetensors"
    first = wire.run(subject.graph(name))
    assert "success" == first.ended[0]
    inner.rename(inner.with_name("e.safetensors"))
    assert ["a.safetensors", f"sub{os.sep}e.safetensors"] == picker(subject, wire)
    assert 400 == wire.queue(subject.graph(name)).status


def test_prompt_sees_a_new_file(subject: Subject) -> None:
    """A prompt may use a LoRA as soon as its file is there, without anybody asking for the list in between."""
    wire = subject.connect()
    graph = subject.graph(subject.listed("a"))
    graph["10"]["inputs"] |= {"strength_model": 0, "strength_clip": 0}
    assert 400 == wire.queue(graph).status
    subject.lora()
    assert 200 == wire.queue(graph).status
    (subject.loras / "a.safetensors").unlink()
    assert 400 == wire.queue(graph).status


def test_replaced_lora_is_stale(subject: Subject) -> None:
    """A LoRA replaced under its name goes on being used from memory: at once, with a new seed, a new strength."""
    wire = subject.connect()
    lora = subject.lora()

    def pixels(seed: int, strength: float = 1.0) -> bytes:
        graph = subject.graph(lora, seed=seed)
        graph["10"]["inputs"]["strength_model"] = strength
        return wire.pixels(wire.run(graph))

    old = {case: pixels(*case) for case in ((2, 1.0), (1, 0.5), (1, 1.0))}
    subject.lora("a", "b")
    assert sorted(subject.graph(lora)) == wire.run(subject.graph(lora, seed=1)).cached
    for case, before in old.items():
        assert (case, before) == (case, pixels(*case))


def test_lora_written_into_is_seen_when_its_node_runs(subject: Subject) -> None:
    """Files are mapped: what is written into one, in place, is used as soon as the loader runs again, not before."""
    wire = subject.connect()
    weak = subject.graph(subject.lora())
    weak["10"]["inputs"]["strength_model"] = 0.5
    old = wire.pixels(wire.run(subject.graph(subject.lora())))
    with (subject.loras / "a.safetensors").open("r+b") as file:
        file.write((subject.server.made / "b.safetensors").read_bytes())
    assert old == wire.pixels(wire.run(subject.graph(subject.listed("a"), stem="q")))
    new = wire.pixels(wire.run(weak))
    weak["10"]["inputs"]["lora_name"] = subject.lora("fresh", "b")
    assert wire.pixels(wire.run(weak)) == new


def stale(subject: Subject, wire: Wire) -> tuple[dict[str, Any], bytes]:
    """Make the server remember a LoRA that was replaced; give its graph and its old pixels."""
    graph = subject.graph(subject.lora())
    old = wire.pixels(wire.run(graph))
    subject.lora("a", "b")
    return graph, old


def fresh(subject: Subject, wire: Wire) -> bytes:
    """Return the pixels of the LoRA that is there now, from a name that the server does not know."""
    return wire.pixels(wire.run(subject.graph(subject.lora("fresh", "b"), stem="fresh")))


def test_replaced_lora_is_seen_after_free(subject: Subject) -> None:
    """/free, the baseline and the LoRA, posted without waiting, give the new file's picture."""
    wire = subject.connect()
    graph, old = stale(subject, wire)
    assert DONE == plain(wire.post("/free", {"free_memory": True}))
    baseline, again = wire.submit(subject.graph(stem="q")), wire.submit(graph)
    wire.follow(baseline)
    new = wire.pixels(wire.follow(again))
    assert old != new
    assert fresh(subject, wire) == new


def test_replaced_lora_is_seen_after_a_prompt_without_it(subject: Subject) -> None:
    """A prompt without the LoRA's node makes the server forget the node and its weights."""
    wire = subject.connect()
    graph, old = stale(subject, wire)
    wire.run(subject.graph(stem="q"))
    new = wire.pixels(wire.run(graph))
    assert old != new
    assert fresh(subject, wire) == new


def test_replaced_lora_is_seen_by_another_node(subject: Subject) -> None:
    """The weights are remembered by the node: one with another id reads the file anew."""
    wire = subject.connect()
    graph, old = stale(subject, wire)
    renamed = {("77" if node == "10" else node): dict(entry) for node, entry in graph.items()}
    for node, name, slot in (("11", "clip", 1), ("3", "model", 0)):
        renamed[node] = {**renamed[node], "inputs": {**renamed[node]["inputs"], name: ["77", slot]}}
    # Another strength, or the node's result would be known by its inputs, whatever its id.
    renamed["77"]["inputs"] = {**renamed["77"]["inputs"], "strength_model": 0.9}
    weaker = subject.graph(subject.lora("fresh", "b"), stem="fresh")
    weaker["10"]["inputs"]["strength_model"] = 0.9
    new = wire.pixels(wire.run(renamed))
    assert old != new
    assert wire.pixels(wire.run(weaker)) == new


def test_free_of_an_idle_server(subject: Subject) -> None:
    """An idle server forgets soon after /free; the base model is loaded again too."""
    wire = subject.connect()
    wire.run(subject.plain(1))
    wire.post("/free", {"free_memory": True})
    time.sleep(wire.silence)
    assert [] == wire.run(subject.plain(1)).cached


def test_unload_keeps_the_results(subject: Subject) -> None:
    """/free without free_memory leaves what nodes gave alone."""
    wire = subject.connect()
    wire.run(subject.plain(1))
    for body in ({"unload_models": True}, {"free_memory": False}, {}):
        assert 200 == wire.post("/free", body).status
    time.sleep(wire.silence)
    assert ["1", "2"] == wire.run(subject.plain(1)).cached


def test_free_while_busy(subject: Subject) -> None:
    """/free while a prompt runs is done after it, before the next one."""
    wire = subject.connect()
    running = subject.busy(wire)
    wire.post("/free", {"free_memory": True})
    following = wire.submit(subject.graph(stem="busy"))
    subject.stop(wire, running)
    assert [] == wire.follow(following).cached


def test_metadata(subject: Subject) -> None:
    """A LoRA's metadata is told, also of a file that is cut short; what has none is a 404."""
    wire = subject.wire()
    name = subject.lora()
    path = subject.loras / "a.safetensors"
    (subject.loras / "cut.safetensors").write_bytes(path.read_bytes()[:-8])
    (subject.loras / "text.safetensors").write_bytes(b"no LoRA at all, but long enough")
    (subject.loras / "bare.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    for stem in ("a", "cut"):
        told = wire.get("/view_metadata/loras", filename=subject.listed(stem))
        assert (200, "600", "contract") == (told.status, told.body["ss_steps"], told.body["ss_output_name"])
    missing = [subject.listed(stem) for stem in ("text", "bare", "none")] + [name.removesuffix(".safetensors")]
    assert [404] * 4 == [wire.get("/view_metadata/loras", filename=each).status for each in missing]
    assert 404 == wire.get("/view_metadata/loras").status
    assert 404 == wire.get("/view_metadata/nope", filename=name).status
