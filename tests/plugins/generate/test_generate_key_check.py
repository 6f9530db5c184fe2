"""What a server did not load of a LoRA is found in its log, after the checkpoint's first picture."""

import json
from collections.abc import Callable, Mapping

import pytest
from aiohttp import web

from plugins.plan.plan import Plan
from stand_in.serving import Serving
from stand_in.weights import read_header, write_weights
from tests.commands.looking import Result, counts
from tests.small_plan import Posing


class WithoutLog(Posing):
    """A server that does not show its log."""

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Refuse the log."""
        if request.path.endswith("/internal/logs/raw"):
            return web.Response(status=403)
        return await super().answer(request)


def rename(plan: Plan, change: Callable[[int, str], str]) -> int:
    """Rename the first checkpoint's tensors, and return how many have a new name."""
    path = plan.training_file(plan.checkpoints[0])
    header = read_header(path)
    notes: Mapping[str, str] = header.pop("__metadata__")
    names = {name: change(index, name) for index, name in enumerate(header)}
    write_weights(path, {names[name]: tuple(one["shape"]) for name, one in header.items()}, dict(notes), seed="renamed")
    return sum(new != old for old, new in names.items())


def keys_of(plan: Plan, cell: str) -> list[str]:
    """Return what the evidence of a cell says of the keys."""
    path = plan.paths.project / "reports/pictures" / f"{cell}.json"
    found = [one for one in json.loads(path.read_text("utf-8"))["checks"] if one["name"] == "LoRA keys"]
    return [f"{one['outcome']}: {one['message']}" for one in found]


@pytest.mark.slow
def test_lora_of_which_some_keys_fit_is_a_warning(
    plan: Plan, stand_in: Callable[..., Serving], run_suite: Callable[..., Result]
) -> None:
    """How many of how many keys were skipped is said for the checkpoint, on its first picture and in the end."""
    skipped = rename(plan, lambda index, name: name if index % 3 else f"other_{name}")
    every = 3 * skipped

    result = run_suite("-m", "generate", f"--comfyui-url={stand_in().url}")

    assert (0, {"passed": 6}) == (result.returncode, counts(result)), result
    assert f"warning: checkpoint step600: ComfyUI did not load {skipped} of {every} keys" in result.stdout
    assert [True] == [one.startswith("warning: ComfyUI did not load") for one in keys_of(plan, "step600/forest")]
    assert (["passed: "], []) == (keys_of(plan, "final/forest"), keys_of(plan, "final/novel_pose"))


def test_lora_of_which_nothing_fits_is_not_rendered_on(
    plan: Plan, stand_in: Callable[..., Serving], run_suite: Callable[..., Result]
) -> None:
    """Where no key was loaded, the column stops after its first picture, and says so."""
    path = plan.training_file(plan.checkpoints[0])
    write_weights(path, {"other_net.a": (4, 4), "other_net.b": (4, 4)}, {"ss_steps": "600"}, seed="x")

    result = run_suite("-m", "generate", f"--comfyui-url={stand_in().url}")

    assert (1, {"passed": 4, "failed": 2}) == (result.returncode, counts(result)), result
    assert "It was not rendered: ComfyUI did not load 2 of 2 keys" in result.stdout
    assert not (plan.paths.project / "reports/pictures/step600/novel_pose.png").exists()


@pytest.mark.slow
def test_server_without_a_log_is_not_checked(
    plan: Plan, stand_in: Callable[..., Serving], run_suite: Callable[..., Result]
) -> None:
    """A server that does not show its log is said to be not checked; nothing else changes."""
    serving = stand_in(faults=WithoutLog())

    result = run_suite("-m", "generate", f"--comfyui-url={serving.url}")

    assert (0, {"passed": 6}) == (result.returncode, counts(result)), result
    assert (
        f"{serving.url} has no log of that time, so it was not checked whether all keys of the LoRAs were loaded"
        in (result.stdout)
    )
    assert [] == keys_of(plan, "step600/forest")
