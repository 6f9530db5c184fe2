"""What no real server does on demand: connections that break, and previews. The rest is in tests/contract."""

import json
import struct
from pathlib import Path

import pytest
import websocket

from stand_in.serving import Serving, serve
from stand_in.versions import Version
from tests.stand_in.raw_client import Client, graph


def test_dropped_connection(serving: Serving, client: Client) -> None:
    """A connection can be cut in the middle; the prompt runs on, and its history is there."""
    client.frame()
    serving.drop(client.client_id)
    with pytest.raises((websocket.WebSocketException, OSError)):
        client.frame()
    with Client(client.url) as other:
        assert "success" == other.run(graph()).history["status"]["status_str"]


@pytest.mark.parametrize(("metadata", "event"), [(False, 1), (True, 4)])
def test_previews(comfyui: Path, metadata: bool, event: int) -> None:  # noqa: FBT001 (parametrized)
    """Where previews are on, each step sends a JPEG; with metadata where the client asked for it."""
    with serve(comfyui, dialect=Version(previews=True)) as serving, Client(serving.url) as client:
        client.frame()
        client.socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": metadata}}))
        client.frame()
        prompt_id = client.submit(graph())
        binary = []
        while (message := client.socket.recv()) and not (isinstance(message, str) and '"node": null' in message):
            if isinstance(message, bytes):
                binary.append(message)
    assert 2 == len(binary)
    assert event == struct.unpack(">I", binary[0][:4])[0]
    assert b"\xff\xd8" in binary[0]
    assert metadata == (prompt_id.encode() in binary[0])
