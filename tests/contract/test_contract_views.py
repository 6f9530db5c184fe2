"""What can be looked at: pictures, node types, models, the machine."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.contract.answers import INTERNAL, JSON, plain
from tests.contract.declarations import CLASSES, declaration
from tests.contract.subject import Subject
from tests.contract.wire import Wire

RECORDINGS = Path(__file__).parent / "recordings" / "0.33.0"
DECLARATIONS = Path(__file__).parents[2] / "stand_in" / "declarations" / "0.33.0.json"
DECLARED = json.loads(DECLARATIONS.read_text(encoding="utf-8"))


def save(subject: Subject, wire: Wire) -> dict[str, str]:
    """Make a picture, and give its place."""
    return wire.run(subject.plain(0x336699, stem="v")).images("2")[0]


def test_view(subject: Subject) -> None:
    """A picture comes as it lies on the disk, under its own name."""
    wire = subject.connect()
    image = save(subject, wire)
    answer = wire.get("/view", **image)
    assert (200, "image/png") == (answer.status, answer.content_type)
    assert (subject.output / image["filename"]).read_bytes() == answer.content
    assert f'filename="{image["filename"]}"' == answer.headers["Content-Disposition"]
    assert str(len(answer.content)) == answer.headers["Content-Length"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param({}, 404, id="no name"),
        pytest.param({"filename": ""}, 400, id="empty name"),
        pytest.param({"filename": "nope.png"}, 404, id="absent"),
        pytest.param({"filename": "../{name}"}, 400, id="above"),
        pytest.param({"filename": "/{name}"}, 400, id="absolute"),
        pytest.param({"filename": "a..b.png"}, 400, id="two dots"),
        pytest.param({"filename": "{name}"}, 404, id="in another folder"),
        pytest.param({"filename": "{name}", "subfolder": "{corner}"}, 200, id="by subfolder"),
        pytest.param({"filename": "{name}", "subfolder": "{corner}/../{corner}"}, 200, id="roundabout"),
        pytest.param({"filename": "elsewhere/{name}", "subfolder": "{corner}"}, 200, id="folder in the name"),
        pytest.param({"filename": "{name}", "subfolder": "{corner}", "type": "output"}, 200, id="by type"),
        pytest.param({"filename": "{name}", "subfolder": "{corner}", "type": "temp"}, 404, id="of another type"),
        pytest.param({"filename": "{name}", "subfolder": "{corner}", "type": "elsewhere"}, 400, id="unknown type"),
        pytest.param({"filename": "{name} [output]", "subfolder": "{corner}", "type": "temp"}, 200, id="with a note"),
        pytest.param({"filename": "{name}[output]", "subfolder": "{corner}"}, 404, id="note without its space"),
        pytest.param({"filename": "{name} [temp]", "subfolder": "{corner}"}, 404, id="note of another type"),
        pytest.param({"filename": "x [loras]"}, 404, id="unknown note"),
        pytest.param({"filename": "{name}", "subfolder": "../.."}, 403, id="outside"),
        pytest.param({"filename": "{name}", "subfolder": "/etc"}, 403, id="absolute subfolder"),
        pytest.param({"filename": "{name}", "subfolder": "nowhere"}, 404, id="subfolder absent"),
        pytest.param({"filename": "{corner}"}, 404, id="a folder"),
        pytest.param({"filename": "[output]"}, 400, id="nothing but a note"),
    ],
)
def test_view_answers(subject: Subject, query: dict[str, str], status: int) -> None:
    """A picture is found by name, type and subfolder, and nothing outside the folder is."""
    wire = subject.connect()
    name = save(subject, wire)["filename"]
    answer = wire.get("/view", **{key: text.format(name=name, corner=subject.corner) for key, text in query.items()})
    assert status == answer.status
    if status != 200:
        assert (None, "") == (answer.content_type, answer.body)


@pytest.mark.parametrize(
    ("options", "form", "mode"),
    [
        pytest.param({"preview": "webp;50"}, "WEBP", "RGB", id="webp"),
        pytest.param({"preview": "jpeg"}, "JPEG", "RGB", id="jpeg"),
        pytest.param({"preview": "gif"}, "WEBP", "RGB", id="no gif"),
        pytest.param({"preview": "jpeg;90", "channel": "rgba"}, "WEBP", "RGB", id="alpha is no jpeg"),
        pytest.param({"preview": "jpeg;90", "channel": "rgb"}, "JPEG", "RGB", id="jpeg without alpha"),
        pytest.param({"channel": "rgb"}, "PNG", "RGB", id="colours"),
        pytest.param({"channel": "a"}, "PNG", "RGBA", id="alpha"),
        pytest.param({"channel": "rgba"}, "PNG", "RGB", id="as it is"),
        pytest.param({"channel": "x"}, "PNG", "RGB", id="unknown channel"),
    ],
)
def test_view_renditions(subject: Subject, options: dict[str, str], form: str, mode: str) -> None:
    """A picture comes as a preview, or as one channel, of the same size."""
    wire = subject.connect()
    image = save(subject, wire)
    answer = wire.get("/view", **image, **options)
    assert (200, f"image/{form.lower()}") == (answer.status, answer.content_type)
    assert f'filename="{image["filename"]}"' == answer.headers["Content-Disposition"]
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (form, mode, (16, 16)) == (picture.format, picture.mode, picture.size)
        first = picture.getpixel((0, 0))
    colour = (0, 0, 0, 255) if options == {"channel": "a"} else (0x33, 0x66, 0x99)
    assert isinstance(first, tuple)
    assert all(abs(want - got) < 12 for want, got in zip(colour, first, strict=True))


def test_view_of_other_files(subject: Subject) -> None:
    """Any file in the folder can be looked at; pages are not shown as such, and no preview is made of text."""
    wire = subject.connect()
    subject.output.mkdir(parents=True, exist_ok=True)
    for name, kind in (("a.txt", "text/plain"), ("a.html", "application/octet-stream"), ("a.xyz0", None)):
        (subject.output / name).write_text("words", encoding="utf-8")
        answer = wire.get("/view", filename=name, subfolder=subject.corner)
        assert (200, kind or "application/octet-stream", b"words") == (
            *(answer.status, answer.content_type),
            answer.content,
        )
    assert INTERNAL == plain(wire.get("/view", filename="a.txt", subfolder=subject.corner, preview="webp"))


def test_view_in_part(subject: Subject) -> None:
    """A part of a picture can be asked for, its headers alone, and whether it changed."""
    wire = subject.connect()
    query = save(subject, wire)
    part = wire.ask("GET", "/view", params=query, headers={"Range": "bytes=1-3"})
    assert (206, b"PNG") == (part.status, part.content)
    head = wire.ask("HEAD", "/view", params=query)
    assert (200, "image/png", b"") == (head.status, head.content_type, head.content)
    tag = {"If-None-Match": head.headers["Etag"]}
    assert 304 == wire.ask("GET", "/view", params=query, headers=tag).status


@pytest.mark.parametrize("node", [name for name in CLASSES if name in DECLARED])
def test_object_info(subject: Subject, node: str) -> None:
    """A node class is described as declared: inputs, ranges, defaults, choices, outputs, and files as /models lists."""
    wire = subject.wire()
    told = wire.get(f"/object_info/{node}").body
    assert [node] == list(told)
    assert DECLARED[node] == declaration(node, told[node])
    inputs = told[node]["input"]
    assert {group: list(entries) for group, entries in inputs.items()} == told[node]["input_order"]
    for group, name, entry in pickers(node):
        listed = inputs[group][name][0] if isinstance(entry[0], dict) else inputs[group][name][1]["options"]
        files = entry[0] if isinstance(entry[0], dict) else entry[1]["options"]
        if files["files"] != "input":
            assert wire.get(f"/models/{files['files']}").body + files["more"] == listed


def pickers(node: str) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield the inputs of a declared class that list files: their group, name and entry."""
    for group in ("required", "optional"):
        for name, entry in DECLARED[node]["input"].get(group, {}).items():
            if isinstance(entry[0], dict) or (len(entry) > 1 and isinstance(entry[1].get("options"), dict)):
                yield group, name, entry


