"""What is published says what is known and no more, as others read it, and the tensors are production's."""

import dataclasses
import json
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from plugins.loras.copying import digest_of
from plugins.plan.tested import AlwaysOn
from plugins.plan.training.header import tensors_digest
from plugins.publish.card import card
from plugins.publish.copying import check_copy, notes_of_copy
from plugins.publish.profile import Profile, gather_profile, png_without_notes
from plugins.publish.record import PublishError
from plugins.publish.sidecars import sidecars
from plugins.review.ballot import Judged
from tests.plugins.evidence.made_evidence import png_of
from tests.plugins.publish.made_publication import Publication

LORAS = "ComfyUI/models/loras"
PUBLISHED = [
    f"{LORAS}/spyke_plasma_v1.civitai.info",
    f"{LORAS}/spyke_plasma_v1.json",
    f"{LORAS}/spyke_plasma_v1.metadata.json",
    f"{LORAS}/spyke_plasma_v1.preview.png",
    "dist/README.md",
    "dist/images/final.png",
    "dist/images/step600.png",
    "dist/spyke_plasma_v1.safetensors",
]


def profile_of(publication: Publication) -> Profile:
    """Return what is known."""
    assert publication.plan.publish
    return gather_profile(publication.plan, publication.plan.publish, publication.deployment, publication.judged.store)


def sidecar(publication: Publication, suffix: str) -> Any:
    """Publish, and read a file beside production."""
    publication.publish()
    return json.loads(publication.judged.production.with_suffix(suffix).read_text(encoding="utf-8"))


def notes_of(path: Path) -> dict[str, str]:
    """Read the notes in a safetensors file's header."""
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata() or {})


def test_everything_wanted_is_published(publication: Publication) -> None:
    """Beside production lie a picture and three sidecars; in the copy's folder the copy, its card and its pictures."""
    publication.publish()

    assert sorted([*PUBLISHED, f"{LORAS}/spyke_plasma_v1.safetensors"]) == publication.names


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        pytest.param({"copy": None}, PUBLISHED[:4], id="no-copy"),
        pytest.param({"sidecars": []}, PUBLISHED[4:], id="copy-alone"),
        pytest.param({"sidecars": ["a1111"], "copy": None}, PUBLISHED[1:2], id="one-sidecar"),
    ],
)
def test_only_what_is_wanted_is_published(publication: Publication, changes: dict[str, Any], names: list[str]) -> None:
    """What the plan does not name is not written."""
    publication.want(**changes)
    publication.publish()

    assert sorted([*names, f"{LORAS}/spyke_plasma_v1.safetensors"]) == publication.names


def test_lora_manager_sidecar(publication: Publication) -> None:
    """LoRA-Manager's file has its required fields, the trigger word and the judged strength."""
    found, production = sidecar(publication, ".metadata.json"), publication.judged.production

    assert found == {
        "file_name": "spyke_plasma_v1",
        "model_name": "Spyke",
        "file_path": production.as_posix(),
        "size": production.stat().st_size,
        "modified": production.stat().st_mtime,
        "sha256": digest_of(production),
        "base_model": "SD 1.5",
        "preview_url": production.with_suffix(".preview.png").as_posix(),
        "notes": found["notes"],
        "from_civitai": False,
        "civitai": {"trainedWords": ["spyke_plasma_v1"]},
        "usage_tips": '{"strength": 1.0}',
    }
    assert found["notes"].startswith("step600 was chosen out of 2 checkpoints of one training run on 2 test prompts")


def test_a1111_sidecar(publication: Publication) -> None:
    """A1111's and Forge's file has what their editor saves: activation text, preferred weight, version, notes."""
    found = sidecar(publication, ".json")

    assert ("spyke_plasma_v1", 1.0) == (found["activation text"], found["preferred weight"])
    assert {"description", "sd version", "notes", "activation text", "preferred weight"} == found.keys()


