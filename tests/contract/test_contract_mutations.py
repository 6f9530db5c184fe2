"""The contract is worth something: a stand-in that drifts, in whichever of these ways, fails it."""

from pathlib import Path

import pytest
import websocket

from tests.contract.mutations import MUTATIONS
from tests.contract.servers import stand_in

pytestmark = pytest.mark.slow

NOTICED = (AssertionError, LookupError, websocket.WebSocketException)
"""A difference, something that is missing, or a wait that comes to its end."""


@pytest.mark.parametrize("name", MUTATIONS)
def test_drift_is_noticed(name: str, tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that was changed in one way fails a scenario that it passes unchanged."""
    mutation = MUTATIONS[name]
    with monkeypatch.context() as patch:
        mutation.apply(patch)
        with (
            stand_in(tmp_path / "ComfyUI", made, patience=0.5) as server,
            server.corner() as subject,
            pytest.raises(NOTICED),
        ):
            mutation.scenario(subject)


def test_there_are_enough() -> None:
    """At least 15 ways to drift are tried."""
    assert len(MUTATIONS) >= 15
