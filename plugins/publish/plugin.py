"""Publishing's door to pytest: `-m publish` writes, a deployment or a rollback removes, verifying compares."""

from collections.abc import Collection
from contextlib import ExitStack
from typing import Final

import pytest

from plugins.deploy.standing import none_selected, standing_of
from plugins.deploy.verified import Fail
from plugins.evidence.deployments import Rollback
from plugins.evidence.store import Store
from plugins.generate.folders import lock_folders
from plugins.plan.messages import UserError
from plugins.plan.stages import DEPLOY, GENERATE, PUBLISH
from plugins.plan.stash import COMMAND
from plugins.publish.publishing import publish_production, withdraw_outdated
from plugins.publish.record import Published, read_published
from plugins.publish.sidecars import sidecar_digests

_LOCKS: Final = pytest.StashKey[ExitStack]()
_LINES: Final = pytest.StashKey[list[str]]()
"""What to say at the end: which picture was published, or what became of published files."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Lock the folders, or say why nothing can be published."""
    config, command = session.config, session.config.stash[COMMAND]
    config.stash[_LINES] = []
    if PUBLISH not in command.runs:
        return
    if command.stages & {GENERATE, DEPLOY}:
        raise pytest.UsageError("publish is a separate command, after a deployment: pytest -m publish")
    if command.plan.publish is None:
        raise pytest.UsageError(
            f"{command.plan_file} has no [publish], so nothing is published. docs/publish.md describes that table."
        )
    try:
        config.stash[_LOCKS] = lock_folders(command.plan, command.reports)
    except UserError as error:
        raise pytest.UsageError(command.completed(str(error))) from None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Unlock the folders."""
    if locks := config.stash.get(_LOCKS, None):
        locks.close()


def pytest_acceptance_left_out(config: pytest.Config) -> Collection[str]:
    """Leave out the tests of published files if there are none."""
    command = config.stash[COMMAND]
    plan = command.plan
    try:
        is_published = read_published(command.reports, plan.paths.project) or (
            plan.publish and sidecar_digests(plan.production_file)
        )
    except UserError:
        return ()  # the test says what is wrong with the record
    return () if command.stages and is_published else ("published",)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """After a deployment or a rollback, remove what was published of the former production."""
    config = session.config
    if DEPLOY in config.stash[COMMAND].runs and _LINES in config.stash and not _withdraw(config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what became of published files."""
    for line in config.stash.get(_LINES, []):
        terminalreporter.write_line(config.stash[COMMAND].completed(line))


def _withdraw(config: pytest.Config) -> bool:
    command = config.stash[COMMAND]
    try:
        lines = config.stash[_LINES]
        lines += [line for line in withdraw_outdated(command.plan, command.reports) if line not in lines]
    except (UserError, OSError) as error:
        config.stash[_LINES].append(f"Published files may be of another production: {error}")
        return False
    return True


@pytest.fixture
def publication(pytestconfig: pytest.Config, fail: Fail) -> Published:
    """Publish what the plan wants of the deployment on record, if that is in production; fail where it is not."""
    command = pytestconfig.stash[COMMAND]
    plan = command.plan
    assert plan.publish, "-m publish began without [publish]"  # noqa: S101 (a mistake of ours)
    try:
        standing = standing_of(plan, command.reports, None, simulated=command.demo)
        if isinstance(standing, Rollback):
            fail(none_selected(standing))
        published = publish_production(plan, plan.publish, standing, Store(command.reports))
    except UserError as error:
        fail(error)
    pytestconfig.stash[_LINES] += [*published.places, *published.preview]
    return published


@pytest.fixture
def published(request: pytest.FixtureRequest, fail: Fail) -> Published | None:
    """Return what was published; a deploying run has removed the files of the former production by then."""
    config, command = request.config, request.config.stash[COMMAND]
    if DEPLOY in command.stages:
        request.getfixturevalue("production")
        _withdraw(config)
    try:
        return read_published(command.reports, command.plan.paths.project)
    except UserError as error:
        fail(error)