def test_civitai_sidecar(publication: Publication) -> None:
    """The civitai helpers' file is Civitai's answer about a version, without ids, which it has none of."""
    found = sidecar(publication, ".civitai.info")

    assert (["spyke_plasma_v1"], "SD 1.5") == (found["trainedWords"], found["baseModel"])
    assert {"name": "Spyke", "type": "LORA"} == found["model"]
    assert digest_of(publication.judged.production).upper() == found["files"][0]["hashes"]["SHA256"]
    assert not {"id", "modelId"} & found.keys()


def test_what_is_not_known_is_not_filled_in(publication: Publication) -> None:
    """Without trigger words and a base model in the plan, none is written anywhere."""
    publication.want(trigger_words=[], base_model="", license="", author="")
    publication.publish()
    stem = publication.judged.production.with_suffix("")
    read = {
        one: json.loads(Path(f"{stem}{one}").read_text("utf-8")) for one in (".metadata.json", ".json", ".civitai.info")
    }
    notes = notes_of(publication.plan.paths.project / "dist/spyke_plasma_v1.safetensors")

    assert ("Unknown", {}) == (read[".metadata.json"]["base_model"], read[".metadata.json"]["civitai"])
    assert "activation text" not in read[".json"]
    assert ([], False) == (read[".civitai.info"]["trainedWords"], "baseModel" in read[".civitai.info"])
    assert not {"modelspec.trigger_phrase", "modelspec.license", "modelspec.author"} & notes.keys()


@pytest.mark.parametrize(("strength", "weight"), [(0.8, 0.8), (-1.0, None), (3.0, None)])
def test_strength_is_a_preferred_weight_where_a1111_has_such(
    publication: Publication, strength: float, weight: float | None
) -> None:
    """LoRA-Manager gets the judged strength; A1111 takes weights from 0 to 2, and no other."""
    profile = dataclasses.replace(profile_of(publication), strength=strength)
    found = {path.name: json.loads(content) for path, content in sidecars(profile).items() if path.suffix == ".json"}

    assert {"strength": strength} == json.loads(found["spyke_plasma_v1.metadata.json"]["usage_tips"])
    assert weight == found["spyke_plasma_v1.json"].get("preferred weight")


def test_preview_is_the_judged_picture_without_its_workflow(publication: Publication) -> None:
    """The preview shows the selected checkpoint on the first prompt, and tells nothing of the machine it came from."""
    publication.publish()
    judged = publication.judged
    cell = next(one for one in judged.selected().evidence if one.column == "step600")
    preview = Image.open(BytesIO(judged.production.with_suffix(".preview.png").read_bytes()))

    with Image.open(judged.store.picture_path(cell)) as picture:
        assert list(picture.convert("RGB").tobytes()) == list(preview.tobytes())
    assert {} == preview.info


def test_copy_has_the_same_tensors_and_modelspec(publication: Publication) -> None:
    """The copy has production's tensors bit for bit; its header says what it is, and where from says nothing."""
    publication.publish()
    production, copy = (
        publication.judged.production,
        publication.plan.paths.project / "dist/spyke_plasma_v1.safetensors",
    )
    ours, theirs, notes = load_file(copy), load_file(production), notes_of(copy)

    assert {name: one.tobytes() for name, one in theirs.items()} == {name: one.tobytes() for name, one in ours.items()}
    assert f"0x{tensors_digest(production)}" == notes["modelspec.hash_sha256"]
    assert ("Spyke", "spyke_plasma_v1") == (notes["modelspec.title"], notes["modelspec.trigger_phrase"])
    assert ("openrail", "Ed") == (notes["modelspec.license"], notes["modelspec.author"])
    assert "Trigger words: spyke_plasma_v1. Judged at strength 1." == notes["modelspec.usage_hint"]
    assert notes["modelspec.thumbnail"].startswith("data:image/jpeg;base64,")


