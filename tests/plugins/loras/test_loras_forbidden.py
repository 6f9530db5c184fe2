"""LoRAs that must not exist are found in any case, in any subfolder, by file or folder name."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins.loras.forbidden import files_below, forbidden_among

WORDS = ("june", "draster")
links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@pytest.mark.parametrize(
    "name",
    [
        "june.safetensors",
        "JUNE_v2.safetensors",
        "old/my-Draster.pt",
        "june/readme.txt",
        "a/June/b/x.safetensors",
        "windows\\DRASTER\\x.safetensors",
        "spyke_and_june.safetensors",
    ],
)
def test_forbidden_name_is_found(name: str) -> None:
    """A forbidden word is found wherever in a name it stands, and however it is written."""
    assert forbidden_among(["spyke.safetensors", name], WORDS) == (name,)


def test_word_may_be_written_in_capitals_too() -> None:
    """The plan's own spelling does not matter either."""
    assert forbidden_among(["june.pt"], ["JUNE"]) == ("june.pt",)


@pytest.mark.parametrize("name", ["spyke_plasma_v1.safetensors", "jun.safetensors", "d-raster.safetensors"])
def test_other_names_are_not(name: str) -> None:
    """Names without a forbidden word are left alone."""
    assert forbidden_among([name], WORDS) == ()


def test_nothing_is_forbidden_without_words() -> None:
    """A plan that forbids nothing finds nothing."""
    assert forbidden_among(["june.pt"], ()) == ()


def test_everything_below_a_folder_is_named(tmp_path: Path) -> None:
    """Files and folders of every depth are named, empty folders and hidden files too, with `/`."""
    (tmp_path / "june").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / ".hidden").touch()
    (tmp_path / "x.safetensors").touch()

    assert files_below(tmp_path) == ("a", "a/b", "a/b/.hidden", "june", "x.safetensors")


def test_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """There is nothing in a folder that does not exist."""
    assert files_below(tmp_path / "none") == ()


@links
def test_linked_folder_is_looked_into(tmp_path: Path) -> None:
    """ComfyUI follows links to folders, and so does the search."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "june.safetensors").touch()
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "more").symlink_to(tmp_path / "elsewhere")

    assert files_below(tmp_path / "loras") == ("more", "more/june.safetensors")


@links
def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """A link to a folder above ends the search there, and hides nothing."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "june.pt").touch()

    assert files_below(tmp_path) == ("a", "a/june.pt", "a/up")


def test_folder_that_cannot_be_looked_into_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subfolder that cannot be read might hold anything; it is named, never passed over."""
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path: Any) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)

    with pytest.raises(PermissionError) as caught:
        files_below(tmp_path)

    assert caught.value.filename == str(tmp_path / "closed")
