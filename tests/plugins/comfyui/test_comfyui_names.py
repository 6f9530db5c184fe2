"""Models are found by what a person calls them, in the server's own list."""

import pytest

from plugins.comfyui.errors import NotListed
from plugins.comfyui.names import check_offered, find_base_model, find_lora, is_called

SERVER = "http://127.0.0.1:8188"
LISTED = ("anime/AnythingXL_inkBase.safetensors", "sd15\\v1-5-pruned.ckpt", "v2.1_768.safetensors")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param("AnythingXL_inkBase", LISTED[0], id="stem"),
        pytest.param("AnythingXL_inkBase.safetensors", LISTED[0], id="file"),
        pytest.param("anime/AnythingXL_inkBase.safetensors", LISTED[0], id="with_folder"),
        pytest.param("anime\\AnythingXL_inkBase.safetensors", LISTED[0], id="backslash_for_slash"),
        pytest.param("sd15/v1-5-pruned.ckpt", LISTED[1], id="slash_for_backslash"),
        pytest.param("v1-5-pruned", LISTED[1], id="stem_below_backslash"),
        pytest.param("v2.1_768", LISTED[2], id="dot_in_stem"),
    ],
)
def test_base_model_is_found(wanted: str, found: str) -> None:
    """A base model is found by its stem, its file name, or its name with folders, and told as the server spells it."""
    assert found == find_base_model(wanted, LISTED, server=SERVER)
    assert is_called(wanted, found)


def test_exact_name_wins_over_a_stem() -> None:
    """A name that is one file's whole name is that file, though it is another's stem."""
    assert "a.ckpt" == find_base_model("a.ckpt", ("x/a.ckpt.safetensors", "a.ckpt"), server=SERVER)
    assert "b/a.ckpt" == find_base_model("b/a.ckpt", ("a.ckpt", "b/a.ckpt"), server=SERVER)


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        pytest.param("a", ("a.ckpt", "a.safetensors"), id="two_endings"),
        pytest.param("a.ckpt", ("x/a.ckpt", "y/a.ckpt"), id="two_folders"),
    ],
)
def test_ambiguous_base_model_is_refused(wanted: str, listed: tuple[str, ...]) -> None:
    """A name that two files answer to is refused, with both, the server, and the key to correct."""
    with pytest.raises(NotListed) as refused:
        find_base_model(wanted, listed, server=SERVER)
    assert (
        f"Several base models at {SERVER} are called {wanted!r}: {', '.join(listed)}. "
        "Write the one that is meant as `base_model` under [sampling] in the plan."
    ) == str(refused.value)


def test_absent_base_model_is_told_with_the_nearest() -> None:
    """A base model that is absent is told with the names that are like it, and the two ways out."""
    with pytest.raises(NotListed) as refused:
        find_base_model("anythingxl_inkbsae", LISTED, server=SERVER)
    assert (
        f"The base model 'anythingxl_inkbsae' is not in the list of {SERVER}. Nearest are: {LISTED[0]}. "
        "Put the file into ComfyUI's models/checkpoints, or correct `base_model` under [sampling] in the plan."
    ) == str(refused.value)


@pytest.mark.parametrize(
    ("listed", "offer"), [((), "It has: none at all."), (("zzz.ckpt",), "It has: zzz.ckpt.")], ids=["none", "unlike"]
)
def test_absent_base_model_without_likeness(listed: tuple[str, ...], offer: str) -> None:
    """Where nothing is like the name, what the server has is told instead."""
    with pytest.raises(NotListed) as refused:
        find_base_model("AnythingXL", listed, server=SERVER)
    assert offer in str(refused.value)


@pytest.mark.parametrize("name", ["b.safetensors", "a.safetensors.bak", "za.safetensors", "aa"])
def test_is_called_knows_others(name: str) -> None:
    """A model of another name is not taken for the one that a plan means."""
    assert not is_called("a", name)


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("a.safetensors", "a.safetensors"),
        ("spyke/a.safetensors", "spyke/a.safetensors"),
        ("x/y/a.safetensors", "x\\y\\a.safetensors"),
    ],
)
def test_lora_is_found(name: str, spelled: str) -> None:
    """A staged LoRA is found with its subfolder, also as a Windows server spells it."""
    listed = ("za.safetensors", f"old/{spelled}", spelled, "b.safetensors")
    assert spelled == find_lora(name, listed, server=SERVER, folder="/loras")


@pytest.mark.parametrize("other", ["old/a.safetensors", "old\\a.safetensors"])
def test_lora_of_the_same_name_elsewhere_is_another(other: str) -> None:
    """A file of the same name in another folder is not taken for the staged one."""
    with pytest.raises(NotListed):
        find_lora("a.safetensors", (other,), server=SERVER, folder="/loras")


def test_absent_lora_names_both_folders() -> None:
    """A staged LoRA that the picker lacks is told with where it lies, and how to name the server's folder."""
    with pytest.raises(NotListed) as refused:
        find_lora("a.safetensors", ("za.safetensors", "A.safetensors"), server=SERVER, folder="/loras")
    assert (
        f"a.safetensors lies in /loras, but is not in the LoRA list of {SERVER}. That server reads another folder: "
        "name its ComfyUI folder with --comfyui-dir, or correct `comfyui` and `loras` under [paths] in the plan."
    ) == str(refused.value)


def test_sampler_that_the_server_offers_passes() -> None:
    """A sampler that is in the server's drop-down raises nothing."""
    check_offered("euler_ancestral", ("euler", "euler_ancestral"), key="sampler", server=SERVER)


@pytest.mark.parametrize(
    ("wanted", "offer"),
    [
        ("Euler a", "Nearest are: euler, euler_ancestral."),
        ("DPM++ 2M", "Nearest are: dpmpp_2m."),
        ("zzz", "It has: euler, euler_ancestral, dpmpp_2m."),
    ],
)
def test_sampler_that_the_server_lacks_is_told(wanted: str, offer: str) -> None:
    """A sampler written as another UI calls it is refused with the nearest names and the key to correct."""
    with pytest.raises(NotListed) as refused:
        check_offered(wanted, ("euler", "euler_ancestral", "dpmpp_2m"), key="sampler", server=SERVER)
    assert f"{SERVER} offers no sampler {wanted!r}. {offer} Correct `sampler` under [sampling] in the plan." == str(
        refused.value
    )


@pytest.mark.parametrize(
    ("typed", "spelled"),
    [("kir\u00e1.safetensors", "kira\u0301.safetensors"), ("kira\u0301.safetensors", "kir\u00e1.safetensors")],
    ids=["typed-as-one", "typed-as-two"],
)
def test_accents_are_found_however_a_system_keeps_them(typed: str, spelled: str) -> None:
    """A letter and its accent may be one character or two, as on macOS and its shares; the exact name comes first."""
    assert spelled == find_lora(typed, (spelled,), server=SERVER, folder="/ComfyUI/models/loras")
    assert typed == find_lora(typed, (spelled, typed), server=SERVER, folder="/ComfyUI/models/loras")
    assert f"x/{spelled}" == find_lora(typed, (f"x/{spelled}",), server=SERVER, folder="/data/x")
    assert spelled == find_base_model(typed, (spelled,), server=SERVER)
