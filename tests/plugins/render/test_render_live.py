"""The live line stands below pytest's dots on a terminal, and is a line now and then elsewhere."""

import io

import pytest

from plugins.render.live import LiveLine

BELOW, BACK = "\x1bD\x1bM\x1b7\x1b[B\r\x1b[2K", "\x1b8"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Pretend."""
        return True


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """Tell the seconds."""
        return self.now


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say that the terminal is a capable one."""
    monkeypatch.setenv("TERM", "xterm")


def test_terminal_shows_one_line_in_place() -> None:
    """On a terminal the line is written below, once for each change, cut to the width, and wiped at the end."""
    terminal = Terminal()
    live = LiveLine(terminal, width=lambda: 11, clock=Clock())
    live.show("cell 1 of 6  step600")
    live.show("cell 1 of 6  step600")
    live.show("cell 2")
    live.wipe()
    live.wipe()
    assert f"{BELOW}cell 1 of {BACK}{BELOW}cell 2{BACK}{BELOW}{BACK}" == terminal.getvalue()
    assert "\n" not in terminal.getvalue()


def test_wiped_line_is_shown_again() -> None:
    """After a test has ended, the same line is written again for the next one."""
    terminal = Terminal()
    live = LiveLine(terminal, width=lambda: 80, clock=Clock())
    live.show("cell 1")
    live.wipe()
    live.show("cell 1")
    assert f"{BELOW}cell 1{BACK}{BELOW}{BACK}{BELOW}cell 1{BACK}" == terminal.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["no_terminal", "dumb_terminal"])
def test_elsewhere_a_line_now_and_then(stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a capable terminal a plain line is printed every ten seconds, without codes, and nothing is wiped."""
    monkeypatch.setenv("TERM", "dumb")
    output, clock = stream(), Clock()
    live = LiveLine(output, width=lambda: 5, clock=clock)
    for clock.now in (0.0, 9.9, 10.0, 15.0, 19.9, 20.0):
        live.show(f"cell at {clock.now}")
        live.wipe()
    assert "\ncell at 10.0\n\ncell at 20.0\n" == output.getvalue()
