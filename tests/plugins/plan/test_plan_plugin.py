"""What the plan's door to pytest refuses before anything else happens."""

from types import SimpleNamespace

import pytest

from plugins.plan.plugin import _read, _refuse_other_processes
from tests.small_plan import ROOT


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"numprocesses": 2, "dist": "load"}, "-n --dist=load"),
        ({"numprocesses": "auto", "dist": "no"}, "-n"),
        ({"dist": "load", "tx": ["2*popen"]}, "--tx --dist=load"),
        ({"dist": "no", "distload": True}, "-d"),
        ({"looponfail": True}, "-f"),
        ({"forked": True}, "--forked"),
    ],
)
def test_other_processes_are_refused(options: dict[str, object], named: str) -> None:
    """However pytest-xdist and its like are asked for, a stage refuses them as they were typed."""
    config = SimpleNamespace(option=SimpleNamespace(**options))
    with pytest.raises(pytest.UsageError, match=f"^{named} cannot be used with -m generate, deploy or verify: "):
        _refuse_other_processes(config)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{}, {"numprocesses": None, "dist": "no", "tx": []}, {"numprocesses": 0}])
def test_one_process_is_not_refused(options: dict[str, object]) -> None:
    """That pytest-xdist is installed, or asked for no process, is nobody's mistake."""
    _refuse_other_processes(SimpleNamespace(option=SimpleNamespace(**options)))  # type: ignore[arg-type]


def test_mistake_of_an_option_is_not_laid_to_the_plan() -> None:
    """Where a sound plan becomes unsound by what was typed, the message says that it was typed."""
    overrides = {"comfyui": {"url": None, "urls": ["localhost:9999"]}}
    hook = SimpleNamespace(pytest_acceptance_plan_overrides=lambda **_: [overrides])
    with pytest.raises(pytest.UsageError) as caught:
        _read(SimpleNamespace(hook=hook), ROOT / "plans/spyke.toml")  # type: ignore[arg-type]
    _, mistake, last = str(caught.value).splitlines()
    assert "  comfyui.urls[0]: 'localhost:9999' is not the address of a server" in mistake
    assert "That is not the plan's own value, but an option's that was typed." == last
