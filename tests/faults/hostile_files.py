"""Files that mean harm: LoRAs, pictures, evidence, ballots, records, workflows."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image

from plugins.comfyui.workflow import BUILT_IN, Workflow
from plugins.deploy.summary import Summary
from plugins.evidence.deployments import RECORD, read_record
from plugins.evidence.store import Store
from plugins.loras.header import read_header, said
from plugins.pictures.likeness import TrainingSet, training_images
from plugins.pictures.picture import read_picture
from plugins.plan.cells import matrix
from tests.faults.hostile_case import Ground, fifo, harmless, refused
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import expected_inputs_of, keep, keep_all, png_of
from tests.plugins.review.ballots import read_ballot

_TENSOR = '{"dtype":"F16","shape":[2],"data_offsets":[0,4]}'
_NO_LORA = ("x.safetensors is not a complete safetensors file (", "copy it from the trainer's output again")
_NO_BALLOT = ("ballot.json", "Save it again from the report page")
_DEEP = b'{"a":' * 100_000
_ESCAPES = "\x1b[2J\u202e\x9b31m"
_MARKUP = "<script>alert(1)</script>"


def lora(header: str, data: bytes = b"\0\0\0\0", *, size: int | None = None) -> Callable[[Ground], object]:
    """Read a LoRA with this header."""
    text = header.encode()
    content = struct.pack("<Q", len(text) if size is None else size) + text + data
    return lambda ground: read_header(ground.file("x.safetensors", content))


def told_of_lora(header: str) -> Callable[[Ground], tuple[object, object]]:
    """Read a LoRA with this header, and see that what is told of it is one short line."""

    def act(ground: Ground) -> tuple[object, object]:
        told = said(lora(header)(ground))  # type: ignore[arg-type]
        return (True, True), (told.isprintable(), len(told) < 400)

    return act


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG's chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture(image: Image.Image, kind: str = "PNG") -> bytes:
    """Return an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


_PNG = picture(Image.effect_noise((64, 64), 60).convert("RGB"))
_HEAD, _TAIL = _PNG[:33], _PNG[33:]


def read(content: bytes) -> Callable[[Ground], object]:
    """Read bytes that a server sent as a picture."""
    return lambda _: read_picture(content, largest=1_000_000)


def read_bomb(kind: bytes, head: bytes) -> Callable[[Ground], object]:
    """Read a picture with a text of 50 MB in a chunk of this kind."""

    def act(_: Ground) -> object:
        bomb = chunk(kind, head + zlib.compress(b"x" * 50_000_000))
        return read_picture(_HEAD + bomb + _TAIL, largest=1_000_000)

    return act


def training_image(name: str, content: bytes) -> Callable[[Ground], tuple[object, object]]:
    """Put a file among the training images: it is left out, and said to be."""

    def act(ground: Ground) -> tuple[object, object]:
        folder = ground.plan.paths.training_images
        there = len(training_images(folder))
        path = ground.file(f"data/spyke/{name}", content)
        found = TrainingSet(training_images(folder))
        return ((path,), there), (found.unreadable, len(found._paths))

    return act


def evidence(content: Callable[[dict[str, Any]], bytes]) -> Callable[[Ground], object]:
    """Read a cell's evidence after it was changed."""

    def act(ground: Ground) -> object:
        store = Store(ground.folder / "reports")
        keep(expected_inputs_of(ground.plan), store, ground.cell)
        path = store.evidence_path(ground.cell)
        path.write_bytes(content(json.loads(path.read_bytes())))
        return store.read(ground.cell)

    return act


def changed(**changes: Any) -> Callable[[dict[str, Any]], bytes]:
    """Return JSON with other values."""
    return lambda raw: json.dumps(raw | changes).encode()


