"""What evidence's door to pytest says in the end."""

from types import SimpleNamespace

import pytest

from plugins.generate.plugin import _GENERATION, pytest_terminal_summary


class Named:
    """A server of which no more than its name is told."""

    info = "ComfyUI 0.3.64 at http://a:1"


def test_server_that_gave_cells_back_is_named() -> None:
    """Where others rendered a server's cells, the end says whose, and why."""
    stash, lines = pytest.Stash(), list[str]()
    reason = "http://a:1 has not answered for 60 s. Look at its terminal."
    stash[_GENERATION] = SimpleNamespace(rendered=3, reused=0, gave_back={Named(): reason}, stability="")  # type: ignore[assignment]
    reporter = SimpleNamespace(write_line=lines.append)

    pytest_terminal_summary(reporter, SimpleNamespace(stash=stash))  # type: ignore[arg-type]

    assert lines == [
        "pictures: 3 rendered, 0 reused with their evidence",
        f"{Named.info} gave cells back, for others to render: http://a:1 has not answered for 60 s.",
    ]
