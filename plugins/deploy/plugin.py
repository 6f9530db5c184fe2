"""Deployment's door to pytest: the selection, the gate before the first test, and the summary after the last."""

from collections.abc import Callable, Generator
from typing import Final, NoReturn

import pytest

from plugins.comfyui.errors import ComfyUIError
from plugins.comfyui.plugin import the_servers
from plugins.comfyui.server import Server
from plugins.deploy.deployment import RECORD, Deployment, RecordError, Selected, deploy, read_record
from plugins.deploy.gate import GateError, pass_gate
from plugins.deploy.page import render_deployment, render_rollback
from plugins.deploy.proof import Prover
from plugins.deploy.rollback import ROLLBACK, Rollback, recover, rollback_of
from plugins.deploy.selection import (
    SavedBallot,
    SelectionError,
    ballot_lines,
    choice_of,
    find_ballots,
    judged_by,
    select,
)
from plugins.deploy.summary import Summary, Verified, rollback_summary
from plugins.deploy.undoing import PreviousProduction, Undoing, find_former, find_taken_back
from plugins.evidence.files import write_atomically
from plugins.evidence.store import Store
from plugins.generate.expected import ExpectedInputs
from plugins.generate.plugin import hold
from plugins.generate.preparing import pictures, workflow_of
from plugins.generate.stability import read_stability
from plugins.loras.copying import digest_of
from plugins.loras.deployment import Installed, unfinished
from plugins.loras.errors import DeploymentError, LoraError
from plugins.loras.staging import preflight
from plugins.plan.messages import visible
from plugins.plan.plan import Plan
from plugins.plan.plugin import GROUP, reports, running, stages, the_plan, typed_path
from plugins.plan.stages import DEPLOY, GENERATE, VERIFY
from plugins.render.plugin import live_line
from plugins.review.ballot import Ballot, BallotError
from plugins.review.gathering import gather
from plugins.review.plugin import with_options

Attempt = Deployment | Rollback | LoraError
"""What came of putting a file into production, or why nothing did."""
Fail = Callable[[object], NoReturn]
"""Ends a test with what is told."""

