"""Deployment's door to pytest: the gate before the first test, fixtures for the claims, the summary after the last."""

from collections.abc import Callable, Collection, Generator
from contextlib import AbstractContextManager
from typing import Final, NoReturn

import pytest

from plugins.comfyui.server import Server
from plugins.deploy.claims import is_missing
from plugins.deploy.options import DeployOptions
from plugins.deploy.session import Attempt, DeploySession
from plugins.deploy.standing import NOTHING_THERE
from plugins.deploy.verified import Fail, Once, Verified
from plugins.evidence.deployments import Deployment, Rollback, Serving
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.loras.errors import LoraError
from plugins.plan.command import GROUP
from plugins.plan.messages import UserError, visible
from plugins.plan.plan import Plan
from plugins.plan.stages import DEPLOY, VERIFY
from plugins.plan.stash import COMMAND


class Hooks:
    """What other rooms may do about deploying."""

    @pytest.hookspec
    def pytest_acceptance_left_out(self, config: pytest.Config) -> Collection[str]:  # type: ignore[empty-body]
        """Return fixtures whose tests this command leaves out: of what it has nothing to verify."""


_SESSION: Final = pytest.StashKey[DeploySession]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Let other rooms have a say in what there is to verify."""
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --selected-step, --ballot, --accept, --observed and --rollback."""
    group = parser.getgroup(GROUP)
    group.addoption(
        "--selected-step",
        metavar="STEP",
        help="with -m deploy: the checkpoint, as 600, step600, epoch5 or final (default: the ballot's choice)",
    )
    group.addoption(
        "--ballot",
        metavar="FILE",
        action="append",
        default=[],
        help="the ballot saved from the report; repeat for several judges (default: REPORTS/ballot*.json if there)",
    )
    group.addoption(
        "--accept",
        metavar="CELL",
        action="append",
        default=[],
        help="with -m deploy: deploy although this picture failed or was not checked, such as step600-forest; repeat "
        "for several",
    )
    group.addoption("--observed", metavar="TEXT", default="", help="what you saw, for the summary")
    group.addoption(
        "--rollback", action="store_true", help="with -m deploy: put the former production file back, and prove it"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse options that do not go together."""
    config, command, typed = session.config, session.config.stash[COMMAND], session.config.getoption
    options = DeployOptions(
        selected_step=typed("selected_step"),
        ballots=tuple(typed("ballot")),
        observed=typed("observed"),
        rollback=typed("rollback"),
        accepted=tuple(typed("accept")),
    )
    deploying = config.stash[_SESSION] = DeploySession(
        command, options, servers=lambda: config.hook.pytest_acceptance_servers(config=config)
    )
    try:
        deploying.check()
    except UserError as error:
        raise pytest.UsageError(command.completed(str(error))) from None


def pytest_acceptance_begin(session: pytest.Session) -> list[str]:
    """Open the gate, or say why not, before the first test. Returns what is about to be deployed or put back."""
    deploying = session.config.stash[_SESSION]
    try:
        deploying.open()
    except (UserError, OSError) as error:
        lines = [deploying.recovered, session.config.stash[COMMAND].completed(str(error))]
        raise pytest.UsageError("\n".join(filter(None, lines))) from None
    return list(deploying.header())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let the next run have the folders."""
    if deploying := config.stash.get(_SESSION, None):
        deploying.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a rollback does not do, what only a rollback does, and what the plan does not ask for."""
    unfit = {"deployment", "deployed", "standing"} if config.getoption("rollback") else {"rolled_back"}
    command = config.stash[COMMAND]
    if command.stages and not command.plan.production.workflows:
        unfit = {*unfit, "templates"}
    unfit = unfit.union(*config.hook.pytest_acceptance_left_out(config=config))
    if left_out := [item for item in items if unfit & set(getattr(item, "fixturenames", ()))]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        for item in left_out:  # no claim of this run, unlike what -k or -x leave out
            config.stash[_SESSION].verified.pop(item.nodeid, None)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Enter every claim before -k or -x can leave it out, so that the summary never claims more than was checked."""
    if item.get_closest_marker(VERIFY):
        _note(item, "not checked")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give each claim to --junitxml in words, with what is in production by the record."""
    if item.get_closest_marker(VERIFY):
        item.user_properties += item.config.stash[_SESSION].properties(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how each verification ended, for the summary."""
    report = yield
    if item.get_closest_marker(VERIFY) and (report.when == "call" or not report.passed):
        _note(item, report.outcome)
    return report


def _note(item: pytest.Item, outcome: str) -> None:
    doc = getattr(item, "obj", item).__doc__ or item.name
    claim = doc.strip().splitlines()[0].rstrip(".")
    name = str(getattr(item, "originalname", item.name)).removeprefix("test_")
    item.config.stash[_SESSION].verified[item.nodeid] = Verified(claim=claim, outcome=outcome, name=name)


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """Put what was deployed on top of deploy.html."""
    if page := session.config.stash[_SESSION].page():
        prefix.append(page)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Write the summary of a deployment or a rollback; show last what is in production, and what to type then."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")

    def say(line: str) -> None:
        if reporter:
            reporter.ensure_newline()
            reporter.write_line(line)

    deploying = session.config.stash.get(_SESSION, None)
    if deploying and not deploying.write_summary(say):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield
    if deploying and (line := deploying.last_line()):
        say(line)


