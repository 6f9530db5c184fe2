"""The base model's own file is found where ComfyUI has it, and its header tells its family."""

import os
from pathlib import Path

import pytest

from plugins.loras.base_models import base_header
from plugins.plan.plan import Plan
from plugins.plan.training.families import families_of_base, family_names
from tests.lora_files import BASES, write_file

NAME = "styles/base.safetensors"


def family(plan: Plan, name: str = NAME) -> str | None:
    """Return the base model's family; None where its file is not found."""
    header = base_header(plan, name)
    return family_names(families_of_base(header)) if header else None


@pytest.mark.parametrize("folder", ["checkpoints", "diffusion_models", "unet"])
def test_file_is_found_in_the_comfyui_folder(plan: Plan, folder: str) -> None:
    """Checkpoints and diffusion models are looked for, also as a Windows server spells them."""
    write_file(plan.paths.comfyui / "models" / folder / NAME, BASES["SDXL"])

    assert ("SDXL", "SDXL") == (family(plan), family(plan, NAME.replace("/", "\\")))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param("a111:\n    base_path: {root}\n    checkpoints: Stable-diffusion\n", id="base_path"),
        pytest.param("a111:\n  base_path: '{root}'\n  checkpoints: |\n    other\n    Stable-diffusion\n", id="lines"),
        pytest.param("x:\n  base_path: /elsewhere\ny:\n  checkpoints: {root}/Stable-diffusion\n", id="no-base_path"),
    ],
)
def test_file_is_found_in_an_extra_folder(plan: Plan, tmp_path: Path, settings: str) -> None:
    """The folders that extra_model_paths.yaml adds are looked into."""
    write_file(tmp_path / "webui/Stable-diffusion" / NAME, BASES["Flux.1"])
    text = settings.format(root=(tmp_path / "webui").as_posix())
    (plan.paths.comfyui / "extra_model_paths.yaml").write_text(text, encoding="utf-8")

    assert "Flux.1" == family(plan)


def test_file_is_found_beside_the_loras(plan: Plan, tmp_path: Path) -> None:
    """Where `loras` is in a model folder of its own, the base models beside it are looked into."""
    loras = tmp_path / "elsewhere" / "Models/Lora/characters"
    loras.mkdir(parents=True)
    write_file(tmp_path / "elsewhere" / "Models/StableDiffusion" / NAME, BASES["SDXL"])

    assert "SDXL" == family(plan.model_copy(update={"paths": plan.paths.model_copy(update={"loras": loras})}))


def test_two_files_of_one_name_tell_nothing(plan: Plan) -> None:
    """Which of two different files the server reads is not guessed."""
    write_file(plan.paths.comfyui / "models/checkpoints" / NAME, BASES["SDXL"])
    write_file(plan.paths.comfyui / "models/unet" / NAME, BASES["Flux.1"])

    assert family(plan) is None


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 99])
def test_settings_and_models_of_other_kinds_tell_nothing(plan: Plan, content: bytes) -> None:
    """A base model that is no safetensors file, and settings that are no text, are passed over."""
    file = plan.paths.comfyui / "models/checkpoints/base.ckpt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    (plan.paths.comfyui / "extra_model_paths.yaml").write_bytes(content)

    assert family(plan, "base.ckpt") is None


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
@pytest.mark.parametrize(
    ("loras", "links", "expected"),
    [
        pytest.param(
            "disk/loras/kira", ("models/loras", "disk/loras"), "kira/a.safetensors", id="the-folder-is-a-link"
        ),
        pytest.param("disk/kira", ("models/loras/people", "disk"), "people/kira/a.safetensors", id="a-link-in-it"),
        pytest.param("ComfyUI/models/loras/x", ("unused", "disk"), "x/a.safetensors", id="no-link"),
        pytest.param("elsewhere", ("unused", "disk"), "a.safetensors", id="a-folder-elsewhere"),
    ],
)
def test_picker_name_sees_through_links(
    plan: Plan, tmp_path: Path, loras: str, links: tuple[str, str], expected: str
) -> None:
    """A file is named as ComfyUI's picker does, also where `loras` is the real folder behind a link."""
    comfyui, (link, target) = tmp_path / "linked" / "ComfyUI", links
    (tmp_path / "linked" / target).mkdir(parents=True)
    (comfyui / link).parent.mkdir(parents=True)
    (comfyui / link).symlink_to(tmp_path / "linked" / target)
    folder = tmp_path / "linked" / loras
    folder.mkdir(parents=True, exist_ok=True)
    paths = plan.paths.model_copy(update={"comfyui": comfyui, "loras": folder})

    assert expected == plan.model_copy(update={"paths": paths}).picker_name("a.safetensors")