def test_object_info_of_all(subject: Subject) -> None:
    """All node classes are described at once, each as it is alone; an unknown one is `{}`."""
    wire = subject.wire()
    everything = wire.get("/object_info").body
    assert set(DECLARED) <= everything.keys()
    assert wire.get("/object_info/KSampler").body == {"KSampler": everything["KSampler"]}
    assert (200, JSON, {}) == plain(wire.get("/object_info/NoSuchNode"))


def test_models(subject: Subject) -> None:
    """The folders of models are named, and what is in each; an unknown one is a 404."""
    wire = subject.wire()
    folders = wire.get("/models").body
    assert {"checkpoints", "loras", "vae", "text_encoders", "diffusion_models", "embeddings"} <= set(folders)
    assert subject.base in wire.get("/models/checkpoints").body
    assert [] == [folder for folder in folders if not isinstance(wire.get(f"/models/{folder}").body, list)]
    assert (404, None, "") == plain(wire.get("/models/nope"))
    assert 404 == wire.get("/models/unet").status
    assert isinstance(wire.get("/embeddings").body, list)


def test_system_stats(subject: Subject) -> None:
    """The machine is described with the recorded keys; a stand-in says besides that it is simulated."""
    recorded = json.loads((RECORDINGS / "get_routes.json").read_text(encoding="utf-8"))["exchanges"][0]
    answer = subject.wire().get("/system_stats")
    assert (200, JSON) == (answer.status, answer.content_type)
    expected, told = recorded["response"]["body"], answer.body
    assert expected.keys() == told.keys()
    assert expected["system"].keys() == told["system"].keys() - {"simulated"}
    packages = [body["system"]["comfy_package_versions"][0].keys() for body in (expected, told)]
    assert packages[0] == packages[1]
    kinds = [{name: type(value) for name, value in body["devices"][0].items()} for body in (expected, told)]
    assert kinds[0] == kinds[1]
    assert (subject.server.name == "stand-in") == ("simulated" in told["system"])


