"""Plans, ballots and paths as other programs and systems write them: read, or one line that says how to write them."""

import codecs
import os
import sys
from pathlib import Path

import pytest

from plugins.plan.fields import expanded, misplaced
from plugins.plan.reading import PlanError, read_plan
from plugins.plan.small_files import NotText, text_of
from plugins.review.ballot import BallotError
from tests.plugins.review.ballots import read_ballot

LINES = 'name = "a"\ntitle = "é"\n'


def test_byte_order_mark_is_no_mistake(plan_file: Path) -> None:
    """A plan that Notepad saved with a byte order mark is the plan."""
    before = read_plan(plan_file)
    plan_file.write_bytes(codecs.BOM_UTF8 + plan_file.read_bytes())
    assert before == read_plan(plan_file)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_plan_in_utf_16_says_so(plan_file: Path, encoding: str) -> None:
    """A plan that PowerShell wrote is refused with how to save it, with a byte order mark or without."""
    plan_file.write_bytes(plan_file.read_text(encoding="utf-8").encode(encoding))
    with pytest.raises(PlanError, match=r"is saved as UTF-16\. Save it as UTF-8"):
        read_plan(plan_file)


def test_plan_in_another_encoding_names_the_line() -> None:
    """A letter of Windows-1252 is named with its line."""
    with pytest.raises(NotText, match="is not UTF-8: a letter in line 2 is in another encoding"):
        text_of(LINES.encode("cp1252"))


def test_ballot_with_a_mark_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """A ballot with a byte order mark is JSON all the same; one in UTF-16 is refused with how to save it."""
    ballot = tmp_path / "ballot.json"
    ballot.write_bytes(codecs.BOM_UTF8 + b"{}")
    with pytest.raises(BallotError, match="cannot be used"):
        read_ballot(ballot)
    ballot.write_bytes("{}".encode("utf-16"))
    with pytest.raises(BallotError, match="is saved as UTF-16"):
        read_ballot(ballot)


@pytest.mark.skipif(os.name == "nt", reason="there it is a path")
@pytest.mark.parametrize("typed", [r"C:\AI\ComfyUI", "C:/AI/ComfyUI"])
def test_path_of_windows_says_where_it_is_under_wsl(typed: str) -> None:
    """A drive's path is none on Linux; the message says what WSL calls it."""
    assert "is a path of Windows; under WSL that is /mnt/c/AI/ComfyUI" == misplaced(typed)
    assert expanded(typed) is None


@pytest.mark.parametrize("typed", ['C:\\my runs\\kira"', 'C:\\my runs\\kira" --plan=plans/kira.toml'])
def test_quote_that_a_backslash_took_in_is_explained(typed: str) -> None:
    """After a backslash, the shells of Windows take the closing quote of a path for one of its letters."""
    assert misplaced(typed, windows=True).startswith("holds a quotation mark: a \\ before the last quote")


def test_path_of_wsl_says_what_windows_calls_it() -> None:
    """What is mounted under WSL has a drive's name on Windows."""
    assert "is a path of WSL; Windows calls that D:/loras" == misplaced("/mnt/d/loras", windows=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows asks nobody for the home of a user")
def test_nobodys_home_is_no_place() -> None:
    """`~` of a user who is not there is named, not a traceback."""
    assert "names no place: there is no user 'nosuchuser' on this machine" == misplaced("~nosuchuser/x")


@pytest.mark.skipif(sys.platform != "linux", reason="only there a name may be any bytes")
def test_name_that_is_no_text_says_so() -> None:
    """A folder's name in bytes that are not UTF-8 is refused with what to do."""
    assert misplaced(os.fsdecode(b"/tmp/rep\xe9")).startswith("has letters that are not UTF-8")