def evidence_of_another_cell(ground: Ground) -> object:
    """Read evidence that was copied from another cell, with its picture."""
    store, other = Store(ground.folder / "reports"), matrix(ground.plan)[-1]
    keep(expected_inputs_of(ground.plan), store, other)
    store.picture_path(ground.cell).parent.mkdir(parents=True)
    store.picture_path(ground.cell).write_bytes(png_of(other))
    store.evidence_path(ground.cell).write_bytes(store.evidence_path(other).read_bytes())
    return store.read(ground.cell)


def evidence_that_is_a_pipe(ground: Ground) -> object:
    """Read evidence from a pipe that nobody writes to."""
    store = Store(ground.folder / "reports")
    store.evidence_path(ground.cell).parent.mkdir(parents=True)
    fifo(store.evidence_path(ground.cell))
    return store.read(ground.cell)


def huge_evidence(ground: Ground) -> object:
    """Read evidence of 100 MB."""
    store = Store(ground.folder / "reports")
    ground.huge(store.evidence_path(ground.cell).relative_to(ground.folder).as_posix())
    return store.read(ground.cell)


def ballot(content: bytes) -> Callable[[Ground], object]:
    """Read a ballot of these bytes."""
    return lambda ground: read_ballot(ground.file("ballot.json", content))


def judged(ground: Ground) -> Judged:
    """Have every picture of the plan made and judged."""
    reports = ground.folder / "reports"
    there = Judged(plan=ground.plan, expected=expected_inputs_of(ground.plan), store=Store(reports), reports=reports)
    keep_all(there.expected, there.store)
    return there


def summary_of_hostile_words(ground: Ground) -> tuple[object, object]:
    """Write the summary of a ballot and an observation full of markup and escape codes."""
    there = judged(ground)
    words = f"{_MARKUP} [x](http://evil)\n# head{_ESCAPES}"
    given = there.ballot(
        reason=words,
        suggestion={"checkpoint": None, "reason": words},
        notes={"checkpoints": {"step600": words * 1000}, "cells": {"step600-forest": words}},
    )
    deployment = there.deploy(observed=words)
    text = Summary(plan=there.plan, deployment=deployment, ballots=(given,), verified=()).markdown()
    return (0, 0, 0), (text.count("\x1b") + text.count("\u202e"), text.count("<script>"), text.count("[x](http"))


def changed_ballot(**changes: Any) -> Callable[[Ground], object]:
    """Read a ballot with other values."""

    def act(ground: Ground) -> object:
        raw = judged(ground).ballot().model_dump(mode="json") | changes
        return read_ballot(ground.file("ballot.json", json.dumps(raw).encode()))

    return act


def record(content: bytes) -> Callable[[Ground], object]:
    """Read the record of a deployment of these bytes."""
    return lambda ground: read_record(ground.file(RECORD, content))


def workflow(graph: object) -> Callable[[Ground], object]:
    """Read a person's own workflow."""
    content = graph if isinstance(graph, bytes) else json.dumps(graph).encode()
    return lambda ground: Workflow.read(ground.file("own.json", content))


def linked_in_circles(ground: Ground) -> object:
    """Read a workflow whose sampler's model comes from a node that feeds itself."""
    graph = json.loads(json.dumps(BUILT_IN))
    graph["2"]["inputs"] |= {"model": ["2", 0], "clip": ["2", 1]}
    return Workflow.read(ground.file("own.json", json.dumps(graph).encode()))


def with_a_value(graph: dict[str, Any], value: object) -> dict[str, Any]:
    """Return the built-in workflow with one more value in its sampler."""
    return graph | {"7": graph["7"] | {"inputs": graph["7"]["inputs"] | {"odd": value}}}


def nested(depth: int) -> list[Any]:
    """Return lists in lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def jpeg_with_a_pngs_name() -> bytes:
    """Return a JPEG."""
    return picture(Image.new("RGB", (64, 64)), "JPEG")


def declared(width: int, height: int) -> bytes:
    """Return a PNG that declares a size which it has no pixels for, with right checksums."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return _PNG[:8] + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def eps(ground: Ground) -> tuple[object, object]:
    """Put a PostScript program among the training images under a picture's name: nothing runs it."""
    run: list[object] = []
    ground.patch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given, **_: run.append(given))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n(x) print\n%%EOF\n"
    path = ground.file("data/spyke/99.png", program)
    found = TrainingSet(training_images(ground.plan.paths.training_images))
    return ([], (path,)), (run, found.unreadable)


