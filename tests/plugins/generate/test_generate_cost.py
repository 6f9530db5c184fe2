"""What a run costs is said before it, and a run of limited time ends with rows that compare."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from plugins.evidence.store import Store
from plugins.generate.cost import Cost, pace_of, row_by_row
from plugins.generate.listing import cost_line
from plugins.plan.cells import matrix
from plugins.plan.plan import Plan
from stand_in.serving import Serving
from tests.plain_command import plain_command
from tests.plugins.evidence.made_evidence import evidence_for, expected_inputs_of, keep, png_of
from tests.small_plan import ROOT


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (Cost(cells=6, reused=6, seconds=3.0), "6 pictures: 6 reused, 0 to render"),
        (Cost(cells=6, reused=0, seconds=None), "6 pictures: 0 reused, 6 to render; an estimate follows after "),
        (Cost(cells=6, reused=2, seconds=3.0), "6 pictures: 2 reused, 4 to render, about 12 s by the pace of earlier "),
        (Cost(cells=96, reused=0, seconds=60.0, servers=4), "96 pictures: 0 reused, 96 to render, about 24 min by "),
        (Cost(cells=1000, reused=0, seconds=60.0), "1000 pictures: 0 reused, 1000 to render, about 16.7 h by "),
    ],
    ids=["nothing-to-do", "nothing-known", "seconds", "several-servers", "hours"],
)
def test_cost_is_told_in_one_line(cost: Cost, told: str) -> None:
    """How many pictures, how many reused, and about how long, where earlier runs tell."""
    assert str(cost).startswith(told)


def test_pace_is_that_of_the_same_servers(plan: Plan) -> None:
    """The middle picture of earlier runs on these very servers counts; another machine's says nothing."""
    made = [evidence_for(expected_inputs_of(plan), cell, png_of(cell)) for cell in matrix(plan)[:3]]

    assert pace_of(made, [made[0].server.url]) == 3.0
    assert pace_of(made, ["http://elsewhere:8188"]) is None


def test_limited_time_goes_row_by_row(plan: Plan) -> None:
    """One seed comes before the next, and each row is rendered on the baseline and all columns before the next row."""
    sampling = plan.sampling.model_copy(update={"seeds": (42, 7)})
    several = plan.model_copy(update={"sampling": sampling})

    rows = [cell.id for cell in sorted(matrix(several), key=row_by_row(several))]

    assert rows[:3] == ["baseline-forest-seed42", "step600-forest-seed42", "final-forest-seed42"]
    assert rows[3:6] == ["baseline-novel_pose-seed42", "step600-novel_pose-seed42", "final-novel_pose-seed42"]
    assert [cell.partition("-")[2] for cell in rows[6:9]] == ["forest-seed7"] * 3


def test_listing_says_what_would_be_reused(plan_file: Path, plan: Plan) -> None:
    """--collect-only says the cost from the files alone; where a checkpoint is missing, that it is not known."""
    store = Store(plan_file.parent / "reports")
    comfyui = plan.comfyui.model_copy(update={"url": "http://127.0.0.1:8188"})
    there = plan.model_copy(update={"comfyui": comfyui})
    asked = replace(plain_command(plan_file.parent), reports_typed=str(store.reports), read=lambda _: there)
    for cell in matrix(plan)[:3]:
        keep(expected_inputs_of(plan), store, cell)

    assert cost_line(asked, matrix(plan), regenerate=False) == (
        "6 pictures: 3 reused, 3 to render, about 9 s by the pace of earlier runs (from the files alone; no server was "
        "asked)"
    )
    missing = plan.training_file(plan.checkpoints[0])
    missing.unlink()
    assert cost_line(asked, matrix(plan), regenerate=False) == (
        f"6 pictures; how many would be reused is not known: {missing} is not there"
    )


def test_demo_that_never_ran_is_listed(tmp_path: Path) -> None:
    """Before its first run the demo's training files are not there, and the list says that it makes them."""
    command = replace(plain_command(tmp_path), demo=True, plan_typed=str(ROOT / "plans/spyke.toml"))
    told = cost_line(command, matrix(command.plan), regenerate=False)
    assert told.startswith("18 pictures; how many would be reused is not known: ")
    assert told.endswith("spyke_plasma_v1-step00000200.safetensors is not there yet; the demo makes it")


@pytest.mark.slow
def test_run_of_limited_time_ends_with_whole_rows(
    plan_file: Path, stand_in: Callable[..., Serving], run_suite: Callable[..., CompletedProcess[str]]
) -> None:
    """What is rendered when the time is over is the first row on all columns; the same command goes on from there."""
    server = f"--comfyui-url={stand_in(seconds_per_image=2.0).url}"
    pictures = plan_file.parent / "reports" / "pictures"

    first = run_suite("-m", "generate", server, "--max-minutes=0.05")

    assert first.returncode == 2, first.stdout
    assert "6 pictures: 0 reused, 6 to render" in first.stdout
    assert "--max-minutes=0.05 is over: " in first.stdout
    there = [path.stem for path in pictures.glob("*/*.json")]
    assert there.count("forest") >= there.count("novel_pose")
    assert 0 < len(there) < 6
    assert (plan_file.parent / "reports" / "report.html").is_file()

    second = run_suite("-m", "generate", server)

    assert second.returncode == 0, second.stdout
    assert f"6 pictures: {len(there)} reused" in second.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-m", "verify", "--max-minutes=3"), "--max-minutes is for rendering: pytest -m generate --max-minutes=N"),
        (("-m", "generate", "--max-minutes=0"), "--max-minutes=0 is not a number of minutes above 0; write it like "),
        (
            ("-m", "generate", "--max-minutes=nan"),
            "--max-minutes=nan is not a number of minutes above 0; write it like ",
        ),
    ],
    ids=["without-rendering", "zero", "not-a-number"],
)
def test_time_that_limits_nothing_is_refused(
    run_suite: Callable[..., CompletedProcess[str]], arguments: tuple[str, ...], told: str
) -> None:
    """A limit that does nothing, or leaves no time, is told before anything is done."""
    done = run_suite(*arguments)

    assert done.returncode == 4
    assert told in done.stderr
