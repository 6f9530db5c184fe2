"""The benchmarks: each still fits the suite that it measures."""

import importlib
from pathlib import Path

import pytest

from benchmarks import checks

_MODULES = sorted((Path(__file__).resolve().parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("module", _MODULES, ids=lambda path: path.stem)
def test_a_benchmark_can_be_imported(module: Path) -> None:
    """Every name that a benchmark takes from the suite is still there."""
    if module.stem == "cluster":
        pytest.importorskip("distributed", reason="the cluster group is not installed")
    importlib.import_module(f"benchmarks.{module.stem}")


def test_the_checks_that_are_left_out_are_there() -> None:
    """What `benchmarks.checks` replaces is still where it looks for it."""
    with checks.without_checks():
        pass