@pytest.fixture(scope="session")
def store(pytestconfig: pytest.Config) -> Store:
    """Return the pictures of this reports folder, with their evidence."""
    return Store(pytestconfig.stash[COMMAND].reports)


@pytest.fixture(scope="session")
def attempt(
    pytestconfig: pytest.Config, live_line: Callable[[], AbstractContextManager[Callable[[str], None]]]
) -> Attempt:
    """Deploy the selected checkpoint or put the previous file back, once. Returns what came of it."""
    with live_line() as show:
        return pytestconfig.stash[_SESSION].attempt(show)


@pytest.fixture(scope="session")
def fail(pytestconfig: pytest.Config) -> Fail:
    """Return what ends a test with a message of ours: commands in it can be typed as they stand."""

    def fail(problem: object) -> NoReturn:
        message = pytestconfig.stash[COMMAND].completed(visible(str(problem)))
        raise pytest.fail.Exception(message, pytrace=False) from None

    return fail


@pytest.fixture
def deployed(attempt: Attempt, fail: Fail) -> Deployment:
    """Return this run's deployment; fail where there is none."""
    return attempt if isinstance(attempt, Deployment) else fail(attempt)


@pytest.fixture
def rolled_back(attempt: Attempt, fail: Fail) -> Rollback:
    """Return this run's rollback; fail where there is none."""
    return attempt if isinstance(attempt, Rollback) else fail(attempt)


@pytest.fixture
def production(request: pytest.FixtureRequest) -> Plan:
    """Return the plan whose production file is to be verified; a deploying run has put it in place by then."""
    command = request.config.stash[COMMAND]
    if DEPLOY in command.stages:
        _attempt_or_skip(request)
    return command.plan


@pytest.fixture(scope="session")
def once(fail: Fail) -> Once:
    """Return what ends a test for a cause: the first test that it keeps from passing fails, the others are skipped."""
    failed_for: set[str] = set()

    def once(cause: str, message: object) -> NoReturn:
        if cause in failed_for:
            pytest.skip(f"not checked: {cause} (see above)")
        failed_for.add(cause)
        fail(message)

    return once


@pytest.fixture
def standing(request: pytest.FixtureRequest, production: Plan, once: Once) -> Deployment | Rollback:
    """Return what is in production by the record: this run's deployment, or what the last command left."""
    config = request.config
    if DEPLOY in config.stash[COMMAND].stages:
        return _attempt_or_skip(request)
    try:
        return config.stash[_SESSION].standing()
    except UserError as error:
        if production.production_file.is_file():
            once("no deployment is on record", error)
        once(NOTHING_THERE, is_missing(production))


@pytest.fixture
def deployment(standing: Deployment | Rollback) -> Deployment:
    """Return the deployment on record; skip where it was taken back."""
    return standing if isinstance(standing, Deployment) else pytest.skip(str(standing))


@pytest.fixture
def judged(deployment: Deployment, production: Plan, pytestconfig: pytest.Config, fail: Fail) -> ExpectedInputs:
    """Return what the evidence must be of: the plan, and the checkpoints' bytes when the selection was made."""
    del production  # it is in place by then
    try:
        return pytestconfig.stash[_SESSION].judged(deployment)
    except UserError as error:
        fail(error)


@pytest.fixture(scope="session")
def reached(pytestconfig: pytest.Config) -> tuple[Server, ...] | UserError:
    """Return the servers, or why they cannot be reached."""
    try:
        found: tuple[Server, ...] = pytestconfig.hook.pytest_acceptance_servers(config=pytestconfig)
    except UserError as error:
        return error
    return found


@pytest.fixture
def servers(reached: tuple[Server, ...] | UserError, once: Once) -> tuple[Server, ...]:
    """Return the servers whose pickers are to be looked at; a claim that cannot be checked does not pass."""
    return once("no server answers", f"Not checked: {reached}") if isinstance(reached, UserError) else reached


@pytest.fixture
def serving(deployment: Deployment, servers: tuple[Server, ...], pytestconfig: pytest.Config) -> tuple[Serving, ...]:
    """Return what the servers are now, and have under the names of the model files on record."""
    return pytestconfig.stash[_SESSION].serving(deployment, servers)


def _attempt_or_skip(request: pytest.FixtureRequest) -> Deployment | Rollback:
    attempt: Attempt = request.getfixturevalue("attempt")
    if isinstance(attempt, LoraError):
        deciding = {"deployed", "rolled_back"}
        if any(deciding & set(getattr(item, "fixturenames", ())) for item in request.session.items):
            pytest.skip("nothing was put in place")  # the test of the deployment itself says why
        fail: Fail = request.getfixturevalue("fail")
        fail(attempt)
    return attempt