ROWS = (
    refused("LoRA with a header of absurd size", lora("{}", size=2**62), *_NO_LORA),
    refused("LoRA with a header longer than the file", lora("{}", size=5000), *_NO_LORA),
    refused("LoRA nested without end", lora('{"a":' * 100_000), "recursion limit", *_NO_LORA),
    refused("LoRA that is not JSON", lora("hello, world"), "invalid JSON", *_NO_LORA),
    refused("LoRA with a negative offset", lora(f'{{"a":{_TENSOR.replace("[0,4]", "[-4,0]")}}}'), *_NO_LORA),
    refused("LoRA with a negative shape", lora(f'{{"a":{_TENSOR.replace("[2]", "[-2]")}}}'), *_NO_LORA),
    refused("LoRA with a shape that overflows", lora(f'{{"a":{_TENSOR.replace("[2]", str([2**63] * 3))}}}'), *_NO_LORA),
    refused(
        "LoRA with overlapping tensors",
        lora(f'{{"a":{_TENSOR},"b":{_TENSOR.replace("[0,4]", "[2,6]")}}}', b"\0" * 6),
        *_NO_LORA,
    ),
    refused("LoRA with one tensor twice", lora(f'{{"a":{_TENSOR},"a":{_TENSOR}}}'), "names 'a' twice", *_NO_LORA),
    refused(
        "LoRA with one note twice",
        lora(f'{{"__metadata__":{{"ss_steps":"600","ss_steps":"920"}},"a":{_TENSOR}}}'),
        "names 'ss_steps' twice",
        *_NO_LORA,
    ),
    refused("LoRA with half a character", lora(f'{{"\\ud800":{_TENSOR}}}'), *_NO_LORA),
    harmless(
        "LoRA with notes of 5 MB",
        told_of_lora(f'{{"__metadata__":{{"ss_network_module":"{"x" * 5_000_000}"}},"a":{_TENSOR}}}'),
    ),
    harmless(
        "LoRA with escape codes in its names",
        told_of_lora(f'{{"__metadata__":{{"ss_network_module":"\\u001b[2J\\u202e"}},"\\u001b]0;x\\u0007":{_TENSOR}}}'),
    ),
    refused("picture that is a web page", read(b"<html>\x1b[2J"), "it is not a PNG: 10 bytes that begin with"),
    refused("picture that is a JPEG", read(jpeg_with_a_pngs_name()), "it is not a PNG", "begin with b'\\xff\\xd8"),
    refused("picture of absurd size", read(declared(2**31 - 1, 2**31 - 1)), "decompression bomb"),
    refused(
        "picture far larger than asked for", read(declared(3000, 3000)), "it is 3000x3000, larger than any picture"
    ),
    refused("picture with fewer pixels than it says", read(declared(64, 64)), "it is not a complete PNG"),
    refused("picture with a text that swells", read_bomb(b"zTXt", b"prompt\0\0"), "too large"),
    refused(
        "picture with a translated text that swells",
        read_bomb(b"iTXt", b"prompt\0\1\0\0\0"),
        "it is not a complete PNG",
    ),
    refused("picture without its end", read(_PNG[:-12]), "it is not a complete PNG: its end is missing"),
    refused("picture cut in the middle", read(_PNG[: len(_PNG) // 2]), "it is not a complete PNG"),
    refused(
        "picture with a chunk without content", read(_HEAD + chunk(b"pHYs", b"") + _TAIL), "it is not a complete PNG"
    ),
    refused(
        "picture with half a colour profile",
        read(_PNG[:-12] + chunk(b"iCCP", b"") + _PNG[-12:]),
        "it is not a complete PNG",
    ),
    refused(
        "picture with a chunk longer than the file", read(_PNG[:-12] + b"\x7f\xff\xff\xffabcd"), "not a complete PNG"
    ),
    harmless("training image of absurd size", training_image("99.png", declared(20_000, 20_000))),
    harmless("training image somewhat too large", training_image("99.png", declared(10_000, 10_000))),
    harmless("training image cut in the middle", training_image("99.png", _PNG[: len(_PNG) // 2])),
    harmless("training image that is a program", eps),
    refused("evidence nested without end", evidence(lambda _: _DEEP), "forest.json is not readable evidence"),
    refused(
        "evidence of other types", evidence(changed(picture=[1], checks={})), "forest.json is not readable evidence"
    ),
    refused("evidence with half a character", evidence(changed(base_model="\ud800")), "is not readable evidence"),
    refused(
        "evidence with a distance that is no number",
        evidence(changed(compared={"baseline_pixels_sha256": "0" * 64, "effect": float("nan")})),
        "is not readable evidence",
    ),
    refused("evidence that is not text", evidence(lambda _: b"\xff\xfe\0"), "is not readable evidence"),
    refused("evidence of 100 MB", huge_evidence, "is not readable evidence", "more than 34 MB"),
    refused("evidence that is a pipe", evidence_that_is_a_pipe, "is not readable evidence", "it is not a plain file"),
    refused(
        "evidence of another cell", evidence_of_another_cell, "is evidence of final x novel_pose, not of step600 x"
    ),
    refused(
        "evidence of another picture",
        evidence(changed(picture={"sha256": "0" * 64, "pixels_sha256": "0" * 64, "width": 1, "height": 1})),
        "forest.png was changed after it was rendered",
    ),
    refused("ballot nested without end", ballot(_DEEP), "is not JSON", *_NO_BALLOT),
    refused("ballot that is not text", ballot(b"\xff\xfe\0"), "is saved as UTF-16", "Save it as UTF-8"),
    refused("ballot with an endless number", ballot(b'{"marks":' + b"1" * 9000 + b"}"), "is not JSON", *_NO_BALLOT),
    refused("ballot of other types", changed_ballot(marks=[], notes=1), "marks: Input should be", *_NO_BALLOT),
    refused("ballot with half a character", changed_ballot(reason="\ud800"), "is not JSON", *_NO_BALLOT),
    refused("ballot with keys of escape codes", changed_ballot(**{_ESCAPES: 1}), r"\x1b[2J\u202e\x9b31m", *_NO_BALLOT),
    refused("ballot of 100 MB", lambda ground: read_ballot(ground.huge("ballot.json")), "more than 34 MB", *_NO_BALLOT),
    refused("ballot that is a folder", lambda ground: read_ballot(ground.folder), "cannot be read", "Save it again"),
    harmless("ballot with markup and escape codes", summary_of_hostile_words),
    refused("record nested without end", record(_DEEP), "deployment.json is not a readable record of a deployment"),
    refused("record of other types", record(b'{"format": 1, "production": 5}'), "deployment.json is not a readable"),
    refused("record that is not text", record(b"\xff\xfe\0"), "deployment.json is not a readable record"),
    refused("record of 100 MB", lambda ground: read_record(ground.huge(RECORD)), "more than 34 MB"),
    refused("workflow nested without end", workflow(_DEEP), "is nested too deep to be one of ComfyUI's"),
    refused("workflow nested deep", workflow(with_a_value(BUILT_IN, nested(800))), "own.json"),
    refused("workflow linked in circles", linked_in_circles, "Its links form a cycle"),
    refused("workflow of 100 MB", lambda ground: Workflow.read(ground.huge("own.json")), "own.json", "more than 34 MB"),
    refused("workflow of bytes", workflow(bytes(range(256))), "own.json cannot be read"),
    refused("workflow with escape codes", workflow({_ESCAPES: {"class_type": "SaveImage", "inputs": {}}}), r"own.json"),
)