def test_training_notes_stay_behind_unless_they_are_wanted(publication: Publication) -> None:
    """Paths and tags of the training are not in the copy, but where the plan keeps them."""
    production = publication.judged.production
    notes = {"ss_steps": "600", "ss_tag_frequency": '{"me": {"secret": 3}}', "ss_network_module": "C:\\me\\lora.py"}
    save_file(load_file(production), production, notes | {"ss_base_model_version": "sd_v1"})
    profile = profile_of(publication)

    kept = notes_of_copy(profile, "0")
    publication.want(keep_training_notes=True)
    whole = notes_of_copy(profile_of(publication), "0")

    assert {"ss_steps": "600", "ss_base_model_version": "sd_v1"} == {
        key: value for key, value in kept.items() if not key.startswith("modelspec.")
    }
    assert {*notes, "ss_base_model_version"} < whole.keys()


@pytest.mark.parametrize(
    ("key", "leak"),
    [
        ("modelspec.architecture", "/home/kira/secret"),
        ("modelspec.architecture", "secret/lora/lora"),
        ("modelspec.implementation", "file:///home/secret"),
        ("modelspec.implementation", "https://secret.example/x"),
        ("ss_network_module", "C:secret kira@host"),
        ("modelspec.resolution", "secret" * 20),
    ],
)
def test_note_of_another_form_stays_behind(publication: Publication, key: str, leak: str) -> None:
    """A technical note goes along in its usual form only: no path, address, sentence, or long text."""
    production = publication.judged.production
    usual = {
        "modelspec.architecture": "flux-1-dev/lora",
        "modelspec.implementation": "https://github.com/black-forest-labs/flux",
        "ss_network_module": "networks.lora_flux",
        "modelspec.resolution": "1024x1024",
    }
    tensors = load_file(production)
    save_file(tensors, production, usual)
    kept = notes_of_copy(profile_of(publication), "0")
    save_file(tensors, production, usual | {key: leak})
    leaked = notes_of_copy(profile_of(publication), "0")
    del leaked["modelspec.thumbnail"]

    assert usual == {one: kept[one] for one in usual}
    assert "secret" not in str(leaked)


def test_picture_has_no_colour_profile(publication: Publication) -> None:
    """A colour profile, which may say where a picture was made, goes into no published picture."""
    picture = BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG", icc_profile=b"secret")
    path = publication.plan.paths.project / "profile.png"
    path.write_bytes(picture.getvalue())
    small = png_without_notes(path)

    with Image.open(BytesIO(small)) as shown, Image.open(path) as before:
        assert ("icc_profile" in before.info, {}) == (True, shown.info)
    thumbnail = dataclasses.replace(profile_of(publication), preview=picture.getvalue()).thumbnail
    assert b"secret" not in b64decode(thumbnail.partition(",")[2])


def test_settings_have_the_loras_that_are_always_on(publication: Publication) -> None:
    """The card names every LoRA that was on in the judged pictures."""
    profile = profile_of(publication)
    always = AlwaysOn.model_validate({"file": "style.safetensors", "strength": 0.7})
    profile = dataclasses.replace(profile, plan=profile.plan.model_copy(update={"loras": (always,)}))

    assert "- always on: style.safetensors at strength 0.7" in card(profile).splitlines()


def test_checkpoint_that_the_plan_no_longer_has_is_told(publication: Publication) -> None:
    """Nothing is published where the plan has lost the deployed checkpoint, or its strength."""
    plan, deployment = publication.plan, publication.deployment
    publication.plan = plan.model_copy(
        update={"checkpoints": tuple(one for one in plan.checkpoints if one.id != "step600")}
    )
    with pytest.raises(PublishError, match=r"has step600, which was deployed[.] Nothing"):
        profile_of(publication)
    publication.plan, publication.deployment = plan, deployment.model_copy(update={"strength": 0.8})
    with pytest.raises(PublishError, match=r"has step600 at strength 0[.]8, which"):
        profile_of(publication)


