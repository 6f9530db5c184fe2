"""What a run shows in the end."""

from types import SimpleNamespace

from plugins.generate.generation import Generation
from plugins.generate.key_check import KeyCheck


class Named:
    """A server of which no more than its name is shown."""

    info = "ComfyUI 0.3.64 at http://a:1"


def test_server_that_gave_cells_back_is_named() -> None:
    """Where others rendered a server's cells, the end says whose, and why."""
    reason = "http://a:1 has not answered for 60 s. Look at its terminal."
    unmeasured = SimpleNamespace(last_lines=tuple)
    run = SimpleNamespace(
        rendered=3, reused=0, gave_back={Named(): reason}, known={}, _anew=0, _keys=KeyCheck(), _stability=unmeasured
    )

    assert [
        "pictures: 3 rendered, 0 reused",
        f"{Named.info} returned cells for other servers to render: http://a:1 has not answered for 60 s.",
    ] == list(Generation.last_lines(run))  # type: ignore[arg-type]