def test_features(subject: Subject) -> None:
    """The server tells what it can do."""
    features = {
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": 100 * 1024 * 1024,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    }
    assert features == subject.wire().get("/features").body


def test_files_with_sizes(subject: Subject) -> None:
    """The files of a model folder are listed with size and times; an unknown folder is a 404."""
    wire = subject.wire()
    name = subject.lora()
    (told,) = [one for one in wire.get("/experiment/models/loras").body if one["name"] == name]
    seen = (subject.loras / "a.safetensors").stat()
    assert {"name": name, "pathIndex": 0, "size": seen.st_size} == {
        key: told[key] for key in ("name", "pathIndex", "size")
    }
    assert abs(told["modified"] - seen.st_mtime) < 1
    assert {"created", "modified", "name", "pathIndex", "size"} == told.keys()
    assert (404, None, "") == plain(wire.get("/experiment/models/nope"))


def test_log(subject: Subject) -> None:
    """The log names every key of a LoRA that no weight takes, with its time; it is not below /api."""
    wire = subject.connect()
    before = log(wire)
    wire.run(subject.graph(subject.lora("nomatch"), stem="log"))
    lost = [text for text in log(wire, after=before[-1:]) if "lora key not loaded: " in text]
    assert lost
    assert all(text.partition("lora key not loaded: ")[2].startswith("nomatch_lora_") for text in lost)
    told = wire.get("/internal/logs/raw").body
    assert {"entries", "size"} == told.keys()
    assert {"cols", "rows"} == told["size"].keys()
    assert 404 == wire.get("/api/internal/logs/raw").status


def log(wire: Wire, after: list[str] | None = None) -> list[str]:
    """Return the lines of the log, with their times; those after a line, where that is still there."""
    entries = wire.get("/internal/logs/raw").body["entries"]
    lines = [f"{entry['t']} {entry['m']}".rstrip("\n") for entry in entries]
    return lines[lines.index(after[0]) + 1 :] if after and after[0] in lines else lines


def test_below_api(subject: Subject) -> None:
    """Every route answers below /api as it does without."""
    wire = subject.connect()
    run = wire.run(subject.plain(1))
    paths = ("/queue", "/prompt", "/history", f"/history/{run.prompt_id}", "/models", "/models/loras", "/features")
    for path in (*paths, "/object_info/KSampler", "/embeddings", "/models/nope"):
        assert plain(wire.get(path)) == plain(wire.get(f"/api{path}"))
    assert wire.get("/view", **run.images("2")[0]).content == wire.get("/api/view", **run.images("2")[0]).content
    for path in ("/api/queue", "/api/free", "/api/interrupt", "/api/history"):
        body = {"prompt_id": run.prompt_id} if path == "/api/interrupt" else {}
        assert (200, None, "") == plain(wire.post(path, body))
    assert 400 == wire.post("/api/prompt", {}).status


def test_unknown_paths(subject: Subject) -> None:
    """An unknown path is a 404, a known one with another method a 405."""
    wire = subject.wire()
    assert [404, 404] == [wire.get(path).status for path in ("/nothing", "/api/nothing")]
    assert [405, 405] == [wire.post(path, {}).status for path in ("/system_stats", "/view")]


def test_foreign_hosts(subject: Subject) -> None:
    """Origin and Host must agree where Host is this machine; other hosts are a proxy's business."""
    wire = subject.wire()
    address = subject.server.url.removeprefix("http://")
    port = address.rpartition(":")[2]
    cases = {
        ("null", address): 200,
        ("http://evil.example", address): 403,
        (f"http://localhost:{port}", f"localhost:{port}"): 200,
        (f"http://localhost:{port}", f"127.0.0.1:{port}"): 403,
        ("http://127.0.0.1", f"127.0.0.1:{port}"): 200,
        ("http://127.0.0.1:1", f"127.0.0.1:{port}"): 403,
        ("http://evil.example", "comfy.example"): 200,
    }
    told = {
        (origin, host): wire.ask("GET", "/prompt", headers={"Origin": origin, "Host": host}).status
        for origin, host in cases
    }
    assert cases == told
    assert (200, "") == (wire.ask("OPTIONS", "/nothing").status, wire.ask("OPTIONS", "/prompt").body)


def test_upload(subject: Subject) -> None:
    """An upload goes to the input folder; another of the same name gets a number, an equal one does not."""
    wire = subject.wire()

    def upload(content: bytes, **form: str) -> Any:
        data = {"subfolder": subject.corner, **form}
        return wire.ask("POST", "/upload/image", files={"image": ("a.png", content)}, data=data)

    place = {"subfolder": subject.corner, "type": "input"}
    assert (200, JSON, {"name": "a.png", **place}) == plain(upload(b"one"))
    assert "a.png" == upload(b"one").body["name"]
    assert "a (1).png" == upload(b"two").body["name"]
    assert "a (1).png" == upload(b"two").body["name"]
    assert "a.png" == upload(b"three", overwrite="true").body["name"]
    assert b"three" == wire.get("/view", filename="a.png", **place).content
    assert "output" == upload(b"x", type="output").body["type"]
    assert (400, None, "") == plain(upload(b"x", subfolder="../.."))
    assert INTERNAL == plain(upload(b"x", type="elsewhere"))
    assert (400, None, "") == plain(wire.ask("POST", "/upload/image", files={"other": ("a.png", b"x")}))
