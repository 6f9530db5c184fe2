"""A server's log says which keys of a LoRA it did not load; lines of another time are not taken for ours."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from plugins.comfyui.key_log import KeyLog, Skipped

OURS = ("lora_unet_a_attn1_to_q.lora_down.weight", "lora_unet_a_attn1_to_q.lora_up.weight", "lora_te1_x.alpha")
START = datetime(2026, 11, 25, 22, 0, 0, tzinfo=UTC)
END = START + timedelta(seconds=10)


def log(*texts: tuple[float, str], zone: float = 0.0) -> KeyLog:
    """Read a log of texts with the seconds from the start at which they were written, on a server of that zone."""
    shift = timedelta(hours=zone)
    entries = [
        {"t": (START + timedelta(seconds=at) + shift).replace(tzinfo=None).isoformat(), "m": text} for at, text in texts
    ]
    found = KeyLog.read({"entries": entries}, started=START, ended=END)
    assert found is not None
    return found


def line(key: str) -> str:
    """Return the line of a key, as ComfyUI 0.33.0 colours it."""
    return f"\x1b[1m\x1b[33m[WARNING]\x1b[0m lora key not loaded: {key}\n"


def test_skipped_keys_are_counted_by_kind() -> None:
    """Keys that were not loaded are counted, and the kinds of their layers named."""
    skipped = log((-0.01, "got prompt\n"), (1, line(OURS[1])), (1, line(OURS[2])), (10, "Prompt executed\n")).skipped(
        OURS
    )

    assert Skipped(keys=(OURS[2], OURS[1]), of=3) == skipped
    assert f"ComfyUI did not load 2 of 3 keys (text encoder: 1, attention: 1), such as {OURS[2]}" == str(skipped)
    assert not skipped.is_all


def test_lora_that_does_nothing_is_told() -> None:
    """Where no key was loaded, the LoRA does nothing."""
    skipped = log((1, "".join(map(line, OURS))), (10, "Prompt executed\n")).skipped(OURS)

    assert skipped is not None
    assert skipped.is_all


def test_log_without_such_lines_says_that_all_was_loaded() -> None:
    """A log that names no key says that all were loaded."""
    skipped = log((1, "loaded completely\n"), (10, "Prompt executed\n")).skipped(OURS)

    assert Skipped(keys=(), of=3) == skipped
    assert "ComfyUI loaded all 3 keys" == str(skipped)


@pytest.mark.parametrize("zone", [0, -5, 2, 5.75])
def test_lines_of_other_prompts_are_not_taken_for_ours(zone: float) -> None:
    """What the server wrote before and after our prompt is of others', in whatever zone its clock is."""
    lines = log((-3, line(OURS[0])), (4, line(OURS[1])), (12, line(OURS[2])), (13, "Prompt executed\n"), zone=zone)

    assert Skipped(keys=(OURS[1],), of=3) == lines.skipped(OURS)


def test_keys_of_another_lora_are_not_taken_for_ours() -> None:
    """A LoRA that is rendered with everything may have keys that are skipped, too."""
    assert Skipped(keys=(), of=3) == log((1, line("lora_unet_style.alpha")), (10, "x")).skipped(OURS)


def test_lost_lines_are_at_least_so_many_or_not_checked() -> None:
    """Of a log that is full and begins after our prompt did, some lines are lost."""
    full = [(2.0, "x\n")] * 299 + [(10.0, "Prompt executed\n")]
    seen = log(*full[1:], (10.0, line(OURS[0]))).skipped(OURS)

    assert log(*full).skipped(OURS) is None
    assert f"ComfyUI did not load at least 1 of 3 keys (attention: 1), such as {OURS[0]}" == str(seen)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        [],
        "log",
        {"entries": 3},
        {"entries": []},
        {"entries": [{"t": "x", "m": ""}]},
        {"entries": [{"m": ""}]},
    ],
)
def test_answer_that_is_no_log_is_none(answer: Any) -> None:
    """A server without this route, or with another answer, has no log."""
    assert KeyLog.read(answer, started=START, ended=END) is None
