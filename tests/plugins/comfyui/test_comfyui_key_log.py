"""A server's log says which keys of a LoRA it did not load; other people's lines are not taken for ours."""

from typing import Any

import pytest

from plugins.comfyui.key_log import KeyLog, Skipped

OURS = ("lora_unet_a_attn1_to_q.lora_down.weight", "lora_unet_a_attn1_to_q.lora_up.weight", "lora_te1_x.alpha")


def log(*texts: str, start: int = 0) -> KeyLog:
    """Return a log of these texts, one a second."""
    found = KeyLog.read(
        {"entries": [{"t": f"2026-11-25T22:00:{at:02}", "m": text} for at, text in enumerate(texts, start)]}
    )
    assert found is not None
    return found


def line(key: str) -> str:
    """Return the line of a key, as ComfyUI 0.33.0 colours it."""
    return f"\x1b[1m\x1b[33m[WARNING]\x1b[0m lora key not loaded: {key}\n"


def test_skipped_keys_are_counted_by_kind() -> None:
    """Keys that were not loaded are counted, and the kinds of their layers named."""
    skipped = log("got prompt\n", *map(line, OURS[1:]), "Prompt executed in 0.9 seconds\n").skipped(OURS)

    assert Skipped(keys=(OURS[2], OURS[1]), of=3) == skipped
    assert "ComfyUI did not load 2 of 3 keys (1 of text encoder, 1 of attention)" == str(skipped)
    assert not skipped.is_all


def test_lora_that_does_nothing_is_told() -> None:
    """Where no key was loaded, the LoRA does nothing."""
    assert log("".join(map(line, OURS))).skipped(OURS).is_all


def test_log_without_such_lines_says_that_all_was_loaded() -> None:
    """A log that names no key says that all were loaded."""
    skipped = log("got prompt\n", "loaded completely\n").skipped(OURS)

    assert ((), False, "ComfyUI loaded all 3 keys") == (skipped.keys, skipped.is_all, str(skipped))


def test_lines_of_another_lora_are_not_taken_for_ours() -> None:
    """Somebody else's LoRA may share some keys with ours: its block of lines names others, too."""
    theirs = log("got prompt\n", line(OURS[0]), line("lora_unet_theirs.alpha"), "Prompt executed\n", line(OURS[2]))

    assert (OURS[2],) == theirs.skipped(OURS).keys


def test_only_what_was_written_since_counts() -> None:
    """What the log said before is not told again."""
    before = log(line(OURS[0]))
    after = log(line(OURS[0]), "got prompt\n", line(OURS[1]))

    since = after.since(before)

    assert since is not None
    assert (OURS[1],) == since.skipped(OURS).keys


def test_lost_entries_make_it_unchecked() -> None:
    """A log of which entries were lost between two looks says nothing; nor a full one without a look before."""
    assert log("a\n", start=5).since(log("b\n")) is None
    assert log(*["x\n"] * 300).since(log()) is None
    assert log("x\n").since(log()) == log("x\n")


@pytest.mark.parametrize(
    "answer", [None, {}, [], {"entries": 3}, {"entries": [{"t": 1}]}, {"entries": [{"m": "x"}]}, "log"]
)
def test_answer_that_is_no_log_is_none(answer: Any) -> None:
    """A server without this route, or with another answer, has no log."""
    assert KeyLog.read(answer) is None
