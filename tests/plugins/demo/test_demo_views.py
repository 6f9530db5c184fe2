"""Pictures, pickers and metadata over HTTP."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from raw_client import Client, graph, write_lora


def picker(client: Client) -> list[str]:
    """Give the LoRAs as the picker lists them."""
    names: list[str] = client.get("/object_info/LoraLoader").json()["LoraLoader"]["input"]["required"]["lora_name"][0]
    return names


def test_picker_follows_the_folder(client: Client, comfyui: Path) -> None:
    """A LoRA added, renamed or removed is listed at once, sorted; other files never are."""
    loras = comfyui / "models/loras"
    write_lora(loras / "c.safetensors", 200)
    (loras / ".half.safetensors.tmp").write_bytes(b"")
    (loras / "notes.txt").write_text("no LoRA")
    assert ["a.safetensors", "c.safetensors"] == picker(client)
    (loras / "c.safetensors").rename(loras / "b.safetensors")
    assert ["a.safetensors", "b.safetensors"] == picker(client)
    (loras / "a.safetensors").unlink()
    assert ["b.safetensors"] == picker(client) == client.get("/models/loras").json()


def test_picker_lists_subfolders_with_this_systems_separator(client: Client, comfyui: Path) -> None:
    """A LoRA in a subfolder is listed with its folder, and can be used under that name."""
    write_lora(comfyui / "models/loras/sub/d.safetensors", 200)
    name = f"sub{os.sep}d.safetensors"
    assert ["a.safetensors", name] == picker(client)
    assert "success" == client.run(graph(name)).history["status"]["status_str"]
    (comfyui / "models/loras/sub/d.safetensors").rename(comfyui / "models/loras/sub/e.safetensors")
    assert ["a.safetensors", f"sub{os.sep}e.safetensors"] == picker(client)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 404),
        ("filename=", 400),
        ("filename=nope.png", 404),
        ("filename=../secret.png", 400),
        ("filename=/secret.png", 400),
        ("filename=a..b.png", 400),
        ("filename=a.png&type=elsewhere", 400),
        ("filename=a.png&subfolder=../..", 403),
        ("filename=a.png&subfolder=nowhere", 404),
        ("filename=probe_00001_.png", 200),
        ("filename=elsewhere/probe_00001_.png", 200),
        ("filename=probe_00001_.png&type=temp", 404),
        ("filename=probe_00001_.png [output]&type=temp", 200),
    ],
)
def test_view_answers(client: Client, query: str, status: int) -> None:
    """A picture is found by name, type and subfolder, and nothing outside the folder is."""
    client.run(graph())
    assert status == client.get(f"/view?{query}").status_code


@pytest.mark.parametrize(
    ("options", "form", "mode"),
    [
        ({}, "PNG", "RGB"),
        ({"preview": "webp;50"}, "WEBP", "RGB"),
        ({"preview": "jpeg"}, "JPEG", "RGB"),
        ({"preview": "gif"}, "WEBP", "RGB"),
        ({"channel": "rgb"}, "PNG", "RGB"),
        ({"channel": "a"}, "PNG", "RGBA"),
    ],
)
def test_view_renditions(client: Client, options: dict[str, str], form: str, mode: str) -> None:
    """A picture comes as it is, as a smaller preview, or as one channel."""
    response = client.get("/view", params=client.run(graph()).image | options)
    assert f"image/{form.lower()}" == response.headers["content-type"]
    with Image.open(io.BytesIO(response.content)) as picture:
        assert (form, mode) == (picture.format, picture.mode)


def test_prefix_names_files_in_subfolders(client: Client) -> None:
    """Folders in a prefix become subfolders, fields are filled in, and numbers go on from what is there."""
    first = client.run(graph(prefix="run/%width%x%height%")).image
    assert {"filename": "64x64_00001_.png", "subfolder": "run", "type": "output"} == first
    assert "64x64_00002_.png" == client.run(graph(prefix="run/64x64", seed=2)).image["filename"]


def test_metadata(client: Client, comfyui: Path) -> None:
    """A LoRA's metadata is told, also of a file that is cut short; what has none is a 404."""
    loras = comfyui / "models/loras"
    (loras / "cut.safetensors").write_bytes((loras / "a.safetensors").read_bytes()[:-8])
    (loras / "text.safetensors").write_bytes(b"no LoRA at all")
    for name in ("a", "cut"):
        metadata = client.get(f"/view_metadata/loras?filename={name}.safetensors").json()
        assert "600" == metadata["ss_steps"]
    for path in ("loras?filename=text.safetensors", "loras?filename=a.txt", "loras", "nope?filename=a.safetensors"):
        assert 404 == client.get(f"/view_metadata/{path}").status_code


def test_it_says_that_it_is_simulated(client: Client) -> None:
    """The machine's description, and the page at its address, say what this is."""
    stats = client.get("/system_stats").json()
    assert stats["system"]["simulated"] is True
    assert "SIMULATED (embedded stand-in)" == stats["devices"][0]["name"]
    assert "simulated" in client.get("/").text


def test_upload(client: Client, comfyui: Path) -> None:
    """An upload goes to the input folder; another of the same name gets a number, an equal one does not."""

    def upload(content: bytes, **form: str) -> dict[str, str]:
        response = client.post("/upload/image", files={"image": ("a.png", content)}, data=form)
        assert 200 == response.status_code
        body: dict[str, str] = response.json()
        return body

    assert {"name": "a.png", "subfolder": "", "type": "input"} == upload(b"one")
    assert "a.png" == upload(b"one")["name"]
    assert "a (1).png" == upload(b"two")["name"]
    assert "a.png" == upload(b"three", overwrite="true")["name"]
    assert b"three" == (comfyui / "input/a.png").read_bytes()
    outside = client.post("/upload/image", files={"image": ("a.png", b"x")}, data={"subfolder": "../.."})
    assert 400 == outside.status_code


def test_unknown_things(client: Client) -> None:
    """Unknown nodes are `{}`, unknown folders and paths 404, unknown methods 405."""
    assert {} == client.get("/object_info/Nope").json()
    assert "KSampler" in client.get("/object_info").json()
    assert "loras" in client.get("/models").json()
    assert 404 == client.get("/models/unet").status_code
    assert 404 == client.get("/nothing").status_code
    assert 405 == client.post("/system_stats").status_code
