"""Whatever bytes a file has, its reader gives what is right or the room's own refusal, and nothing else comes out."""

import io
import json
import struct
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from plugins.evidence.deployments import RecordError, read_record
from plugins.evidence.store import EvidenceError, Store
from plugins.loras.errors import HeaderError
from plugins.loras.header import Header, read_header, said
from plugins.pictures.picture import PictureError, read_picture
from plugins.plan.cells import matrix
from plugins.plan.messages import UserError, visible
from plugins.plan.reading import PlanError, read_plan
from plugins.review.ballot import BallotError
from tests.plugins.deploy.judged_plan import Judged
from tests.plugins.evidence.made_evidence import expected_inputs_of, keep_all
from tests.plugins.review.ballots import read_ballot
from tests.small_plan import PLAN

QUICK = settings(
    max_examples=75,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
WORDS = st.text(max_size=12)
"""Halves of characters, control characters and turned writing among them."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
Reader = tuple[bytes, Callable[[bytes], Any], type[UserError]]
"""A right document, what reads another, and what it may raise."""


@pytest.fixture(scope="module")
def judged(made_plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Return the small plan with a picture and evidence of every cell."""
    plan = read_plan(made_plan / "plan.toml")
    reports = tmp_path_factory.mktemp("bytes") / "reports"
    judged = Judged(plan=plan, expected=expected_inputs_of(plan), store=Store(reports), reports=reports)
    keep_all(judged.expected, judged.store)
    return judged


@pytest.fixture(scope="module")
def readers(judged: Judged) -> dict[str, Reader]:
    """Return every reader of files that come from elsewhere, with a right document for each."""
    cell, plan = matrix(judged.plan)[2], judged.plan
    evidence = judged.store.evidence_path(cell)

    def at(path: Path, read: Callable[[Path], Any]) -> Callable[[bytes], Any]:
        def reading(content: bytes) -> Any:
            path.write_bytes(content)
            return read(path)

        return reading

    record = {
        "format": 1,
        "plan_name": plan.name,
        "plan_digest": plan.digest,
        "simulated": False,
        "selected": "step600",
        "candidates": {"step600": {"step": 600, "file": "a.safetensors", "sha256": "0" * 64}},
        "judged": {cell.id: {"pixels_sha256": "1" * 64, "evidence_sha256": "2" * 64, "prompt_id": "id"}},
        "production": "/loras/a.safetensors",
        "replaced_sha256": None,
        "backup": None,
        "proof": [],
        "server": {"url": "http://127.0.0.1", "comfyui_version": "1", "device": "cpu", "simulated": False},
        "deployed": "2025-11-22T20:30:00Z",
    }
    folder = judged.reports
    return {
        "plan": (PLAN.encode(), at(folder / "plan.toml", read_plan), PlanError),
        "evidence": (evidence.read_bytes(), at(evidence, lambda _: judged.store.read(cell)), EvidenceError),
        "ballot": (
            judged.ballot().model_dump_json().encode(),
            at(folder / "ballot.json", read_ballot),
            BallotError,
        ),
        "record": (json.dumps(record).encode(), at(folder / "deployment.json", read_record), RecordError),
        "lora": (lora(), at(folder / "a.safetensors", read_header), HeaderError),
        "picture": (picture(), lambda content: read_picture(content, largest=100_000), PictureError),
    }


NAMES = ("plan", "evidence", "ballot", "record", "lora", "picture")
JSON = ("evidence", "ballot", "record")


def lora(header: Any = None) -> bytes:
    """Return a LoRA's bytes."""
    tensor = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}
    text = json.dumps({"__metadata__": {"ss_steps": "600"}, "a": tensor} if header is None else header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 4


def picture() -> bytes:
    """Return a small PNG with a workflow in it."""
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", '{"1": {}}', zip=True)
    buffer = io.BytesIO()
    Image.effect_noise((24, 24), 60).convert("RGBA").save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def outcome(reader: Reader, content: bytes) -> Any:
    """Read bytes; None where the room refuses them in words that can be printed. Anything else comes out."""
    _, read, refusal = reader
    try:
        return read(content)
    except refusal as error:
        told = str(error)
    assert visible(told) == told
    assert told.encode()
    return None


@pytest.mark.parametrize("name", NAMES)
def test_right_document_is_read(readers: dict[str, Reader], name: str) -> None:
    """The documents that the other tests spoil are right: none is refused for another reason."""
    assert outcome(readers[name], readers[name][0]) is not None


@pytest.mark.parametrize("name", NAMES)
@QUICK
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(readers: dict[str, Reader], name: str, content: bytes) -> None:
    """No bytes at all pass for a document."""
    assert outcome(readers[name], content) is None


@pytest.mark.parametrize("name", NAMES)
@QUICK
@given(data=st.data())
def test_spoiled_bytes_are_read_or_refused(readers: dict[str, Reader], name: str, data: st.DataObject) -> None:
    """A right document in which bytes were changed, lost or added is read or refused; half of it is refused."""
    content = bytearray(readers[name][0])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 8))
        content[place : place + length] = data.draw(st.binary(max_size=8))
        if not content:
            break
    outcome(readers[name], bytes(content))
    assert outcome(readers[name], readers[name][0][: len(readers[name][0]) // 2]) is None


@pytest.mark.parametrize("name", JSON)
@QUICK
@given(data=st.data())
def test_any_values_are_read_or_refused(readers: dict[str, Reader], name: str, data: st.DataObject) -> None:
    """JSON with any value in any place is read or refused, and what is read can be written and read again."""
    raw = json.loads(readers[name][0])
    place, key = raw, data.draw(st.sampled_from(sorted(raw)))
    while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
        place, key = place[key], data.draw(st.sampled_from(sorted(place[key])))
    place[data.draw(st.just(key) | WORDS)] = data.draw(VALUES)
    found = outcome(readers[name], json.dumps(raw).encode())
    if found is not None:
        assert found == type(found).model_validate_json(found.model_dump_json())


@QUICK
@given(data=st.data())
def test_any_lora_header_is_read_or_refused(readers: dict[str, Reader], data: st.DataObject) -> None:
    """A LoRA's header with any value in any place is read or refused; what is told of it is one printable line."""
    header: dict[str, Any] = {
        "__metadata__": {"ss_steps": "600", "ss_network_dim": "8"},
        "x_attn2_to_k.weight": {"dtype": "F16", "shape": [1, 2], "data_offsets": [0, 4]},
    }
    spoiled = deepcopy(header)
    part = spoiled[data.draw(st.sampled_from(sorted(header)))]
    part[data.draw(st.sampled_from(sorted(part)) | WORDS)] = data.draw(VALUES)
    if data.draw(st.booleans()):
        spoiled[data.draw(WORDS)] = data.draw(VALUES | st.just(header["x_attn2_to_k.weight"]))
    found = outcome(readers["lora"], lora(spoiled))
    if found is not None:
        assert isinstance(found, Header)
        assert (True, True) == (said(found).isprintable(), found.step is None or found.step >= 0)
