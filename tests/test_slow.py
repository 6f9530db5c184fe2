"""What takes long is left out where nobody asked for it."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import pytest_collection_modifyitems

ArgsSource = pytest.Config.ArgsSource


@pytest.mark.parametrize(
    ("source", "environment", "skips"),
    [
        (ArgsSource.TESTPATHS, {}, True),
        (ArgsSource.ARGS, {}, False),
        (ArgsSource.TESTPATHS, {"CI": "1"}, False),
    ],
    ids=["plain", "file-named", "CI"],
)
def test_slow_tests_run_only_when_asked_for(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    source: Any,
    environment: dict[str, str],
    *,
    skips: bool,
) -> None:
    """Plain pytest skips what is marked slow, and nothing else; CI runs all, and so does naming a file."""
    monkeypatch.delenv("CI", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    slow, quick = (
        pytest.Function.from_parent(request.node.parent, name=name, callobj=lambda: None) for name in ("slow", "quick")
    )
    slow.add_marker("slow")
    config: Any = SimpleNamespace(args_source=source)
    pytest_collection_modifyitems(config, [slow, quick])
    assert (skips, False) == (bool(slow.get_closest_marker("skip")), bool(quick.get_closest_marker("skip")))