_RECOVERED: Final = pytest.StashKey[str]()
_READY: Final = pytest.StashKey[Selected]()
_FORMER: Final = pytest.StashKey[PreviousProduction]()
_DEPLOYED: Final = pytest.StashKey[Deployment]()
_ROLLED_BACK: Final = pytest.StashKey[Rollback]()
_BALLOT: Final = pytest.StashKey[Ballot]()
_CHOSEN: Final = pytest.StashKey[tuple[str, ...]]()
"""By which ballot, in lines for the header."""
_VERIFIED: Final = pytest.StashKey[dict[str, Verified]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --selected-step, --ballot, --observed and --rollback."""
    group = parser.getgroup(GROUP)
    group.addoption("--selected-step", metavar="STEP", help="the checkpoint to deploy: 600, step600, final or 920")
    group.addoption(
        "--ballot", metavar="FILE", help="the ballot saved from the report (default: REPORTS/ballot.json if there)"
    )
    group.addoption("--observed", metavar="TEXT", default="", help="what was seen, for the summary")
    group.addoption(
        "--rollback", action="store_true", help="with -m deploy: put the former production file back, and prove it"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the gate, or say why not, before the first test; nothing is changed yet."""
    config = session.config
    asked = stages(config)
    if config.getoption("selected_step") and not asked & {DEPLOY, VERIFY}:
        told = "--selected-step goes with a deployment: pytest -m deploy --selected-step=STEP"
        raise pytest.UsageError(with_options(config, told))
    if config.getoption("rollback") and (config.getoption("selected_step") or DEPLOY not in asked):
        told = "--rollback puts back what was in production before the last deployment, by itself: "
        raise pytest.UsageError(with_options(config, f"{told}pytest -m deploy --rollback"))
    if DEPLOY not in running(config):
        return
    if GENERATE in asked:
        raise pytest.UsageError("generate and deploy are two commands: a person looks at the pictures in between.")
    taken_back = _recover(config)
    recovered = config.stash.get(_RECOVERED, "")
    try:
        if config.getoption("rollback"):
            _prepare_rollback(config, taken_back)
        else:
            _open_gate(config)
    except (SelectionError, BallotError, GateError, ComfyUIError, LoraError, RecordError) as error:
        told = with_options(config, str(error))
        raise pytest.UsageError("\n".join(filter(None, (recovered, told)))) from None


def _recover(config: pytest.Config) -> Installed | None:
    """Take back what a killed run did to production, before anything else is asked, and say so; give what it was."""
    try:
        if unfinished(the_plan(config).production_file) is None:
            return None
        hold(config)
        begun = unfinished(the_plan(config).production_file)
        recovered = recover(the_plan(config), reports(config))
    except (LoraError, OSError) as error:
        raise pytest.UsageError(with_options(config, str(error))) from None
    config.stash[_RECOVERED] = recovered
    return begun if recovered else None


def _open_gate(config: pytest.Config) -> None:
    """See that the selection may be deployed. Raises this room's errors, and those of the rooms before it."""
    plan = the_plan(config)
    typed, ballots = config.getoption("selected_step"), saved_ballots(config)
    checkpoint = select(plan, typed, chosen=choice_of(ballots, typed) if ballots else None)
    preflight(plan)
    loras = {checkpoint.id: digest_of(plan.training_file(checkpoint)) for checkpoint in plan.checkpoints}
    wanted = ExpectedInputs(plan=plan, workflow=workflow_of(plan), loras=loras, simulated=config.getoption("demo"))
    store = pictures(reports(config))
    evidence = pass_gate(wanted, store, checkpoint)
    hold(config)
    record = None
    if ballots:
        shown = gather(wanted, reports(config), failed={}, command="")
        ballot, record = judged_by(ballots[0].file, checkpoint, plan, shown.entries, simulated=wanted.simulated)
        config.stash[_BALLOT], config.stash[_CHOSEN] = ballot, tuple(ballot_lines(ballots, typed))
    the_servers(config)
    config.stash[_READY] = Selected(
        asked=wanted,
        store=store,
        checkpoint=checkpoint,
        evidence=evidence,
        observed=config.getoption("observed"),
        ballot=record,
    )


def _prepare_rollback(config: pytest.Config, taken_back: Installed | None) -> None:
    """Find what is to be put back; nothing is changed yet. Raises `RecordError`, `LoraError` or `ComfyUIError`."""
    plan, folder = the_plan(config), reports(config)
    if taken_back and not taken_back.rollback:
        former = find_taken_back(plan, taken_back)
    else:  # a rollback that was stopped is done from its start
        deployment = _on_record(config)
        if rollback := rollback_of(deployment, folder / ROLLBACK):
            raise DeploymentError(f"{rollback} There is nothing more to roll back. Nothing was changed.")
        hold(config)
        former = find_former(plan, deployment)
    the_servers(config)
    config.stash[_FORMER] = former


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is about to be deployed or put back, and where."""
    plan, lines = the_plan(config) if running(config) else None, [config.stash.get(_RECOVERED, "")]
    if plan and (ready := config.stash.get(_READY, None)):
        source, target = plan.training_file(ready.checkpoint), plan.production_file
        lines += [f"{plan.title}: deploying {ready.checkpoint.id}", f"{source} -> {target}"]
        chosen = config.stash.get(_CHOSEN, ())
        lines += chosen
    if plan and (former := config.stash.get(_FORMER, None)):
        lines += [f"{plan.title}: rolling back {former.taken_out}", f"{former.file} -> {plan.production_file}"]
    return [line for line in lines if line]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a rollback does not do, and in every other run what only a rollback does."""
    unfit = {"deployment", "deployed"} if config.getoption("rollback") else {"rolled_back"}
    if left_out := [item for item in items if unfit & set(getattr(item, "fixturenames", ()))]:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
        for item in left_out:  # no claim of this run, unlike what -k or -x leave out
            config.stash.get(_VERIFIED, {}).pop(item.nodeid, None)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Enter every claim before -k or -x can leave it out, so that the summary never tells more than was checked."""
    if item.get_closest_marker(VERIFY):
        _note(item, "not checked")


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
    item.config.stash.setdefault(_VERIFIED, {})[item.nodeid] = Verified(claim=claim, outcome=outcome)


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """Put what was deployed on top of deploy.html."""
    config = session.config
    if deployment := config.stash.get(_DEPLOYED, None):
        prefix.append(render_deployment(the_plan(config), deployment, reports(config)))
    if rollback := config.stash.get(_ROLLED_BACK, None):
        prefix.append(render_rollback(the_plan(config), rollback))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the summary of a deployment or a rollback, in the reports folder and where the plan wants it."""
    config = session.config
    verified = tuple(config.stash.get(_VERIFIED, {}).values())
    if deployment := config.stash.get(_DEPLOYED, None):
        plan, ballot = the_plan(config), config.stash.get(_BALLOT, None)
        text = Summary(plan=plan, deployment=deployment, ballot=ballot, verified=verified).markdown()
    elif rollback := config.stash.get(_ROLLED_BACK, None):
        plan = the_plan(config)
        text = rollback_summary(plan, rollback, verified)
    else:
        return
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for place in filter(None, (reports(config) / "SUMMARY.md", plan.paths.summary)):
        try:
            write_atomically(place, text)
            told = f"wrote {place}"
        except OSError as error:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            told = f"Production stands, but {place} could not be written: {error}"
        if reporter:
            reporter.ensure_newline()
            reporter.write_line(told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what is in production after a rollback, and what that means."""
    if rollback := config.stash.get(_ROLLED_BACK, None):
        terminalreporter.write_line(f"{rollback} No checkpoint counts as selected until you deploy one.")


def saved_ballots(config: pytest.Config) -> list[SavedBallot]:
    """Return the ballot that was named, or those in the reports folder; the first one counts."""
    if given := config.getoption("ballot"):
        return [SavedBallot.at(typed_path(config, given))]
    return find_ballots(reports(config))


@pytest.fixture(scope="session")
def store(request: pytest.FixtureRequest) -> Store:
    """Return the pictures of this reports folder, with their evidence."""
    return pictures(reports(request.config))


@pytest.fixture(scope="session")
def attempt(request: pytest.FixtureRequest) -> Attempt:
    """Deploy the selected checkpoint or put the former file back, once. Gives what came of it."""
    config = request.config
    try:
        with live_line(config) as show:
            return _roll_back(config, show) if config.getoption("rollback") else _deploy(config, show)
    except LoraError as error:
        return error


def _deploy(config: pytest.Config, show: Callable[[str], None]) -> Deployment:
    selected = config.stash[_READY]
    prover = Prover(
        asked=selected.asked,
        evidence=selected.evidence,
        store=selected.store,
        servers=the_servers(config),
        canary=read_stability(reports(config)),
        reports=reports(config),
    )
    deployment = deploy(
        selected,
        record=reports(config) / RECORD,
        prove=lambda: prover.prove(selected.checkpoint, meanwhile=show),
        forget=prover.forget,
    )
    config.stash[_DEPLOYED] = deployment
    return deployment


def _roll_back(config: pytest.Config, show: Callable[[str], None]) -> Rollback:
    plan, simulated = the_plan(config), config.getoption("demo")
    undoing = Undoing(
        asked=ExpectedInputs(plan=plan, workflow=workflow_of(plan), loras={}, simulated=simulated),
        servers=the_servers(config),
        reports=reports(config),
        meanwhile=show,
    )
    rollback = undoing.roll_back(config.stash[_FORMER])
    config.stash[_ROLLED_BACK] = rollback
    return rollback


@pytest.fixture(scope="session")
def fail(pytestconfig: pytest.Config) -> Fail:
    """Return what ends a test with words of ours: commands in them can be typed as they are told."""

    def fail(told: object) -> NoReturn:
        raise pytest.fail.Exception(with_options(pytestconfig, visible(str(told))), pytrace=False) from None

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
    if DEPLOY in stages(request.config):
        _attempt_or_skip(request)
    return the_plan(request.config)


@pytest.fixture
def deployment(request: pytest.FixtureRequest, fail: Fail) -> Deployment:
    """Return the deployment on record: this run's, or the last one's."""
    config = request.config
    if DEPLOY in stages(config):
        attempt = _attempt_or_skip(request)
        return attempt if isinstance(attempt, Deployment) else pytest.skip(str(attempt))
    try:
        found = _on_record(config)
        rollback = rollback_of(found, reports(config) / ROLLBACK)
        typed = config.getoption("selected_step")
        selected = select(the_plan(config), typed).id if typed else found.selected
    except (RecordError, SelectionError) as error:
        fail(error)
    if selected != found.selected:
        fail(f"{found.selected} is on record as deployed, not {selected}.")
    if rollback:
        step = (rollback.checkpoint or "STEP").removeprefix("step")
        fail(f"{rollback} Deploy a checkpoint: pytest -m deploy --selected-step={step}")
    return found


def _on_record(config: pytest.Config) -> Deployment:
    """Return the last deployment of this plan from these reports. Raises `RecordError`."""
    found, plan = read_record(reports(config) / RECORD), the_plan(config)
    if found.plan_name != plan.name or found.simulated != config.getoption("demo"):
        what = "a --demo run" if found.simulated else f"the plan {found.plan_name!r}"
        raise RecordError(f"The deployment on record in {reports(config)} is of {what}.")
    return found


@pytest.fixture
def judged(deployment: Deployment, production: Plan, request: pytest.FixtureRequest, fail: Fail) -> ExpectedInputs:
    """Return what the evidence must be of: the plan, and the checkpoints' bytes when the selection was made."""
    missing = [one.id for one in production.checkpoints if one.id not in deployment.candidates]
    if missing:
        fail(f"The plan has checkpoints that were never candidates: {', '.join(missing)}.")
    return ExpectedInputs(
        plan=production,
        workflow=workflow_of(production),
        loras={name: one.sha256 for name, one in deployment.candidates.items()},
        simulated=request.config.getoption("demo"),
    )


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest, fail: Fail) -> tuple[Server, ...]:
    """Return the servers whose pickers are to be looked at; a claim that cannot be checked does not pass."""
    try:
        return the_servers(request.config)
    except ComfyUIError as error:
        fail(f"Not checked: {error}")


def _attempt_or_skip(request: pytest.FixtureRequest) -> Deployment | Rollback:
    attempt: Attempt = request.getfixturevalue("attempt")
    if isinstance(attempt, LoraError):
        telling = {"deployed", "rolled_back"}
        if any(telling & set(getattr(item, "fixturenames", ())) for item in request.session.items):
            pytest.skip("nothing was put in place")  # the test of the deployment itself says why
        fail: Fail = request.getfixturevalue("fail")
        fail(attempt)
    return attempt