def test_copy_with_other_tensors_is_found(publication: Publication, tmp_path: Path) -> None:
    """One flipped bit, or one tensor under another name, and the copy is refused."""
    profile, production = profile_of(publication), publication.judged.production
    flipped, renamed = tmp_path / "flipped.safetensors", tmp_path / "renamed.safetensors"
    content = bytearray(production.read_bytes())
    content[-1] ^= 1
    flipped.write_bytes(content)
    tensors = load_file(production)
    save_file({f"{name}x": one for name, one in tensors.items()}, renamed)

    for copy in (flipped, renamed):
        with pytest.raises(PublishError, match="does not hold the same tensors"):
            check_copy(profile, copy)


def test_card_says_which_and_why(publication: Publication) -> None:
    """The card has hubs' front matter, a row of pictures that are there, prompts, settings and the reason."""
    publication.publish()
    folder = publication.plan.paths.project / "dist"
    text = (folder / "README.md").read_text(encoding="utf-8")

    front = yaml.safe_load(text.split("---\n")[1])
    assert {
        "tags": ["text-to-image", "lora"],
        "license": "openrail",
        "instance_prompt": "spyke_plasma_v1",
    } == front
    assert "| **step600** | final |" in text
    assert "| ![step600](images/step600.png) | ![final](images/final.png) |" in text
    assert "Observed: Bracer on the right arm" in text
    assert "`spyke_plasma_v1, standing in a forest`" in text
    assert str(folder.parent) not in text


FIRST = "Preview picture: step600 x forest (of the first prompt)."


@pytest.mark.parametrize(
    ("starred", "changes", "told"),
    [
        pytest.param("step600-novel_pose", {}, ["Preview picture: step600 x novel_pose (starred)."], id="selected"),
        pytest.param(
            "final-novel_pose",
            {},
            [FIRST, "The star on final-novel_pose is not used: that is no picture of step600."],
            id="another",
        ),
        pytest.param(
            "step600-novel_pose",
            {"step600-novel_pose": Judged(file="0" * 64, pixels="0" * 64)},
            [FIRST, "The star on step600 x novel_pose is not used: its picture is not the one that was starred."],
            id="changed",
        ),
    ],
)
def test_starred_picture_stands_for_the_lora(
    publication: Publication, starred: str, changes: dict[str, Any], told: list[str]
) -> None:
    """The starred picture of the selected checkpoint is preview and thumbnail; another star is not used, and named."""
    publication.star(starred, **changes)
    published, profile = publication.publish(), profile_of(publication)
    row = "novel_pose" if told[0].endswith("(starred).") else "forest"

    assert told == list(published.preview)
    preview = publication.judged.production.with_suffix(".preview.png")
    with Image.open(publication.judged.reports / f"pictures/step600/{row}.png") as judged, Image.open(preview) as shown:
        assert judged.convert("RGB").tobytes() == shown.tobytes()
    copy = publication.plan.paths.project / "dist/spyke_plasma_v1.safetensors"
    assert profile.thumbnail == notes_of(copy)["modelspec.thumbnail"]
    assert profile.preview == preview.read_bytes()


def test_picture_that_was_rendered_again_is_not_published(publication: Publication) -> None:
    """A picture that is not the judged one any more stops it, before anything is written."""
    judged = publication.judged
    cell = next(iter(judged.selected().evidence))
    before = publication.names
    judged.store.write_picture(cell, png_of(cell, salt="again"))
    with pytest.raises(PublishError, match="Nothing was published"):
        publication.publish()
    assert before == publication.names


def test_picture_that_was_lost_is_not_published(publication: Publication) -> None:
    """Where the evidence of a judged picture is gone, that is what the message says."""
    cell = next(iter(publication.judged.selected().evidence))
    publication.judged.store.evidence_path(cell).unlink()
    with pytest.raises(PublishError, match=f"{cell}: the picture that {cell.column} was chosen by is not there"):
        publication.publish()
