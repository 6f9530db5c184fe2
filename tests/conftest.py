"""Plain `pytest` leaves out what takes longest. `CI=1 pytest` runs all, and so does naming a file or folder."""

import gc
import os
from collections.abc import Iterator

import pytest

SLOW = (
    "browser/test_whole_way.py",
    "commands/test_command_bad_input.py",
    "commands/test_command_cluster.py",
    "commands/test_command_demo.py",
    "commands/test_command_new_plan.py",
    "commands/test_command_rollback.py",
    "commands/test_command_verify.py",
    "contract/test_contract_mutations.py",
    "generate/test_generate_cluster.py",
    "faults/test_cluster_faults.py",
    "faults/test_file_faults.py",
    "faults/test_hostile_words.py",
    "faults/test_secrets.py",
    "faults/test_several_servers.py",
    "faults/test_soak.py",
    "faults/test_steps.py",
    "verdicts/test_planted_defects.py",
    "verdicts/test_planted_deployments.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the slow files, and say so, where nobody asked for them."""
    if os.environ.get("CI") or config.args_source is pytest.Config.ArgsSource.ARGS:
        return
    slow = pytest.mark.skip(reason="takes long: CI=1 pytest runs it, and so does naming its file")
    for item in items:
        if item.path.as_posix().endswith(SLOW):
            item.add_marker(slow)


@pytest.fixture(scope="module")
def swept() -> Iterator[None]:
    """Sweep up what a module's tests have torn while that is expected: see `TORN`."""
    yield
    gc.collect()
