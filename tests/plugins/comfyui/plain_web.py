"""What a plain web server in a test is to answer, and what it was asked."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Web:
    """A plain web server: its port, what it was asked, and what it is to answer, by path or for every path (`""`)."""

    port: int
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    """A path answered with status 0 gets no answer until this is set."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, path: str, body: Any, *, status: int = 200, **headers: str) -> None:
        """Answer a path with JSON, or with bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = (status, headers, content)
